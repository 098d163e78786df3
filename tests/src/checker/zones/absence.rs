//! Where a key can be absent: moments for deletes and for reads of absence, between forward zones
//! that do not overlap and hold no backward zone.
//!
//! Which delete a read of absence saw it does not say, so deletes have no zones of their own. But
//! only one value repeats, and that keeps the question easy. At any moment outside of forward zones
//! the key has a value or is absent. A delete at that moment makes it absent; a backward zone that
//! is placed there gives it a value; a forward zone does when it begins; a read of absence needs a
//! moment when it is absent. A sweep places everything as late as it can:
//!
//! - While the key has a value, a backward zone is placed as soon as it may be: that changes
//!   nothing. While it is absent, reads of absence are placed as soon as they may be.
//! - A delete is placed at its last moment, or earlier if a read of absence reaches its own last
//!   moment while the key has a value: the delete that expires first of those that have begun. All
//!   backward zones that have begun are placed just before it, where they change nothing, and all
//!   reads of absence that have begun just behind it.
//! - A backward zone that reaches its last moment while the key is absent gives it a value.
//!
//! Placing a delete later never hurts: reads and backward zones that had begun and have not ended
//! are still there to be placed, and further ones may have begun. Nor does it hurt to take the
//! delete that expires first: another one, taken instead, could be exchanged for it. So a read of
//! absence that finds no delete has none in any order. Intervals are closed: at one moment
//! everything may be placed in any order.

use std::collections::BTreeSet;

use super::{Conflict, ConflictKind, Zone};
use crate::checker::index::Key;
use crate::history::NEVER;

/// What happens at a moment, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Begins,
    DeleteExpires,
    AbsenceExpires,
    BackwardExpires,
    ForwardBegins,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Backward,
    Delete,
    Absence,
}

/// Something that needs a moment from `from_ns` to `until_ns`, both outside of forward zones or at
/// their ends.
struct Item {
    what: What,
    operation: u32,
    from_ns: u64,
    until_ns: u64,
    placed: bool,
}

struct Sweep {
    items: Vec<Item>,
    /// What gives the key its value; `None` while it is absent.
    value_of: Option<u32>,
    /// Deletes that have begun and are not placed, by when they expire.
    deletes: BTreeSet<(u64, usize)>,
    /// Reads of absence that have begun and are not placed: none while the key is absent.
    absences: Vec<usize>,
    /// Backward zones that have begun and are not placed: none while the key has a value.
    backward: Vec<usize>,
}

pub(super) fn judge(
    key: &Key<'_>,
    forward: &[Zone],
    backward: &[Zone],
    deletes: &[Zone],
    absences: &[Zone],
    conflicts: &mut Vec<Conflict>,
) {
    if absences.is_empty() {
        return;
    }
    let mut items = Vec::with_capacity(backward.len() + deletes.len() + absences.len());
    let all = [(What::Backward, backward), (What::Delete, deletes), (What::Absence, absences)];
    for (what, zones) in all {
        items.extend(zones.iter().map(|zone| Item::new(what, zone, forward)));
    }
    let steps = steps(&items, forward);
    let mut sweep = Sweep {
        items,
        value_of: None,
        deletes: BTreeSet::new(),
        absences: Vec::new(),
        backward: Vec::new(),
    };
    for (_, step, at) in steps {
        if let Some(absence) = sweep.step(step, at, forward) {
            let operations: Vec<u32> = sweep.value_of.into_iter().chain([absence]).collect();
            let there = sweep.value_of.map(|it| key.tell(it)).unwrap_or_default();
            let why = format!("{}: no delete can be between it and {there}", key.tell(absence));
            let kind = ConflictKind::NoDelete;
            conflicts.push(Conflict { key: key.name, kind, operations, why });
        }
    }
}

impl Item {
    fn new(what: What, zone: &Zone, forward: &[Zone]) -> Self {
        // A moment inside a forward zone is none: the next one is its end, the last one its start.
        let around = |at_ns: u64| {
            let before = forward.partition_point(|it| it.return_ns < at_ns);
            forward[..before].last().filter(|outer| at_ns < outer.call_ns)
        };
        let from_ns = around(zone.call_ns).map_or(zone.call_ns, |outer| outer.call_ns);
        let until_ns = around(zone.return_ns).map_or(zone.return_ns, |outer| outer.return_ns);
        assert!(from_ns <= until_ns, "what lies inside a forward zone was told as a conflict");
        Self { what, operation: zone.write, from_ns, until_ns, placed: false }
    }
}

/// All steps in the order of time, each with the number of its item or forward zone.
fn steps(items: &[Item], forward: &[Zone]) -> Vec<(u64, Step, usize)> {
    let mut steps = Vec::with_capacity(2 * items.len() + forward.len());
    for (at, item) in items.iter().enumerate() {
        let expires = match item.what {
            What::Backward => Step::BackwardExpires,
            What::Delete => Step::DeleteExpires,
            What::Absence => Step::AbsenceExpires,
        };
        steps.push((item.from_ns, Step::Begins, at));
        // What never has to be placed does not expire.
        if item.until_ns < NEVER {
            steps.push((item.until_ns, expires, at));
        }
    }
    for (at, zone) in forward.iter().enumerate() {
        steps.push((zone.return_ns, Step::ForwardBegins, at));
    }
    steps.sort_unstable();
    steps
}

impl Sweep {
    /// Takes one step; a read of absence that finds no delete.
    fn step(&mut self, step: Step, at: usize, forward: &[Zone]) -> Option<u32> {
        match step {
            Step::ForwardBegins => {
                self.place_backward();
                self.value_of = Some(forward[at].write);
            }
            Step::Begins => self.begin(at),
            Step::DeleteExpires => {
                let until_ns = self.items[at].until_ns;
                if self.deletes.remove(&(until_ns, at)) {
                    self.place_delete();
                }
            }
            Step::AbsenceExpires if !self.items[at].placed => {
                if self.deletes.pop_first().is_none() {
                    self.absences.retain(|it| *it != at);
                    return Some(self.items[at].operation);
                }
                self.place_delete();
            }
            Step::BackwardExpires if !self.items[at].placed => {
                self.place_backward();
                self.value_of = Some(self.items[at].operation);
            }
            Step::AbsenceExpires | Step::BackwardExpires => {}
        }
        None
    }

    fn begin(&mut self, at: usize) {
        let is_absent = self.value_of.is_none();
        let item = &mut self.items[at];
        match item.what {
            What::Delete => {
                self.deletes.insert((item.until_ns, at));
            }
            What::Absence if is_absent => item.placed = true,
            What::Absence => self.absences.push(at),
            What::Backward if is_absent => self.backward.push(at),
            What::Backward => {
                item.placed = true;
                self.value_of = Some(item.operation);
            }
        }
    }

    /// A delete, here; what changes nothing before it and what needs it go with it.
    fn place_delete(&mut self) {
        self.place_backward();
        for at in self.absences.drain(..) {
            self.items[at].placed = true;
        }
        self.value_of = None;
    }

    fn place_backward(&mut self) {
        for at in self.backward.drain(..) {
            self.items[at].placed = true;
        }
    }
}

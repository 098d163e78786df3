//! What a read must show: everything that obliged it before it was called, or what came after that.
//!
//! One sweep over a key's calls and returns serves every promise of this shape; a [`Duty`] says
//! which operations oblige and which reads are judged. A read that is called when an obliging
//! operation has returned has to show it, or something greater.
//!
//! - `lww`: something greater is a greater version. The sweep keeps the greatest that obliges.
//! - `siblings`: it is a value that covers the obliging one, by itself or through others, or a
//!   delete that does. The sweep keeps the values that nothing obliging covers; a write obliges by
//!   its value, a read by those that it showed.
//!
//! What may have taken effect by the time the read returned may be what it shows instead.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use schemas::ids::Version;

use super::causes::Marks;
use super::index::{Event, Key, Shown, Write};
use crate::history::{Kind, Operation, Policy};

/// Which operations oblige reads, and which reads are judged.
pub(super) struct Duty<O, J> {
    /// Whether an acknowledged write or an answered get obliges the reads after it.
    pub(super) obliges: O,
    /// Whether an answered get is judged.
    pub(super) judged: J,
}

/// A read that does not show what it must.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Missed {
    /// The read.
    pub(super) read: u32,
    /// The operation that obliged it.
    pub(super) earlier: u32,
    /// With siblings, the operation that wrote the value that is not there.
    pub(super) write: Option<u32>,
}

impl Missed {
    /// What was missed, in a sentence.
    pub(super) fn tell(&self, key: &Key<'_>) -> String {
        let (read, earlier) = (key.tell(self.read), key.tell(self.earlier));
        match self.write.filter(|write| *write != self.earlier) {
            Some(write) => {
                let write = key.tell(write);
                format!(
                    "{read} shows neither {write}, which {earlier} had shown, nor what is later"
                )
            }
            None => format!("{read} shows less than {earlier}, which had returned"),
        }
    }
}

/// Tells each read that misses something, of `events`, which are all or some of the key's. With
/// siblings each value is missed once.
pub(super) fn sweep<O, J>(
    key: &Key<'_>,
    events: &[Event],
    marks: &mut SweepMarks,
    duty: &Duty<O, J>,
    mut missed: impl FnMut(Missed),
) where
    O: Fn(&Operation<'_>) -> bool,
    J: Fn(&Operation<'_>) -> bool,
{
    match key.policy {
        Policy::Lww => Floor::default().sweep(key, events, duty, &mut missed),
        Policy::Siblings => {
            marks.obliged.clear();
            let mut open = Open { values: BTreeMap::new(), marks };
            open.sweep(key, events, duty, &mut missed);
        }
    }
}

/// What a version must not be below.
#[derive(Clone, Copy)]
struct Bound {
    version: Version,
    /// Whether it must be above, because this version was seen to be removed.
    removed: bool,
    by: u32,
}

/// The greatest that obliges, of an `lww` key.
#[derive(Default)]
struct Floor {
    bound: Option<Bound>,
    /// Bounds at the call of gets that found no record and have not returned.
    at_call: BTreeMap<u32, Bound>,
}

impl Floor {
    fn sweep<O, J>(
        &mut self,
        key: &Key<'_>,
        events: &[Event],
        duty: &Duty<O, J>,
        missed: &mut impl FnMut(Missed),
    ) where
        O: Fn(&Operation<'_>) -> bool,
        J: Fn(&Operation<'_>) -> bool,
    {
        for event in events {
            let operation = key.operation(event.operation);
            if !event.is_return {
                self.call(key, event.operation, &operation);
                if operation.is_answered_get()
                    && (duty.judged)(&operation)
                    && let Some(bound) = self.bound.filter(|it| it.is_missed(key, &operation))
                {
                    let earlier = bound.by;
                    missed(Missed { read: event.operation, earlier, write: None });
                }
            } else if (duty.obliges)(&operation) {
                self.raise(key, event.operation);
            } else {
                self.at_call.remove(&event.operation);
            }
        }
    }

    fn call(&mut self, key: &Key<'_>, number: u32, operation: &Operation<'_>) {
        let found_nothing = operation.is_answered_get() && key.shown(operation) == Shown::Nothing;
        // A value that expires is absent to one node before it is to another.
        if let Some(bound) = self.bound.filter(|_| found_nothing && !key.removals.is_expiring()) {
            self.at_call.insert(number, bound);
        }
    }

    fn raise(&mut self, key: &Key<'_>, number: u32) {
        let removed = self.at_call.remove(&number);
        let bound = match key.version(number) {
            Some(version) => Some(Bound { version, removed: false, by: number }),
            None => removed.map(|bound| Bound { removed: true, by: number, ..bound }),
        };
        let rank = |bound: &Bound| (bound.version, bound.removed);
        if bound.as_ref().map(rank) > self.bound.as_ref().map(rank) {
            self.bound = bound;
        }
    }
}

impl Bound {
    fn is_missed(&self, key: &Key<'_>, get: &Operation<'_>) -> bool {
        match key.shown(get) {
            Shown::Version(version) => (version, false) < (self.version, self.removed),
            Shown::Nothing => !key.removals.explain(self.version, get.return_ns),
            Shown::Unknown => false,
        }
    }
}

/// Sets of writes that a sweep uses; made once a key, however often it is swept.
pub(super) struct SweepMarks {
    /// Writes that oblige.
    obliged: Marks,
    /// Writes that a search has come to.
    searched: Marks,
    /// Those of them that it has not looked at.
    pending: BinaryHeap<Reverse<Write>>,
}

impl SweepMarks {
    pub(super) fn new(key: &Key<'_>) -> Self {
        let count = if key.policy == Policy::Siblings { key.write_count() } else { 0 };
        let (obliged, searched) = (Marks::new(count), Marks::new(count));
        Self { obliged, searched, pending: BinaryHeap::new() }
    }
}

/// Values that reads of a key with siblings must show, unless something covers them.
struct Open<'m> {
    /// With the operation that obliges to show it.
    values: BTreeMap<Write, u32>,
    marks: &'m mut SweepMarks,
}

/// What a read shows of a value.
enum Found {
    /// It, or something that covers it.
    Shown,
    /// It is excused from all later reads: something that obliges covers it, and is looked for by
    /// itself; or it may have been removed before this one was called.
    Superseded,
    /// Nothing.
    Missed,
}

impl Open<'_> {
    fn sweep<O, J>(
        &mut self,
        key: &Key<'_>,
        events: &[Event],
        duty: &Duty<O, J>,
        missed: &mut impl FnMut(Missed),
    ) where
        O: Fn(&Operation<'_>) -> bool,
        J: Fn(&Operation<'_>) -> bool,
    {
        for event in events {
            let operation = key.operation(event.operation);
            if !event.is_return {
                if operation.is_answered_get() && (duty.judged)(&operation) {
                    self.judge(key, event.operation, &operation, missed);
                }
            } else if (duty.obliges)(&operation) {
                let own = [operation.value];
                let values = if operation.is_write() { &own[..] } else { operation.siblings };
                for write in values.iter().filter_map(|&value| key.write_of(value)) {
                    self.oblige(key, write, event.operation);
                }
            }
        }
    }

    fn oblige(&mut self, key: &Key<'_>, write: Write, by: u32) {
        if !self.marks.obliged.insert(write) {
            return;
        }
        for covered in key.causes.covers(write) {
            self.values.remove(covered);
        }
        if key.write(write).kind == Kind::Put {
            self.values.insert(write, by);
        }
    }

    fn judge(
        &mut self,
        key: &Key<'_>,
        read: u32,
        get: &Operation<'_>,
        missed: &mut impl FnMut(Missed),
    ) {
        let marks = &mut *self.marks;
        self.values.retain(|&write, &mut earlier| match look_for(key, write, get, marks) {
            Found::Shown => true,
            Found::Superseded => false,
            Found::Missed => {
                let write = Some(key.writes()[write as usize]);
                missed(Missed { read, earlier, write });
                false
            }
        });
    }
}

/// Looks for a value or what covers it, in the order of calls: as a rule what obliges lies nearer
/// than what is shown, and what covers that need not be looked at.
fn look_for(key: &Key<'_>, wanted: Write, get: &Operation<'_>, marks: &mut SweepMarks) -> Found {
    marks.searched.clear();
    marks.pending.clear();
    marks.pending.push(Reverse(wanted));
    while let Some(Reverse(write)) = marks.pending.pop() {
        if write != wanted && marks.obliged.contains(write) {
            return Found::Superseded;
        }
        let node = key.causes.node(write);
        if node.removes_ns <= get.call_ns {
            return Found::Superseded;
        }
        let is_shown = get.siblings.binary_search(&node.value).is_ok();
        if is_shown || node.removes_ns <= get.return_ns {
            return Found::Shown;
        }
        for &by in key.causes.covered_by(write) {
            if key.causes.node(by).call_ns <= get.return_ns && marks.searched.insert(by) {
                marks.pending.push(Reverse(by));
            }
        }
    }
    Found::Missed
}

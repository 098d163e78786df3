//! Linearizability of a register whose writes have values of their own (Gibbons and Korach,
//! "Testing Shared Memories", SIAM J. Comput. 26(4), 1997, section 4).
//!
//! The put of a value and the reads of it are a cluster, and lie side by side in every order that
//! explains them. A cluster's zone is the time between its first return and its last call. Is the
//! return before the call, the zone is forward: the value is there during all of it. Else it is
//! backward, all operations of the cluster overlap, and one moment of the zone is enough. An order
//! exists if and only if
//!
//! 1. nothing is read before it is written, and nothing that is not written;
//! 2. no two forward zones overlap;
//! 3. no backward zone lies inside a forward one;
//! 4. and, as absence is written by all deletes alike and so has no zone, deletes and reads of
//!    absence have moments outside of forward zones where the key can be absent ([`absence`]).
//!
//! A write that failed is none. One whose outcome is unknown may take effect at any time after its
//! call: with reads it is a cluster, without it is left out. A value that expires may be followed
//! by a delete of unknown outcome; that is generous, as a delete would remove other values too.

mod absence;

use super::findings::KeyName;
use super::index::{Index, Key};
use super::judge::Allowed;
use crate::history::{ABSENT, History, Kind, NEVER, Outcome, Policy};

/// Why a key is not linearizable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The key.
    pub key: KeyName,
    /// Which condition does not hold.
    pub kind: ConflictKind,
    /// Operations that cannot all be ordered.
    pub operations: Vec<u32>,
    /// The same in a sentence.
    pub why: String,
}

/// The conditions of linearizability.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConflictKind {
    /// A read of what nobody wrote.
    NeverWritten,
    /// A read that returned before the write was called.
    ReadBeforeWrite,
    /// Two values that both have to be there at a time.
    Overlap,
    /// A value, a delete or a read of absence while another value has to be there.
    Within,
    /// A read of absence that no delete can be in time for.
    NoDelete,
}

/// An interval of time with the operations that return at its start and are called at its end, or
/// the other way round.
#[derive(Clone, Copy)]
struct Zone {
    /// The first return of a cluster.
    return_ns: u64,
    returned: u32,
    /// Its last call.
    call_ns: u64,
    called: u32,
    write: u32,
}

impl Zone {
    fn of(key: &Key<'_>, number: u32) -> Self {
        let operation = key.operation(number);
        let (return_ns, call_ns) = (operation.done_ns(), operation.call_ns);
        Self { return_ns, returned: number, call_ns, called: number, write: number }
    }

    fn is_forward(&self) -> bool {
        self.return_ns < self.call_ns
    }

    /// What shows that it is as long as it is.
    fn operations(&self) -> impl Iterator<Item = u32> {
        let rest = [self.returned, self.called].into_iter().filter(|it| *it != self.write);
        std::iter::once(self.write).chain(rest)
    }

    fn tell(&self, key: &Key<'_>) -> String {
        let operations: Vec<String> = self.operations().map(|it| key.tell(it)).collect();
        let mut text = operations.join(" with ");
        if self.is_forward() {
            text += &format!(", which is there from {} to {} ns", self.return_ns, self.call_ns);
        }
        text
    }
}

/// All conflicts of all `lww` keys of a history; none if each is linearizable.
///
/// # Panics
///
/// If two writes have one value ([`History::written_twice`]).
#[must_use]
pub fn conflicts(history: &History, allowed: &Allowed) -> Vec<Conflict> {
    let index = Index::new(history, allowed.skew_ns());
    index.keys().filter(|key| key.policy == Policy::Lww).flat_map(|key| judge(&key)).collect()
}

/// The conflicts of a key.
pub(super) fn judge(key: &Key<'_>) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let zones = zones(key, &mut conflicts);
    let (mut forward, backward): (Vec<Zone>, Vec<Zone>) =
        zones.into_iter().partition(Zone::is_forward);
    forward.sort_unstable_by_key(|zone| zone.return_ns);
    for two in forward.windows(2).filter(|two| two[1].return_ns < two[0].call_ns) {
        let whys = [two[0].tell(key), two[1].tell(key)];
        conflicts.push(Conflict {
            key: key.name,
            kind: ConflictKind::Overlap,
            operations: two.iter().flat_map(Zone::operations).collect(),
            why: format!("two values at a time: {}, and {}", whys[0], whys[1]),
        });
    }
    let (deletes, absences) = of_absence(key);
    for zone in backward.iter().chain(&deletes).chain(&absences) {
        let Some(outer) = within(&forward, zone) else { continue };
        conflicts.push(Conflict {
            key: key.name,
            kind: ConflictKind::Within,
            operations: outer.operations().chain(zone.operations()).collect(),
            why: format!("{} is called and returns while {}", zone.tell(key), outer.tell(key)),
        });
    }
    if conflicts.is_empty() {
        absence::judge(key, &forward, &backward, &deletes, &absences, &mut conflicts);
    }
    conflicts
}

/// The forward zone that a backward one lies inside of. Forward ones ascend.
fn within<'z>(forward: &'z [Zone], zone: &Zone) -> Option<&'z Zone> {
    let before = forward.partition_point(|it| it.return_ns < zone.call_ns);
    let outer = forward[..before].last()?;
    (zone.return_ns < outer.call_ns).then_some(outer)
}

/// The zones of all values, those left out that nobody may ever have seen.
fn zones(key: &Key<'_>, conflicts: &mut Vec<Conflict>) -> Vec<Zone> {
    let mut zones: Vec<Zone> = key.writes().iter().map(|&write| Zone::of(key, write)).collect();
    let mut conflict = |kind, operations: &[u32], why| {
        conflicts.push(Conflict { key: key.name, kind, operations: operations.to_vec(), why });
    };
    for &number in key.operations {
        let get = key.operation(number);
        if !get.is_answered_get() || get.value == ABSENT {
            continue;
        }
        let write = key.write_of(get.value).filter(|&write| {
            let write = key.write(write);
            write.kind == Kind::Put && write.outcome != Outcome::Fail
        });
        let Some(write) = write else {
            let why = format!("{} of what was not written", key.tell(number));
            conflict(ConflictKind::NeverWritten, &[number], why);
            continue;
        };
        let zone = &mut zones[write as usize];
        if get.return_ns < key.operation(zone.write).call_ns {
            let why = format!("{} before {}", key.tell(number), key.tell(zone.write));
            conflict(ConflictKind::ReadBeforeWrite, &[zone.write, number], why);
        }
        if get.return_ns < zone.return_ns {
            (zone.return_ns, zone.returned) = (get.return_ns, number);
        }
        if get.call_ns > zone.call_ns {
            (zone.call_ns, zone.called) = (get.call_ns, number);
        }
    }
    zones.retain(|zone| {
        let write = key.operation(zone.write);
        write.kind == Kind::Put && write.outcome != Outcome::Fail && zone.return_ns < NEVER
    });
    zones
}

/// Deletes, and reads of absence, each by itself.
fn of_absence(key: &Key<'_>) -> (Vec<Zone>, Vec<Zone>) {
    let (mut deletes, mut absences) = (Vec::new(), Vec::new());
    for &number in key.operations {
        let operation = key.operation(number);
        match operation.kind {
            Kind::Delete if operation.may_take_effect() => deletes.push(Zone::of(key, number)),
            Kind::Put if operation.may_take_effect() && operation.expires_ns != NEVER => {
                let call_ns = key.expires_from(&operation);
                deletes.push(Zone { return_ns: NEVER, call_ns, ..Zone::of(key, number) });
            }
            Kind::Get if operation.is_answered_get() && operation.value == ABSENT => {
                absences.push(Zone::of(key, number));
            }
            _ => {}
        }
    }
    (deletes, absences)
}

//! [`Horizon`]: what it lets go, and what is late for it. Pure.
//!
//! Whether a value's time has come is asked of the horizon's own stamp, not of a clock: copies of
//! one horizon forget the same.

use std::rc::Rc;

use schemas::clock::VnodeClock;
use schemas::ids::Hlc;

use crate::record::{Kind, Record};
use crate::version::Siblings;

/// A purge horizon of a vnode.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Horizon {
    /// Everything stamped below was brought to all readers, or is not to come.
    pub below: Hlc,
    /// What they all had by then: a copy that has not all of it has no part in the horizon.
    pub clock: VnodeClock,
}

/// What a record is to a copy that has a horizon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It is not below it: to be merged.
    New,
    /// It was there before: what became of it stands, or is gone.
    Known,
    /// It was never there, and may be older than what was forgotten: it must not be merged.
    Unseen,
}

/// How a horizon stands to another.
#[derive(Clone, PartialEq, Debug)]
pub enum HorizonIs {
    /// It is lower.
    Lower,
    /// It is the same, or is not to be gone by: the copy has not all that it tells of yet.
    Same,
    /// It is higher, and this.
    Higher(Rc<Horizon>),
}

impl Horizon {
    /// What `record` is to a copy that has this horizon.
    #[must_use]
    pub fn arrival(&self, record: &Record) -> Arrival {
        if record.version.hlc >= self.below {
            Arrival::New
        } else if self.clock.contains(record.version.dot) {
            Arrival::Known
        } else {
            Arrival::Unseen
        }
    }
}

/// What a copy keeps of `record` that has the horizon `below`. Nothing would miss the rest: a
/// tombstone, a set in which nothing stands, a value whose time was over by then, alone or in a
/// set. Copies of one horizon that have the same keep the same, whenever they forget it.
#[must_use]
pub fn kept(record: &Rc<Record>, below: Hlc) -> Option<Rc<Record>> {
    if record.version.hlc < below && record.is_dead(below.millis()) {
        return None;
    }
    let set = match record.kind {
        Kind::Siblings => Siblings::decode(record.version, &record.value).ok(),
        _ => None,
    };
    let Some(set) = set.filter(|set| set.oldest().is_some_and(|oldest| oldest < below)) else {
        return Some(Rc::clone(record));
    };
    Some(Rc::new(Record::of_set(record.key.clone(), &set.kept(below))))
}

/// The least stamp of what `record` brings: of a set, that of a value in it that stands.
#[must_use]
pub fn oldest(record: &Record) -> Hlc {
    let set = match record.kind {
        Kind::Siblings => Siblings::decode(record.version, &record.value).ok(),
        _ => None,
    };
    let of_set = set.and_then(|set| set.oldest());
    of_set.map_or(record.version.hlc, |oldest| oldest.min(record.version.hlc))
}

/// `record` as it may be merged into a whole copy that has `here` of its key: a set comes without
/// values below the horizon that do not stand here, since what discards them may be purged.
#[must_use]
pub fn fit(here: Option<&Record>, record: &Rc<Record>, below: Hlc) -> Rc<Record> {
    let is_late = record.kind == Kind::Siblings && oldest(record) < below;
    if !is_late || record.version.hlc < below {
        return Rc::clone(record);
    }
    let Ok(set) = Siblings::decode(record.version, &record.value) else {
        return Rc::clone(record);
    };
    let here = here.and_then(|here| Siblings::decode(here.version, &here.value).ok());
    let rest = set.late(&here.unwrap_or_default(), below);
    Rc::new(Record::of_set(record.key.clone(), &rest))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use schemas::ids::{Actor, Dot, NamespaceId, NodeId, Token, Version};

    use super::*;
    use crate::record::{Key, merge};
    use crate::version::{Context, Sibling};

    fn version(node: u64, counter: u64, millis: u64) -> Version {
        let node = NodeId(NonZeroU64::new(node).unwrap());
        let dot = Dot { actor: Actor { node, boot: 1 }, counter };
        Version { hlc: Hlc::from_millis(millis), dot }
    }

    fn key() -> Key {
        Key { token: Token(7), namespace: NamespaceId::DEFAULT, bytes: Rc::from([1]) }
    }

    fn record(kind: Kind, millis: u64, expires_at_ms: u64) -> Record {
        let version = version(1, millis, millis);
        Record { key: key(), version, kind, expires_at_ms, value: Rc::from([]) }
    }

    #[test]
    fn what_is_dead_below_goes_and_nothing_else() {
        let below = Hlc::from_millis(100);
        for (kind, millis, expires_at_ms, goes) in [
            (Kind::Tombstone, 99, 0, true),
            (Kind::Tombstone, 100, 0, false),
            (Kind::Context, 99, 0, true),
            (Kind::Value, 99, 0, false),
            (Kind::Value, 90, 100, true),
            // Its time is over only above the horizon: other copies may show it yet.
            (Kind::Value, 90, 101, false),
            (Kind::Siblings, 90, 0, false),
            (Kind::Siblings, 90, 100, true),
        ] {
            let record = record(kind, millis, expires_at_ms);
            let record = Rc::new(record);
            assert_eq!(kept(&record, below), (!goes).then(|| Rc::clone(&record)));
        }
        let record = Rc::new(record(Kind::Tombstone, 0, 0));
        assert!(kept(&record, Hlc(0)).is_some(), "no horizon, no purge");
    }

    /// One copy had purged the first value's own set whole; others kept the value in the next.
    #[test]
    fn what_is_over_below_goes_from_newer_sets_too() {
        let of = |counter, millis, expires_at_ms| Sibling {
            version: version(1, counter, millis),
            expires_at_ms,
            value: b"",
        };
        let written = [of(1, 20, 90), of(2, 30, 101), of(3, 40, 0), of(4, 100, 100)];
        let set = |count: usize| {
            let writes = written[..count].iter().copied();
            let set = writes.fold(Siblings::default(), |set, it| {
                set.write(it, &Context::NOTHING, Hlc(0)).unwrap()
            });
            Rc::new(Record::of_set(key(), &set))
        };
        let below = Hlc::from_millis(100);
        assert_eq!(kept(&set(1), below), None);
        let all = kept(&set(4), below).unwrap();
        let decoded = Siblings::decode(all.version, &all.value).unwrap();
        assert_eq!(decoded.live(), &written[1..]);
        assert_eq!(all.version, written[3].version);
        // In which order it was forgotten and merged does not matter.
        assert_eq!(kept(&fit(None, &set(4), Hlc::from_millis(21)), below), Some(Rc::clone(&all)));
        assert_eq!(kept(&merge(&all, &set(3)), below), Some(Rc::clone(&all)));
        assert_eq!(kept(&all, below), Some(all));
    }

    #[test]
    fn below_the_horizon_nothing_is_new() {
        let mut clock = VnodeClock::default();
        clock.insert(version(1, 1, 1).dot);
        let horizon = Horizon { below: Hlc::from_millis(10), clock };
        let of = |counter, millis| {
            let version = version(1, counter, millis);
            horizon.arrival(&Record { version, ..record(Kind::Value, 1, 0) })
        };
        assert_eq!(of(1, 9), Arrival::Known);
        assert_eq!(of(2, 9), Arrival::Unseen);
        assert_eq!(of(2, 10), Arrival::New);
    }

    /// A value was discarded and what discarded it purged; a set that is newer than the horizon
    /// still has it.
    #[test]
    fn a_late_set_brings_back_no_value_that_is_gone() {
        let (old, new) = (version(1, 1, 5), version(2, 1, 20));
        let sibling = |version, value| Sibling { version, expires_at_ms: 0, value };
        let first = Siblings::default().write(sibling(old, b"old"), &Context::NOTHING, Hlc(0));
        let first = first.unwrap();
        let both = first.write(sibling(new, b"new"), &Context::NOTHING, Hlc(0)).unwrap();
        let late = Rc::new(Record::of_set(key(), &both));
        assert_eq!(oldest(&late), old.hlc);
        let standing = |record: &Record| {
            let set = Siblings::decode(record.version, &record.value).unwrap();
            set.live().iter().map(|it| it.version).collect::<Vec<_>>()
        };
        let below = Hlc::from_millis(10);
        assert_eq!(standing(&fit(None, &late, below)), [new]);
        let here = Record::of_set(key(), &first);
        assert_eq!(standing(&fit(Some(&here), &late, below)), [old, new], "it stands here");
        assert_eq!(standing(&fit(None, &late, Hlc::from_millis(5))), [old, new], "it is not late");
    }
}

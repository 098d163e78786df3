//! What a replica of the model store keeps of a key, defined as plainly as can be: a version and a
//! value for `lww`, the sets of all values that are there and that were ever known for siblings.

use std::collections::BTreeSet;

use schemas::ids::Version;
use tests::history::NEVER;

/// A version of an `lww` key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Top {
    pub(crate) version: Version,
    /// Absent for a tombstone.
    pub(crate) value: u64,
    pub(crate) expires_ns: u64,
}

/// All of a key; that of the other policy stays empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Record {
    pub(crate) top: Option<Top>,
    /// Values that are there.
    pub(crate) live: BTreeSet<u64>,
    /// Values that are or were there, and numbers of deletes.
    pub(crate) known: BTreeSet<u64>,
}

impl Record {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.top = self.top.max(other.top);
        let stays = |value: &u64, there: &Self| there.live.contains(value) || !there.knows(*value);
        let ours = self.live.iter().filter(|value| stays(value, other));
        let theirs = other.live.iter().filter(|value| stays(value, self));
        self.live = ours.chain(theirs).copied().collect();
        self.known.extend(&other.known);
    }

    /// Whether it is no older than another.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        self.top.map(|it| it.version) >= other.top.map(|it| it.version)
            && self.known.is_superset(&other.known)
    }

    /// Whether there is no value.
    pub(crate) fn is_removed(&self) -> bool {
        self.live.is_empty() && self.top.is_none_or(|top| top.value == tests::history::ABSENT)
    }

    /// The value at a moment.
    pub(crate) fn value_at(&self, now_ns: u64) -> u64 {
        let there = self.top.filter(|top| top.expires_ns == NEVER || top.expires_ns > now_ns);
        there.map_or(tests::history::ABSENT, |top| top.value)
    }

    fn knows(&self, value: u64) -> bool {
        self.known.contains(&value)
    }
}

/// What a client knows of a key with siblings.
#[derive(Clone, Default, Debug)]
pub(crate) struct Context {
    /// All that it covers.
    pub(crate) known: BTreeSet<u64>,
    /// Of these, some that cover all others.
    pub(crate) greatest: BTreeSet<u64>,
}

impl Context {
    pub(crate) fn read(&mut self, record: &Record) {
        self.greatest.retain(|value| !record.known.contains(value));
        self.greatest.extend(&record.live);
        self.known.extend(&record.known);
    }

    pub(crate) fn wrote(&mut self, value: u64) {
        self.greatest = BTreeSet::from([value]);
        self.known.insert(value);
    }
}

//! A record as the cluster sees it: one version of one key, and what is said of it in few bytes.
//!
//! What it is on disk and on the wire is the business of others; here it is shared by all whom it
//! is sent to, and never changed.

use std::rc::Rc;

use schemas::ids::{Dot, NamespaceId, Token, Version};
use schemas::limits::VALUE_BYTES_MAX;
use smallvec::{SmallVec, smallvec};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::version::{self, Content, Siblings, Stands};

/// A key and its place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Place on the ring.
    pub token: Token,
    /// Where the key belongs.
    pub namespace: NamespaceId,
    /// 1 to [`KEY_BYTES_MAX`](schemas::limits::KEY_BYTES_MAX) bytes.
    pub bytes: Rc<[u8]>,
}

/// What a record's value is. The numbers are those on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The value itself.
    Value = 0,
    /// Nothing: the key was deleted.
    Tombstone = 1,
    /// A set of siblings, of which some stand.
    Siblings = 2,
    /// A set of siblings of which none stands.
    Context = 3,
}

/// One version of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The key.
    pub key: Key,
    /// Stamp and dot.
    pub version: Version,
    /// What `value` is.
    pub kind: Kind,
    /// Unix milliseconds from which it counts as deleted; 0 for never.
    pub expires_at_ms: u64,
    /// At most [`VALUE_BYTES_MAX`] bytes.
    pub value: Rc<[u8]>,
}

/// What a record says, in few bytes: replicas whose digests of a key are equal have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Digest {
    /// The record's.
    pub version: Version,
    /// Of the value: sets of siblings of one version may differ.
    pub hash: u64,
}

impl Record {
    /// What the record says, in few bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let hash = xxh3_64_with_seed(&self.value, self.kind as u64);
        Digest { version: self.version, hash }
    }

    /// The writes that who has the record has: its own, and of a set of siblings those of the
    /// values that stand. A set that has a value was made from the one which that was written to,
    /// so all that was in that is in this, or replaced.
    #[must_use]
    pub fn dots(&self) -> SmallVec<[Dot; 2]> {
        let mut dots: SmallVec<[Dot; 2]> = smallvec![self.version.dot];
        if self.kind == Kind::Siblings
            && let Ok(set) = Siblings::decode(self.version, &self.value)
        {
            let others = set.live().iter().map(|it| it.version.dot);
            dots.extend(others.filter(|&dot| dot != self.version.dot));
        }
        dots
    }

    /// Whether it is what its kind says: a dot that somebody gave, a value that is not too long, a
    /// set that is one.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let dot = self.version.dot;
        let is_value = match self.kind {
            Kind::Value => self.value.len() <= VALUE_BYTES_MAX,
            Kind::Tombstone => self.value.is_empty(),
            Kind::Siblings | Kind::Context => self.content().set().is_some(),
        };
        dot.counter > 0 && dot.actor.boot > 0 && is_value
    }

    /// The record of a set of siblings.
    ///
    /// # Panics
    /// If nothing was ever written to it.
    #[must_use]
    pub fn of_set(key: Key, set: &Siblings<'_>) -> Self {
        let mut value = Vec::with_capacity(set.encoded_len());
        set.encode(&mut value);
        Self {
            key,
            version: set.version().expect("a set that was written"),
            kind: set.kind(),
            expires_at_ms: set.expires_at_ms(),
            value: value.into(),
        }
    }

    /// What the record says of its key.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        let Self { version, kind, expires_at_ms, ref value, .. } = *self;
        Content { version, kind, expires_at_ms, value }
    }

    /// Whether the key has no value at `now_ms`, a set of siblings apart: what is in one it knows
    /// itself.
    #[must_use]
    pub fn is_dead(&self, now_ms: u64) -> bool {
        matches!(self.kind, Kind::Tombstone | Kind::Context)
            || (self.expires_at_ms != 0 && self.expires_at_ms <= now_ms)
    }
}

/// What two records of one key come to: [`version::merge`], shared where
/// it is one of both.
#[must_use]
pub fn merge(a: &Rc<Record>, b: &Rc<Record>) -> Rc<Record> {
    match version::merge(&a.content(), &b.content()) {
        Stands::First => Rc::clone(a),
        Stands::Second => Rc::clone(b),
        Stands::Third(set) => Rc::new(Record::of_set(a.key.clone(), &set)),
    }
}

//! All keys of a ledger.

use std::collections::BTreeMap;

use super::account::Account;
use super::page::{Page, Seen};

/// What each key may hold, over all runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger {
    /// The namespace of the keys.
    pub(super) namespace: String,
    /// The sequence below the first that was given to a write.
    pub(super) base: u64,
    /// The highest sequence that was given to a write, or the base.
    pub(super) highest: u64,
    pub(super) pages: BTreeMap<u64, Page>,
}

/// What a read says of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is one of what is possible.
    Right,
    /// It is older than a write that was acknowledged, or absent for all of one.
    Lost,
    /// It was never written to the key, or not as it is.
    Foreign,
}

impl Ledger {
    /// A ledger of no keys. Its sequences start above `base`: a number that no earlier ledger of
    /// the same store has reached, so that an older value does not pass for one of this ledger.
    #[must_use]
    pub fn new(namespace: &str, base: u64) -> Self {
        Self { namespace: namespace.to_owned(), base, highest: base, pages: BTreeMap::new() }
    }

    /// The namespace of the keys.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The highest sequence that was given to a write: the next run starts above.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// How many keys were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The keys, in ascending order.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.pages.keys().copied()
    }

    /// What `key` may hold; `None` for a key that was not written.
    #[must_use]
    pub fn page(&self, key: u64) -> Option<&Page> {
        self.pages.get(&key)
    }

    /// Takes in a run that has ended.
    pub fn add(&mut self, account: Account) {
        self.highest = self.highest.max(account.highest());
        for (key, acknowledged, sequences) in account.into_keys() {
            self.pages.entry(key).or_insert_with(Page::unwritten).add(acknowledged, sequences);
        }
    }

    /// What a read of `key` that saw `seen` says of the server.
    #[must_use]
    pub fn judge(&self, key: u64, seen: Seen) -> Verdict {
        let Some(page) = self.pages.get(&key) else { return Verdict::Right };
        match seen {
            Seen::Absent if page.may_be_absent() => Verdict::Right,
            Seen::Absent => Verdict::Lost,
            Seen::Value { sequence } if page.holds(sequence) => Verdict::Right,
            Seen::Value { sequence } | Seen::Bytes { claims: Some(sequence) } if page.before => {
                // What was there before has no sequence of this ledger: such a write was
                // refused, or its bytes are damaged.
                if self.gave(sequence) { Verdict::Foreign } else { Verdict::Right }
            }
            Seen::Value { sequence } if sequence <= self.highest => Verdict::Lost,
            Seen::Bytes { claims: None } if page.before => Verdict::Right,
            Seen::Value { .. } | Seen::Bytes { .. } => Verdict::Foreign,
        }
    }

    /// A read of `key` saw `seen` and was judged right, with no write under way: the key must not
    /// go back to anything else.
    pub fn narrow(&mut self, key: u64, seen: Seen) {
        if let Some(page) = self.pages.get_mut(&key) {
            page.narrow(seen);
        }
    }

    fn gave(&self, sequence: u64) -> bool {
        sequence > self.base && sequence <= self.highest
    }
}

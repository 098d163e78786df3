//! What one key may hold between two runs.

use smallvec::SmallVec;

/// What a key may hold. At least one thing is always possible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// What was there before the ledger began, whatever it was, or nothing.
    pub(super) before: bool,
    /// Nothing.
    pub(super) absent: bool,
    /// The values of these writes, in ascending order.
    pub(super) sequences: SmallVec<[u64; 2]>,
}

/// What a read of a key saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Nothing.
    Absent,
    /// The whole value of a write of that key.
    Value {
        /// Which write.
        sequence: u64,
    },
    /// Bytes that no write gave the key.
    Bytes {
        /// The write that they say they are of, where they are long enough to say so.
        claims: Option<u64>,
    },
}

impl Page {
    /// Of a key that the ledger has nothing of.
    #[must_use]
    pub fn unwritten() -> Self {
        Self { before: true, absent: false, sequences: SmallVec::new() }
    }

    /// Takes in the outcome of a run: with an acknowledged write among its own only they are
    /// possible, without one they are besides what was.
    pub(super) fn add(&mut self, acknowledged: bool, sequences: SmallVec<[u64; 2]>) {
        if acknowledged {
            *self = Self { before: false, absent: false, sequences };
        } else {
            self.sequences.extend(sequences);
        }
        self.sequences.sort_unstable();
    }

    /// A read saw `seen`, which is possible, while nothing was written: nothing else is possible
    /// any more.
    pub(super) fn narrow(&mut self, seen: Seen) {
        let absent = seen == Seen::Absent;
        let mut sequences = SmallVec::new();
        let mut before = false;
        match seen {
            Seen::Absent => {}
            Seen::Value { sequence } if self.holds(sequence) => sequences.push(sequence),
            // Bytes from before the ledger are not kept, so they stay whatever they were.
            Seen::Value { .. } | Seen::Bytes { .. } => before = true,
        }
        *self = Self { before, absent, sequences };
    }

    /// Whether the value of write `sequence` is possible.
    #[must_use]
    pub fn holds(&self, sequence: u64) -> bool {
        self.sequences.binary_search(&sequence).is_ok()
    }

    /// Whether the key may have no value.
    #[must_use]
    pub fn may_be_absent(&self) -> bool {
        self.before || self.absent
    }

    /// What is possible, for a person: `before`, `absent`, sequences.
    #[must_use]
    pub fn expected(&self) -> Vec<String> {
        let named = [(self.before, "before"), (self.absent, "absent")];
        let named = named.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.to_owned());
        named.chain(self.sequences.iter().map(u64::to_string)).collect()
    }
}

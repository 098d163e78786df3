//! [`Trace`]: a hash of all that happened, in order: two runs of one seed have the same.

use xxhash_rust::xxh3::Xxh3;

/// A hash of all that happened.
#[derive(Clone, Default)]
pub struct Trace {
    hash: Xxh3,
    events: u64,
}

impl Trace {
    /// Something happened at `at_us`: of a kind, to somebody, with some numbers.
    pub(super) fn add(&mut self, at_us: u64, kind: u8, numbers: [u64; 3]) {
        let mut bytes = [0; 33];
        bytes[..8].copy_from_slice(&at_us.to_le_bytes());
        bytes[8] = kind;
        for (place, number) in bytes[9..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.hash.update(&bytes);
        self.events += 1;
    }

    /// The hash of all so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// How much has happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }
}

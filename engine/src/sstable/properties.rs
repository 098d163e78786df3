//! [`Properties`]: what a table says of all its records.
//!
//! ```text
//! | records 8 | tombstones 8 | expiring 8 | raw_bytes 8 | token_first 8 | token_last 8 |
//! | hlc_min 8 | hlc_max 8 | expires_max_ms 8 |
//! ```

use schemas::ids::{Hlc, Token};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::token_range::TokenRange;
use crate::record::Record;

/// What a table says of all its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Properties {
    /// How many there are, at least 1.
    pub records: u64,
    /// How many of them are tombstones.
    pub tombstones: u64,
    /// How many of them expire.
    pub expiring: u64,
    /// Bytes of their keys and values.
    pub raw_bytes: u64,
    /// From the first to the last token.
    pub tokens: TokenRange,
    /// The least stamp.
    pub hlc_min: Hlc,
    /// The greatest stamp.
    pub hlc_max: Hlc,
    /// When the last of those that expire does, in Unix milliseconds; 0 if none do.
    pub expires_max_ms: u64,
}

/// The properties as they stand in a table's footer and in the manifest.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct StoredProperties {
    records: U64,
    tombstones: U64,
    expiring: U64,
    raw_bytes: U64,
    token_first: U64,
    token_last: U64,
    hlc_min: U64,
    hlc_max: U64,
    expires_max_ms: U64,
}

impl Properties {
    /// Those of a table of `record` alone.
    pub(crate) fn of(record: &Record<'_>) -> Self {
        let token = record.key.token;
        // Only of those whose values go when their time is over.
        let expires_at_ms = if record.kind.is_mergeable() { 0 } else { record.expires_at_ms };
        Self {
            records: 1,
            tombstones: u64::from(record.kind.is_tombstone()),
            expiring: u64::from(expires_at_ms != 0),
            raw_bytes: (record.key.bytes.len() + record.value.len()) as u64,
            tokens: TokenRange::new(token, token).expect("one token is a range"),
            hlc_min: record.version.hlc,
            hlc_max: record.version.hlc,
            expires_max_ms: expires_at_ms,
        }
    }

    /// Those of a table of what `self` and `other` tell of.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            records: self.records + other.records,
            tombstones: self.tombstones + other.tombstones,
            expiring: self.expiring + other.expiring,
            raw_bytes: self.raw_bytes + other.raw_bytes,
            tokens: self.tokens.hull(other.tokens),
            hlc_min: self.hlc_min.min(other.hlc_min),
            hlc_max: self.hlc_max.max(other.hlc_max),
            expires_max_ms: self.expires_max_ms.max(other.expires_max_ms),
        }
    }

    /// The properties as they are stored.
    pub(crate) fn store(&self) -> StoredProperties {
        StoredProperties {
            records: self.records.into(),
            tombstones: self.tombstones.into(),
            expiring: self.expiring.into(),
            raw_bytes: self.raw_bytes.into(),
            token_first: self.tokens.first().0.into(),
            token_last: self.tokens.last().0.into(),
            hlc_min: self.hlc_min.0.into(),
            hlc_max: self.hlc_max.0.into(),
            expires_max_ms: self.expires_max_ms.into(),
        }
    }

    /// The properties that `stored` tells; `None` unless they are sound.
    pub(crate) fn load(stored: &StoredProperties) -> Option<Self> {
        let (first, last) = (Token(stored.token_first.get()), Token(stored.token_last.get()));
        let properties = Self {
            records: stored.records.get(),
            tombstones: stored.tombstones.get(),
            expiring: stored.expiring.get(),
            raw_bytes: stored.raw_bytes.get(),
            tokens: TokenRange::new(first, last)?,
            hlc_min: Hlc(stored.hlc_min.get()),
            hlc_max: Hlc(stored.hlc_max.get()),
            expires_max_ms: stored.expires_max_ms.get(),
        };
        let sound = properties.records > 0
            && properties.tombstones <= properties.records
            && properties.expiring <= properties.records
            && properties.hlc_min <= properties.hlc_max
            && (properties.expiring == 0) == (properties.expires_max_ms == 0);
        sound.then_some(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;
    use crate::sstable::sample::value;

    /// A table of siblings past their time was chosen to be written anew for what had expired, and
    /// written as it was, again and again.
    #[test]
    fn only_values_that_go_when_their_time_is_over_count_as_expiring() {
        let mut sample = value(b"key", 1, 10);
        sample.expires_at_ms = 7;
        for (kind, expiring) in [(Kind::Value, 1), (Kind::Siblings, 0), (Kind::Context, 0)] {
            sample.kind = kind;
            let properties = Properties::of(&sample.record());
            assert_eq!((properties.expiring, properties.expires_max_ms), (expiring, 7 * expiring));
        }
    }
}

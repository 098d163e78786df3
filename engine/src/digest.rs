//! Digests: what the records of a range of tokens are, in a few bytes that do not depend on where
//! they lie.
//!
//! - A sum of hashes, one a record, modulo 2^128 (Clarke et al., "Incremental Multiset Hash
//!   Functions", 2003): the order does not matter, and ranges add up. The hash is xxh3, against
//!   accidents: whoever chooses keys with malice can make a difference that it does not show.
//! - What compaction changes in silence does not count: a value past its time is its tombstone, and
//!   tombstones below the purge horizon are left out. So two stores of the same records have the
//!   same digests, whatever is in which table and however far each has compacted.
//! - The value itself is not hashed: its dot names it.

use std::ops::Range;

use schemas::ids::{Hlc, Token};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use crate::record::{Kind, Record};
use crate::sstable::TokenRange;

/// What the records of a range are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Digest {
    /// The sum of their hashes.
    pub sum: u128,
    /// How many they are, tombstones that count included.
    pub records: u64,
    /// Keys that have a value.
    pub keys: u64,
    /// Bytes of those keys and values.
    pub bytes: u64,
}

impl Digest {
    /// That of two ranges without a common record.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sum: self.sum.wrapping_add(other.sum),
            records: self.records + other.records,
            keys: self.keys + other.keys,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Which records count, and as what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Tombstones stamped below are left out.
    pub purge_below: Hlc,
    /// Values past their time at this moment are tombstones, in Unix milliseconds.
    pub now_ms: u64,
}

impl View {
    /// No tombstone counts, and no value is past its time.
    pub(crate) const LIVE: Self = Self { purge_below: Hlc(u64::MAX), now_ms: 0 };
}

/// The hash of a record that is alive, or of its tombstone. Its bytes are compared between nodes.
fn hash(record: &Record<'_>, is_dead: bool) -> u128 {
    let version = record.version;
    let mut bytes: SmallVec<[u8; 128]> = SmallVec::new();
    bytes.extend_from_slice(&record.key.namespace.0.to_le_bytes());
    bytes.extend_from_slice(&version.hlc.0.to_le_bytes());
    bytes.extend_from_slice(&version.dot.actor.node.0.get().to_le_bytes());
    bytes.extend_from_slice(&version.dot.actor.boot.to_le_bytes());
    bytes.extend_from_slice(&version.dot.counter.to_le_bytes());
    let is_mergeable = record.kind.is_mergeable();
    let (kind, expires) = if is_dead && !is_mergeable {
        (Kind::Tombstone, 0)
    } else {
        (record.kind, record.expires_at_ms)
    };
    bytes.push(kind as u8);
    bytes.extend_from_slice(&expires.to_le_bytes());
    if is_mergeable {
        // Its stamp and dot are those of the last write in it; there are others.
        bytes.extend_from_slice(&xxh3_128(record.value).to_le_bytes());
    }
    bytes.extend_from_slice(record.key.bytes);
    xxh3_128(&bytes)
}

/// A digest that is being made, and the views it is the same for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sum {
    digest: Digest,
    /// Moments at which the same values are past their time.
    moments: Range<u64>,
    /// Horizons above this leave the same tombstones out, as far as up to `horizon_max`.
    horizon_above: Option<Hlc>,
    horizon_max: Hlc,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            digest: Digest::default(),
            moments: 0..u64::MAX,
            horizon_above: None,
            horizon_max: Hlc(u64::MAX),
        }
    }
}

impl Sum {
    /// Adds a record as `view` has it; of each sum all with one view.
    pub(crate) fn add(&mut self, record: &Record<'_>, view: View) {
        let (is_dead, expires) = (record.is_dead(view.now_ms), record.expires_at_ms);
        if !record.kind.is_tombstone() && expires != 0 {
            if is_dead {
                self.moments.start = self.moments.start.max(expires);
            } else {
                self.moments.end = self.moments.end.min(expires);
            }
        }
        let hlc = record.version.hlc;
        if is_dead && hlc < view.purge_below {
            self.horizon_above = self.horizon_above.max(Some(hlc));
            return;
        }
        if is_dead {
            self.horizon_max = self.horizon_max.min(hlc);
        }
        let raw = (record.key.bytes.len() + record.value.len()) as u64;
        self.digest = self.digest.and(Digest {
            sum: hash(record, is_dead),
            records: 1,
            keys: u64::from(!is_dead),
            bytes: if is_dead { 0 } else { raw },
        });
    }

    /// The digest, if it is that of `view` too.
    pub(crate) fn as_of(&self, view: View) -> Option<Digest> {
        let horizon = view.purge_below;
        let holds = self.moments.contains(&view.now_ms)
            && Some(horizon) > self.horizon_above
            && horizon <= self.horizon_max;
        holds.then_some(self.digest)
    }

    /// The digest.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}

/// The digests that are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DigestRequest {
    /// Of which tokens.
    pub range: TokenRange,
    /// Each vnode is cut into `2^depth` leaves, at most [`LEAF_BITS`] deep: one digest for each
    /// that the range touches.
    pub depth: u8,
    /// As of when. Replicas that are compared are asked with one view: no purge horizon of theirs
    /// is above `purge_below`, and `now_ms` is not long ago.
    pub view: View,
}

/// The digests of a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Digests {
    /// Each leaf, as far as it is in the range, with its digest; in order.
    pub leaves: Vec<(TokenRange, Digest)>,
}

/// The finest leaves of a vnode are `2^LEAF_BITS`: these are cached.
pub const LEAF_BITS: u8 = 6;

/// How tokens are cut into leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leaves {
    shift: u32,
}

impl Leaves {
    /// Leaves of vnodes of `vnode_bits` bits, each cut into `2^depth`.
    pub(crate) fn new(vnode_bits: u8, depth: u8) -> Self {
        Self { shift: 64 - u32::from(vnode_bits) - u32::from(depth) }
    }

    /// The leaf that holds `token`.
    #[inline]
    pub(crate) fn of(self, token: Token) -> u64 {
        token.0.checked_shr(self.shift).unwrap_or(0)
    }

    /// The tokens of leaf `number`.
    pub(crate) fn tokens(self, number: u64) -> TokenRange {
        let first = number.checked_shl(self.shift).unwrap_or(0);
        let last = first | (u64::MAX.checked_shr(64 - self.shift).unwrap_or(0));
        TokenRange::new(Token(first), Token(last)).expect("a leaf has a token")
    }
}

#[cfg(test)]
mod tests;

//! [`Merge`]: what stands of two records of one key.

use std::cmp::Ordering;

use super::Record;

/// What stands of two records of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stands {
    /// The first.
    First,
    /// The second; of two that are the same, either.
    Second,
    /// A third, made of both.
    Third,
}

/// Resolves two records of one key. The row of a third is put into the buffer, in place of what is
/// there; it has the key of both.
///
/// A merge is commutative, associative and idempotent, and never reads a clock; the engine does
/// not know which policy it is given. What it relies on:
///
/// - Of two records that are not [mergeable](super::Kind::is_mergeable) the one with the greater
///   stamp stands: reads stop at tables whose records are all older than what they have.
/// - The stamp of a third is the greater of both.
/// - A third that is a [tombstone](super::Kind::is_tombstone) may be purged as one: nothing that is
///   put at or above the purge horizon has anything in it that a dead record below discards.
/// - A third is within the limits of records, whatever was put: who puts siblings bounds them.
/// - All records of a key are mergeable, or none is.
pub type Merge = fn(&Record<'_>, &Record<'_>, &mut Vec<u8>) -> Stands;

/// What a merge owes.
pub(crate) const MERGED: &str = "a merge makes a row";

/// Last writer wins: the greater `(hlc, dot)` stands.
#[must_use]
pub fn lww(a: &Record<'_>, b: &Record<'_>, _: &mut Vec<u8>) -> Stands {
    match a.version.cmp(&b.version) {
        Ordering::Greater => Stands::First,
        Ordering::Less | Ordering::Equal => Stands::Second,
    }
}

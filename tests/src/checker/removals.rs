//! [`Removals`]: what may have made a key of an `lww` namespace absent, by when.
//!
//! A read that finds no record at all names no version: what it saw may be the time before the
//! first write, or any delete whose tombstone was purged, or any value that expired. It is believed
//! if there is one that is great enough.

use schemas::ids::Version;

use super::index::Key;
use crate::history::{Kind, NEVER};

/// Deletes and values that expire, of one key.
#[derive(Default)]
pub(super) struct Removals {
    /// From when on each may have been there, ascending, with the greatest rank of those up to it.
    greatest: Vec<(u64, Rank)>,
    expiring: bool,
}

/// A version; that of a write whose version nobody was told may be any, so it is the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Told(Version),
    Untold,
}

impl Removals {
    pub(super) fn new(key: &Key<'_>) -> Self {
        let mut removals = Self::default();
        for &number in key.writes() {
            let write = key.operation(number);
            let expires = write.expires_ns != NEVER;
            if !write.may_take_effect() || (write.kind == Kind::Put && !expires) {
                continue;
            }
            let from_ns = if expires { key.expires_from(&write) } else { write.call_ns };
            let rank = key.stamp_of(number).map_or(Rank::Untold, Rank::Told);
            removals.greatest.push((from_ns, rank));
            removals.expiring |= expires;
        }
        removals.greatest.sort_unstable();
        for at in 1..removals.greatest.len() {
            let before = removals.greatest[at - 1].1;
            let it = &mut removals.greatest[at].1;
            *it = before.max(*it);
        }
        removals
    }

    /// Whether one of a version of at least `least` may have been there by `by_ns`.
    pub(super) fn explain(&self, least: Version, by_ns: u64) -> bool {
        let upto = self.greatest.partition_point(|it| it.0 <= by_ns);
        upto > 0 && self.greatest[upto - 1].1 >= Rank::Told(least)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.greatest.is_empty()
    }

    /// Whether values expire.
    pub(super) fn is_expiring(&self) -> bool {
        self.expiring
    }
}

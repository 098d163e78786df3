//! [`Namespaces`]: what a store is told of the namespaces of its records. Whoever opens it knows
//! them; it keeps no list of its own.

use schemas::ids::NamespaceId;
use xxhash_rust::xxh3::xxh3_64;

/// What a store is told of namespaces. Those it was told nothing of have their records kept as
/// they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Namespaces {
    /// In order.
    dropped: Vec<NamespaceId>,
    /// In order.
    compressed: Vec<NamespaceId>,
}

impl Namespaces {
    /// Those dropped for good, and those whose blocks are compressed.
    #[must_use]
    pub fn new(
        dropped: impl IntoIterator<Item = NamespaceId>,
        compressed: impl IntoIterator<Item = NamespaceId>,
    ) -> Self {
        let sorted = |mut ids: Vec<NamespaceId>| {
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let dropped = sorted(dropped.into_iter().collect());
        Self { dropped, compressed: sorted(compressed.into_iter().collect()) }
    }

    /// Whether the namespace was dropped: none of its records is there any more, wherever one is
    /// still found. Its id is never used again.
    #[inline]
    #[must_use]
    pub fn is_dropped(&self, id: NamespaceId) -> bool {
        !self.dropped.is_empty() && self.dropped.binary_search(&id).is_ok()
    }

    /// Whether blocks with records of the namespace are compressed, where that saves something.
    #[inline]
    #[must_use]
    pub fn is_compressed(&self, id: NamespaceId) -> bool {
        !self.compressed.is_empty() && self.compressed.binary_search(&id).is_ok()
    }

    /// Whether it has dropped one that `before` has not.
    pub(crate) fn drops_more_than(&self, before: &Self) -> bool {
        self.dropped.iter().any(|&id| !before.is_dropped(id))
    }

    /// Stands for those that were dropped; 0 if none were.
    pub(crate) fn dropped_print(&self) -> u32 {
        let ids: Vec<u8> = self.dropped.iter().flat_map(|id| id.0.to_le_bytes()).collect();
        if ids.is_empty() { 0 } else { (xxh3_64(&ids) as u32).max(1) }
    }
}

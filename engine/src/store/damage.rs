//! Blocks that are not what was written: which, and how that came out.
//!
//! A damaged block fails the reads that need it and no others; its table is left alone by
//! compactions. It stays on this list until its table is gone.

use std::collections::BTreeMap;

use crate::limits::DAMAGE_LISTED_MAX;
use crate::manifest::Version;
use crate::sstable::FileId;

/// How damage came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FoundBy {
    /// Somebody asked for a key.
    Read,
    /// A compaction read the table.
    Compaction,
    /// The scrub did.
    Scrub,
}

/// A place that is not what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// In which table.
    pub file: FileId,
    /// At which byte the block, or what is around the blocks, begins.
    pub offset: u64,
    /// How it came out first.
    pub found_by: FoundBy,
}

/// The places that are known to be damaged, the first [`DAMAGE_LISTED_MAX`] of them.
#[derive(Default)]
pub(super) struct DamageList {
    places: BTreeMap<(FileId, u64), FoundBy>,
}

impl DamageList {
    /// Notes a place; one that is known stays as it is. Whether it was not known.
    pub(super) fn note(&mut self, file: FileId, offset: u64, found_by: FoundBy) -> bool {
        let known = self.places.contains_key(&(file, offset));
        if known || self.places.len() < DAMAGE_LISTED_MAX {
            self.places.entry((file, offset)).or_insert(found_by);
        }
        !known
    }

    /// Forgets what is in tables that `version` has not got.
    pub(super) fn forget(&mut self, version: &Version) {
        self.places.retain(|(file, _), _| version.get(*file).is_some());
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Damage> {
        self.places.iter().map(|(&(file, offset), &found_by)| Damage { file, offset, found_by })
    }
}

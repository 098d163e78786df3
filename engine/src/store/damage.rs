//! Blocks that are not what was written: which, and how that came out.
//!
//! A damaged block fails the reads that need it and no others; its table is left alone by
//! compactions. It stays on this list until its table is gone, or nobody can see it any more.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::env::Env;
use crate::limits::DAMAGE_LISTED_MAX;
use crate::sstable::{FileId, Table, TokenRange};

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
    /// How each came out, and the tokens whose records may be lost with it.
    places: BTreeMap<(FileId, u64), (FoundBy, TokenRange)>,
}

impl DamageList {
    /// Notes a place where records of `tokens` may be; one that is known stays as it is. Whether it
    /// was not known.
    pub(super) fn note(&mut self, damage: Damage, tokens: TokenRange) -> bool {
        let Damage { file, offset, found_by } = damage;
        let known = self.places.contains_key(&(file, offset));
        if known || self.places.len() < DAMAGE_LISTED_MAX {
            self.places.entry((file, offset)).or_insert((found_by, tokens));
        }
        !known
    }

    /// Forgets places of which nothing can be seen any more in `tables`, which are all that there
    /// are. Tells of which of these no place is left.
    pub(super) fn forget<E: Env>(
        &mut self,
        tables: &BTreeMap<FileId, Rc<Table<E>>>,
    ) -> Vec<FileId> {
        let mut before: Vec<FileId> = self.places.keys().map(|(file, _)| *file).collect();
        self.places.retain(|(file, _), (_, tokens)| {
            tables.get(file).is_some_and(|table| table.shows(*tokens))
        });
        let is_damaged = |file| self.places.range((file, 0)..=(file, u64::MAX)).next().is_some();
        before.dedup();
        before.retain(|file| !is_damaged(*file) && tables.contains_key(file));
        before
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Damage> {
        let places = self.places.iter();
        places.map(|(&(file, offset), &(found_by, _))| Damage { file, offset, found_by })
    }
}

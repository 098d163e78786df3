//! Tables that compactions could not read are left alone, so that a bad block keeps nothing else
//! from being compacted.
//!
//! Damage is for good. What the disk refused is tried again after a while, longer each time.

use std::collections::BTreeMap;

use crate::compaction::{Choice, JobError};
use crate::limits;
use crate::manifest::Version;
use crate::sstable::{FileId, TableError};

/// Tables that compactions could not read.
#[derive(Default)]
pub(super) struct Unreadable {
    tables: BTreeMap<FileId, Refused>,
}

/// A table that could not be read.
struct Refused {
    failures: u32,
    until_us: u64,
}

impl Unreadable {
    /// The job of `choice` ended with `error`: notes which of its inputs that is about, if any. Of
    /// damage the place is told.
    pub(super) fn note(
        &mut self,
        choice: &Choice,
        error: &JobError,
        now_us: u64,
    ) -> Option<(FileId, u64)> {
        let JobError::Table(error) = error else { return None };
        let (path, damaged_at) = match error {
            TableError::Corrupt(corrupt) => (&corrupt.file, Some(corrupt.offset)),
            TableError::Io { file, .. } => (file, None),
            _ => return None,
        };
        let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name);
        let id = FileId::from_file_name(name).filter(|id| choice.inputs.contains(id))?;
        let table = self.tables.entry(id).or_insert(Refused { failures: 0, until_us: 0 });
        let wait_us = limits::UNREADABLE_FIRST_US << table.failures;
        table.failures = (table.failures + 1).min(limits::UNREADABLE_DOUBLINGS_MAX);
        table.until_us = table.until_us.max(now_us + wait_us);
        damaged_at.map(|offset| (id, offset))
    }

    /// Table `id` is damaged.
    pub(super) fn damaged(&mut self, id: FileId) {
        self.tables.insert(id, Refused { failures: 0, until_us: u64::MAX });
    }

    /// No damage that can be seen is left in table `id`.
    pub(super) fn healed(&mut self, id: FileId) {
        self.tables.remove(&id);
    }

    /// Forgets tables that `version` has not got.
    pub(super) fn forget(&mut self, version: &Version) {
        self.tables.retain(|id, _| version.get(*id).is_some());
    }

    /// How many tables were found unreadable and are still there.
    pub(super) fn len(&self) -> usize {
        self.tables.len()
    }

    /// The tables to leave alone now.
    pub(super) fn at(&self, now_us: u64) -> Vec<FileId> {
        let refused = self.tables.iter().filter(|(_, table)| now_us < table.until_us);
        refused.map(|(id, _)| *id).collect()
    }
}

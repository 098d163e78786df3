//! [`Version`]: the tables of a shard at one moment.
//!
//! - Level 0 holds tables as they were flushed; they may overlap. Every other level is one sorted
//!   run: the visible ranges of its tables are disjoint.
//! - Levels 1 to [`BOTTOM`] - 1 hold runs on their way down; their numbers say nothing of their
//!   age. [`BOTTOM`] holds what has settled.
//! - Of every table there is something in its visible range. Holes may hide all of that: such a
//!   table is still named until it is dropped.

use std::rc::Rc;

use super::edit::{TableEntry, VersionEdit};
use super::holes::{Hole, Holes};
use crate::sstable::{FileId, TokenRange};

/// How many levels there are: room for the runs that a long job reads and as many new ones.
pub const LEVELS: usize = 24;

/// The level of what has settled: nothing is below.
pub const BOTTOM: u8 = LEVELS as u8 - 1;

/// The tables of a shard at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Version {
    levels: [Vec<Rc<TableEntry>>; LEVELS],
    flushed: u64,
    file_numbers: u32,
    clocks: Option<u32>,
    holes: Holes,
    purged: u32,
}

/// Why an edit does not apply to a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// It drops a table that is not there.
    #[error("table {0} is dropped but is not there")]
    Unknown(FileId),
    /// It adds a table that is there already.
    #[error("table {0} is added twice")]
    Twice(FileId),
    /// It adds a table to a level that does not exist.
    #[error("table {0} is added to a level that does not exist")]
    NoSuchLevel(FileId),
    /// It adds a table that overlaps its neighbour in a sorted level.
    #[error("table {0} overlaps its neighbour")]
    Overlap(FileId),
    /// It adds a table of which nothing can be seen.
    #[error("nothing of table {0} can be seen")]
    Invisible(FileId),
    /// It takes back what was said to be flushed.
    #[error("batch {0} was flushed and now is not")]
    FlushedGoesBack(u64),
}

impl Version {
    /// The tables of `level`: in level 0 those with the greatest stamps first, elsewhere by token.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub fn level(&self, level: u8) -> &[Rc<TableEntry>] {
        &self.levels[usize::from(level)]
    }

    /// All tables, level by level.
    pub fn tables(&self) -> impl Iterator<Item = &Rc<TableEntry>> {
        self.levels.iter().flatten()
    }

    /// The table `id`, if it is there.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&Rc<TableEntry>> {
        self.tables().find(|entry| entry.id == id)
    }

    /// Batches of the commit log up to this one are in tables; 0 if none is.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.flushed
    }

    /// The least file number that no file has had: what is below may have been given out.
    #[must_use]
    pub fn next_file_number(&self) -> u32 {
        self.file_numbers
    }

    /// The number of the file that has the clocks of vnodes as of [`flushed`](Self::flushed).
    #[must_use]
    pub fn clocks(&self) -> Option<u32> {
        self.clocks
    }

    /// What its tables have lost since they were written.
    #[must_use]
    pub fn holes(&self) -> &Holes {
        &self.holes
    }

    /// Stands for dropped namespaces of which no table has anything any more; 0 for none.
    #[must_use]
    pub fn purged(&self) -> u32 {
        self.purged
    }

    /// What holes hide of the table that `entry` is, in order.
    #[must_use]
    pub fn hidden(&self, entry: &TableEntry) -> Vec<TokenRange> {
        let tokens = entry.tokens().filter(|_| !self.holes.is_empty());
        tokens.map_or_else(Vec::new, |tokens| self.holes.hidden(entry.as_of, tokens))
    }

    /// This version, with `count` file numbers more that may have been given out.
    #[must_use]
    pub fn with_file_numbers(self, count: u32) -> Self {
        Self { file_numbers: self.file_numbers.saturating_add(count), ..self }
    }

    /// The version that `edit` makes of this one.
    ///
    /// # Errors
    /// [`EditError`]: the edit contradicts this version, or what it would make is not sound.
    pub fn apply(&self, edit: &VersionEdit) -> Result<Self, EditError> {
        let mut next = self.clone();
        for &id in &edit.dropped {
            let tables = next.levels.iter_mut().find_map(|tables| {
                let index = tables.iter().position(|entry| entry.id == id)?;
                Some((tables, index))
            });
            let (tables, index) = tables.ok_or(EditError::Unknown(id))?;
            tables.remove(index);
        }
        for entry in &edit.added {
            next.add(entry)?;
        }
        for tables in &next.levels[1..] {
            let overlap = tables.windows(2).find(|two| two[0].visible.overlaps(two[1].visible));
            if let Some(two) = overlap {
                return Err(EditError::Overlap(two[1].id));
            }
        }
        if let Some(flushed) = edit.flushed {
            if flushed < next.flushed {
                return Err(EditError::FlushedGoesBack(next.flushed));
            }
            next.flushed = flushed;
        }
        next.file_numbers = next.file_numbers.max(edit.file_numbers);
        if let Some(number) = edit.clocks {
            next.clocks = Some(number);
            next.file_numbers = next.file_numbers.max(number.saturating_add(1));
        }
        if edit.purged != 0 {
            next.purged = edit.purged;
        }
        next.holes.add(&edit.holes);
        if !next.holes.is_empty() {
            next.reckon_hidden();
        }
        Ok(next)
    }

    /// Forgets holes in which no table has anything, and says of each table how much is hidden.
    fn reckon_hidden(&mut self) {
        let mut holes = std::mem::take(&mut self.holes);
        holes.retain(|hole| {
            let is_hidden = |it: &TableEntry| it.as_of < hole.before && is_in(it, hole);
            self.tables().any(|it| is_hidden(it))
        });
        self.holes = holes;
        let mut levels = std::mem::take(&mut self.levels);
        for entry in levels.iter_mut().flatten() {
            let hidden = self.hidden(entry).into_iter().map(TokenRange::span).sum();
            if entry.hidden != hidden {
                Rc::make_mut(entry).hidden = hidden;
            }
        }
        self.levels = levels;
    }

    /// The edits, of at most `tables_max` tables each, that make this version of an empty one.
    pub(super) fn snapshot(&self, tables_max: usize) -> Vec<VersionEdit> {
        let entries: Vec<TableEntry> = self.tables().map(|entry| **entry).collect();
        let mut edits: Vec<VersionEdit> = entries
            .chunks(tables_max)
            .map(|added| VersionEdit { added: added.to_vec(), ..VersionEdit::default() })
            .collect();
        // Behind the tables: a hole in which there is nothing is forgotten.
        let holes: Vec<Hole> = self.holes.iter().copied().collect();
        for holes in holes.chunks(tables_max) {
            edits.push(VersionEdit { holes: holes.to_vec(), ..VersionEdit::default() });
        }
        edits.push(VersionEdit {
            flushed: Some(self.flushed).filter(|&it| it != 0),
            file_numbers: self.file_numbers,
            clocks: self.clocks,
            purged: self.purged,
            ..VersionEdit::default()
        });
        edits
    }

    fn add(&mut self, entry: &TableEntry) -> Result<(), EditError> {
        let id = entry.id;
        if usize::from(entry.level) >= LEVELS {
            return Err(EditError::NoSuchLevel(id));
        }
        if self.get(id).is_some() {
            return Err(EditError::Twice(id));
        }
        if !entry.visible.overlaps(entry.properties.tokens) {
            return Err(EditError::Invisible(id));
        }
        let tables = &mut self.levels[usize::from(entry.level)];
        let before = |it: &Rc<TableEntry>| match entry.level {
            0 => (it.properties.hlc_max, it.id) > (entry.properties.hlc_max, id),
            _ => it.visible.first() < entry.visible.first(),
        };
        tables.insert(tables.partition_point(before), Rc::new(TableEntry { hidden: 0, ..*entry }));
        self.file_numbers = self.file_numbers.max(id.number().saturating_add(1));
        Ok(())
    }
}

/// Whether a table may have records in a hole, were it not for the hole.
fn is_in(entry: &TableEntry, hole: &Hole) -> bool {
    entry.tokens().is_some_and(|tokens| tokens.overlaps(hole.tokens))
}

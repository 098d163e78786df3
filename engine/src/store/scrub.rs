//! The scrub: every block of every table is read and checked once a pass, whoever asks for it.
//!
//! What nobody reads rots unseen, and is found when the other copies are gone too. One request is
//! read at a time, at a rate that makes a pass as long as it is told to be, and never above a
//! bound: the disk is there for others.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use futures_lite::future::or;

use super::Store;
use super::background::{News, Office, Signal};
use super::damage::{Damage, FoundBy};
use crate::env::{Class, Env};
use crate::integrity::Corrupt;
use crate::limits::BACKGROUND_IO_BYTES_MAX;
use crate::sstable::{Checked, FileId, Table, TableError};

/// How fast tables are scrubbed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrubOptions {
    /// In how many seconds all tables are read once; 0 for never.
    pub pass_s: u64,
    /// Bytes a second that are read at most, whatever the pass takes then; at least 1.
    pub bytes_per_s_max: u64,
}

impl Default for ScrubOptions {
    /// Once a week; 8 MiB a second at most.
    fn default() -> Self {
        Self { pass_s: 7 * 24 * 60 * 60, bytes_per_s_max: 8 << 20 }
    }
}

impl ScrubOptions {
    /// How long to wait before each request when all tables have `total` bytes.
    fn wait_us(&self, total: u64) -> u64 {
        let piece = BACKGROUND_IO_BYTES_MAX as u128;
        let pass_us = u128::from(self.pass_s) * 1_000_000;
        let even = pass_us * piece / u128::from(total.max(1));
        let bound = piece * 1_000_000 / u128::from(self.bytes_per_s_max.max(1));
        u64::try_from(even.min(pass_us).max(bound)).unwrap_or(u64::MAX)
    }
}

/// Where the scrub is.
#[derive(Default)]
pub(super) struct Scrub {
    /// The table it was at last, and its next block; `None` for the table after it.
    at: Option<(FileId, Option<usize>)>,
    running: bool,
    cancelled: Rc<Signal>,
}

impl Scrub {
    pub(super) fn cancel(&self) {
        self.cancelled.give();
    }

    /// What comes next, of `tables`, and whether a pass ends before it; `None` if there is no
    /// table.
    fn next<T>(&self, tables: &BTreeMap<FileId, T>) -> Option<(FileId, usize, bool)> {
        let after = match self.at {
            Some((id, Some(block))) if tables.contains_key(&id) => return Some((id, block, false)),
            Some((id, _)) => Bound::Excluded(id),
            None => Bound::Unbounded,
        };
        if let Some((id, _)) = tables.range((after, Bound::Unbounded)).next() {
            return Some((*id, 0, false));
        }
        tables.keys().next().map(|id| (*id, 0, self.at.is_some()))
    }
}

impl<E: Env> Store<E> {
    /// Places in tables that are known not to be what was written.
    pub fn damaged(&self) -> impl Iterator<Item = Damage> {
        self.damage.iter()
    }

    /// Has the next blocks scrubbed when it is their time.
    pub(super) fn start_scrub(&mut self) {
        let options = self.config.scrub;
        if self.scrub.running || options.pass_s == 0 {
            return;
        }
        let Some((id, block, passed)) = self.scrub.next(&self.open_tables) else { return };
        self.stats.scrub_passes += u64::from(passed);
        self.scrub.running = true;
        let wait_us = options.wait_us(self.stats.table_bytes.iter().sum());
        let (table, office) = (Table::clone(&self.open_tables[&id]), Rc::clone(&self.office));
        let cancelled = Rc::clone(&self.scrub.cancelled);
        self.office.spawn(Class::Idle, async move {
            or(office.env.sleep_us(wait_us), cancelled.wait()).await;
            if !office.is_stopping() {
                let checked = check(&office, &table, block).await;
                office.post(News::Scrubbed(id, checked));
            }
        });
    }

    /// Part of a table was scrubbed.
    pub(super) fn scrubbed(&mut self, id: FileId, checked: Result<Checked, TableError>) {
        self.scrub.running = false;
        let checked = checked.unwrap_or_else(|error| {
            // The file of a table that was dropped meanwhile is gone.
            if self.is_current(id) {
                tracing::warn!(%error, "a table cannot be scrubbed");
                self.stats.scrub_errors += 1;
            }
            Checked { bytes: 0, damaged: Vec::new(), next: None }
        });
        self.stats.scrub_bytes += checked.bytes;
        for Corrupt { file, offset, what } in checked.damaged {
            tracing::error!(file, offset, what, "the scrub found damage");
            self.found_damage(id, offset, FoundBy::Scrub);
        }
        self.scrub.at = Some((id, checked.next));
    }

    /// A place of table `id` is not what was written: compactions leave the table alone.
    pub(crate) fn found_damage(&mut self, id: FileId, offset: u64, found_by: FoundBy) {
        if self.is_current(id) {
            self.damage.note(id, offset, found_by);
            self.leave_alone(id);
            self.stats.blocks_damaged = self.damage.len() as u64;
        }
    }
}

/// Checks some blocks of `table` from number `block` on, and before the first what is around them.
async fn check<E: Env>(
    office: &Office<E>,
    table: &Table<E>,
    block: usize,
) -> Result<Checked, TableError> {
    let mut around = None;
    if block == 0 {
        match table.check_around(&office.env).await {
            Err(TableError::Corrupt(corrupt)) => around = Some(corrupt),
            read => read?,
        }
    }
    let mut checked = table.check_blocks(&office.env, block).await?;
    checked.damaged.extend(around);
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_over_the_pass_and_bounded() {
        let options = ScrubOptions { pass_s: 1000, bytes_per_s_max: 1 << 20 };
        assert_eq!(options.wait_us(1000 * (128 << 10)), 1_000_000, "a thousand in a thousand s");
        assert_eq!(options.wait_us(128 << 30), 125_000, "8 a second at most");
        assert_eq!(options.wait_us(1), 1_000_000_000, "one a pass");
        let never = ScrubOptions { pass_s: u64::MAX, bytes_per_s_max: 0 };
        assert_eq!(never.wait_us(0), u64::MAX);
    }

    #[test]
    fn tables_come_in_turn_and_those_that_are_gone_are_passed_over() {
        let tables = BTreeMap::from([(FileId(2), ()), (FileId(5), ())]);
        let next = |at| Scrub { at, ..Scrub::default() }.next(&tables);
        assert_eq!(next(None), Some((FileId(2), 0, false)));
        assert_eq!(next(Some((FileId(2), Some(7)))), Some((FileId(2), 7, false)));
        assert_eq!(next(Some((FileId(2), None))), Some((FileId(5), 0, false)));
        assert_eq!(next(Some((FileId(3), Some(7)))), Some((FileId(5), 0, false)));
        assert_eq!(next(Some((FileId(5), None))), Some((FileId(2), 0, true)));
        assert_eq!(Scrub::default().next::<()>(&BTreeMap::new()), None);
    }
}

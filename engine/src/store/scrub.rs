//! The scrub: every block of every table is read and checked once a pass, whoever asks for it.
//!
//! What nobody reads rots unseen, and is found when the other copies are gone too. One request is
//! read at a time, and paid for with a wait by its bytes, so that a pass takes as long as it is
//! told to and the rate stays below its bound: the disk is there for others.
//!
//! A pass ends with the table that was the newest when it began. Those made meanwhile are for the
//! next: they may come faster than they are scrubbed.

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
    /// How long to wait after `bytes` were read when all tables have `total` bytes.
    fn wait_us(&self, bytes: u64, total: u64) -> u64 {
        let bytes = u128::from(bytes);
        let pass_us = u128::from(self.pass_s) * 1_000_000;
        let even = pass_us * bytes / u128::from(total.max(1));
        let bound = bytes * 1_000_000 / u128::from(self.bytes_per_s_max.max(1));
        u64::try_from(even.min(pass_us).max(bound)).unwrap_or(u64::MAX)
    }
}

/// How long to sleep at most before it is looked anew how long to wait: tables come and go.
const LOOK_US: u64 = 60_000_000;

/// Where the scrub is.
#[derive(Default)]
pub(super) struct Scrub {
    /// The table it was at last, and where its next block begins; `None` for the table after it.
    at: Option<(FileId, Option<u64>)>,
    /// The last table of this pass.
    last: Option<FileId>,
    /// When something was read last, in microseconds, and how many bytes.
    read: Option<(u64, u64)>,
    /// A task reads, or sleeps.
    busy: bool,
    cancelled: Rc<Signal>,
}

impl Scrub {
    pub(super) fn cancel(&self) {
        self.cancelled.give();
    }

    /// The table and the block that come next, of `tables`, of which there is one, and whether a
    /// pass ended before it.
    fn next<T>(&mut self, tables: &BTreeMap<FileId, T>) -> (FileId, u64, bool) {
        let after = match self.at {
            Some((id, Some(block))) if tables.contains_key(&id) => return (id, block, false),
            Some((id, _)) => Bound::Excluded(id),
            None => Bound::Unbounded,
        };
        let next = tables.range((after, Bound::Unbounded)).next();
        if let Some((&id, _)) = next.filter(|(id, _)| Some(**id) <= self.last) {
            return (id, 0, false);
        }
        let passed = self.last.is_some();
        self.last = tables.keys().next_back().copied();
        let first = tables.keys().next().expect("there is a table");
        (*first, 0, passed)
    }
}

impl<E: Env> Store<E> {
    /// Places in tables that are known not to be what was written.
    pub fn damaged(&self) -> impl Iterator<Item = Damage> {
        self.damage.iter()
    }

    /// Has the next blocks scrubbed if it is their time, and sees to it that it is asked again.
    pub(super) fn start_scrub(&mut self) {
        let options = self.config.scrub;
        if self.scrub.busy || options.pass_s == 0 || self.open_tables.is_empty() {
            return;
        }
        self.scrub.busy = true;
        let now_us = self.env.monotonic_us();
        let begin = (now_us, BACKGROUND_IO_BYTES_MAX as u64);
        let (read_us, bytes) = *self.scrub.read.get_or_insert(begin);
        let wait_us = options.wait_us(bytes, self.stats.table_bytes.iter().sum());
        let wait_us = read_us.saturating_add(wait_us).saturating_sub(now_us);
        let office = Rc::clone(&self.office);
        if wait_us > 0 {
            let cancelled = Rc::clone(&self.scrub.cancelled);
            self.office.spawn(Class::Idle, async move {
                or(office.env.sleep_us(wait_us.min(LOOK_US)), cancelled.wait()).await;
                office.post(News::ScrubDue);
            });
            return;
        }
        let (id, block, passed) = self.scrub.next(&self.open_tables);
        self.stats.scrub_passes += u64::from(passed);
        let table = Table::clone(&self.open_tables[&id]);
        self.office.spawn(Class::Idle, async move {
            let checked = check(&office, &table, block).await;
            office.post(News::Scrubbed(id, checked));
        });
    }

    /// It may be time to scrub.
    pub(super) fn scrub_due(&mut self) {
        self.scrub.busy = false;
    }

    /// Part of a table was scrubbed.
    pub(super) fn scrubbed(&mut self, id: FileId, checked: Result<Checked, TableError>) {
        self.scrub.busy = false;
        let checked = checked.unwrap_or_else(|error| {
            // The file of a table that was dropped meanwhile is gone.
            if self.is_current(id) {
                tracing::warn!(%error, "a table cannot be scrubbed");
                self.stats.scrub_errors += 1;
            }
            Checked { bytes: 0, damaged: Vec::new(), next: None }
        });
        self.stats.scrub_bytes += checked.bytes;
        self.scrub.read = Some((self.env.monotonic_us(), checked.bytes));
        for Corrupt { file, offset, what } in checked.damaged {
            tracing::error!(file, offset, what, "the scrub found damage");
            self.found_damage(id, offset, FoundBy::Scrub);
        }
        self.scrub.at = Some((id, checked.next));
    }

    /// A place of table `id` is not what was written: compactions leave the table alone, and the
    /// clocks of the vnodes that it touches are cleared.
    pub(crate) fn found_damage(&mut self, id: FileId, offset: u64, found_by: FoundBy) {
        let Some(table) = self.open_tables.get(&id) else { return };
        // Nothing can be seen of what was being read when its vnode was dropped.
        let Some(tokens) = table.tokens_at(offset).filter(|it| table.shows(*it)) else { return };
        self.leave_alone(id);
        if self.damage.note(Damage { file: id, offset, found_by }, tokens) {
            self.lost_records(tokens);
        }
        self.stats.blocks_damaged = self.damage.len() as u64;
    }

    /// The tables are others: damage that can be seen no more keeps none from being compacted.
    pub(super) fn forget_damage(&mut self) {
        for id in self.damage.forget(&self.open_tables) {
            self.no_longer_alone(id);
        }
        self.stats.blocks_damaged = self.damage.len() as u64;
    }
}

/// Checks some blocks of `table` from the one at byte `block` on, and before the first what is
/// around them.
async fn check<E: Env>(
    office: &Office<E>,
    table: &Table<E>,
    block: u64,
) -> Result<Checked, TableError> {
    let mut around = None;
    let mut around_bytes = 0;
    if block == 0 {
        match table.check_around(&office.env).await {
            Err(TableError::Corrupt(corrupt)) => around = Some(corrupt),
            read => around_bytes = read?,
        }
    }
    let checked = table.check_blocks(&office.env, block).await;
    let mut checked = match around {
        Some(_) => checked.unwrap_or(Checked { bytes: 0, damaged: Vec::new(), next: None }),
        None => checked?,
    };
    checked.damaged.extend(around);
    checked.bytes += around_bytes;
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_paid_for_by_its_bytes_and_bounded() {
        let options = ScrubOptions { pass_s: 1000, bytes_per_s_max: 1 << 20 };
        assert_eq!(options.wait_us(1 << 10, 1000 << 10), 1_000_000, "a thousandth of all of it");
        assert_eq!(options.wait_us(1 << 20, 1 << 40), 1_000_000, "a second's worth");
        assert_eq!(options.wait_us(7, 1), 1_000_000_000, "a pass at most");
        let never = ScrubOptions { pass_s: u64::MAX, bytes_per_s_max: 0 };
        assert_eq!(never.wait_us(1 << 20, 0), u64::MAX);
    }

    #[test]
    fn tables_come_in_turn_and_those_that_are_gone_are_passed_over() {
        let tables = BTreeMap::from([(FileId(2), ()), (FileId(5), ())]);
        let last = Some(FileId(5));
        let next = |at| Scrub { at, last, ..Scrub::default() }.next(&tables);
        assert_eq!(Scrub::default().next(&tables), (FileId(2), 0, false));
        assert_eq!(next(Some((FileId(2), Some(7)))), (FileId(2), 7, false));
        assert_eq!(next(Some((FileId(2), None))), (FileId(5), 0, false));
        assert_eq!(next(Some((FileId(3), Some(7)))), (FileId(5), 0, false));
        assert_eq!(next(Some((FileId(5), None))), (FileId(2), 0, true));
    }

    /// Tables that are made faster than they are scrubbed kept it from ever coming back to old
    /// ones.
    #[test]
    fn a_pass_ends_however_many_tables_are_made_meanwhile() {
        let mut tables = BTreeMap::from([(FileId(0), ())]);
        let (mut scrub, mut passes) = (Scrub::default(), 0);
        for made in 1..100 {
            let (id, _, passed) = scrub.next(&tables);
            passes += u64::from(passed);
            scrub.at = Some((id, None));
            tables.insert(FileId(2 * made), ());
            tables.insert(FileId(2 * made + 1), ());
        }
        assert!(passes > 3, "{passes} passes");
    }
}

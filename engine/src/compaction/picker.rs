//! What to compact next: [`choose`], pure.
//!
//! Tokens are uniform, so every flushed table covers the whole shard, and merging part of the keys
//! saves nothing. So tables are piled up at the top, tiered, and all of the pile is merged into the
//! bottom, one sorted run, when it has grown to a share of it ("lazy leveling": Dayan and Idreos,
//! "Dostoevsky", SIGMOD 2018):
//!
//! ```text
//! level 0      tables as flushed      level0_tables of them are merged into a run
//! levels 1..   runs, disjoint within  more than runs_max of them: the small ones are merged
//! bottom       one run                everything above is more than upper_percent of it: settle
//! ```
//! A record is thus written about once as flushed, once into a run, and `100 / upper_percent` times
//! into the bottom before it is overwritten; dead records take about `upper_percent` of the space;
//! a read asks at most `level0_tables + runs_max + 1` tables, besides those of jobs under way.
//!
//! Upper tables count by bytes and by records, whichever is the larger share: a tombstone is small
//! and what it shadows may not be.

use crate::manifest::{BOTTOM, TableEntry, Version, VersionEdit};
use crate::sstable::{FileId, TokenRange};

/// When to compact what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompactionOptions {
    /// Tables of level 0 that are merged into a run, at least 2.
    pub level0_tables: usize,
    /// Runs above the bottom beyond which some are merged.
    pub runs_max: usize,
    /// How much may be above the bottom, in percent of the bottom.
    pub upper_percent: u64,
    /// A table of which less can be seen, in percent of its tokens, is written anew.
    pub visible_percent_min: u64,
    /// A table of which so many records have expired, in percent, is written anew.
    pub expired_percent_max: u64,
    /// Bytes of records after which a job ends an output and begins the next.
    pub fragment_bytes: u64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            level0_tables: 6,
            runs_max: 6,
            upper_percent: 25,
            visible_percent_min: 50,
            expired_percent_max: 50,
            fragment_bytes: 64 << 20,
        }
    }
}

/// Why tables are compacted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A table has nothing in its way to the bottom: it changes its level, and nothing is written.
    Move,
    /// There is much above the bottom.
    Settle,
    /// There are many tables in level 0.
    Level0,
    /// There are many runs.
    Runs,
    /// Much of a table cannot be seen.
    Trim,
    /// Much of a table has expired.
    Expired,
}

/// Tables to compact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Why.
    pub reason: Reason,
    /// Which tables.
    pub inputs: Vec<FileId>,
    /// The level that the outputs go to.
    pub output_level: u8,
}

impl Choice {
    /// The edit that does all there is to do for a [`Reason::Move`]; `None` for any other, which
    /// is a [`Job`](super::Job)'s work.
    ///
    /// # Panics
    /// If `version` has not got the table.
    #[must_use]
    pub fn move_edit(&self, version: &Version) -> Option<VersionEdit> {
        let moved = |id: &FileId| {
            let entry = version.get(*id).expect("the choice was made for this version");
            TableEntry { level: self.output_level, ..**entry }
        };
        (self.reason == Reason::Move).then(|| VersionEdit {
            dropped: self.inputs.clone(),
            added: self.inputs.iter().map(moved).collect(),
            ..VersionEdit::default()
        })
    }
}

/// The tables to compact next; `None` if all is well or what is due is under way.
///
/// `running` are the choices whose jobs have not ended: their tables are left alone, so that a
/// second job can clear level 0 while a long one settles. `now_ms` is the wall clock.
#[must_use]
pub fn choose(
    version: &Version,
    options: &CompactionOptions,
    running: &[Choice],
    now_ms: u64,
) -> Option<Choice> {
    let view = View::new(version, running);
    settle(&view, options)
        .or_else(|| level0(&view, options))
        .or_else(|| runs(&view, options))
        .or_else(|| alone(&view, options, now_ms))
}

/// How far behind compaction is, by the tables that reads have to ask: up to 1 all is well, and
/// writers should be slowed before it grows to a few times that. Counts what jobs have not done
/// yet.
#[must_use]
pub fn pressure(version: &Version, options: &CompactionOptions) -> f64 {
    let level0 = version.level(0).len() as f64 / options.level0_tables as f64;
    let runs = View::new(version, &[]).runs().count() as f64 / (options.runs_max + 1) as f64;
    level0.max(runs)
}

/// A version without what running jobs work on.
struct View<'a> {
    version: &'a Version,
    running: &'a [Choice],
}

impl<'a> View<'a> {
    fn new(version: &'a Version, running: &'a [Choice]) -> Self {
        Self { version, running }
    }

    /// Whether a running job writes to `level`, one of the sorted ones.
    fn is_written(&self, level: u8) -> bool {
        level > 0 && self.running.iter().any(|it| it.output_level == level)
    }

    /// The tables of `level` that no job reads or has written.
    fn level(&self, level: u8) -> impl Iterator<Item = &'a TableEntry> {
        let idle = !self.is_written(level);
        let tables = self.version.level(level).iter().filter(move |_| idle);
        let running = self.running;
        tables
            .filter(move |it| !running.iter().any(|choice| choice.inputs.contains(&it.id)))
            .map(|it| &**it)
    }

    fn upper(&self) -> impl Iterator<Item = &'a TableEntry> {
        (0..BOTTOM).flat_map(|level| self.level(level))
    }

    /// What is above the bottom in percent of it, by bytes or records; `None` if nothing is.
    fn upper_percent(&self) -> Option<f64> {
        let percent = |of: fn(&TableEntry) -> u64| {
            let upper: u64 = self.upper().map(of).sum();
            let bottom: u64 = self.version.level(BOTTOM).iter().map(|it| of(it)).sum();
            upper as f64 / bottom.max(1) as f64 * 100.0
        };
        self.upper().next()?;
        Some(percent(TableEntry::visible_bytes).max(percent(TableEntry::visible_records)))
    }

    /// The runs between level 0 and the bottom: level and bytes.
    fn runs(&self) -> impl Iterator<Item = (u8, u64)> {
        (1..BOTTOM).filter_map(|level| {
            self.level(level).next()?;
            Some((level, self.level(level).map(TableEntry::visible_bytes).sum()))
        })
    }

    /// A level without tables that no job writes to.
    fn free_level(&self) -> Option<u8> {
        (1..BOTTOM).find(|&level| self.version.level(level).is_empty() && !self.is_written(level))
    }
}

fn ids<'a>(tables: impl IntoIterator<Item = &'a TableEntry>) -> Vec<FileId> {
    tables.into_iter().map(|it| it.id).collect()
}

/// All that is above the bottom, into it.
fn settle(view: &View<'_>, options: &CompactionOptions) -> Option<Choice> {
    if view.is_written(BOTTOM) || view.upper_percent()? <= options.upper_percent as f64 {
        return None;
    }
    let upper: Vec<&TableEntry> = view.upper().collect();
    let range = upper.iter().map(|it| it.visible).reduce(TokenRange::hull)?;
    let below: Vec<&TableEntry> =
        view.level(BOTTOM).filter(|it| it.visible.overlaps(range)).collect();
    let reason = if upper.len() == 1 && below.is_empty() { Reason::Move } else { Reason::Settle };
    Some(Choice { reason, inputs: ids(upper.into_iter().chain(below)), output_level: BOTTOM })
}

/// Level 0 into a run; the tables with the least stamps first if there are many.
fn level0(view: &View<'_>, options: &CompactionOptions) -> Option<Choice> {
    let tables: Vec<&TableEntry> = view.level(0).collect();
    if tables.len() < options.level0_tables.max(2) {
        return None;
    }
    let oldest = tables.into_iter().rev().take(4 * options.level0_tables);
    let output_level = view.free_level()?;
    Some(Choice { reason: Reason::Level0, inputs: ids(oldest), output_level })
}

/// The smallest runs into one: as many as are together as large as the next.
fn runs(view: &View<'_>, options: &CompactionOptions) -> Option<Choice> {
    let mut runs: Vec<(u8, u64)> = view.runs().collect();
    if runs.len() <= options.runs_max.max(1) {
        return None;
    }
    runs.sort_by_key(|&(level, bytes)| (bytes, level));
    let (mut count, mut sum) = (0, 0);
    for &(_, bytes) in &runs {
        if count >= 2 && bytes > sum {
            break;
        }
        (count, sum) = (count + 1, sum + bytes);
    }
    let inputs = runs[..count].iter().flat_map(|&(level, _)| view.level(level));
    let (inputs, output_level) = (ids(inputs), view.free_level()?);
    Some(Choice { reason: Reason::Runs, inputs, output_level })
}

/// A table that holds much that nobody sees, written anew where it is.
fn alone(view: &View<'_>, options: &CompactionOptions, now_ms: u64) -> Option<Choice> {
    let reason = |table: &TableEntry| {
        let properties = &table.properties;
        let hidden = table.visible_fraction() * 100.0 < options.visible_percent_min as f64;
        let expired = properties.expiring * 100 > properties.records * options.expired_percent_max
            && properties.expires_max_ms <= now_ms;
        match (hidden, expired) {
            (true, _) => Some(Reason::Trim),
            (_, true) => Some(Reason::Expired),
            _ => None,
        }
    };
    let mut tables = (0..=BOTTOM).flat_map(|level| view.level(level));
    tables.find_map(|table| {
        let reason = reason(table)?;
        Some(Choice { reason, inputs: vec![table.id], output_level: table.level })
    })
}

#[cfg(test)]
mod tests {
    use schemas::ids::{Hlc, Token};

    use super::*;
    use crate::sstable::Properties;

    const MIB: u64 = 1 << 20;

    fn range(first: u64, last: u64) -> TokenRange {
        TokenRange::new(Token(first), Token(last)).unwrap()
    }

    /// A table over all of a small ring; its stamps are as old as its id is small.
    fn table(id: u64, level: u8, bytes: u64) -> TableEntry {
        let properties = Properties {
            records: bytes / 100,
            tombstones: 0,
            expiring: 0,
            raw_bytes: bytes,
            tokens: range(0, 999),
            hlc_min: Hlc(id),
            hlc_max: Hlc(id),
            expires_max_ms: 0,
        };
        TableEntry { id: FileId(id), level, visible: range(0, 999), file_bytes: bytes, properties }
    }

    fn version(added: impl IntoIterator<Item = TableEntry>) -> Version {
        let added = added.into_iter().collect();
        Version::default().apply(&VersionEdit { added, ..VersionEdit::default() }).unwrap()
    }

    fn chosen(version: &Version, running: &[Choice]) -> Option<(Reason, Vec<u64>, u8)> {
        let choice = choose(version, &CompactionOptions::default(), running, 1000)?;
        let mut ids: Vec<u64> = choice.inputs.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        Some((choice.reason, ids, choice.output_level))
    }

    fn level0(ids: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = TableEntry> {
        ids.map(|id| table(id, 0, 10 * MIB))
    }

    #[test]
    fn the_first_table_moves_to_the_bottom() {
        assert_eq!(chosen(&version([]), &[]), None);
        let one = version(level0(1..=1));
        assert_eq!(chosen(&one, &[]), Some((Reason::Move, vec![1], BOTTOM)));
        let choice = choose(&one, &CompactionOptions::default(), &[], 0).unwrap();
        let moved = one.apply(&choice.move_edit(&one).unwrap()).unwrap();
        assert_eq!((moved.level(0).len(), moved.level(BOTTOM).len()), (0, 1));
        assert_eq!(chosen(&moved, &[]), None);
    }

    #[test]
    fn much_above_the_bottom_settles() {
        let bottom = table(1, BOTTOM, 100 * MIB);
        assert_eq!(chosen(&version(level0(2..=3).chain([bottom])), &[]), None);
        let three = version(level0(2..=4).chain([bottom]));
        assert_eq!(chosen(&three, &[]), Some((Reason::Settle, vec![1, 2, 3, 4], BOTTOM)));
        let beside = version([table(1, BOTTOM, 100 * MIB), table(2, 3, 26 * MIB)]);
        assert_eq!(chosen(&beside, &[]), Some((Reason::Settle, vec![1, 2], BOTTOM)));
    }

    /// Tombstones are small; what they shadow is not.
    #[test]
    fn many_small_records_above_large_ones_settle() {
        let mut small = table(2, 0, MIB);
        small.properties.records = table(1, BOTTOM, 100 * MIB).properties.records / 3;
        let version = version([table(1, BOTTOM, 100 * MIB), small]);
        assert_eq!(chosen(&version, &[]), Some((Reason::Settle, vec![1, 2], BOTTOM)));
    }

    #[test]
    fn many_tables_become_a_run_beside_a_job_that_settles() {
        let bottom = table(1, BOTTOM, 1000 * MIB);
        let six = version(level0(2..=7).chain([bottom]));
        let into_run = |level| Some((Reason::Level0, (2..=7).collect(), level));
        assert_eq!(chosen(&six, &[]), into_run(1));
        let settling = |inputs: &[u64]| Choice {
            reason: Reason::Settle,
            inputs: inputs.iter().map(|&id| FileId(id)).collect(),
            output_level: BOTTOM,
        };
        assert_eq!(chosen(&six, &[settling(&[1])]), into_run(1));
        assert_eq!(chosen(&six, &[settling(&[1, 2])]), None, "five are left");
        let run = Choice { output_level: 1, ..settling(&[9]) };
        assert_eq!(chosen(&six, &[settling(&[1]), run]), into_run(2));
        let small_bottom = version(level0(2..=7));
        assert_eq!(chosen(&small_bottom, &[settling(&[1])]), into_run(1), "one settles at a time");
    }

    #[test]
    fn of_many_runs_the_small_ones_are_merged() {
        let runs = |sizes: [u64; 7]| {
            let runs = (1..).zip(sizes).map(|(id, size)| table(id, id as u8, size * MIB));
            version(runs.chain([table(9, BOTTOM, 20_000 * MIB)]))
        };
        let merged = |ids: &[u64]| Some((Reason::Runs, ids.to_vec(), 8));
        let all = [1, 2, 3, 4, 5, 6, 7];
        assert_eq!(chosen(&runs([10; 7]), &[]), merged(&all));
        assert_eq!(chosen(&runs([10, 200, 10, 10, 80, 90, 90]), &[]), merged(&[1, 3, 4]));
        assert_eq!(chosen(&runs([1, 10, 100, 200, 300, 400, 500]), &[]), merged(&[1, 2]));
    }

    #[test]
    fn tables_that_show_little_are_written_anew_where_they_are() {
        for (last, expected) in [(400, Some((Reason::Trim, vec![1], BOTTOM))), (600, None)] {
            let narrowed = TableEntry { visible: range(0, last), ..table(1, BOTTOM, 100 * MIB) };
            assert_eq!(chosen(&version([narrowed]), &[]), expected);
        }
        for (expires_max_ms, expected) in
            [(1000, Some((Reason::Expired, vec![1], BOTTOM))), (1001, None)]
        {
            let mut expiring = table(1, BOTTOM, 100 * MIB);
            expiring.properties.expiring = expiring.properties.records;
            expiring.properties.expires_max_ms = expires_max_ms;
            assert_eq!(chosen(&version([expiring]), &[]), expected);
        }
    }

    #[test]
    fn pressure_grows_with_the_tables_that_reads_ask() {
        let options = CompactionOptions::default();
        let bottom = || [table(1, BOTTOM, 100 * MIB)];
        assert_eq!(pressure(&version(bottom()), &options), 0.0);
        assert_eq!(pressure(&version(level0(2..=7).chain(bottom())), &options), 1.0);
        assert_eq!(pressure(&version(level0(2..=19).chain(bottom())), &options), 3.0);
    }
}

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
    /// All tables are to be written anew.
    Full,
    /// Nothing of a table can be seen: it is dropped.
    Gone,
    /// All that there is of some tokens is to be written anew.
    Part,
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
    /// Of the inputs only these tokens, for a [`Reason::Part`]: those above the bottom keep the
    /// others and their files.
    pub part: Option<TokenRange>,
}

impl Choice {
    /// The edit that does all there is to do for a [`Reason::Move`] or a [`Reason::Gone`]; `None`
    /// for any other, which is a [`Job`](super::Job)'s work.
    ///
    /// # Panics
    /// If `version` has not got the table.
    #[must_use]
    pub fn edit(&self, version: &Version) -> Option<VersionEdit> {
        let moved = |id: &FileId| {
            let entry = version.get(*id).expect("the choice was made for this version");
            TableEntry { level: self.output_level, ..**entry }
        };
        let added = match self.reason {
            Reason::Move => self.inputs.iter().map(moved).collect(),
            Reason::Gone => Vec::new(),
            _ => return None,
        };
        Some(VersionEdit { dropped: self.inputs.clone(), added, ..VersionEdit::default() })
    }
}

/// What the next job has to make do with.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The choices whose jobs have not ended: their tables are left alone, so that a second job
    /// can clear level 0 while a long one settles.
    pub running: &'a [Choice],
    /// Tables that cannot be read: left alone, with what must not be merged without them.
    pub unreadable: &'a [FileId],
    /// Bytes that a job may take on the disk beside the files of its inputs.
    pub room_bytes: u64,
    /// Values past their time at this moment, in Unix milliseconds, are as good as tombstones.
    pub now_ms: u64,
    /// Somebody wants every table written anew that was made before the one of this id.
    pub full_before: Option<FileId>,
}

impl Given<'_> {
    /// Whether `table` waits for a full compaction. One that was made before the last resharding
    /// has another generation or shard in its id.
    fn is_wanted(&self, table: &TableEntry) -> bool {
        self.full_before.is_some_and(|before| {
            let same_maker = table.id.0 >> 32 == before.0 >> 32;
            !same_maker || table.id.number() < before.number()
        })
    }
}

/// The tables to compact next; `None` if all is well, or what is due is under way or has no room.
#[must_use]
pub fn choose(version: &Version, options: &CompactionOptions, given: &Given<'_>) -> Option<Choice> {
    let view = View::new(version, given);
    gone(&view)
        .or_else(|| settle(&view, options, given))
        .or_else(|| level0(&view, options, given))
        .or_else(|| runs(&view, options, given))
        .or_else(|| alone(&view, options, given))
}

/// All that there is of `tokens`, into the bottom, with what the same tables of the bottom have
/// beside them; `None` if there is nothing, or it cannot be read, or has no room. Nothing else may
/// run, nor be flushed when it begins.
#[must_use]
pub fn choose_part(version: &Version, tokens: TokenRange, given: &Given<'_>) -> Option<Choice> {
    let tables = || version.tables().map(|it| &**it);
    let touched = |tokens: TokenRange| tables().filter(move |it| it.visible.overlaps(tokens));
    let bottom = || touched(tokens).filter(|it| it.level == BOTTOM);
    let part = bottom().map(|it| it.visible).fold(tokens, TokenRange::hull);
    let inputs = ids(bottom().chain(touched(part).filter(|it| it.level != BOTTOM)));
    let bytes: u64 = touched(part)
        .map(|it| (it.visible_bytes() as f64 * it.visible.fraction_in(part)) as u64)
        .sum();
    let can_be_read = !inputs.iter().any(|id| given.unreadable.contains(id));
    let is_due = !inputs.is_empty() && can_be_read && bytes <= given.room_bytes;
    let (reason, output_level, part) = (Reason::Part, BOTTOM, Some(part));
    is_due.then_some(Choice { reason, inputs, output_level, part })
}

/// Whether there is a table that a full compaction has still to write anew, readable or not.
#[must_use]
pub fn is_full_left(version: &Version, given: &Given<'_>) -> bool {
    version.tables().any(|it| given.is_wanted(it))
}

/// Whether a full compaction is over: every table is new, or those that are left cannot be read, or
/// not be merged without such.
#[must_use]
pub fn is_full_over(version: &Version, options: &CompactionOptions, given: &Given<'_>) -> bool {
    let with_room = Given { room_bytes: u64::MAX, ..*given };
    let is_stuck = || given.running.is_empty() && choose(version, options, &with_room).is_none();
    !is_full_left(version, given) || is_stuck()
}

/// How far behind compaction is, by the tables that reads have to ask: up to 1 all is well, and
/// writers should be slowed before it grows to a few times that. Counts what jobs have not done
/// yet.
#[must_use]
pub fn pressure(version: &Version, options: &CompactionOptions) -> f64 {
    let level0 = version.level(0).len() as f64 / options.level0_tables as f64;
    let given =
        Given { running: &[], unreadable: &[], room_bytes: u64::MAX, now_ms: 0, full_before: None };
    let runs = View::new(version, &given).runs().count() as f64 / (options.runs_max + 1) as f64;
    level0.max(runs)
}

/// A version without what running jobs work on and what cannot be read.
struct View<'a> {
    version: &'a Version,
    running: &'a [Choice],
    unreadable: &'a [FileId],
}

impl<'a> View<'a> {
    fn new(version: &'a Version, given: &Given<'a>) -> Self {
        Self { version, running: given.running, unreadable: given.unreadable }
    }

    /// Whether a running job writes to `level`, one of the sorted ones.
    fn is_written(&self, level: u8) -> bool {
        level > 0 && self.running.iter().any(|it| it.output_level == level)
    }

    /// The tables of `level` that no job reads or has written and that can be read.
    fn level(&self, level: u8) -> impl Iterator<Item = &'a TableEntry> {
        let idle = !self.is_written(level);
        let tables = self.version.level(level).iter().filter(move |_| idle);
        let (running, unreadable) = (self.running, self.unreadable);
        tables
            .filter(move |it| !running.iter().any(|choice| choice.inputs.contains(&it.id)))
            .filter(move |it| !unreadable.contains(&it.id))
            .map(|it| &**it)
    }

    fn upper(&self) -> impl Iterator<Item = &'a TableEntry> {
        (0..BOTTOM).flat_map(|level| self.level(level))
    }

    /// How much `upper` is in percent of the bottom, by bytes or records.
    fn percent_of_bottom(&self, upper: &[&TableEntry]) -> f64 {
        let percent = |of: fn(&TableEntry) -> u64| {
            let upper: u64 = upper.iter().map(|it| of(it)).sum();
            let bottom: u64 = self.version.level(BOTTOM).iter().map(|it| of(it)).sum();
            upper as f64 / bottom.max(1) as f64 * 100.0
        };
        percent(TableEntry::visible_bytes).max(percent(TableEntry::visible_records))
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

/// Whether a job has room that merges `inputs` into `output_level`.
///
/// A table keeps its file until the job has passed all of it. In the level of the outputs tables
/// are passed one after the other, so beside them there is one of them at most and the output that
/// is being written. The others end together with the job.
fn fits(
    inputs: &[&TableEntry],
    output_level: u8,
    options: &CompactionOptions,
    given: &Given<'_>,
) -> bool {
    let (mut above, mut beside, mut largest) = (0, 0, 0);
    for input in inputs {
        let bytes = input.visible_bytes();
        if input.level == output_level {
            (beside, largest) = (beside + bytes, bytes.max(largest));
        } else {
            above += bytes;
        }
    }
    above + beside.min(largest + options.fragment_bytes) <= given.room_bytes
}

/// The tables of which holes hide everything. Nobody has to read them for that.
fn gone(view: &View<'_>) -> Option<Choice> {
    let tables = view.version.tables().map(|it| &**it);
    let is_free = |it: &&TableEntry| !view.running.iter().any(|job| job.inputs.contains(&it.id));
    let inputs = ids(tables.filter(|it| it.is_gone()).filter(is_free));
    let (reason, output_level, part) = (Reason::Gone, BOTTOM, None);
    (!inputs.is_empty()).then_some(Choice { reason, inputs, output_level, part })
}

/// All that is above the bottom, into it, or as much as there is room for.
///
/// Which record stands is told by stamps, not levels, so any of the tables may settle before the
/// others. Small ones do where not all can: they may be full of tombstones, and give back more than
/// they take.
fn settle(view: &View<'_>, options: &CompactionOptions, given: &Given<'_>) -> Option<Choice> {
    if view.is_written(BOTTOM) {
        return None;
    }
    let mut upper: Vec<&TableEntry> = view.upper().collect();
    upper.sort_by_key(|it| it.visible_bytes());
    loop {
        let range = upper.iter().map(|it| it.visible).reduce(TokenRange::hull)?;
        let is_due = view.percent_of_bottom(&upper) > options.upper_percent as f64
            || upper.iter().any(|it| given.is_wanted(it));
        if !is_due {
            return None;
        }
        let below = view.version.level(BOTTOM).iter().map(|it| &**it);
        let below = below.filter(|it| it.visible.overlaps(range));
        let inputs: Vec<&TableEntry> = upper.iter().copied().chain(below).collect();
        let reason = if inputs.len() == 1 { Reason::Move } else { Reason::Settle };
        let can_be_read = !inputs.iter().any(|it| view.unreadable.contains(&it.id));
        if reason == Reason::Move || can_be_read && fits(&inputs, BOTTOM, options, given) {
            return Some(Choice { reason, inputs: ids(inputs), output_level: BOTTOM, part: None });
        }
        upper.pop();
    }
}

/// Level 0 into a run; the tables with the least stamps first if there are many, or room for few.
fn level0(view: &View<'_>, options: &CompactionOptions, given: &Given<'_>) -> Option<Choice> {
    let tables: Vec<&TableEntry> = view.level(0).collect();
    if tables.len() < options.level0_tables.max(2) {
        return None;
    }
    let mut oldest: Vec<_> = tables.into_iter().rev().take(4 * options.level0_tables).collect();
    let output_level = view.free_level()?;
    while !fits(&oldest, output_level, options, given) {
        oldest.pop();
    }
    let is_worth_it = oldest.len() >= 2;
    let (reason, part) = (Reason::Level0, None);
    is_worth_it.then(|| Choice { reason, inputs: ids(oldest), output_level, part })
}

/// The smallest runs into one: as many as are together as large as the next, and have room.
fn runs(view: &View<'_>, options: &CompactionOptions, given: &Given<'_>) -> Option<Choice> {
    let mut runs: Vec<(u8, u64)> = view.runs().collect();
    if runs.len() <= options.runs_max.max(1) {
        return None;
    }
    runs.sort_by_key(|&(level, bytes)| (bytes, level));
    let (mut count, mut sum) = (0, 0);
    for &(_, bytes) in &runs {
        if count >= 2 && bytes > sum || sum + bytes > given.room_bytes {
            break;
        }
        (count, sum) = (count + 1, sum + bytes);
    }
    let inputs = runs[..count].iter().flat_map(|&(level, _)| view.level(level));
    let (inputs, output_level) = (ids(inputs), view.free_level()?);
    let (reason, part) = (Reason::Runs, None);
    (count >= 2).then_some(Choice { reason, inputs, output_level, part })
}

/// A table that holds much that nobody sees, written anew where it is.
fn alone(view: &View<'_>, options: &CompactionOptions, given: &Given<'_>) -> Option<Choice> {
    let reason = |table: &TableEntry| {
        let properties = &table.properties;
        let hidden = table.visible_fraction() * 100.0 < options.visible_percent_min as f64;
        let expired = properties.expiring * 100 > properties.records * options.expired_percent_max
            && properties.expires_max_ms <= given.now_ms;
        match (hidden, expired) {
            (true, _) => Some(Reason::Trim),
            (_, true) => Some(Reason::Expired),
            // What is above is wanted at the bottom, not anew where it is.
            _ if table.level == BOTTOM && given.is_wanted(table) => Some(Reason::Full),
            _ => None,
        }
    };
    let mut tables = (0..=BOTTOM).flat_map(|level| view.level(level));
    tables.find_map(|table| {
        let reason = reason(table).filter(|_| fits(&[table], table.level, options, given))?;
        let (inputs, output_level) = (vec![table.id], table.level);
        Some(Choice { reason, inputs, output_level, part: None })
    })
}

#[cfg(test)]
mod tests;

//! Compactions: started when the picker says so, a fragment committed at a time.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use schemas::ids::{Hlc, Vnode};

use super::Store;
use super::background::{Change, Job, News, Office, Signal, SignalOnDrop};
use super::damage::FoundBy;
use super::space::SpaceLevel;
use super::unreadable::Unreadable;
use super::writes::delay_us;
use crate::commit_log::Sequence;
use crate::compaction::{
    self, Choice, Control, Given, Input, JobError, Rules, choose, choose_part,
};
use crate::env::{Class, Env};
use crate::limits;
use crate::manifest::{BOTTOM, VersionEdit};
use crate::sstable::{FileId, Table, TokenRange};

/// Compactions under way.
#[derive(Default)]
pub(super) struct Compactions {
    running: Vec<Choice>,
    /// Steers them all.
    control: Rc<Control>,
    unreadable: Unreadable,
    /// How many failed since the last that did not.
    failures: u32,
    /// How far behind they are, in percent of where writers are slowed not at all.
    pressure_percent: usize,
    /// A full compaction was asked for, and waits for the flush up to this batch and for the jobs
    /// that run then.
    full_asked: Option<Sequence>,
    /// Tables made before this one are to be written anew.
    full_before: Option<FileId>,
    /// Stands for the namespaces that were dropped when that began.
    full_purges: u32,
    /// Tokens of which all is to be written anew.
    parts: VecDeque<TokenRange>,
    /// Nothing is due until then, unless the version or what is running changes.
    nothing_before_us: u64,
}

impl Compactions {
    pub(super) fn cancel(&self) {
        self.control.cancel();
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Parts that are wanted or under way.
    fn parts_left(&self) -> u64 {
        let running = self.running.iter().filter(|choice| choice.part.is_some()).count();
        (self.parts.len() + running) as u64
    }

    /// A compaction is over; the place of damage that it met, if it did.
    fn ended(
        &mut self,
        choice: &Choice,
        result: &Result<(), JobError>,
        now_us: u64,
    ) -> Option<(FileId, u64)> {
        self.running.retain(|it| it != choice);
        self.nothing_before_us = 0;
        match result {
            Ok(()) => {
                self.failures = 0;
                None
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.unreadable.note(choice, error, now_us)
            }
        }
    }
}

impl<E: Env> Store<E> {
    /// Says that no record stamped below `hlc` is going to be put any more: tombstones below it
    /// may go once nothing older of their keys is left in the store. Nor is any put that has in it
    /// what a tombstone below discarded: see [`Merge`](crate::record::Merge). Never goes back.
    pub fn set_purge_horizon(&mut self, hlc: Hlc) {
        self.purge_horizon = self.purge_horizon.max(hlc);
    }

    /// Has every table that there is written anew, all of them merged into one run, as the disk has
    /// room: what is dead gives its space back, tombstones are purged as far as the horizon lets
    /// them. In the background, behind a flush of what is in memory, and forgotten if the store is
    /// closed meanwhile; [`Stats::full_compaction`](super::Stats::full_compaction) says when it is
    /// over, which is never while a table has no room to be merged. One that cannot be read is left
    /// as it is, with what cannot be merged without it.
    pub fn compact_all(&mut self) {
        self.freeze();
        let upto = self.frozen.back().map_or(Sequence(0), |frozen| frozen.upto);
        self.compactions.full_asked = Some(upto);
        self.compactions.nothing_before_us = 0;
        self.stats.full_compaction = true;
    }

    /// Has what the tables hold of `vnode` written anew, all of it merged, with what lies beside it
    /// in the same tables of the bottom. In the background, and forgotten if it fails, if the disk
    /// has no room, or if the store is closed meanwhile; the vnodes that wait are counted by
    /// [`Stats::vnodes_to_compact`](super::Stats::vnodes_to_compact). Memtables are no part of it.
    pub fn compact_vnode(&mut self, vnode: Vnode) {
        let (first, last) = self.vnodes.bits().tokens(vnode);
        let tokens = TokenRange::new(first, last).expect("a vnode has tokens");
        if !self.compactions.parts.contains(&tokens) {
            self.compactions.parts.push_back(tokens);
        }
        self.stats.vnodes_to_compact = self.compactions.parts_left();
    }

    /// Starts to compact the part that is wanted, when nothing else runs; whether others have to
    /// wait.
    fn start_part(&mut self) -> bool {
        let compactions = &mut self.compactions;
        if compactions.running.iter().any(|choice| choice.part.is_some()) {
            return true;
        }
        let Some(&tokens) = compactions.parts.front() else { return false };
        // A job that takes long is not waited for at the price of the others.
        if compactions.running.iter().any(|choice| choice.output_level == BOTTOM) {
            return false;
        }
        // What is being flushed is in none of the tables, and its file is older than the moment
        // from which files are not hidden.
        if self.flushing || !compactions.running.is_empty() {
            return true;
        }
        compactions.parts.pop_front();
        let now_us = self.env.monotonic_us();
        let now_ms = self.env.wall_ms().saturating_sub(limits::EXPIRED_MARGIN_MS);
        let unreadable = &compactions.unreadable.at(now_us)[..];
        let (room_bytes, full_before) = (self.room_bytes(), None);
        let given = Given { running: &[], unreadable, room_bytes, now_ms, full_before };
        if let Some(choice) = choose_part(&self.version, tokens, &given) {
            self.start_job(choice, now_ms);
        }
        self.stats.vnodes_to_compact = self.compactions.parts_left();
        true
    }

    /// Starts the compaction that is due, if any is that the disk has space for.
    pub(super) fn start_compaction(&mut self) {
        let running = &self.compactions.running;
        let is_settled = self.changes.is_empty() && self.manifest.is_some();
        if running.len() >= limits::COMPACTIONS_MAX || !is_settled {
            return; // what is under way may be what is due
        }
        if self.start_part() {
            return;
        }
        let running = &self.compactions.running;
        if self.compactions.full_asked.is_some_and(|upto| upto.0 <= self.version.flushed()) {
            if !running.is_empty() {
                return; // their outputs would not count as old, and be left where they are
            }
            self.compactions.full_asked = None;
            self.compactions.full_before = Some(self.office.file_to_come());
            self.compactions.full_purges = self.config.namespaces.dropped_print();
        }
        let running = &self.compactions.running;
        let now_us = self.env.monotonic_us();
        if now_us < self.compactions.nothing_before_us {
            return;
        }
        self.compactions.nothing_before_us = now_us + limits::COMPACTION_LOOK_US;
        let now_ms = self.env.wall_ms().saturating_sub(limits::EXPIRED_MARGIN_MS);
        let unreadable = &self.compactions.unreadable.at(now_us)[..];
        let full_before = self.compactions.full_before;
        let room_bytes = self.room_bytes();
        let given = Given { running, unreadable, room_bytes, now_ms, full_before };
        let options = &self.config.compaction;
        if full_before.is_some() && compaction::is_full_over(&self.version, options, &given) {
            let is_left = compaction::is_full_left(&self.version, &given);
            self.full_over(is_left);
            return;
        }
        let Some(choice) = choose(&self.version, &self.config.compaction, &given) else {
            return;
        };
        if let Some(edit) = choice.edit(&self.version) {
            let (tables, over) = (Vec::new(), SignalOnDrop::default());
            self.changes.push_back(Change { job: Job::Commit, edit, tables, over });
            return;
        }
        self.start_job(choice, now_ms);
    }

    /// A full compaction is over. Unless a table `is_left`, what it has purged is written down, so
    /// that no start does it again.
    fn full_over(&mut self, is_left: bool) {
        self.compactions.full_before = None;
        self.compactions.nothing_before_us = 0;
        self.stats.full_compaction = self.compactions.full_asked.is_some();
        let purged = self.compactions.full_purges;
        if !is_left && purged != 0 && purged != self.version.purged() {
            let edit = VersionEdit { purged, ..VersionEdit::default() };
            let (tables, over) = (Vec::new(), SignalOnDrop::default());
            self.changes.push_back(Change { job: Job::Commit, edit, tables, over });
        }
    }

    fn start_job(&mut self, choice: Choice, now_ms: u64) {
        let inputs: Vec<Input<E>> = choice.inputs.iter().map(|id| self.input(*id)).collect();
        let rules = self.rules(&choice, now_ms);
        let control = Rc::clone(&self.compactions.control);
        let (office, failures) = (Rc::clone(&self.office), self.compactions.failures);
        self.compactions.running.push(choice.clone());
        self.compactions.nothing_before_us = 0;
        self.office.spawn(Class::Compaction, async move {
            let result = compact(&office, &choice, inputs, rules, control).await;
            if let Err(error) = &result {
                tracing::error!(%error, ?choice, "a compaction failed");
                office.retry(Job::Compaction, failures).await;
            }
            office.post(News::CompactionEnded(choice, result));
        });
    }

    /// A compaction is over.
    pub(super) fn compaction_ended(&mut self, choice: &Choice, result: &Result<(), JobError>) {
        self.stats.compactions += u64::from(result.is_ok());
        let damaged = self.compactions.ended(choice, result, self.env.monotonic_us());
        if let Some((id, offset)) = damaged {
            self.found_damage(id, offset, FoundBy::Compaction);
        }
        self.compactions.unreadable.forget(&self.version);
        self.stats.vnodes_to_compact = self.compactions.parts_left();
        self.stats.tables_unreadable = self.compactions.unreadable.len() as u64;
    }

    /// Table `id` is damaged: no compaction takes it.
    pub(super) fn leave_alone(&mut self, id: FileId) {
        self.compactions.unreadable.damaged(id);
        self.stats.tables_unreadable = self.compactions.unreadable.len() as u64;
    }

    /// What was damaged of table `id` is seen no more.
    pub(super) fn no_longer_alone(&mut self, id: FileId) {
        self.compactions.unreadable.healed(id);
        self.stats.tables_unreadable = self.compactions.unreadable.len() as u64;
    }

    /// How far compaction is behind, in percent of the tables that there should be at most.
    pub(super) fn compaction_pressure_percent(&self) -> u64 {
        self.compactions.pressure_percent as u64
    }

    /// How long writers are held back because compaction is behind.
    pub(super) fn compaction_delay_us(&self) -> u64 {
        let (low, high) = limits::SLOWED_PRESSURE_PERCENT;
        delay_us(self.compactions.pressure_percent, low, high)
    }

    /// Looks anew how far compaction is behind.
    pub(super) fn weigh_compactions(&mut self) {
        let pressure = compaction::pressure(&self.version, &self.config.compaction);
        self.compactions.pressure_percent = (pressure * 100.0) as usize;
        self.compactions.nothing_before_us = 0;
    }

    /// What a compaction may take beside the files of its inputs: on a disk that is nearly full
    /// flushes, the log and a second compaction need space too.
    fn room_bytes(&self) -> u64 {
        if self.space.level() >= SpaceLevel::BackgroundStopped {
            self.space.available() / 2
        } else {
            u64::MAX
        }
    }

    fn input(&self, id: FileId) -> Input<E> {
        let entry = **self.version.get(id).expect("the choice is of this version");
        Input { entry, table: Table::clone(&self.open_tables[&id]) }
    }

    /// What may be thrown away. Whatever is in a memtable or on its way there, and what is put
    /// later, has stamps at or above `purge_below`; so only tables can hold what is older.
    fn rules(&self, choice: &Choice, now_ms: u64) -> Rules<E> {
        let memtables = self.frozen.iter().map(|frozen| &*frozen.memtable).chain([&self.active]);
        let hlc_min = memtables.filter_map(|memtable| memtable.hlc_min());
        let hlc_min = hlc_min.chain(self.writes.hlc_min()).min();
        let others = self.open_tables.values().filter(|table| !choice.inputs.contains(&table.id()));
        // Where all tables fit in the cache, readers who have them there shall not wait for the
        // disk because a record moved. Where they do not, what is cached is what is asked for.
        let all: u64 = self.version.tables().map(|entry| entry.visible_raw_bytes()).sum();
        let fits = all <= self.config.cache_bytes as u64 / 2;
        Rules {
            merge: self.merge,
            now_ms,
            purge_below: hlc_min.map_or(self.purge_horizon, |hlc| hlc.min(self.purge_horizon)),
            outside: others.map(|table| Table::clone(table)).collect(),
            fragment_bytes: self.config.compaction.fragment_bytes,
            as_of: match choice.part {
                Some(_) => self.office.file_to_come(),
                None => self.version.holes().upto(),
            },
            namespaces: Arc::clone(&self.config.namespaces),
            keep_blocks: fits.then(|| self.office.keep_blocks()),
        }
    }
}

/// Works a choice off, each step durable before the next.
async fn compact<E: Env>(
    office: &Rc<Office<E>>,
    choice: &Choice,
    inputs: Vec<Input<E>>,
    rules: Rules<E>,
    control: Rc<Control>,
) -> Result<(), JobError> {
    office.file_numbers().await;
    if office.is_stopping() {
        return Err(JobError::Cancelled);
    }
    let ids = Rc::clone(office);
    let new_id = Box::new(move || ids.new_file());
    let (env, dir) = (&office.env, &office.dir);
    let mut job = compaction::Job::new(env, dir, choice, inputs, rules, control, new_id).await?;
    while let Some(step) = job.step().await? {
        let mut tables = Vec::new();
        if let Some(output) = step.output {
            let opened = office.open_written(output.id).await;
            if opened.is_err() {
                office.discard(output.id).await;
            }
            tables.push(opened?);
        }
        let installed = Rc::<Signal>::default();
        let (edit, over) = (step.edit, SignalOnDrop(Rc::clone(&installed)));
        office.post(News::Written(Change { job: Job::Compaction, edit, tables, over }));
        installed.wait().await;
        if office.is_stopping() {
            break;
        }
    }
    Ok(())
}

//! [`Store`]: one core's records, in memory and on disk.
//!
//! The core's loop drives it: requests become [`Store::get_now`] and [`Store::put_now`], once a
//! tick come [`Store::tick`] and [`Store::poll`], and background work runs in tasks that leave
//! their results for `poll` to install. It keeps the invariants of `DESIGN.md`.

mod answer;
pub(crate) mod background;
mod compactions;
mod config;
mod damage;
pub(crate) mod digests;
pub(crate) mod drops;
mod forgetting;
mod namespaces;
mod open;
pub(crate) mod reads;
mod scans;
mod scrub;
mod snapshots;
mod space;
mod stats;
pub(crate) mod table_set;
mod tickets;
mod unreadable;
pub(crate) mod versions;
mod vnodes;
mod writes;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use schemas::ids::{Hlc, Token};
use smallvec::SmallVec;

pub use self::answer::{
    DigestError, DigestRefused, DigestTicket, Done, DropTicket, ExportTicket, Failure, FlushError,
    Found, Get, GetTicket, OpenError, OpenErrorKind, OpenReport, PutError, PutTicket, ReadCause,
    ReadError, ScanBusy, ScanTicket, SnapshotDone, SnapshotRefused, SnapshotResult, SnapshotTicket,
};
use self::background::{Change, News, Office};
use self::compactions::Compactions;
pub use self::config::{SpaceLimits, StoreConfig};
use self::damage::DamageList;
pub use self::damage::{Damage, FoundBy};
use self::digests::DigestJobs;
use self::drops::Drops;
use self::forgetting::Forgetting;
use self::reads::Reads;
use self::scans::Scans;
use self::scrub::Scrub;
pub use self::scrub::ScrubOptions;
pub use self::snapshots::SnapshotStep;
use self::snapshots::Snapshots;
pub use self::space::SpaceLevel;
use self::space::SpaceWatch;
use self::stats::SlowedBy;
pub use self::stats::Stats;
use self::table_set::TableSet;
use self::writes::Writes;
use crate::cache::BlockCache;
use crate::commit_log::CommitLog;
pub use crate::commit_log::Durability;
use crate::env::{self, Class, Env};
use crate::flush::Frozen;
use crate::limits;
use crate::manifest::{Manifest, Version};
use crate::memtable::{Memtable, WARM_MAX};
use crate::record::{Mark, Merge, Record};
use crate::sstable::{FileId, Table};
use crate::vnode::Vnodes;

/// One core's records.
///
/// What stands of two records of a key says the [`Merge`] that it is given.
pub struct Store<E: Env> {
    pub(crate) env: E,
    pub(crate) config: StoreConfig,
    pub(crate) merge: Merge,
    /// The row that the last read made of several, which its answer borrows.
    pub(crate) merged: Box<[u8]>,
    pub(crate) log: CommitLog<E>,
    pub(crate) writes: Writes,
    /// [`News::Due`] is going to be posted.
    alarmed: bool,
    pub(crate) active: Memtable,
    /// Oldest first.
    pub(crate) frozen: VecDeque<Frozen>,
    pub(crate) frozen_bytes: usize,
    pub(crate) tables: Rc<TableSet<E>>,
    pub(crate) cache: BlockCache,
    pub(crate) reads: Reads<E>,
    scans: Scans<E>,
    digests: DigestJobs,
    snapshots: Snapshots,
    drops: Drops,
    scrub: Scrub,
    damage: DamageList,
    pub(crate) office: Rc<Office<E>>,
    pub(crate) flushing: bool,
    compactions: Compactions,
    purge_horizon: Hlc,
    pub(crate) vnodes: Vnodes,
    version: Rc<Version>,
    open_tables: BTreeMap<FileId, Rc<Table<E>>>,
    forgetting: Forgetting,
    /// Away while a commit runs.
    manifest: Option<Manifest<E>>,
    changes: VecDeque<Change<E>>,
    pub(crate) space: SpaceWatch,
    failure: Option<Failure>,
    /// Buffer for what the environment says has ended.
    ended: Vec<env::Done>,
    /// What ended while nobody was there to be told.
    untold: Vec<Done>,
    pub(crate) stats: Stats,
}

impl<E: Env> Store<E> {
    /// Moves what ended since the last call into `done`.
    ///
    /// # Errors
    /// [`Failure`], from then on for ever: nothing more is acknowledged.
    pub fn poll(&mut self, done: &mut Vec<Done>) -> Result<(), Failure> {
        done.append(&mut self.untold);
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let mut ended = std::mem::take(&mut self.ended);
        self.env.poll(&mut ended);
        for ended in ended.drain(..) {
            if tickets::is_read(ended.ticket) {
                self.read_ended(ended, done);
            } else {
                self.append_ended(ended);
            }
        }
        self.ended = ended;
        if let Some(failure) = self.log.failure() {
            let failure = Failure { reason: failure.to_string() };
            self.failure = Some(failure.clone());
            return Err(failure);
        }
        if self.office.has_news() {
            while let Some(news) = self.office.read() {
                self.take_news(news);
            }
            self.start_background();
            done.append(&mut self.untold);
        }
        self.acknowledge(done);
        Ok(())
    }

    /// Called once a tick, after its requests: commits the puts of the tick, starts background
    /// work that has become due.
    pub fn tick(&mut self) {
        self.log_lost();
        self.mark_drops();
        self.log.commit();
        let now_us = self.env.monotonic_us();
        self.space.poll(&self.env, &self.config.space, now_us);
        self.scans.tick(&self.tables, now_us);
        if self.active.bytes() >= self.config.memtable_bytes || self.is_log_long() {
            self.freeze();
        }
        self.start_background();
        self.forgetting.step(&mut self.cache);
        self.cache.share(self.config.cache_bytes, self.office.residents.bytes());
        self.gauge();
    }

    /// Whether [`poll`](Self::poll) and [`tick`](Self::tick) have nothing to do until an
    /// operation of the environment ends or [`Env::wake`] is called: the core may park.
    #[must_use]
    pub fn idle(&self) -> bool {
        // A tick may find that the log has failed, and nothing ends any more then: `poll` has
        // to tell.
        self.log.failure().is_none()
            && !self.office.has_news()
            && !self.writes.has_ready()
            && !self.log.has_work()
    }

    /// What it has done so far and holds now.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Writes every memtable to tables and waits for it. What ends meanwhile is told by the next
    /// [`poll`](Self::poll).
    ///
    /// # Errors
    /// [`FlushError`]: nothing was lost.
    pub async fn flush(&mut self) -> Result<(), FlushError> {
        self.wait_until(|store| !store.writes.waits_for_log()).await?;
        self.freeze();
        self.start_background();
        let most = self.stats.failed_writes() + limits::FLUSH_FAILURES_MAX;
        let gives_up = move |store: &Self| store.stats.failed_writes() >= most;
        self.wait_until(|store| store.frozen.is_empty() || gives_up(store)).await?;
        if self.frozen.is_empty() {
            Ok(())
        } else {
            Err(FlushError::GaveUp { failures: limits::FLUSH_FAILURES_MAX })
        }
    }

    /// Makes every put durable, ends background work and seals the log.
    ///
    /// # Errors
    /// [`Failure`], as from [`poll`](Self::poll).
    pub async fn close(mut self) -> Result<(), Failure> {
        self.wait_until(|store| !store.writes.waits_for_log()).await?;
        self.stop();
        self.wait_until(|store| store.office.running() == 0).await?;
        self.log.seal();
        self.wait_until(|store| store.log.is_settled()).await
    }

    /// Polls and ticks until `is_so`.
    async fn wait_until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let mut done = Vec::new();
        while !is_so(self) {
            self.tick();
            self.env.sleep_us(limits::WAIT_US).await;
            let polled = self.poll(&mut done);
            self.untold.append(&mut done);
            polled?;
        }
        Ok(())
    }

    /// Has background work end as soon as it can.
    fn stop(&self) {
        self.office.stop();
        self.compactions.cancel();
        self.scrub.cancel();
    }

    /// Bytes of memtables and of what is on its way to them.
    pub(crate) fn memtables_bytes(&self) -> usize {
        self.active.bytes() + self.frozen_bytes + self.writes.unapplied_bytes()
    }

    /// Whether the log is a reason to freeze. What is frozen already gives back its part of it once
    /// it is flushed; until then the log may have grown by as much again.
    fn is_log_long(&self) -> bool {
        let memtables = 1 + self.frozen.len() as u64;
        self.log.kept_bytes() >= memtables * self.config.log_bytes_max
    }

    fn take_news(&mut self, news: News<E>) {
        match news {
            News::Written(change) => self.changes.push_back(change),
            News::Committed(committed) => self.install(*committed),
            News::Failed(job) => self.stats.count_error(job),
            News::CompactionEnded(choice, result) => self.compaction_ended(&choice, &result),
            News::Scanned(ticket, page) => self.scanned(ticket, page),
            News::Exported(ticket, chunk) => self.exported(ticket, chunk),
            News::Digested(ticket, scanned) => self.digested(ticket, scanned),
            News::SnapshotStep(ticket, result) => self.snapshot_step_ended(ticket, result),
            News::Scrubbed(id, checked) => self.scrubbed(id, checked),
            News::Block(file, offset, block) => self.cache.insert(file, offset, Rc::new(block)),
            News::ScrubDue => self.scrub_due(),
            News::Due => self.alarmed = false,
        }
    }

    fn start_background(&mut self) {
        if !self.office.is_stopping() {
            // Before the next flush: a vnode is compacted alone when none runs.
            self.start_compaction();
            self.start_flush();
            self.start_scrub();
            self.start_snapshot();
        }
        self.start_commit();
    }

    /// A write of the log ended.
    fn append_ended(&mut self, ended: env::Done) {
        self.apply(ended);
        if let Some(us) = self.log.take_latency_us() {
            let log = self.log.stats();
            (self.stats.log_batches, self.stats.log_bytes) = (log.batches, log.bytes);
            self.stats.log_latency.record(us, 1);
        }
    }

    /// The records of the batch that is durable with it go to the memtable.
    fn apply(&mut self, ended: env::Done) {
        // A failure is seen by `poll`, however it came about.
        let Ok(Some(batch)) = self.log.complete(ended) else { return };
        let mut rows = batch.entries();
        loop {
            let mut records: SmallVec<[Record<'_>; WARM_MAX]> = SmallVec::new();
            let mut mark = None;
            for row in rows.by_ref().take(WARM_MAX) {
                let Some(record) = Record::from_row(row) else {
                    mark = Some(Mark::from_row(row).expect("the store wrote the entry"));
                    break;
                };
                records.push(record);
            }
            if records.is_empty() && mark.is_none() {
                break;
            }
            let tokens: SmallVec<[Token; WARM_MAX]> =
                records.iter().map(|record| record.key.token).collect();
            self.active.warm(&tokens);
            for record in &records {
                if !self.config.namespaces.is_dropped(record.key.namespace) {
                    self.active.put(record);
                }
                self.vnodes.applied(record);
            }
            // After the rows before it, before those behind it.
            mark.iter().for_each(|mark| self.vnodes.marked(mark));
        }
        let sequence = batch.sequence();
        self.writes.applied(sequence);
        self.applied_drops(sequence);
    }

    fn acknowledge(&mut self, done: &mut Vec<Done>) {
        if !self.writes.has_ready() && !self.writes.is_slowed() {
            self.stats.puts_delay_us = 0;
            return;
        }
        let (low, high) = (self.config.memtable_bytes, self.config.memtables_bytes_max);
        let memory = writes::delay_us(self.memtables_bytes(), low.midpoint(high), high);
        let (low, high) = limits::SLOWED_SEGMENT_LAG_PERCENT;
        let log = writes::delay_us(self.log.segment_lag_percent(), low, high);
        let delays = [
            (memory, SlowedBy::Memory),
            (log, SlowedBy::Log),
            (self.compaction_delay_us(), SlowedBy::Compaction),
        ];
        let (delay_us, cause) = delays.into_iter().max_by_key(|it| it.0).expect("there are three");
        let was_slowed = self.writes.is_slowed();
        let now_us = self.env.monotonic_us();
        let acknowledged = self.writes.acknowledge(now_us, delay_us);
        self.stats.puts_delay_us = delay_us;
        if let Some((last, count)) = acknowledged {
            self.stats.puts_acknowledged += count;
            done.push(Done::PutsUpto(last));
        }
        if self.writes.is_slowed() && !was_slowed {
            self.stats.count_slowdown(cause);
        }
        if let Some(due_us) = self.writes.due_us()
            && !std::mem::replace(&mut self.alarmed, true)
        {
            let office = Rc::clone(&self.office);
            self.office.spawn(Class::Log, async move {
                office.env.sleep_us(due_us.saturating_sub(now_us)).await;
                office.post(News::Due);
            });
        }
    }

    fn gauge(&mut self) {
        let residents = &self.office.residents;
        self.stats.tables_memory_bytes = residents.bytes() as u64;
        self.stats.partition_loads = residents.loads();
        self.stats.partition_evictions = residents.evictions();
        self.stats.memtables_bytes = self.memtables_bytes() as u64;
        self.stats.memtables_frozen = self.frozen.len() as u64;
        self.stats.compaction_pressure_percent = self.compaction_pressure_percent();
        self.stats.cache_bytes = self.cache.bytes();
        (self.stats.cache_hits, self.stats.cache_misses) = (self.cache.hits(), self.cache.misses());
        self.stats.log_bytes_kept = self.log.kept_bytes();
        self.stats.reads_in_flight = self.reads.len() as u64;
        self.stats.compactions_running = self.compactions.running() as u64;
        self.stats.space = self.space.level();
    }
}

impl<E: Env> Drop for Store<E> {
    fn drop(&mut self) {
        self.stop();
    }
}

//! [`CommitLog`]: what is appended is written, synced, and told of.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::format::{self, Entries, Kind, Label, segment_name};
use super::pending::{Batch, Pending};
use super::segments::{Segment, Segments, path};
use super::{AppendError, Durability, LogConfig, LogFailure, Sequence};
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Class, Done, Env, File};

/// After so long without appends a seal is written, in microseconds.
const SEAL_AFTER_US: u64 = 1_000_000;

/// Short writes in a row that got nothing further before the log gives up.
const SHORT_WRITES_MAX: u32 = 8;

/// Top byte of the tickets of a log's operations.
const TICKET_TAG: u8 = b'L';

/// What a log has written since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogStats {
    /// Batches, seals among them.
    pub batches: u64,
    /// Bytes, padding among them.
    pub bytes: u64,
}

/// The write in flight.
struct InFlight<F> {
    ticket: u64,
    segment: Rc<Segment<F>>,
    label: Label,
    offset: u64,
    sync: bool,
    started_us: u64,
    /// Bytes that earlier short writes of this batch got to the disk.
    written: usize,
    /// The whole batch, while the rest of it is written from a buffer of its own.
    whole: Option<AlignedBuf>,
    short_writes: u32,
}

/// A sync beside the writes, in a background task.
#[derive(Default)]
enum Sync {
    #[default]
    None,
    Running,
    Ended(io::Result<()>, Sequence),
}

/// One core's commit log.
///
/// Entries go into the open batch. [`commit`](Self::commit), once a tick, starts the next write
/// unless one is in flight; what is appended meanwhile goes into the batch after it. The
/// operation's [`Done`] comes back through [`complete`](Self::complete).
pub struct CommitLog<E: Env> {
    env: E,
    dir: String,
    durability: Durability,
    segments: Segments<E>,
    pending: Pending<E::File>,
    in_flight: Option<InFlight<E::File>>,
    /// The segment of the last write.
    writing: Option<Rc<Segment<E::File>>>,
    /// The last batch that was written.
    written: Sequence,
    durable: Sequence,
    /// Up to here entries are in tables.
    flushed: Sequence,
    /// The last batch tells that those before it are durable.
    sealed: bool,
    closing: bool,
    written_at_us: u64,
    synced_at_us: u64,
    sync: Rc<RefCell<Sync>>,
    alarm: Rc<Cell<bool>>,
    /// Writes started, in 56 bits.
    writes: u64,
    failure: Option<LogFailure>,
    stats: LogStats,
    /// What the last batch that ended took, until somebody asks.
    took_us: Option<u64>,
}

/// A batch that is durable: its entries are to be applied, in order, and acknowledged.
#[derive(Debug)]
pub struct DurableBatch<'a> {
    sequence: Sequence,
    len: usize,
    entries: Entries<'a>,
}

impl<'a> DurableBatch<'a> {
    /// Its sequence; greater than that of every batch before.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// How many entries it has, at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch without entries is not handed out")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its entries, in the order they were appended.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        self.entries.clone()
    }
}

impl<E: Env> CommitLog<E> {
    /// A log that continues after `last`, which is durable; `sealed` if that is known to whoever
    /// reads the disk.
    pub(super) fn new(
        env: E,
        dir: &str,
        config: &LogConfig,
        segments: Segments<E>,
        pending: Pending<E::File>,
        last: Sequence,
        sealed: bool,
    ) -> Self {
        let now_us = env.monotonic_us();
        Self {
            env,
            dir: dir.to_string(),
            durability: config.durability,
            segments,
            pending,
            in_flight: None,
            writing: None,
            written: last,
            durable: last,
            flushed: Sequence(0),
            sealed,
            closing: false,
            written_at_us: now_us,
            synced_at_us: now_us,
            sync: Rc::default(),
            alarm: Rc::default(),
            writes: 0,
            failure: None,
            stats: LogStats::default(),
            took_us: None,
        }
    }

    /// Takes an entry of `len` bytes, which `fill` writes. Returns the sequence of its batch.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was taken.
    #[inline]
    pub fn append(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Sequence, AppendError> {
        if self.failure.is_some() {
            return Err(AppendError::Failed);
        }
        self.pending.append(len, fill, &self.segments)
    }

    /// Ends the open batch: entries appended from now on have a greater sequence. Returns the
    /// last sequence that an entry has.
    pub fn cut(&mut self) -> Sequence {
        self.pending.close();
        self.pending.last()
    }

    /// Once a tick: starts the next write if none is in flight, and sees to segments and seals.
    pub fn commit(&mut self) {
        if self.failure.is_some() {
            return;
        }
        if let Some(failure) = self.segments.failure() {
            self.failure = Some(failure);
            return;
        }
        self.receive_sync();
        if self.in_flight.is_none() && self.failure.is_none() {
            self.write_next();
        }
        if self.pending.wants_next() {
            self.segments.want();
        }
        self.segments.hurry(self.segment_lag_percent() > 100);
        while let Some(segment) = self.pending.take_flushed(self.flushed) {
            self.segments.release(segment);
        }
    }

    /// Whether [`commit`](Self::commit) would start a write now.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.failure.is_none()
            && self.in_flight.is_none()
            && !self.pending.is_empty()
            && !matches!(*self.sync.borrow(), Sync::Running)
    }

    /// Whether `ticket` is of an operation that this log started.
    #[inline]
    #[must_use]
    pub fn owns(&self, ticket: u64) -> bool {
        (ticket >> 56) as u8 == TICKET_TAG
    }

    /// Takes the end of an operation that the log [`owns`](Self::owns). Under
    /// [`Durability::Sync`] returns the batch that is durable with it, if it has entries; under
    /// the others entries count from their append on.
    ///
    /// # Errors
    /// [`LogFailure`], from then on for ever.
    pub fn complete(&mut self, done: Done) -> Result<Option<DurableBatch<'_>>, LogFailure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let in_flight = self.in_flight.take().expect("one write is in flight");
        assert_eq!(done.ticket, in_flight.ticket, "the end of the write in flight");
        let written = match done.result {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.fail("write", &in_flight.segment, error)),
        };
        if written < done.buf.len() {
            return self.write_rest(in_flight, done.buf, written).map(|()| None);
        }
        Ok(self.land(in_flight, done.buf))
    }

    /// The last sequence that is on stable storage, with all before it.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        self.durable
    }

    /// Entries at or below `flushed` are durable elsewhere: segments with no others are recycled.
    pub fn release(&mut self, flushed: Sequence) {
        self.flushed = self.flushed.max(flushed);
    }

    /// Has everything written, synced and sealed; [`is_settled`](Self::is_settled) says when.
    /// The log is driven on by [`commit`](Self::commit) and [`complete`](Self::complete).
    pub fn seal(&mut self) {
        self.closing = true;
    }

    /// Whether nothing is in flight, and all that was appended is durable and, if there is space
    /// for it, sealed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_none()
            && self.pending.is_empty()
            && self.durable == self.written
            && (self.sealed || self.segments.is_full())
    }

    /// Bytes of segments that are not released.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.pending.kept_bytes()
    }

    /// What the next segment lacks to be ready, in percent of what is left of the one in use. Where
    /// it is over 100, appends at the rate of the zeroing would outrun it.
    #[must_use]
    pub fn segment_lag_percent(&self) -> usize {
        if self.segments.is_full() {
            return 0;
        }
        let lag = self.segments.lacking() * 100 / self.pending.room().max(1);
        usize::try_from(lag).unwrap_or(usize::MAX)
    }

    /// What it has written.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.stats
    }

    /// What the write of the last batch took, in microseconds, with its sync if it was synced;
    /// `None` if no batch has ended since the last call.
    pub fn take_latency_us(&mut self) -> Option<u64> {
        self.took_us.take()
    }

    fn write_next(&mut self) {
        let Some(first) = self.pending.first() else { return self.rest() };
        let begins = self.writing.as_ref().is_none_or(|last| last.id != first.segment.id);
        if begins && self.durable < self.written {
            // The first batch of a segment is written when all before it are durable.
            return self.start_sync();
        }
        let seal = first.label.kind == Kind::Seal;
        if let Some(batch) = self.pending.take_first() {
            // No batch of a segment is read that has lost its beginning.
            let sync = begins || seal || self.wants_sync();
            self.write(batch, sync);
        }
    }

    /// Whether the next write is to be synced.
    fn wants_sync(&self) -> bool {
        match self.durability {
            Durability::Sync => true,
            Durability::None => false,
            Durability::Periodic { interval_us } => {
                self.env.monotonic_us() >= self.synced_at_us + interval_us
            }
        }
    }

    fn write(&mut self, mut batch: Batch<E::File>, sync: bool) {
        batch.finish(self.durable);
        let Batch { buf, label, segment, offset } = batch;
        let ticket = self.next_ticket();
        segment.file.start_append(ticket, offset, buf, sync);
        self.writing = Some(segment.clone());
        self.in_flight = Some(InFlight {
            ticket,
            segment,
            label,
            offset,
            sync,
            started_us: self.env.monotonic_us(),
            written: 0,
            whole: None,
            short_writes: 0,
        });
    }

    fn next_ticket(&mut self) -> u64 {
        self.writes = (self.writes + 1) & (u64::MAX >> 8);
        u64::from(TICKET_TAG) << 56 | self.writes
    }

    /// Goes on with a write that came up short after `bytes` of `buf`, from the last whole block.
    fn write_rest(
        &mut self,
        mut in_flight: InFlight<E::File>,
        buf: AlignedBuf,
        bytes: usize,
    ) -> Result<(), LogFailure> {
        let bytes = bytes - bytes % ALIGN;
        in_flight.written += bytes;
        in_flight.short_writes = if bytes > 0 { 0 } else { in_flight.short_writes + 1 };
        if in_flight.short_writes > SHORT_WRITES_MAX {
            return Err(self.fail("write", &in_flight.segment, io::ErrorKind::WriteZero.into()));
        }
        let whole = in_flight.whole.take().unwrap_or(buf);
        let rest = &whole[in_flight.written..];
        let mut part = AlignedBuf::zeroed(rest.len());
        part.copy_from_slice(rest);
        in_flight.whole = Some(whole);
        in_flight.ticket = self.next_ticket();
        let offset = in_flight.offset + in_flight.written as u64;
        in_flight.segment.file.start_append(in_flight.ticket, offset, part, in_flight.sync);
        self.in_flight = Some(in_flight);
        Ok(())
    }

    /// A batch is written, and durable if it was to be synced.
    fn land(&mut self, in_flight: InFlight<E::File>, buf: AlignedBuf) -> Option<DurableBatch<'_>> {
        let InFlight { label, sync, started_us, whole, .. } = in_flight;
        self.written = label.last();
        self.written_at_us = self.env.monotonic_us();
        self.took_us = Some(self.written_at_us.saturating_sub(started_us));
        if sync {
            // Those before it in other segments were durable before it was written.
            self.durable = label.last();
            self.synced_at_us = self.written_at_us;
        }
        self.sealed = label.kind == Kind::Seal;
        self.stats.batches += 1;
        self.stats.bytes += label.padded() as u64;
        self.pending.landed(whole.unwrap_or(buf));
        if self.durability != Durability::Sync || label.kind != Kind::Entries {
            return None;
        }
        let bytes = self.pending.last_landed(label.length);
        let (sequence, len) = (label.sequence, label.entries as usize);
        Some(DurableBatch { sequence, len, entries: format::Entries::of(bytes) })
    }

    /// Nothing waits: syncs and seals what was written, when it is time.
    fn rest(&mut self) {
        if self.sealed && self.durable == self.written {
            return;
        }
        let now_us = self.env.monotonic_us();
        let seal_at_us = if self.closing { now_us } else { self.written_at_us + SEAL_AFTER_US };
        if !self.sealed && now_us >= seal_at_us {
            if self.pending.seal(&self.segments) {
                return self.write_next();
            }
            // No segment has room for it. What it would tell is less than what is to be synced.
            if self.durable < self.written {
                self.start_sync();
            }
            return;
        }
        let mut wake_us = seal_at_us.saturating_sub(now_us);
        if let Durability::Periodic { interval_us } = self.durability {
            let sync_us = (self.synced_at_us + interval_us).saturating_sub(now_us);
            let unsynced = self.durable < self.written;
            if unsynced && sync_us == 0 {
                // Its end wakes.
                return self.start_sync();
            }
            // Never further than an interval: what is appended before the alarm must not wait.
            wake_us = wake_us.min(if unsynced { sync_us } else { interval_us });
        }
        self.wake_in(wake_us);
    }

    /// Syncs the segment of the last write beside everything else.
    fn start_sync(&mut self) {
        let Some(segment) = &self.writing else { return };
        if !matches!(*self.sync.borrow(), Sync::None) {
            return;
        }
        *self.sync.borrow_mut() = Sync::Running;
        let (env, mail) = (self.env.clone(), self.sync.clone());
        let (file, upto) = (segment.file.clone(), self.written);
        self.env.spawn(Class::Log, async move {
            let result = file.sync().await;
            *mail.borrow_mut() = Sync::Ended(result, upto);
            env.wake();
        });
    }

    fn receive_sync(&mut self) {
        if !matches!(*self.sync.borrow(), Sync::Ended(..)) {
            return;
        }
        if let Sync::Ended(result, upto) = self.sync.take() {
            match result {
                Ok(()) => {
                    self.durable = self.durable.max(upto);
                    self.synced_at_us = self.env.monotonic_us();
                }
                Err(error) => {
                    let segment = self.writing.clone().expect("it was synced");
                    self.fail("sync", &segment, error);
                }
            }
        }
    }

    /// Has [`commit`](Self::commit) called again after `us` microseconds, or earlier.
    fn wake_in(&self, us: u64) {
        if self.alarm.replace(true) {
            return;
        }
        let (env, alarm) = (self.env.clone(), self.alarm.clone());
        self.env.spawn(Class::Log, async move {
            env.sleep_us(us).await;
            alarm.set(false);
            env.wake();
        });
    }

    fn fail(
        &mut self,
        what: &'static str,
        segment: &Segment<E::File>,
        error: io::Error,
    ) -> LogFailure {
        let file = path(&self.dir, &segment_name(segment.id));
        let failure = LogFailure { what, file, source: Arc::new(error) };
        self.failure = Some(failure.clone());
        failure
    }

    /// What failed, if the log has.
    #[must_use]
    pub fn failure(&self) -> Option<&LogFailure> {
        self.failure.as_ref()
    }
}

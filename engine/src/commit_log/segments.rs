//! Segments: listed at start, made ahead of need, recycled.
//!
//! A segment gets its name when all its bytes are zeros on stable storage: made under a temporary
//! name, allocated, zeroed over its whole length, synced, renamed, directory synced. So appends
//! never extend a file, and a sync of one costs one device write and one flush.
//!
//! A recycled segment keeps its bytes and gets a new id; sums are seeded with the id, so none of
//! its old batches is valid. Ids only grow: a segment taken later has the greater one.
//!
//! All of it is done by one task of [`Class::Log`] at a time, which ends when there is nothing
//! left to do. When the disk has no room it looks again at intervals, and takes nothing meanwhile.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use futures_lite::future::zip;

use super::format::{TEMPORARY, segment_name};
use super::{LogFailure, LogId};
use crate::env::buf::AlignedBuf;
use crate::env::{Class, Env, File, Open, is_full};
use crate::limits::BACKGROUND_IO_BYTES_MAX;

/// How long to wait before a full disk is asked again, in microseconds.
const RETRY_US: u64 = 100_000;

/// What a new segment leaves of the disk, as a fraction of itself.
const LEFT_FRACTION: u64 = 16;

/// Zeros that are written at once.
const PIECE_BYTES: u64 = BACKGROUND_IO_BYTES_MAX as u64;

/// A file of the log.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) id: u64,
    pub(super) file: F,
    pub(super) bytes: u64,
    /// Nobody else holds on to its bytes.
    pub(super) reusable: bool,
}

/// The service that keeps segments ready.
pub(super) struct Segments<E: Env>(Rc<Shared<E>>);

struct Shared<E: Env> {
    env: E,
    dir: String,
    log: LogId,
    /// Of a new segment.
    bytes: u64,
    spares_max: usize,
    state: RefCell<State<E::File>>,
}

struct State<F> {
    next_number: u64,
    /// Ready for use, by id.
    spares: VecDeque<Segment<F>>,
    /// No longer needed, oldest first.
    released: VecDeque<Segment<F>>,
    /// One should be made if there is no spare.
    wanted: bool,
    running: bool,
    /// Bytes of the one being made that are zeros already.
    zeroed: u64,
    /// Writers are about to outrun it.
    hurried: bool,
    full: bool,
    failure: Option<LogFailure>,
}

enum Job<F> {
    Make,
    Recycle(Segment<F>),
    Remove(Segment<F>),
}

/// The path of `name` in `dir`.
pub(super) fn path(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_string() } else { format!("{dir}/{name}") }
}

impl<E: Env> Segments<E> {
    /// `next_number` is greater than that of every segment there ever was of `log`, which is in
    /// `dir`.
    pub(super) fn new(
        env: E,
        dir: &str,
        log: LogId,
        bytes: u64,
        spares_max: usize,
        next_number: u64,
    ) -> Self {
        let state = State {
            next_number,
            spares: VecDeque::new(),
            released: VecDeque::new(),
            wanted: false,
            running: false,
            zeroed: 0,
            hurried: false,
            full: false,
            failure: None,
        };
        let (dir, state) = (dir.to_string(), RefCell::new(state));
        Self(Rc::new(Shared { env, dir, log, bytes, spares_max, state }))
    }

    /// Has a segment made, unless one is ready.
    pub(super) fn want(&self) {
        let mut state = self.0.state.borrow_mut();
        if state.spares.is_empty() {
            state.wanted = true;
            drop(state);
            self.start();
        }
    }

    /// Takes back a segment whose batches are of no more use.
    pub(super) fn release(&self, segment: Segment<E::File>) {
        self.0.state.borrow_mut().released.push_back(segment);
        self.start();
    }

    /// Takes back segments at start; nothing is done about them before
    /// [`prepare`](Self::prepare) or [`start`](Self::start).
    pub(super) fn release_all(&self, segments: Vec<Segment<E::File>>) {
        self.0.state.borrow_mut().released.extend(segments);
    }

    /// A segment for use.
    pub(super) fn take(&self) -> Option<Segment<E::File>> {
        self.0.state.borrow_mut().spares.pop_front()
    }

    /// Bytes that are still to be zeroed before one is ready, and an eighth of a segment more, for
    /// its sync, its name and the batches that are on their way.
    pub(super) fn lacking(&self) -> u64 {
        let (state, all) = (self.0.state.borrow(), self.0.bytes);
        if state.spares.is_empty() { all - state.zeroed + all / 8 } else { 0 }
    }

    /// Has zeros written four requests at a time, or one. Four are in the way of other I/O, which
    /// is better than writers without a segment, and not better than anything else.
    pub(super) fn hurry(&self, hurried: bool) {
        self.0.state.borrow_mut().hurried = hurried;
    }

    /// Whether the last try to make one found the disk full.
    pub(super) fn is_full(&self) -> bool {
        self.0.state.borrow().full
    }

    /// What failed for good.
    pub(super) fn failure(&self) -> Option<LogFailure> {
        self.0.state.borrow().failure.clone()
    }

    /// Does what there is to do until a spare is ready or the disk is full, where the caller
    /// stands; the rest is left for [`start`](Self::start), which has not been called yet.
    pub(super) async fn prepare(&self) {
        self.0.state.borrow_mut().wanted = true;
        while self.0.state.borrow().spares.is_empty() && self.0.step().await {}
    }

    /// Does what there is to do in the background.
    pub(super) fn start(&self) {
        let mut state = self.0.state.borrow_mut();
        if state.running || state.failure.is_some() {
            return;
        }
        state.running = true;
        drop(state);
        let shared = self.0.clone();
        self.0.env.spawn(Class::Log, async move { shared.work().await });
    }
}

impl<E: Env> Shared<E> {
    /// Works until there is nothing to do.
    async fn work(self: Rc<Self>) {
        loop {
            if self.step().await {
                continue;
            }
            if !self.state.borrow().full {
                break;
            }
            self.env.sleep_us(RETRY_US).await;
        }
        self.state.borrow_mut().running = false;
    }

    /// Does one job; whether there may be another that can be done now.
    async fn step(&self) -> bool {
        let Some(mut job) = self.next_job() else { return false };
        let result = match &mut job {
            Job::Make => self.make().await.map(Some),
            Job::Recycle(segment) => self.recycle(segment).await.map(Some),
            Job::Remove(segment) => self.remove(segment).await.map(|()| None),
        };
        let mut state = self.state.borrow_mut();
        let error = match result {
            Ok(spare) => {
                if let Some(segment) = spare {
                    state.spares.push_back(segment);
                    state.wanted = false;
                }
                None
            }
            Err(error) => Some(error),
        };
        state.zeroed = 0;
        state.full = error.as_ref().is_some_and(is_full);
        let more = error.is_none();
        if let Some(source) = error {
            if !state.full {
                let (what, file) = (job.what(), self.dir.clone());
                state.failure = Some(LogFailure { what, file, source: Arc::new(source) });
            }
            if let Job::Recycle(segment) | Job::Remove(segment) = job {
                state.released.push_front(segment);
            }
        }
        drop(state);
        self.env.wake();
        more
    }

    fn next_job(&self) -> Option<Job<E::File>> {
        let mut state = self.state.borrow_mut();
        if state.failure.is_some() {
            return None;
        }
        if let Some(segment) = state.released.pop_front() {
            let recycle = segment.reusable
                && segment.bytes == self.bytes
                && state.spares.len() < self.spares_max;
            return Some(if recycle { Job::Recycle(segment) } else { Job::Remove(segment) });
        }
        if state.wanted && state.spares.is_empty() {
            return Some(Job::Make);
        }
        state.full = false;
        None
    }

    fn next_id(&self) -> io::Result<u64> {
        let mut state = self.state.borrow_mut();
        let number = u32::try_from(state.next_number);
        let number =
            number.map_err(|_| io::Error::other("4 billion segments are all there are"))?;
        state.next_number += 1;
        Ok(self.log.segment(number))
    }

    async fn make(&self) -> io::Result<Segment<E::File>> {
        let temporary = path(&self.dir, TEMPORARY);
        remove_if_there(&self.env, &temporary).await?;
        // To try would take what is left from those who need less, above all from the manifest that
        // a start has to write.
        let least = self.bytes + self.bytes / LEFT_FRACTION;
        if self.env.space().is_ok_and(|space| space.available < least) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match self.fill(&temporary).await {
            Ok(file) => {
                let mut segment = Segment { id: 0, file, bytes: self.bytes, reusable: true };
                match self.name(&temporary, &mut segment).await {
                    Ok(()) => Ok(segment),
                    Err(error) => {
                        if segment.id != 0 {
                            self.state.borrow_mut().released.push_back(segment);
                        }
                        Err(error)
                    }
                }
            }
            Err(error) => {
                // Its space is needed by others; the error that counts is the first.
                drop(remove_if_there(&self.env, &temporary).await);
                Err(error)
            }
        }
    }

    /// A file of zeros, synced.
    async fn fill(&self, temporary: &str) -> io::Result<E::File> {
        let file = self.env.open(temporary, Open::Create).await?;
        file.allocate(self.bytes).await?;
        let mut offset = 0;
        while offset < self.bytes {
            // A request is told of only when the executor looks after its rings: one at a time is
            // no more than a hundred megabytes a second beside a busy foreground.
            let zero = |nth: u64| self.zero(&file, offset + nth * PIECE_BYTES);
            if self.state.borrow().hurried {
                let (first, second) = zip(zip(zero(0), zero(1)), zip(zero(2), zero(3))).await;
                first.0.and(first.1).and(second.0).and(second.1)?;
                offset += 4 * PIECE_BYTES;
            } else {
                zero(0).await?;
                offset += PIECE_BYTES;
            }
            self.state.borrow_mut().zeroed = offset.min(self.bytes);
            self.env.pause().await;
        }
        file.sync().await?;
        Ok(file)
    }

    /// Writes zeros from `offset` on, a piece of them or to the end of the segment.
    async fn zero(&self, file: &E::File, offset: u64) -> io::Result<()> {
        let bytes = self.bytes.saturating_sub(offset).min(PIECE_BYTES);
        if bytes > 0 {
            file.write_at(offset, AlignedBuf::zeroed(bytes as usize)).await?;
        }
        Ok(())
    }

    async fn recycle(&self, segment: &mut Segment<E::File>) -> io::Result<Segment<E::File>> {
        let old = path(&self.dir, &segment_name(segment.id));
        self.name(&old, segment).await?;
        Ok(Segment { file: segment.file.clone(), ..*segment })
    }

    /// Gives the file at `from` the next id. It has it from the moment it has the name, although
    /// the directory may not be durable yet: who tries again has to know.
    async fn name(&self, from: &str, segment: &mut Segment<E::File>) -> io::Result<()> {
        let id = self.next_id()?;
        self.env.rename(from, &path(&self.dir, &segment_name(id))).await?;
        segment.id = id;
        self.env.sync_dir(&self.dir).await
    }

    async fn remove(&self, segment: &mut Segment<E::File>) -> io::Result<()> {
        remove_if_there(&self.env, &path(&self.dir, &segment_name(segment.id))).await?;
        segment.reusable = false;
        self.env.sync_dir(&self.dir).await
    }
}

impl<F> Job<F> {
    fn what(&self) -> &'static str {
        match self {
            Self::Make => "make a segment in",
            Self::Recycle(_) => "recycle a segment in",
            Self::Remove(_) => "remove a segment in",
        }
    }
}

/// Removes the file at `path`, if there is one.
pub(super) async fn remove_if_there<E: Env>(env: &E, path: &str) -> io::Result<()> {
    match env.remove(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

//! What runs beside the foreground: tasks that take immutable input and post their results.
//!
//! - Only the store changes what readers see, when it reads its mail.
//! - One commit of the manifest runs at a time; the task that makes it owns the manifest.
//! - A job that fails leaves nothing behind that is not removed at the next start, waits, and
//!   tries again. What it was to replace stays in use meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};

use schemas::ids::ShardId;

use super::StoreConfig;
use super::answer::{ExportTicket, ScanTicket, SnapshotResult, SnapshotTicket};
use super::digests::Scanned;
use super::scans::Cursor;
use crate::compaction::{Choice, JobError};
use crate::env::{Class, Env};
use crate::limits;
use crate::manifest::{Manifest, ManifestError, Version, VersionEdit};
use crate::scan::Page;
use crate::sstable::{Block, Checked, FileId, KeepBlock, Residents, Table, TableError, TokenRange};
use crate::transfer::Chunk;
use crate::vnode::ClocksFile;

/// What a task has for the store.
pub(crate) enum News<E: Env> {
    /// Tables are written, and wait to be named by the manifest.
    Written(Change<E>),
    /// A change of the version is durable.
    Committed(Box<Committed<E>>),
    /// A job failed and is going to be tried again.
    Failed(Job),
    /// A compaction ended.
    CompactionEnded(Choice, Result<(), JobError>),
    /// A page of a scan was read, and this is where it ended; or not.
    Scanned(ScanTicket, Result<(Page, Option<Cursor<E>>), TableError>),
    /// A chunk was read, or not.
    Exported(ExportTicket, Result<Chunk, TableError>),
    /// Part of a scan for digests ended, or all that was to scan.
    Digested(u64, Option<Scanned>),
    /// A step of a snapshot ended.
    SnapshotStep(SnapshotTicket, SnapshotResult),
    /// A block that was written, to be cached.
    Block(FileId, u64, Block),
    /// Part of a table was scrubbed, or could not be read.
    Scrubbed(FileId, Result<Checked, TableError>),
    /// It may be time to scrub.
    ScrubDue,
    /// It is time to look again.
    Due,
}

/// Kinds of jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    Flush,
    Compaction,
    /// Of the manifest; as a change by itself it brings file numbers, moves tables to other levels,
    /// or drops those that holes hide.
    Commit,
}

/// A change of the version, with the tables that it adds, open.
pub(crate) struct Change<E: Env> {
    pub(crate) job: Job,
    pub(crate) edit: VersionEdit,
    pub(crate) tables: Vec<Table<E>>,
    /// Given when readers see the change, or never will.
    pub(crate) over: SignalOnDrop,
}

/// Gives its signal when it is dropped.
#[derive(Default)]
pub(crate) struct SignalOnDrop(pub(crate) Rc<Signal>);

impl Drop for SignalOnDrop {
    fn drop(&mut self) {
        self.0.give();
    }
}

/// Something that one task waits for.
#[derive(Default)]
pub(crate) struct Signal {
    given: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Signal {
    pub(crate) fn give(&self) {
        self.given.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            if self.given.get() {
                return Poll::Ready(());
            }
            self.waiting.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A change that is durable.
pub(crate) struct Committed<E: Env> {
    pub(crate) manifest: Manifest<E>,
    pub(crate) version: Rc<Version>,
    pub(crate) change: Change<E>,
}

/// Where tasks leave their news, and what they share with the store.
pub(crate) struct Office<E: Env> {
    pub(crate) env: E,
    pub(crate) dir: String,
    news: RefCell<VecDeque<News<E>>>,
    running: Cell<usize>,
    stopping: Cell<bool>,
    generation: u16,
    shard: ShardId,
    /// What is in memory of tables' partitions.
    pub(crate) residents: Rc<Residents>,
    next_file: Cell<u32>,
    /// File numbers below this are durably the last run's or this one's.
    files_upto: Cell<u32>,
}

impl<E: Env> Office<E> {
    /// The office of a store in `dir` that may give out the file numbers of `files`.
    pub(crate) fn new(
        env: &E,
        dir: &str,
        config: &StoreConfig,
        files: Range<u32>,
        residents: Rc<Residents>,
    ) -> Self {
        Self {
            env: env.clone(),
            dir: dir.to_owned(),
            news: RefCell::default(),
            running: Cell::new(0),
            stopping: Cell::new(false),
            generation: config.generation,
            shard: config.shard,
            residents,
            next_file: Cell::new(files.start),
            files_upto: Cell::new(files.end),
        }
    }

    /// An id that no file ever had, nor will have after a crash.
    pub(crate) fn new_file(&self) -> FileId {
        let number = self.next_file.get();
        assert!(
            number < self.files_upto.get(),
            "jobs wait for file numbers; 4 billion take decades"
        );
        self.next_file.set(number + 1);
        FileId::new(self.generation, self.shard, number)
    }

    /// The path of the clocks with a file number of this shard's.
    pub(crate) fn clocks_path(&self, number: u32) -> String {
        let id = FileId::new(self.generation, self.shard, number);
        format!("{}/{}", self.dir, ClocksFile::file_name(id))
    }

    /// The id that the next new file will have.
    pub(crate) fn file_to_come(&self) -> FileId {
        FileId::new(self.generation, self.shard, self.next_file.get())
    }

    /// Whether it is time to make more file numbers durable.
    pub(crate) fn is_short_of_files(&self) -> bool {
        self.files_upto.get() - self.next_file.get() < limits::FILE_NUMBERS_LOW
    }

    /// Waits until there are file numbers for a job that begins, or the store is stopping. A commit
    /// brings more, so a job that commits what it writes need not wait again.
    pub(crate) async fn file_numbers(&self) {
        while self.is_short_of_files() && !self.is_stopping() {
            self.env.sleep_us(limits::RETRY_FIRST_US).await;
        }
    }

    /// File numbers below `upto` are durably this run's.
    pub(crate) fn extend_files(&self, upto: u32) {
        self.files_upto.set(upto);
    }

    pub(crate) fn post(&self, news: News<E>) {
        self.news.borrow_mut().push_back(news);
        self.env.wake();
    }

    /// Opens table `id`, which was just written, and has its partitions in memory as far as there
    /// is room: readers had what it holds there until now.
    pub(crate) async fn open_written(&self, id: FileId) -> Result<Table<E>, TableError> {
        let (env, all) = (&self.env, TokenRange::ALL);
        let table = Table::open_among(env, &self.dir, id, all, &self.residents).await?;
        if let Err(error) = table.load(env).await {
            tracing::warn!(%error, "a new table's partitions are read when they are asked for");
        }
        Ok(table)
    }

    /// Posts every block it is given.
    pub(crate) fn keep_blocks(self: &Rc<Self>) -> KeepBlock {
        let office = Rc::clone(self);
        Rc::new(move |file, offset, block| office.post(News::Block(file, offset, block)))
    }

    pub(crate) fn read(&self) -> Option<News<E>> {
        self.news.borrow_mut().pop_front()
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.news.borrow().is_empty()
    }

    /// Tasks that have not ended.
    pub(crate) fn running(&self) -> usize {
        self.running.get()
    }

    /// Tells all tasks to end as soon as they can.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Runs `task` beside the foreground, and counts it.
    pub(crate) fn spawn(self: &Rc<Self>, class: Class, task: impl Future<Output = ()> + 'static) {
        let office = Rc::clone(self);
        office.running.set(office.running.get() + 1);
        self.env.spawn(class, async move {
            task.await;
            office.running.set(office.running.get() - 1);
            office.env.wake();
        });
    }

    /// Removes what there is of file `id`, which the manifest is not going to name: on a full disk
    /// the next try needs its space. What cannot be removed now is at the next start.
    pub(crate) async fn discard(&self, id: FileId) {
        let table = id.file_name();
        for name in [&table, &format!("{table}.tmp"), &ClocksFile::file_name(id)] {
            let path = format!("{}/{name}", self.dir);
            let removed = self.env.remove(&path).await;
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path, "cannot remove what was not finished");
            }
        }
    }

    /// After failure number `attempt` of `job`, from 0: tells the store, and waits, longer each
    /// time.
    pub(crate) async fn retry(&self, job: Job, attempt: u32) {
        self.post(News::Failed(job));
        let wait_us = limits::RETRY_FIRST_US << attempt.min(limits::RETRY_DOUBLINGS_MAX);
        let mut waited_us = 0;
        while waited_us < wait_us && !self.is_stopping() {
            self.env.sleep_us(limits::RETRY_FIRST_US).await;
            waited_us += limits::RETRY_FIRST_US;
        }
    }
}

/// Makes `change` durable, however often it takes, and posts it.
pub(crate) async fn commit<E: Env>(
    office: Rc<Office<E>>,
    mut manifest: Manifest<E>,
    mut change: Change<E>,
) {
    change.edit.file_numbers = office.next_file.get().saturating_add(limits::FILE_NUMBERS_AHEAD);
    for attempt in 0.. {
        match try_commit(&office, &mut manifest, &change.edit).await {
            Ok(version) => {
                let committed = Committed { manifest, version, change };
                return office.post(News::Committed(Box::new(committed)));
            }
            Err(error) => tracing::error!(%error, "the manifest cannot be written, trying again"),
        }
        office.retry(Job::Commit, attempt).await;
        if office.is_stopping() {
            return;
        }
    }
}

/// A manifest whose content is in doubt is replaced by one of the version before: until the edit
/// is known to be durable nothing is removed that either version needs.
async fn try_commit<E: Env>(
    office: &Office<E>,
    manifest: &mut Manifest<E>,
    edit: &VersionEdit,
) -> Result<Rc<Version>, ManifestError> {
    if manifest.failed() {
        let version = Version::clone(manifest.version());
        *manifest = Manifest::create(&office.env, &office.dir, version).await?;
    }
    manifest.commit(edit).await
}

/// Removes a file that the manifest does not name any more.
pub(crate) async fn remove<E: Env>(office: Rc<Office<E>>, path: String) {
    if let Err(error) = office.env.remove(&path).await {
        tracing::warn!(%error, path, "cannot remove a file; the next start does");
    }
}

//! All an engine sees of the outside: a directory tree, files, time, tasks.
//!
//! Two kinds of I/O, because they have different masters. The **foreground** (log appends, point
//! reads) is started by a call, costs no future, and completes through [`Env::poll`] on the core's
//! own ring. The **background** (flush, compaction, recovery) is awaited in tasks of a [`Class`].
//!
//! [`direct`] is the real world (the core's ring and glommio's `O_DIRECT` files); [`sim`] is a
//! disk that lies, under a seeded executor, so the real log and tables run in simulation.
//!
//! Paths are relative to the node's data directory, `/`-separated. Offsets and lengths of I/O are
//! multiples of [`ALIGN`]; buffers are [`buf::AlignedBuf`]s.

pub mod buf;
pub mod direct;
mod error;
pub mod ring;
pub mod sim;

use std::future::Future;
use std::io;

use self::buf::AlignedBuf;
pub(crate) use self::error::is_full;

/// Alignment of every offset, length and buffer of I/O, in bytes: a page, and the largest logical
/// block in use.
pub const ALIGN: usize = 4096;

/// Who a background task works for. glommio's shares, and what is throttled first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Commit-log segments made ahead, manifest edits: short, and writers wait for them.
    Log,
    /// Memtable to table.
    Flush,
    /// Tables to tables.
    Compaction,
    /// Everything that can wait.
    Idle,
}

/// How [`Env::open`] opens a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// For reading; it exists.
    Read,
    /// For reading and writing; it exists.
    ReadWrite,
    /// For reading and writing; made, and an error if it exists.
    Create,
}

/// A foreground operation that ended.
#[derive(Debug)]
pub struct Done {
    /// The number it was started with.
    pub ticket: u64,
    /// Its buffer, and how it went: the bytes read or written, which may be short.
    pub buf: AlignedBuf,
    /// Bytes transferred; for an append, only once they are on stable storage.
    pub result: io::Result<usize>,
}

/// Space of the file system that holds the data directory, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// What is left for us.
    pub available: u64,
    /// Its size.
    pub total: u64,
}

/// The outside world of one core's engine.
///
/// Everything stays on one thread. Directory operations are durable only after
/// [`Env::sync_dir`] of the directory they changed.
pub trait Env: Clone + 'static {
    /// An open file.
    type File: File;

    /// Opens `path`.
    fn open(&self, path: &str, how: Open) -> impl Future<Output = io::Result<Self::File>>;
    /// The names of the entries of directory `path`, sorted.
    fn list(&self, path: &str) -> impl Future<Output = io::Result<Vec<String>>>;
    /// Makes directory `path`; its parent exists.
    fn create_dir(&self, path: &str) -> impl Future<Output = io::Result<()>>;
    /// Renames `from` to `to`, replacing it.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>>;
    /// Lets files `a` and `b` change names. Where the file system cannot, renames `a` to `b`.
    fn exchange(&self, a: &str, b: &str) -> impl Future<Output = io::Result<()>>;
    /// Adds `to` as another name of file `from`; an error if `to` exists.
    fn link(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>>;
    /// Removes file or empty directory `path`.
    fn remove(&self, path: &str) -> impl Future<Output = io::Result<()>>;
    /// Makes what happened to the entries of directory `path` durable.
    fn sync_dir(&self, path: &str) -> impl Future<Output = io::Result<()>>;
    /// Space on the data directory's file system.
    fn space(&self) -> io::Result<Space>;

    /// Monotonic time, in microseconds from an arbitrary start.
    fn monotonic_us(&self) -> u64;
    /// Wall-clock time, in Unix milliseconds. May jump.
    fn wall_ms(&self) -> u64;
    /// The next number of the seeded generator.
    fn random(&self) -> u64;

    /// Runs `task` beside the foreground.
    fn spawn(&self, class: Class, task: impl Future<Output = ()> + 'static);
    /// Called in every long background loop: gives way to the foreground when the task's slice is
    /// over or the ring has work, and returns at once otherwise.
    fn pause(&self) -> impl Future<Output = ()>;
    /// Sleeps at least `us` microseconds.
    fn sleep_us(&self, us: u64) -> impl Future<Output = ()>;
    /// Moves what ended of the foreground's operations into `done`.
    fn poll(&self, done: &mut Vec<Done>);
    /// Wakes the foreground loop, should it be parked: a background task has news for it.
    fn wake(&self);
}

/// A file opened through an [`Env`]. Clones are the same file; the last one dropped closes it,
/// after the operations in flight on it have ended.
pub trait File: Clone + 'static {
    /// Reads up to `len` bytes at `offset`; shorter only at the end of the file.
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<AlignedBuf>>;
    /// Writes the whole of `buf` at `offset`, or fails.
    fn write_at(
        &self,
        offset: u64,
        buf: AlignedBuf,
    ) -> impl Future<Output = io::Result<AlignedBuf>>;
    /// Makes what was written durable (`fdatasync`).
    fn sync(&self) -> impl Future<Output = io::Result<()>>;
    /// Reserves space for the first `bytes` bytes without changing the content.
    fn allocate(&self, bytes: u64) -> impl Future<Output = io::Result<()>>;
    /// The file's length in bytes.
    fn size(&self) -> impl Future<Output = io::Result<u64>>;

    /// Starts a foreground read of `buf.len()` bytes at `offset` into `buf`.
    fn start_read(&self, ticket: u64, offset: u64, buf: AlignedBuf);
    /// Starts a foreground write of the whole of `buf` at `offset`; with `sync`, linked with an
    /// `fdatasync`, and ended only when both have. A short write ends with its length, unsynced.
    fn start_append(&self, ticket: u64, offset: u64, buf: AlignedBuf, sync: bool);
}

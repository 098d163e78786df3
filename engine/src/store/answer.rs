//! What a store answers: tickets, outcomes, refusals and failures.

use std::sync::Arc;
use std::{fmt, io};

use schemas::ids::Hlc;

use super::reads::Held;
use crate::commit_log::{LogError, ReplayReport, Sequence};
use crate::digest::Digests;
use crate::manifest::ManifestError;
use crate::record::Record;
use crate::scan::Page;
use crate::snapshot::{Begun, Listed, ShardTaken, SnapshotError, SnapshotHead};
use crate::sstable::TableError;
use crate::transfer::Chunk;
use crate::vnode::ClocksError;

/// Names a put until it is acknowledged. A store's puts are numbered without gap, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PutTicket(pub u64);

/// Names a read that waits for the disk. No two reads in flight share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GetTicket(pub u64);

/// Names a page of a scan that is being read. No two in flight share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ScanTicket(pub u64);

/// Names a request for digests that is not answered. No two in flight share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DigestTicket(pub u64);

/// Why no digest is begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DigestRefused {
    /// As many as there may be are being made.
    #[error("too many digests, try again in {retry_after_us} us")]
    Busy {
        /// When it is worth asking again, in microseconds.
        retry_after_us: u32,
    },
    /// The range touches too many leaves.
    #[error("the range touches {got} leaves, the limit is {max}")]
    TooWide {
        /// The finest leaves that it touches.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// Tombstones that the request counts may be purged.
    #[error("tombstones from {purge_below:?} on are asked for, below {horizon:?} they are purged")]
    BelowHorizon {
        /// The request's.
        purge_below: Hlc,
        /// The store's.
        horizon: Hlc,
    },
}

/// Why a digest that was begun is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The purge horizon has passed that of the request: ask again with a later one.
    #[error("the purge horizon has passed the request's")]
    HorizonPassed,
}

/// Names a step of a snapshot that has not ended. No two under way share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SnapshotTicket(pub u64);

/// Why no step of a snapshot is begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SnapshotRefused {
    /// As many as there may be are under way.
    #[error("another snapshot is being taken")]
    Busy,
    /// Compactions are held back for want of space, and what they drop would stay.
    #[error("the disk is too full for a snapshot: it keeps what compactions would give back")]
    DiskFull,
}

/// What a step of a snapshot came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnapshotDone {
    /// It is begun.
    Begun(Begun),
    /// This shard's part is there.
    Taken(ShardTaken),
    /// It is complete.
    Finished(Box<SnapshotHead>),
    /// It is gone.
    Removed,
    /// These there are.
    Listed(Vec<Listed>),
}

/// How a step of a snapshot ended.
pub type SnapshotResult = Result<SnapshotDone, SnapshotError>;

/// Names a chunk that is being read. No two in flight share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExportTicket(pub u64);

/// Names a vnode that is being dropped. No two share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DropTicket(pub u64);

/// As many pages as there may be are being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many scans, try again in {retry_after_us} us")]
pub struct ScanBusy {
    /// When it is worth asking again, in microseconds.
    pub retry_after_us: u32,
}

/// The answer to a read.
#[derive(Debug)]
pub enum Get<'a> {
    /// The key's record: a value, not past its time.
    Hit(Record<'a>),
    /// The key has no value.
    Absent,
    /// A block has to be read; [`Done::Get`] will name the ticket.
    Miss(GetTicket),
    /// Too many reads wait for the disk.
    Busy {
        /// When it is worth asking again, in microseconds.
        retry_after_us: u32,
    },
}

/// Something that ended since the last poll.
#[derive(Debug)]
pub enum Done {
    /// Every put up to and including this one is acknowledged: puts end in the order they were
    /// given.
    PutsUpto(PutTicket),
    /// A read that had to wait.
    Get(GetTicket, Result<Found, ReadError>),
    /// A page of a scan.
    Scan(ScanTicket, Result<Page, TableError>),
    /// A chunk of records to be handed to another store.
    Export(ExportTicket, Result<Chunk, TableError>),
    /// Digests.
    Digest(DigestTicket, Result<Digests, DigestError>),
    /// A step of a snapshot.
    Snapshot(SnapshotTicket, SnapshotResult),
    /// A vnode was dropped, durably.
    Dropped(DropTicket),
}

/// The answer to a read that had to wait, holding on to the bytes it was found in.
#[derive(Debug)]
pub struct Found {
    pub(super) held: Option<Held>,
}

impl Found {
    /// The key's record, a value not past its time; `None` if it has no value.
    #[must_use]
    pub fn record(&self) -> Option<Record<'_>> {
        self.held.as_ref().map(Held::record)
    }
}

/// Why a put is refused. Nothing of it was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PutError {
    /// No key.
    #[error("the key is empty")]
    KeyEmpty,
    /// The key is over its limit.
    #[error("the key has {got} bytes, the limit is {max}")]
    KeyTooLong {
        /// Its bytes.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The value is over its limit.
    #[error("the value has {got} bytes, the limit is {max}")]
    ValueTooLong {
        /// Its bytes.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The namespace was dropped.
    #[error("the namespace was dropped")]
    NamespaceDropped,
    /// Memory for writes is full until the disk catches up.
    #[error("memory for writes is full, try again in {retry_after_us} us")]
    Busy {
        /// When it is worth trying again, in microseconds.
        retry_after_us: u32,
    },
    /// The file system is full. Deletes are still taken, those that leave a
    /// [`Kind::Context`](crate::record::Kind::Context) as well, and reads served.
    #[error("the disk is full: puts are refused, deletes are not")]
    DiskFull,
    /// The store has failed; see [`Store::poll`](super::Store::poll).
    #[error("the store has failed")]
    Failed,
}

/// Why a read has no answer. Other keys are served.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read {path} at offset {offset}: {cause}")]
pub struct ReadError {
    /// The file, relative to the data directory.
    pub path: String,
    /// Where in it.
    pub offset: u64,
    /// What is wrong with it.
    pub cause: ReadCause,
}

/// What went wrong with a read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadCause {
    /// The disk refused it.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The block is not what was written.
    #[error("the block is damaged")]
    Corrupt,
}

/// The store can acknowledge nothing more; the process has to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What happened, as a sentence.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

/// Why memtables are not in tables. They are readable as before, and their records in the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FlushError {
    /// The store has failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The disk refused a table or the manifest again and again. The background goes on trying.
    #[error("tables cannot be written: {failures} tries failed, each was logged")]
    GaveUp {
        /// Tries that failed.
        failures: u64,
    },
}

/// Why a store does not open. What recovery had done by then is not undone: it is what every
/// start does.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refused an operation.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The path, relative to the data directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The commit log does not open.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The commit log has an entry that is no record: a fault of kvcore's, since its sums agree.
    #[error("batch {sequence} of the commit log in {dir} has an entry that is not a record")]
    NotARecord {
        /// The store's directory.
        dir: String,
        /// The batch.
        sequence: Sequence,
    },
    /// The manifest does not open.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A table that the manifest names does not open.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The clocks that the manifest names do not open.
    #[error(transparent)]
    Clocks(#[from] ClocksError),
}

/// What is to be done about an [`OpenError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenErrorKind {
    /// See to the disk, and start again.
    Io,
    /// A file is not what was written: restore it, or give up what it held.
    Damaged,
    /// Start the newer kvcore that wrote it.
    FormatNewer,
    /// Have the kvcore that wrote it, from before the first release, export what it holds.
    FormatOlder,
}

impl OpenError {
    /// What is to be done about it.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        match self {
            Self::Io { .. }
            | Self::Log(LogError::Io { .. })
            | Self::Manifest(ManifestError::Io { .. })
            | Self::Table(TableError::Io { .. })
            | Self::Clocks(ClocksError::Io { .. }) => OpenErrorKind::Io,
            Self::Manifest(ManifestError::FormatNewer(_))
            | Self::Table(TableError::FormatNewer(_))
            | Self::Clocks(ClocksError::FormatNewer(_)) => OpenErrorKind::FormatNewer,
            Self::Manifest(ManifestError::FormatOlder(_))
            | Self::Table(TableError::FormatOlder(_)) => OpenErrorKind::FormatOlder,
            _ => OpenErrorKind::Damaged,
        }
    }
}

/// What opening a store found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenReport {
    /// What the log's replay found.
    pub log: ReplayReport,
    /// Records that came back from the log.
    pub records: u64,
    /// Tables opened.
    pub tables: u64,
    /// Files removed because nothing names them.
    pub files_removed: u64,
    /// The saved clocks of vnodes are missing or damaged: what was flushed counts as not seen, and
    /// is shipped by other owners again. No record is lost with them.
    pub clocks_lost: bool,
}

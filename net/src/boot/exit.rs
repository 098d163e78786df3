//! How the process ends: a status for programs, a sentence for people.

use std::io::Write;

use engine::data_dir::{DirError, ReshardError};
use engine::store::{OpenError, OpenErrorKind};

use super::checks;
use crate::server::{ServerError, StartError};

/// Exit statuses other than 0. `DESIGN.md` has them as a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Something that has no status of its own.
    Other = 1,
    /// The command line, the environment or the configuration file is wrong.
    Usage = 2,
    /// A second signal came before it had drained.
    Interrupted = 3,
    /// io_uring is missing, forbidden or too old.
    IoUring = 10,
    /// The limit on locked memory is too small.
    LockedMemory = 11,
    /// A CPU does not exist, or may not be used.
    Cpu = 12,
    /// An address cannot be listened on.
    Address = 13,
    /// The data directory is used by another process.
    DataInUse = 20,
    /// The data directory holds something else, or belongs to another cluster.
    DataForeign = 21,
    /// The data directory was written by a newer kvcore.
    DataNewer = 22,
    /// The data directory is damaged.
    DataCorrupt = 23,
    /// The data directory's file system has no direct I/O.
    DirectIo = 24,
    /// The data directory cannot be read or written.
    DataIo = 25,
    /// While running: what was to be durable could not be written.
    WriteFailed = 30,
}

/// Why the process ends.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// The status it ends with.
    pub exit: Exit,
    /// What is wrong, and what to do.
    pub sentence: String,
}

impl Refusal {
    /// A refusal with `exit` that says `sentence`.
    #[must_use]
    pub fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { exit, sentence: sentence.into() }
    }

    /// Says it on stderr; the status to exit with.
    pub fn tell(&self) -> u8 {
        // Where nobody reads, the status has to do.
        drop(writeln!(std::io::stderr(), "kvcore: {self}"));
        self.exit as u8
    }

    /// Says it and ends the process at once: nothing that was acknowledged depends on more.
    pub fn end(&self) -> ! {
        std::process::exit(self.tell().into())
    }
}

const CHECK_DISK: &str = "check that the data directory can be written and that the disk works";
const RESTORE: &str =
    "restore the data directory from a copy, or start with an empty one; nothing was changed";
const NEWER: &str = "start the kvcore that wrote it, or a newer one";

const OLDER: &str =
    "export the data with the kvcore that wrote it, and start with an empty directory";

impl From<DirError> for Refusal {
    fn from(error: DirError) -> Self {
        let (exit, advice) = match &error {
            DirError::InUse { .. } => {
                (Exit::DataInUse, "stop that process, or give another directory with --data-dir")
            }
            DirError::Foreign { .. } => {
                (Exit::DataForeign, "give an empty or new directory with --data-dir")
            }
            DirError::Newer(_) => (Exit::DataNewer, NEWER),
            DirError::Corrupt(_) | DirError::Missing { .. } => (Exit::DataCorrupt, RESTORE),
            DirError::Io { .. } => (Exit::DataIo, CHECK_DISK),
        };
        Self::new(exit, format!("{error}; {advice}"))
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        let (exit, advice) = match (error.kind(), &error) {
            (OpenErrorKind::FormatNewer, _) => (Exit::DataNewer, NEWER),
            (OpenErrorKind::FormatOlder, _) => (Exit::DataCorrupt, OLDER),
            (OpenErrorKind::Io, _) => (Exit::DataIo, CHECK_DISK),
            (OpenErrorKind::Damaged, OpenError::Log(_)) => (
                Exit::DataCorrupt,
                "restore the data directory from a copy, or start with --repair, which sets the \
                 damaged segments aside and gives up what they held",
            ),
            (OpenErrorKind::Damaged, _) => (Exit::DataCorrupt, RESTORE),
        };
        Self::new(exit, format!("{error}; {advice}"))
    }
}

impl From<ReshardError> for Refusal {
    fn from(error: ReshardError) -> Self {
        let refusal = match error {
            ReshardError::Open(error) => error.into(),
            ReshardError::Dir(error) => error.into(),
            ReshardError::Flush(error) => Self::new(Exit::DataIo, format!("{error}; {CHECK_DISK}")),
            ReshardError::Manifest(error) => OpenError::from(error).into(),
            ReshardError::Table(error) => OpenError::from(error).into(),
            ReshardError::Clocks(error) => OpenError::from(error).into(),
        };
        let said = refusal.sentence;
        Self::new(refusal.exit, format!("changing the number of shards: {said}"))
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen { address, source } => {
                checks::cannot_listen("--listen", address, &source)
            }
            StartError::Ring { source, .. } => checks::no_io_uring(&source),
            StartError::Service { shard, source } => match source.downcast::<OpenError>() {
                Ok(error) => {
                    let refusal = Self::from(*error);
                    Self::new(refusal.exit, format!("shard {}: {}", shard.0, refusal.sentence))
                }
                Err(other) => Self::new(Exit::DataIo, format!("{other}; {CHECK_DISK}")),
            },
            error @ StartError::Core { .. } => Self::new(
                Exit::Other,
                format!("{error}; check the limits on threads, open files and locked memory"),
            ),
        }
    }
}

impl From<ServerError> for Refusal {
    fn from(error: ServerError) -> Self {
        let advice = "nothing more is acknowledged; start again when its cause is removed";
        Self::new(Exit::WriteFailed, format!("{error}; {advice}"))
    }
}

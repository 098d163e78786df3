//! What can go wrong, by what the caller does about it.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::Sequence;
use crate::integrity::Corrupt;

/// Why an entry was not taken. Nothing of it is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// What was appended before waits for the disk. Try again after the next completion.
    #[error("the commit log waits for the disk")]
    Busy,
    /// There is no space for another segment. It clears by itself when space comes back.
    #[error("the disk has no space for the commit log")]
    DiskFull,
    /// The entry does not fit a batch.
    #[error("an entry of {got} bytes, the limit is {max}")]
    TooLarge {
        /// Its bytes.
        got: usize,
        /// The most an entry can have.
        max: usize,
    },
    /// The log has failed; see [`LogFailure`].
    #[error("the commit log has failed")]
    Failed,
}

/// A write, sync or directory operation of the log failed. It is for ever: nothing more is
/// acknowledged, and the process has to end, because after a failed sync nobody knows what is on
/// the disk.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the commit log failed to {what} {file}: {source}")]
pub struct LogFailure {
    /// What was tried.
    pub what: &'static str,
    /// The file, relative to the data directory.
    pub file: String,
    /// What the system said.
    pub source: Arc<io::Error>,
}

/// Why a log does not open. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused an operation.
    #[error("cannot {what} {file}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file, relative to the data directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was acknowledged is not there. `repair` in [`LogConfig`](super::LogConfig) gives it up.
    #[error("{at}{}", .lost.map(Lost).map_or_else(String::new, |lost| lost.to_string()))]
    Damaged {
        /// Where the first of it should be.
        at: Corrupt,
        /// The first and the last batch that are missing, where that is known.
        lost: Option<(Sequence, Sequence)>,
    },
}

struct Lost((Sequence, Sequence));

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.0;
        write!(f, "; acknowledged batches {first} to {last} are lost")
    }
}

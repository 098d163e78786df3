//! Why a snapshot is not taken, not read or not removed. Each is one sentence.

use std::io;

use crate::data_dir::DirError;
use crate::integrity::{Corrupt, FormatNewer, FormatOlder};
use crate::sstable::TableError;
use crate::vnode::ClocksError;

/// Why a snapshot is not taken, not read or not removed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is one of that name, complete or not.
    #[error("there is a snapshot {name:?} already")]
    Exists {
        /// The name.
        name: String,
    },
    /// There is none of that name.
    #[error("there is no snapshot {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It was not finished, or its removal was begun.
    #[error("{} is incomplete: it has no {}", shown(dir), super::HEAD_FILE)]
    Incomplete {
        /// Its directory.
        dir: String,
    },
    /// Memtables could not be flushed.
    #[error("memtables cannot be flushed: {failures} tries failed, each was logged")]
    NotFlushed {
        /// Tries that failed.
        failures: u64,
    },
    /// The store is closing.
    #[error("the store is closing")]
    Closing,
    /// A shard has more tables than a snapshot's file has room for.
    #[error("{file} would have {got} bytes, the limit is {max}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its bytes.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// A file is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// A file was written by a newer kvcore.
    #[error(transparent)]
    Newer(#[from] FormatNewer),
    /// A file was written by an older kvcore.
    #[error(transparent)]
    Older(#[from] FormatOlder),
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The clocks of vnodes cannot be read.
    #[error(transparent)]
    Clocks(#[from] ClocksError),
    /// NODE cannot be read.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The file system refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A directory, as far as it has a name: the root of an environment has none.
fn shown(dir: &str) -> &str {
    if dir.is_empty() { "it" } else { dir }
}

impl SnapshotError {
    /// For `map_err`: what was tried, on what.
    pub(super) fn io(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

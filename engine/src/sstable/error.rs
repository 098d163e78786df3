//! Why a table cannot be read or written.

use std::io;

use crate::integrity::{Corrupt, FormatNewer, FormatOlder};

/// Why a table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The disk refuses.
    #[error("{what} {file}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file's path in the data directory.
        file: String,
        /// What the disk says.
        source: io::Error,
    },
    /// The file does not hold what was written to it.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The file was written by a newer kvcore.
    #[error(transparent)]
    FormatNewer(#[from] FormatNewer),
    /// The file was written by an older kvcore.
    #[error(transparent)]
    FormatOlder(#[from] FormatOlder),
    /// The file is no table of kvcore's.
    #[error("{file} is not a table of kvcore's")]
    NotATable {
        /// The file's path in the data directory.
        file: String,
    },
    /// What is written does not fit one table; the limits of `limits.rs` are far above what a
    /// memtable or a fragment holds.
    #[error("{file} has no room for {what}")]
    Full {
        /// The file's path in the data directory.
        file: String,
        /// What it has no room for.
        what: &'static str,
    },
}

impl TableError {
    pub(crate) fn io(what: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self::Io { what, file, source }
    }
}

//! Why a data directory cannot be used. Each is one sentence.

use std::io;

use crate::integrity::{Corrupt, FormatNewer};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Another process holds the lock.
    #[error("data directory {path} is in use by {}", holder(*.pid))]
    InUse {
        /// The directory.
        path: String,
        /// The process that holds it, if it said so.
        pid: Option<u32>,
    },
    /// It holds something, but no node.
    #[error("{path} is no data directory of kvcore: it holds {entry:?} and no NODE file")]
    Foreign {
        /// The directory.
        path: String,
        /// The first thing in it that is not ours.
        entry: String,
    },
    /// A file is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// It was written by a newer kvcore.
    #[error(transparent)]
    Newer(#[from] FormatNewer),
    /// Something that NODE speaks of is gone.
    #[error("{path} is missing from the data directory, and NODE says that it was there")]
    Missing {
        /// What is gone.
        path: String,
    },
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

impl DirError {
    /// For `map_err`: what was tried, on what.
    pub(crate) fn io(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

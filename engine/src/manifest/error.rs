//! Why a manifest cannot be read or written.

use std::io;

use crate::integrity::{Corrupt, FormatNewer, FormatOlder};

/// Why a manifest cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk refuses. After a commit that ended so nothing more can be committed: whether its
    /// edit is durable is not known.
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
    /// The file is no manifest of kvcore's.
    #[error("{file} is not a manifest of kvcore's")]
    NotAManifest {
        /// The file's path in the data directory.
        file: String,
    },
    /// There are tables, but no manifest that names them.
    #[error("{file} is missing, yet there are tables beside it")]
    Missing {
        /// The path in the data directory where it should be.
        file: String,
    },
    /// An earlier commit failed.
    #[error("{file} cannot be written since a write of it failed")]
    Failed {
        /// The file's path in the data directory.
        file: String,
    },
}

impl ManifestError {
    pub(super) fn io(what: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self::Io { what, file, source }
    }
}

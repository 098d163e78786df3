//! [`Finding`]: something that is not as it was written, and where.

use std::fmt;
use std::io::ErrorKind;

use crate::commit_log::LogError;
use crate::data_dir::DirError;
use crate::integrity::{Corrupt, FormatNewer, FormatOlder};
use crate::manifest::ManifestError;
use crate::snapshot::SnapshotError;
use crate::sstable::TableError;
use crate::vnode::ClocksError;

/// Something that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file's path in the data directory.
    pub file: String,
    /// The byte at which it begins; 0 where it is about the file as a whole.
    pub offset: u64,
    /// What it is.
    pub what: String,
}

impl Finding {
    pub(super) fn new(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), offset, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)
    }
}

impl From<Corrupt> for Finding {
    fn from(Corrupt { file, offset, what }: Corrupt) -> Self {
        Self { file, offset, what: what.to_owned() }
    }
}

impl From<FormatNewer> for Finding {
    fn from(FormatNewer { file, found, supported }: FormatNewer) -> Self {
        let what = format!("it has format {found}, this kvcore reads up to {supported}");
        Self { file, offset: 0, what }
    }
}

impl From<FormatOlder> for Finding {
    fn from(FormatOlder { file, found, supported }: FormatOlder) -> Self {
        let what = format!(
            "it has format {found}, of an older kvcore; this kvcore reads {supported} alone"
        );
        Self { file, offset: 0, what }
    }
}

impl From<TableError> for Finding {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Corrupt(corrupt) => corrupt.into(),
            TableError::FormatNewer(newer) => newer.into(),
            TableError::FormatOlder(older) => older.into(),
            TableError::Io { what, file, source } => {
                Self { file, offset: 0, what: format!("{what} it: {source}") }
            }
            TableError::NotATable { file } => {
                Self { file, offset: 0, what: "it does not end as a table does".to_owned() }
            }
            TableError::Full { file, what } => {
                Self { file, offset: 0, what: format!("it has no room for {what}") }
            }
        }
    }
}

impl From<ClocksError> for Finding {
    fn from(error: ClocksError) -> Self {
        match error {
            ClocksError::Corrupt(corrupt) => corrupt.into(),
            ClocksError::FormatNewer(newer) => newer.into(),
            ClocksError::Io { file, source } => {
                Self { file, offset: 0, what: format!("cannot read it: {source}") }
            }
        }
    }
}

impl From<ManifestError> for Finding {
    fn from(error: ManifestError) -> Self {
        let (file, what) = match error {
            ManifestError::Corrupt(corrupt) => return corrupt.into(),
            ManifestError::FormatNewer(newer) => return newer.into(),
            ManifestError::FormatOlder(older) => return older.into(),
            ManifestError::Io { what, file, source } => (file, format!("{what} it: {source}")),
            ManifestError::NotAManifest { file } => {
                (file, "it does not begin as a manifest does".to_owned())
            }
            ManifestError::Missing { file } => {
                (file, "it is missing, yet there are tables beside it".to_owned())
            }
            ManifestError::Failed { file } => (file, "a write of it failed".to_owned()),
        };
        Self { file, offset: 0, what }
    }
}

impl From<LogError> for Finding {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { what, file, source } => {
                Self { file, offset: 0, what: format!("cannot {what} it: {source}") }
            }
            LogError::Damaged { at, lost: None } => at.into(),
            LogError::Damaged { at, lost: Some((first, last)) } => {
                let what = format!("{}; acknowledged batches {first} to {last} are lost", at.what);
                Self { file: at.file, offset: at.offset, what }
            }
        }
    }
}

impl From<SnapshotError> for Finding {
    fn from(error: SnapshotError) -> Self {
        let what = error.to_string();
        match error {
            SnapshotError::Corrupt(corrupt) => corrupt.into(),
            SnapshotError::Newer(newer) => newer.into(),
            SnapshotError::Older(older) => older.into(),
            SnapshotError::Table(error) => error.into(),
            SnapshotError::Clocks(error) => error.into(),
            SnapshotError::Dir(error) => error.into(),
            SnapshotError::Io { path, source, .. } if source.kind() == ErrorKind::NotFound => {
                Self { file: path, offset: 0, what: "it is missing".to_owned() }
            }
            SnapshotError::Io { action, path, source } => {
                Self { file: path, offset: 0, what: format!("cannot {action} it: {source}") }
            }
            SnapshotError::Incomplete { dir: file } | SnapshotError::TooLarge { file, .. } => {
                Self { file, offset: 0, what }
            }
            SnapshotError::Exists { name } | SnapshotError::Unknown { name } => {
                Self { file: name, offset: 0, what }
            }
            SnapshotError::NotFlushed { .. } | SnapshotError::Closing => {
                Self { file: String::new(), offset: 0, what }
            }
        }
    }
}

impl From<DirError> for Finding {
    fn from(error: DirError) -> Self {
        let what = error.to_string();
        match error {
            DirError::Corrupt(corrupt) => corrupt.into(),
            DirError::Newer(newer) => newer.into(),
            DirError::Missing { path } => {
                Self { file: path, offset: 0, what: "it is missing".to_owned() }
            }
            DirError::Io { action, path, source } => {
                Self { file: path, offset: 0, what: format!("cannot {action} it: {source}") }
            }
            DirError::InUse { path, .. } | DirError::Foreign { path, .. } => {
                Self { file: path, offset: 0, what }
            }
        }
    }
}

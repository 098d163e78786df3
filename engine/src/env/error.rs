//! What an error of the file system says.

use std::io;

/// Whether an error says that there is no space, for now.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

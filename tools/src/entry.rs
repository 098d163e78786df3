//! What imports and exports move, and what they leave out.

use kvclient::Bytes;
use kvclient::protocol::Status;
use kvclient::protocol::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use serde::Serialize;

/// A key with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// Unix milliseconds at which it expires, if it does.
    pub(crate) expires_at_ms: Option<u64>,
}

/// Why something did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It breaks a rule: too large, no sound path, no sound line.
    Refused,
    /// It is nothing that has a value: a symbolic link, a socket, an expired record.
    Skipped,
    /// It should have worked: the disk or the server.
    Failed,
}

impl Outcome {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Something that did not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) outcome: Outcome,
    /// The key, path or line.
    pub(crate) what: String,
    pub(crate) why: String,
}

impl Problem {
    pub(crate) fn new(outcome: Outcome, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { outcome, what: what.into(), why: why.into() }
    }
}

/// Whether a server would take an entry of such lengths.
///
/// # Errors
/// The sentence that it would refuse with.
pub(crate) fn check_lengths(key_bytes: usize, value_bytes: u64) -> Result<(), String> {
    if key_bytes == 0 {
        return Err(Status::KeyEmpty.to_string());
    }
    if key_bytes > KEY_BYTES_MAX {
        return Err(format!("{} (it has {key_bytes} bytes)", Status::KeyTooLong));
    }
    if value_bytes > VALUE_BYTES_MAX as u64 {
        return Err(format!("{} (it has {value_bytes} bytes)", Status::ValueTooLarge));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_held_against_the_servers_limits() {
        assert_eq!(check_lengths(1, 0), Ok(()));
        assert_eq!(check_lengths(4096, 1 << 20), Ok(()));
        assert!(check_lengths(0, 0).unwrap_err().contains("empty"));
        assert!(check_lengths(4097, 0).unwrap_err().contains("4097 bytes"));
        assert!(check_lengths(1, (1 << 20) + 1).unwrap_err().contains("1048577 bytes"));
    }
}

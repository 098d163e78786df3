//! [`SnapshotName`]: what a snapshot may be called. It becomes the name of a directory, so it is
//! no path, no option of a command line, and hidden from nobody.

use std::fmt;

use crate::limits::SNAPSHOT_NAME_BYTES_MAX;

/// The name of a snapshot: 1 to [`SNAPSHOT_NAME_BYTES_MAX`] of `a-z`, `0-9`, `.`, `_` and `-`, the
/// first a letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SnapshotName(String);

/// A name that no snapshot may have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{name:?} is no name of a snapshot: 1 to {SNAPSHOT_NAME_BYTES_MAX} of a-z, 0-9, '.', '_' and \
     '-', the first a letter or a digit"
)]
pub struct BadName {
    /// What was given, as far as it is shown.
    pub name: String,
}

impl SnapshotName {
    /// The name `text`.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn new(text: &str) -> Result<Self, BadName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = text.bytes().next().is_some_and(plain);
        let rest = text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte));
        if first && rest && text.len() <= SNAPSHOT_NAME_BYTES_MAX {
            return Ok(Self(text.to_owned()));
        }
        Err(BadName { name: text.chars().take(SNAPSHOT_NAME_BYTES_MAX).collect() })
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_no_option() {
        let longest = "x".repeat(SNAPSHOT_NAME_BYTES_MAX);
        for name in ["a", "0", "2026-11-27", "before_upgrade.1", &longest] {
            assert_eq!(SnapshotName::new(name).unwrap().as_str(), name);
        }
        let too_long = "x".repeat(SNAPSHOT_NAME_BYTES_MAX + 1);
        let bad = [
            "", ".", "..", "../a", "a/b", "/a", "-a", "--name", "_a", ".a", "A", "a b", "a\0",
            "a\n", "a\\b", "\u{e9}", "a\u{e9}", "%2e%2e", "a:b", &too_long,
        ];
        for name in bad {
            let error = SnapshotName::new(name).unwrap_err();
            assert!(error.name.len() <= 2 * SNAPSHOT_NAME_BYTES_MAX, "{error}");
        }
    }
}

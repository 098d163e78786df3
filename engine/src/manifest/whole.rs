//! A whole [`Version`] in bytes, for a file that keeps one beside no manifest.
//!
//! ```text
//! | per edit: bytes 4 | the edit, as a frame of a manifest has it |
//! ```
//! The edits make the version of an empty one. What an edit comes to tell is told here as well.

use super::edit::VersionEdit;
use super::version::Version;

/// The bytes of `version`.
pub(crate) fn encode_version(version: &Version) -> Vec<u8> {
    let mut out = Vec::new();
    for edit in version.snapshot(usize::MAX) {
        let len = u32::try_from(edit.encoded_len()).expect("far fewer tables");
        out.extend_from_slice(&len.to_le_bytes());
        edit.encode(&mut out);
    }
    out
}

/// The version that fills `bytes`, whatever they are; `None` unless it is sound.
pub(crate) fn decode_version(mut bytes: &[u8]) -> Option<Version> {
    let mut version = Version::default();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let len = u32::from_le_bytes(*len) as usize;
        let (edit, rest) = rest.split_at_checked(len)?;
        version = version.apply(&VersionEdit::decode(edit)?).ok()?;
        bytes = rest;
    }
    bytes.is_empty().then_some(version)
}

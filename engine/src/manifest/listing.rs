//! [`Listing`]: a manifest frame by frame, for people who look for what is wrong with it. Where
//! [`Manifest::read`] ends at the first thing that is not sound, this goes on to the end.

use super::edit::VersionEdit;
use super::error::ManifestError;
use super::file::{Manifest, NAME};
use super::frame::Header;
use super::version::Version;
use crate::env::{ALIGN, Env};
use crate::integrity::Corrupt;

/// A manifest frame by frame.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Its path in the data directory.
    pub file: String,
    /// Its length in bytes.
    pub file_bytes: u64,
    /// What seeds the sums of its frames.
    pub incarnation: u64,
    /// Frames that were there when it got its name.
    pub base_frames: u32,
    /// What follows the header, up to the end of the file.
    pub frames: Vec<FrameAt>,
    /// What a start makes of it.
    pub version: Result<Version, Corrupt>,
}

/// A frame, or pages that are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameAt {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes, a multiple of [`ALIGN`].
    pub bytes: u64,
    /// What it holds.
    pub content: FrameContent,
}

/// What is in a frame, or instead of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameContent {
    /// An edit; `None` where the sum agrees and the body is no edit.
    Edit(u64, Option<VersionEdit>),
    /// A seal, with its number.
    Seal(u64),
    /// Pages of zeros: room for edits to come.
    Zeros,
    /// Pages whose sum does not agree: damaged, or torn.
    Unsound,
}

impl<E: Env> Manifest<E> {
    /// The manifest of directory `dir`, frame by frame.
    ///
    /// # Errors
    /// The disk refuses, or the header is not what was written.
    pub async fn list(env: &E, dir: &str) -> Result<Listing, ManifestError> {
        let file = format!("{dir}/{NAME}");
        let (header, bytes) = Self::read_bytes(env, &file).await?;
        let version = header.check_shard(&file).and_then(|()| header.replay(&bytes, &file));
        Ok(Listing {
            file_bytes: header.file_len,
            incarnation: header.incarnation,
            base_frames: header.base_frames,
            frames: frames(&header, &bytes),
            version,
            file,
        })
    }
}

fn frames(header: &Header, bytes: &[u8]) -> Vec<FrameAt> {
    let mut frames: Vec<FrameAt> = Vec::new();
    let mut offset = ALIGN;
    while offset < bytes.len() {
        let (end, content) = match header.frame(bytes, offset) {
            Some((number, [], end)) => (end, FrameContent::Seal(number)),
            Some((number, body, end)) => {
                (end, FrameContent::Edit(number, VersionEdit::decode(body)))
            }
            None => {
                let end = bytes.len().min(offset + ALIGN);
                let is_empty = bytes[offset..end].iter().all(|&byte| byte == 0);
                (end, if is_empty { FrameContent::Zeros } else { FrameContent::Unsound })
            }
        };
        let len = (end - offset) as u64;
        let is_frame = !matches!(content, FrameContent::Zeros | FrameContent::Unsound);
        match frames.last_mut().filter(|last| !is_frame && last.content == content) {
            Some(last) => last.bytes += len,
            None => frames.push(FrameAt { offset: offset as u64, bytes: len, content }),
        }
        offset = end;
    }
    frames
}

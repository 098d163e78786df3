//! The bytes of a manifest: a header page, then frames of whole pages.
//!
//! ```text
//! file:   | header 4096 | frame, frame, .. | zeros up to file_len |
//! header: | magic 8 | version 4 | base_frames 4 | incarnation 8 | file_len 8 | shard 8 | zeros |
//!         | crc32c 4 |
//! frame:  | crc32c 4 | body_len 4 | sequence 8 | body | zeros up to a page |
//! ```
//! Magic, version and sum are where they are in every version. The first frame has number 1. A
//! frame's sum covers all its pages but itself, and is seeded with the incarnation and the frame's
//! place. The first `base_frames` were written before the file had its name, so they are never
//! torn. A frame without a body is a seal: it says that those before it were synced.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::edit::VersionEdit;
use super::error::ManifestError;
use super::version::Version;
use crate::env::ALIGN;
use crate::integrity::{Corrupt, FormatNewer, FormatOlder, checksum};

/// The version of the format that is written, and the only one that is read. It goes up with the
/// layout of edits as well.
pub const MANIFEST_FORMAT: u32 = 2;

const MAGIC: [u8; 8] = *b"kvcMANI\n";

/// What the header page tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Seeds the sums of the file's frames; random, so that pages of an older file do not pass.
    pub(super) incarnation: u64,
    /// Frames that were there when the file got its name.
    pub(super) base_frames: u32,
    /// The file's length, for ever.
    pub(super) file_len: u64,
    /// [`shard_hash`] of its directory: another shard's manifest, which may name no table, must
    /// not pass for this one's.
    pub(super) shard: u64,
}

/// Stands for the shard whose manifest is in directory `dir`, by generation and number.
pub(super) fn shard_hash(dir: &str) -> u64 {
    xxh3_64(dir.as_bytes())
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StoredHeader {
    magic: [u8; 8],
    version: U32,
    base_frames: U32,
    incarnation: U64,
    file_len: U64,
    shard: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FrameHead {
    crc: U32,
    body_len: U32,
    sequence: U64,
}

/// Where the sum of a page stands in it.
const PAGE_SUM: Range<usize> = ALIGN - size_of::<U32>()..ALIGN;

/// Bytes of a frame with a body of `body_len` bytes.
pub(super) fn frame_len(body_len: usize) -> usize {
    (size_of::<FrameHead>() + body_len).next_multiple_of(ALIGN)
}

impl Header {
    /// The header page.
    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = StoredHeader {
            magic: MAGIC,
            version: MANIFEST_FORMAT.into(),
            base_frames: self.base_frames.into(),
            incarnation: self.incarnation.into(),
            file_len: self.file_len.into(),
            shard: self.shard.into(),
        };
        let mut page = stored.as_bytes().to_vec();
        page.resize(ALIGN, 0);
        let sum = checksum(0, 0, &page[..PAGE_SUM.start]);
        page[PAGE_SUM].copy_from_slice(&sum.to_le_bytes());
        page
    }

    /// Reads the header in `page`, the first of the manifest at `path`, which is `len` bytes long.
    pub(super) fn decode(page: &[u8], len: u64, path: &str) -> Result<Self, ManifestError> {
        let file = || path.to_owned();
        let corrupt = |what| ManifestError::from(Corrupt { file: file(), offset: 0, what });
        let page = page.get(..ALIGN).ok_or_else(|| corrupt("manifest shorter than its header"))?;
        let stored = StoredHeader::ref_from_prefix(page).map_err(|_| corrupt("header cut off"))?.0;
        if stored.magic != MAGIC {
            return Err(ManifestError::NotAManifest { file: file() });
        }
        if checksum(0, 0, &page[..PAGE_SUM.start]).to_le_bytes() != page[PAGE_SUM] {
            return Err(corrupt("header does not match its sum"));
        }
        let (found, supported) = (stored.version.get(), MANIFEST_FORMAT);
        if found > supported {
            return Err(FormatNewer { file: file(), found, supported }.into());
        }
        if (1..supported).contains(&found) {
            return Err(FormatOlder { file: file(), found, supported }.into());
        }
        if found != supported {
            return Err(corrupt("header of a version that never was"));
        }
        if stored.file_len.get() != len {
            return Err(corrupt("manifest is not as long as its header says"));
        }
        Ok(Self {
            shard: stored.shard.get(),
            incarnation: stored.incarnation.get(),
            base_frames: stored.base_frames.get(),
            file_len: stored.file_len.get(),
        })
    }

    /// That it is of the shard in whose directory it is: it is kept at `path`.
    pub(super) fn check_shard(&self, path: &str) -> Result<(), Corrupt> {
        let shard = shard_hash(path.rsplit_once('/').map_or("", |(dir, _)| dir));
        let corrupt =
            || Corrupt { file: path.to_owned(), offset: 0, what: "manifest of another shard" };
        (self.shard == shard).then_some(()).ok_or_else(corrupt)
    }

    /// Appends to `out` the frame `sequence` for byte `offset` of the file; a seal without `edit`.
    pub(super) fn put_frame(
        &self,
        out: &mut Vec<u8>,
        offset: u64,
        sequence: u64,
        edit: Option<&VersionEdit>,
    ) {
        let start = out.len();
        let body_len = edit.map_or(0, VersionEdit::encoded_len);
        let head = FrameHead {
            crc: 0.into(),
            body_len: u32::try_from(body_len).expect("far fewer tables").into(),
            sequence: sequence.into(),
        };
        out.extend_from_slice(head.as_bytes());
        if let Some(edit) = edit {
            edit.encode(out);
        }
        out.resize(start + frame_len(body_len), 0);
        let (sum, summed) = out[start..].split_at_mut(size_of::<U32>());
        sum.copy_from_slice(&checksum(self.incarnation, offset, summed).to_le_bytes());
    }

    /// The frame at `offset` of the file `bytes`: its number, its body and its end; `None` if no
    /// frame of this file's is there.
    pub(super) fn frame<'a>(
        &self,
        bytes: &'a [u8],
        offset: usize,
    ) -> Option<(u64, &'a [u8], usize)> {
        let rest = bytes.get(offset..)?;
        let (head, _) = FrameHead::ref_from_prefix(rest).ok()?;
        let body_len = head.body_len.get() as usize;
        let frame = rest.get(..frame_len(body_len))?;
        let sound =
            checksum(self.incarnation, offset as u64, &frame[size_of::<U32>()..]) == head.crc.get();
        let body = &frame[size_of::<FrameHead>()..size_of::<FrameHead>() + body_len];
        sound.then_some((head.sequence.get(), body, offset + frame.len()))
    }

    /// The version that the frames of the file `bytes`, kept at `path`, add up to.
    ///
    /// ```text
    /// frame n is   and later in the file    then
    /// an edit                               apply it, look at n + 1
    /// a seal       no frame                 done
    /// no frame     no frame, n > base       done: a torn write whose commit never ended, or none
    /// no frame     no frame, n <= base      damage: it was there before the file got its name
    /// any of these a frame                  damage: one is written when those before are synced
    /// ```
    pub(super) fn replay(&self, bytes: &[u8], path: &str) -> Result<Version, Corrupt> {
        let corrupt = |offset, what| Corrupt { file: path.to_owned(), offset: offset as u64, what };
        let mut version = Version::default();
        let (mut offset, mut sequence) = (ALIGN, 1);
        while let Some((found, body, end)) = self.frame(bytes, offset) {
            if found != sequence {
                return Err(corrupt(offset, "frame out of order"));
            }
            if body.is_empty() {
                break;
            }
            let edit = VersionEdit::decode(body);
            let edit = edit.ok_or_else(|| corrupt(offset, "edit does not fit its frame"))?;
            let next = version.apply(&edit);
            version = next.map_err(|_| corrupt(offset, "edit contradicts those before it"))?;
            (offset, sequence) = (end, sequence + 1);
        }
        let later = (offset + ALIGN..bytes.len()).step_by(ALIGN);
        if later.into_iter().any(|later| self.frame(bytes, later).is_some()) {
            return Err(corrupt(offset, "frame is damaged, later ones are not"));
        }
        if sequence <= u64::from(self.base_frames) {
            return Err(corrupt(offset, "frame is damaged"));
        }
        Ok(version)
    }
}

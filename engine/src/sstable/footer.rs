//! The footer: the last bytes of a table, from which the rest is found.
//!
//! ```text
//! footer:  | properties 72 | file_id 8 | data_len 4 | partitions_len 4 | top 8 | actors 8 |
//!          | footer_len 4 | version 4 | crc32c 4 | magic 8 |
//! section: | len 4 | crc32c 4 |
//! ```
//! From `footer_len` on it is the same in every version. The sum covers the footer up to itself
//! and is seeded with the footer's place alone, since the footer is what tells the file's id.

use std::ops::Range;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::TableError;
use super::file_id::FileId;
use super::properties::{Properties, StoredProperties};
use crate::env::ALIGN;
use crate::integrity::{Corrupt, FormatNewer, FormatOlder, checksum};

/// The version of the format that is written, and the only one that is read: nothing that was
/// released wrote another.
pub const TABLE_FORMAT: u32 = 2;

const MAGIC: [u8; 8] = *b"kvcTABL\n";

/// A part of the file after its partitions: its length and its sum.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Section {
    pub(super) len: U32,
    pub(super) crc: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Body {
    properties: StoredProperties,
    file_id: U64,
    data_len: U32,
    partitions_len: U32,
    top: Section,
    actors: Section,
}

/// What every version ends with.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Tail {
    footer_len: U32,
    version: U32,
    crc: U32,
    magic: [u8; 8],
}

/// Bytes of the footer.
pub(super) const FOOTER_BYTES: usize = size_of::<Body>() + size_of::<Tail>();

/// Bytes of the tail that its sum does not cover.
const UNSUMMED_BYTES: usize = size_of::<U32>() + MAGIC.len();

/// Where the parts of a table are. Blocks begin at byte 0, partitions behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bytes of all blocks together.
    pub data_bytes: u64,
    /// Bytes of all partitions together.
    pub partitions_bytes: u64,
    /// The list of partitions.
    pub top: Part,
    /// The list of actors.
    pub actors: Part,
    /// Where the footer begins: between it and the list of actors are zeros.
    pub footer_at: u64,
    /// The footer's bytes, up to the end of the file.
    pub footer_bytes: u64,
}

/// A part of a table with one sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its CRC-32C, as the footer tells it.
    pub sum: u32,
}

/// What a footer tells.
pub(super) struct Footer {
    pub(super) properties: Properties,
    pub(super) file: FileId,
    pub(super) data_len: u32,
    pub(super) partitions_len: u32,
    pub(super) top: Section,
    pub(super) actors: Section,
}

impl Footer {
    /// The footer as it stands in the file, at byte `offset`.
    pub(super) fn encode(&self, offset: u64) -> [u8; FOOTER_BYTES] {
        let body = Body {
            properties: self.properties.store(),
            file_id: self.file.0.into(),
            data_len: self.data_len.into(),
            partitions_len: self.partitions_len.into(),
            top: self.top,
            actors: self.actors,
        };
        let tail = Tail {
            footer_len: (FOOTER_BYTES as u32).into(),
            version: TABLE_FORMAT.into(),
            crc: 0.into(),
            magic: MAGIC,
        };
        let mut out = [0; FOOTER_BYTES];
        out[..size_of::<Body>()].copy_from_slice(body.as_bytes());
        out[size_of::<Body>()..].copy_from_slice(tail.as_bytes());
        let summed = FOOTER_BYTES - UNSUMMED_BYTES;
        let sum = checksum(0, offset, &out[..summed]);
        out[summed..summed + size_of::<U32>()].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the footer of the table `file`, kept at `path`, of `file_len` bytes, from its last
    /// page.
    pub(super) fn decode(
        page: &[u8],
        file_len: u64,
        file: FileId,
        path: &str,
    ) -> Result<Self, TableError> {
        let corrupt =
            |offset, what| TableError::from(Corrupt { file: path.to_owned(), offset, what });
        let (_, tail) = Tail::ref_from_suffix(page)
            .map_err(|_| corrupt(file_len, "table shorter than a footer"))?;
        if tail.magic != MAGIC {
            return Err(TableError::NotATable { file: path.to_owned() });
        }
        let len = tail.footer_len.get() as usize;
        let start = page.len().checked_sub(len).filter(|_| len > size_of::<Tail>());
        let start = start.ok_or_else(|| corrupt(file_len, "footer's length does not fit"))?;
        let offset = file_len - len as u64;
        let summed = &page[start..page.len() - UNSUMMED_BYTES];
        if checksum(0, offset, summed) != tail.crc.get() {
            return Err(corrupt(offset, "footer does not match its sum"));
        }
        let (found, supported) = (tail.version.get(), TABLE_FORMAT);
        if found > supported {
            return Err(FormatNewer { file: path.to_owned(), found, supported }.into());
        }
        if (1..supported).contains(&found) {
            return Err(FormatOlder { file: path.to_owned(), found, supported }.into());
        }
        let body = &page[start..page.len() - size_of::<Tail>()];
        let body = Body::ref_from_bytes(body).ok().filter(|_| found == supported);
        let body = body.ok_or_else(|| corrupt(offset, "footer of a version that never was"))?;
        if body.file_id.get() != file.0 {
            return Err(corrupt(offset, "footer of another table"));
        }
        let properties = Properties::load(&body.properties)
            .ok_or_else(|| corrupt(offset, "footer's properties contradict each other"))?;
        let Body { data_len, partitions_len, top, actors, .. } = *body;
        let (data_len, partitions_len) = (data_len.get(), partitions_len.get());
        let footer = Self { properties, file, data_len, partitions_len, top, actors };
        let fits = footer.end() <= offset && offset - footer.end() < ALIGN as u64;
        fits.then_some(footer).ok_or_else(|| corrupt(offset, "footer's lengths do not fit"))
    }

    /// Where everything is, in a file of `file_bytes` bytes.
    pub(super) fn layout(&self, file_bytes: u64) -> Layout {
        let part = |offset: u64, section: Section| Part {
            offset,
            bytes: section.len.get().into(),
            sum: section.crc.get(),
        };
        let top = part(self.top_at(), self.top);
        Layout {
            data_bytes: self.data_len.into(),
            partitions_bytes: self.partitions_len.into(),
            top,
            actors: part(top.offset + top.bytes, self.actors),
            footer_at: file_bytes - FOOTER_BYTES as u64,
            footer_bytes: FOOTER_BYTES as u64,
        }
    }

    /// Where the list of partitions begins.
    pub(super) fn top_at(&self) -> u64 {
        u64::from(self.data_len) + u64::from(self.partitions_len)
    }

    /// Where the last section ends: only padding is between there and the footer.
    pub(super) fn end(&self) -> u64 {
        self.top_at() + u64::from(self.top.len.get()) + u64::from(self.actors.len.get())
    }

    /// Where the list of partitions and that of actors are in the bytes from the first on.
    pub(super) fn ranges(&self) -> [Range<usize>; 2] {
        let top = self.top.len.get() as usize;
        [0..top, top..top + self.actors.len.get() as usize]
    }
}

//! [`VersionEdit`]: what one commit changes, and its bytes.
//!
//! ```text
//! edit:  | flushed 8 | file_numbers 4 | dropped 4 | added 4 | clocks 4 |
//!        | file id 8 x dropped | entry 112 x added |
//! entry: | file id 8 | visible_first 8 | visible_last 8 | file_bytes 8 | level 1 | zero 3 |
//!        | file_crc 4 | properties 72 |
//! ```

use schemas::ids::Token;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::limits;
use crate::sstable::{FileId, Properties, StoredProperties, TableInfo, TokenRange};

/// A table as the manifest names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableEntry {
    /// The file.
    pub id: FileId,
    /// The level it is in, below [`LEVELS`](super::LEVELS).
    pub level: u8,
    /// The tokens of it that can be seen.
    pub visible: TokenRange,
    /// The file's length in bytes.
    pub file_bytes: u64,
    /// CRC-32C of the whole file.
    pub file_crc: u32,
    /// What the file says of its records, visible or not.
    pub properties: Properties,
}

impl TableEntry {
    /// The entry of a finished table.
    #[must_use]
    pub fn new(info: &TableInfo, level: u8, visible: TokenRange) -> Self {
        let TableInfo { id, file_bytes, file_crc, properties } = *info;
        Self { id, level, visible, file_bytes, file_crc, properties }
    }

    /// How much of the file can be seen, 0 to 1: tokens are uniform.
    #[must_use]
    pub fn visible_fraction(&self) -> f64 {
        self.properties.tokens.fraction_in(self.visible)
    }

    /// About how many bytes of the file can be seen.
    #[must_use]
    pub fn visible_bytes(&self) -> u64 {
        (self.file_bytes as f64 * self.visible_fraction()) as u64
    }

    /// About how many of its records can be seen.
    #[must_use]
    pub fn visible_records(&self) -> u64 {
        (self.properties.records as f64 * self.visible_fraction()) as u64
    }
}

/// What one commit changes: tables are dropped, then added. A table whose level or visible range
/// changes is dropped and added.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionEdit {
    /// Tables that go.
    pub dropped: Vec<FileId>,
    /// Tables that come.
    pub added: Vec<TableEntry>,
    /// Batches of the commit log up to this one are in tables.
    pub flushed: Option<u64>,
    /// File numbers below this may have been given out, besides those of the tables.
    pub file_numbers: u32,
    /// The number of the file that has the clocks of vnodes as of `flushed`; `None`: as before.
    pub clocks: Option<u32>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    flushed: U64,
    file_numbers: U32,
    dropped: U32,
    added: U32,
    /// The file's number and 1 more; 0: as before.
    clocks: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StoredEntry {
    id: U64,
    visible_first: U64,
    visible_last: U64,
    file_bytes: U64,
    level: u8,
    zero: [u8; 3],
    file_crc: U32,
    properties: StoredProperties,
}

impl VersionEdit {
    /// Bytes of its encoding.
    pub(super) fn encoded_len(&self) -> usize {
        let tables = size_of_val(&self.dropped[..]) + self.added.len() * size_of::<StoredEntry>();
        size_of::<Head>() + tables
    }

    /// Appends its encoding to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let count = |len: usize| U32::new(u32::try_from(len).expect("far fewer tables"));
        let head = Head {
            flushed: self.flushed.unwrap_or(0).into(),
            file_numbers: self.file_numbers.into(),
            dropped: count(self.dropped.len()),
            added: count(self.added.len()),
            clocks: self.clocks.map_or(0, |number| number + 1).into(),
        };
        out.extend_from_slice(head.as_bytes());
        out.extend(self.dropped.iter().flat_map(|id| id.0.to_le_bytes()));
        for entry in &self.added {
            let stored = StoredEntry {
                id: entry.id.0.into(),
                visible_first: entry.visible.first().0.into(),
                visible_last: entry.visible.last().0.into(),
                file_bytes: entry.file_bytes.into(),
                level: entry.level,
                zero: [0; 3],
                file_crc: entry.file_crc.into(),
                properties: entry.properties.store(),
            };
            out.extend_from_slice(stored.as_bytes());
        }
    }

    /// Reads the edit that fills `bytes`; `None` unless it is sound.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = Head::ref_from_prefix(bytes).ok()?;
        let dropped = head.dropped.get() as usize;
        let (dropped, rest) = <[U64]>::ref_from_prefix_with_elems(rest, dropped).ok()?;
        let added = head.added.get() as usize;
        let added = <[StoredEntry]>::ref_from_bytes_with_elems(rest, added).ok()?;
        let flushed = Some(head.flushed.get()).filter(|&it| it != 0);
        if flushed.is_some_and(|it| it > limits::LOG_SEQUENCE_MAX) {
            return None;
        }
        Some(Self {
            dropped: dropped.iter().map(|id| FileId(id.get())).collect(),
            added: added.iter().map(load_entry).collect::<Option<_>>()?,
            flushed,
            file_numbers: head.file_numbers.get(),
            clocks: head.clocks.get().checked_sub(1),
        })
    }
}

fn load_entry(stored: &StoredEntry) -> Option<TableEntry> {
    let (first, last) = (stored.visible_first.get(), stored.visible_last.get());
    let properties = Properties::load(&stored.properties)?;
    let file_bytes = stored.file_bytes.get();
    // Sums of what entries tell stay far from overflowing.
    if file_bytes > limits::TABLE_FILE_BYTES_MAX || properties.records > file_bytes {
        return None;
    }
    Some(TableEntry {
        id: FileId(stored.id.get()),
        level: stored.level,
        visible: TokenRange::new(Token(first), Token(last))?,
        file_bytes,
        file_crc: stored.file_crc.get(),
        properties,
    })
}

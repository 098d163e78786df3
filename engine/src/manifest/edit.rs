//! [`VersionEdit`]: what one commit changes, and its bytes.
//!
//! ```text
//! edit:  | flushed 8 | file_numbers 4 | dropped 4 | added 4 | clocks 4 | holes 4 | purged 4 |
//!        | file id 8 x dropped | entry 120 x added | hole 24 x holes |
//! entry: | file id 8 | visible_first 8 | visible_last 8 | file_bytes 8 | as_of 8 | level 1 |
//!        | zero 3 | file_crc 4 | properties 72 |
//! hole:  | first 8 | last 8 | before 8 |
//! ```

use schemas::ids::Token;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::holes::Hole;
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
    /// Of what moment its records are, as the file that was made then: a [`Hole`] before it hides
    /// none of them. A flushed table is as of itself; the output of a compaction is as of the holes
    /// there were when its inputs were opened.
    pub as_of: FileId,
    /// How many of its visible tokens are hidden by holes. [`Version`](super::Version) reckons it.
    pub hidden: u128,
    /// What the file says of its records, visible or not.
    pub properties: Properties,
}

impl TableEntry {
    /// The entry of a finished table.
    #[must_use]
    pub fn new(info: &TableInfo, level: u8, visible: TokenRange) -> Self {
        let TableInfo { id, file_bytes, file_crc, properties } = *info;
        Self { id, level, visible, file_bytes, file_crc, as_of: id, hidden: 0, properties }
    }

    /// Its tokens, as far as they are visible; holes are not left out.
    #[must_use]
    pub fn tokens(&self) -> Option<TokenRange> {
        self.properties.tokens.intersection(self.visible)
    }

    /// How much of the file can be seen, 0 to 1: tokens are uniform.
    #[must_use]
    pub fn visible_fraction(&self) -> f64 {
        self.seen() as f64 / self.properties.tokens.span() as f64
    }

    /// Whether holes hide all of it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.seen() == 0
    }

    fn seen(&self) -> u128 {
        self.tokens().map_or(0, TokenRange::span) - self.hidden
    }

    /// About how many bytes of the file can be seen.
    #[must_use]
    pub fn visible_bytes(&self) -> u64 {
        (self.file_bytes as f64 * self.visible_fraction()) as u64
    }

    /// About how many bytes of keys and values can be seen.
    #[must_use]
    pub fn visible_raw_bytes(&self) -> u64 {
        (self.properties.raw_bytes as f64 * self.visible_fraction()) as u64
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
    /// What tables that are there lose.
    pub holes: Vec<Hole>,
    /// No table has records of the namespaces for which this stands; 0: as before.
    pub purged: u32,
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
    holes: U32,
    purged: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StoredEntry {
    id: U64,
    visible_first: U64,
    visible_last: U64,
    file_bytes: U64,
    as_of: U64,
    level: u8,
    zero: [u8; 3],
    file_crc: U32,
    properties: StoredProperties,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StoredHole {
    first: U64,
    last: U64,
    before: U64,
}

impl VersionEdit {
    /// Bytes of its encoding.
    pub(super) fn encoded_len(&self) -> usize {
        let tables = size_of_val(&self.dropped[..]) + self.added.len() * size_of::<StoredEntry>();
        size_of::<Head>() + tables + self.holes.len() * size_of::<StoredHole>()
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
            holes: count(self.holes.len()),
            purged: self.purged.into(),
        };
        out.extend_from_slice(head.as_bytes());
        out.extend(self.dropped.iter().flat_map(|id| id.0.to_le_bytes()));
        for entry in &self.added {
            let stored = StoredEntry {
                id: entry.id.0.into(),
                visible_first: entry.visible.first().0.into(),
                visible_last: entry.visible.last().0.into(),
                file_bytes: entry.file_bytes.into(),
                as_of: entry.as_of.0.into(),
                level: entry.level,
                zero: [0; 3],
                file_crc: entry.file_crc.into(),
                properties: entry.properties.store(),
            };
            out.extend_from_slice(stored.as_bytes());
        }
        for Hole { tokens, before } in &self.holes {
            let (first, last) = (tokens.first().0.into(), tokens.last().0.into());
            let stored = StoredHole { first, last, before: before.0.into() };
            out.extend_from_slice(stored.as_bytes());
        }
    }

    /// Reads the edit that fills `bytes`; `None` unless it is sound.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = Head::ref_from_prefix(bytes).ok()?;
        let dropped = head.dropped.get() as usize;
        let (dropped, rest) = <[U64]>::ref_from_prefix_with_elems(rest, dropped).ok()?;
        let added = head.added.get() as usize;
        let (added, rest) = <[StoredEntry]>::ref_from_prefix_with_elems(rest, added).ok()?;
        let holes = head.holes.get() as usize;
        let holes = <[StoredHole]>::ref_from_bytes_with_elems(rest, holes).ok()?;
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
            holes: holes.iter().map(load_hole).collect::<Option<_>>()?,
            purged: head.purged.get(),
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
        as_of: FileId(stored.as_of.get()),
        hidden: 0,
        properties,
    })
}

fn load_hole(stored: &StoredHole) -> Option<Hole> {
    let (first, last) = (Token(stored.first.get()), Token(stored.last.get()));
    Some(Hole { tokens: TokenRange::new(first, last)?, before: FileId(stored.before.get()) })
}

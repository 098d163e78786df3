//! [`Chunk`]: some records of a range of tokens on their way to another store, dead ones too, with
//! a sum.
//!
//! ```text
//! chunk: | magic 4 | sum 4 | rows 4 | more 1 | zero 3 | per row: length 4, row (src/record.rs) |
//! ```
//! - Rows ascend in the order of all records. A receiver says where it is, and takes a chunk only
//!   if it goes on from there within the range: so a transfer may be cut off anywhere, and goes on
//!   from the last key that was taken in.
//! - The sum covers all behind it. It is for what happens on the way and in memory: blocks are
//!   checked when they are read.

use schemas::ids::Token;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::record::Record;
use crate::scan::{Rows, WalkPlace};
use crate::sstable::TokenRange;

const MAGIC: [u8; 4] = *b"KVX1";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    sum: U32,
    rows: U32,
    more: u8,
    zero: [u8; 3],
}

const HEADER_BYTES: usize = size_of::<Header>();
/// Where what is summed begins.
const SUMMED_FROM: usize = 8;

/// What a chunk is wanted of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportRequest {
    /// The last token wanted.
    pub to: Token,
    /// Where the chunk starts: before the range's first token, or where the chunk before ended.
    pub from: WalkPlace,
    /// Bytes of its rows; one row is always taken.
    pub bytes_max: usize,
}

impl ExportRequest {
    /// The first chunk of `range`.
    #[must_use]
    pub fn first(range: TokenRange, bytes_max: usize) -> Self {
        Self { to: range.last(), from: WalkPlace::before(range.first()), bytes_max }
    }
}

/// Some records of a range.
#[derive(Debug)]
pub struct Chunk {
    /// The records, as they stand, in order.
    pub rows: Rows,
    /// Whether records may follow.
    pub more: bool,
}

/// Why a chunk is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChunkError {
    /// It is not what was sent.
    #[error("the chunk is damaged: {0}")]
    Damaged(&'static str),
    /// It is another chunk than the one to come.
    #[error("the chunk does not go on where the one before it ended")]
    Misplaced,
}

impl Chunk {
    /// Where the next chunk starts; `None` if this was the last.
    #[must_use]
    pub fn next(&self) -> Option<WalkPlace> {
        let last = self.rows.len().checked_sub(1).and_then(|last| self.rows.get(last));
        last.filter(|_| self.more).map(|record| WalkPlace::after(&record.key))
    }

    /// Its bytes on the way.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let rows = u32::try_from(self.rows.len()).expect("a chunk is bounded");
        let mut header = Header {
            magic: MAGIC,
            sum: 0.into(),
            rows: rows.into(),
            more: u8::from(self.more),
            zero: [0; 3],
        };
        let mut bytes = header.as_bytes().to_vec();
        for record in self.rows.iter() {
            let (start, len) = (bytes.len() + 4, record.row_len());
            bytes.extend_from_slice(&(len as u32).to_le_bytes());
            bytes.resize(start + len, 0);
            record.write_row(&mut bytes[start..]);
        }
        header.sum = crc32c::crc32c(&bytes[SUMMED_FROM..]).into();
        bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        bytes
    }

    /// Reads the chunk that fills `bytes`, of records after `from` with tokens up to `to`.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub fn decode(bytes: &[u8], from: &WalkPlace, to: Token) -> Result<Self, ChunkError> {
        let damaged = ChunkError::Damaged;
        let (header, mut rest) =
            Header::ref_from_prefix(bytes).map_err(|_| damaged("shorter than its header"))?;
        if header.magic != MAGIC || header.sum.get() != crc32c::crc32c(&bytes[SUMMED_FROM..]) {
            return Err(damaged("it does not match its sum"));
        }
        if header.more > 1 || header.zero != [0; 3] {
            return Err(damaged("its header does not fit"));
        }
        let (mut rows, mut place) = (Rows::default(), from.clone());
        for _ in 0..header.rows.get() {
            let record = take_row(&mut rest).ok_or(damaged("a row does not fit"))?;
            if record.key <= place.key() || record.key.token > to {
                return Err(ChunkError::Misplaced);
            }
            place = WalkPlace::after(&record.key);
            rows.push(&record);
        }
        let is_whole = rest.is_empty() && (header.more == 0 || !rows.is_empty());
        is_whole
            .then_some(Self { rows, more: header.more == 1 })
            .ok_or(damaged("its rows do not fill it"))
    }
}

fn take_row<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    let (len, after) = rest.split_first_chunk()?;
    let (row, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = after;
    Record::from_row(row).filter(|record| !record.key.bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Version};

    use super::*;
    use crate::record::{Key, Kind};

    fn record(key: &[u8]) -> Record<'_> {
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
        Record {
            key: Key { token: Token(5), namespace: NamespaceId(2), bytes: key },
            version: Version { hlc: Hlc(3), dot: Dot { actor, counter: 1 } },
            kind: Kind::Tombstone,
            expires_at_ms: 0,
            value: b"",
        }
    }

    fn chunk(keys: &[&[u8]], more: bool) -> Chunk {
        let mut rows = Rows::default();
        keys.iter().for_each(|key| rows.push(&record(key)));
        Chunk { rows, more }
    }

    #[test]
    fn a_chunk_is_taken_whole_and_in_its_place() {
        let (start, to) = (WalkPlace::before(Token(5)), Token(5));
        let sent = chunk(&[b"a", b"b"], true);
        let bytes = sent.encode();
        let taken = Chunk::decode(&bytes, &start, to).unwrap();
        assert!(taken.rows.iter().eq(sent.rows.iter()));
        let next = taken.next().unwrap();
        assert_eq!(next, WalkPlace::after(&record(b"b").key));
        assert_eq!(chunk(&[b"a"], false).next(), None);
        let misplaced = |from: &WalkPlace, to| Chunk::decode(&bytes, from, to).unwrap_err();
        assert_eq!(misplaced(&next, to), ChunkError::Misplaced, "taken already");
        assert_eq!(misplaced(&start, Token(4)), ChunkError::Misplaced, "past the range");
        let disordered = chunk(&[b"b", b"a"], false).encode();
        let refused = Chunk::decode(&disordered, &start, to).unwrap_err();
        assert_eq!(refused, ChunkError::Misplaced);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let (start, to) = (WalkPlace::before(Token(0)), Token(u64::MAX));
        let bytes = chunk(&[b"a", b"bcd"], true).encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let refused = Chunk::decode(&changed, &start, to).unwrap_err();
            assert!(matches!(refused, ChunkError::Damaged(_)), "byte {at}: {refused}");
            let refused = Chunk::decode(&bytes[..at], &start, to).unwrap_err();
            assert!(matches!(refused, ChunkError::Damaged(_)), "cut to {at}: {refused}");
        }
    }

    /// The sum says nothing of whoever made it.
    #[test]
    fn lengths_are_checked_though_the_sum_agrees() {
        let whole = chunk(&[b"a"], false).encode();
        let refused = |change: fn(&mut Vec<u8>)| {
            let mut bytes = whole.clone();
            change(&mut bytes);
            let sum = crc32c::crc32c(&bytes[SUMMED_FROM..]);
            bytes[4..8].copy_from_slice(&sum.to_le_bytes());
            Chunk::decode(&bytes, &WalkPlace::before(Token(0)), Token(9)).unwrap_err()
        };
        let changes: [fn(&mut Vec<u8>); 6] = [
            |bytes| bytes[8..12].fill(0xff),
            |bytes| bytes[8..12].fill(0),
            |bytes| bytes[12] = 2,
            |bytes| bytes[16..20].fill(0xff),
            |bytes| bytes.push(0),
            |bytes| bytes[16] -= 1,
        ];
        for change in changes {
            assert!(matches!(refused(change), ChunkError::Damaged(_)));
        }
    }
}

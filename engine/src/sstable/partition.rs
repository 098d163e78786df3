//! [`Partition`]: what a table knows of some of its keys without reading their blocks: a filter of
//! them, and the index of their blocks. It is read, checked, kept and given up as a whole.
//!
//! - A table's keys are cut into partitions where a block ends and the token changes: a key's token
//!   tells the one partition that may have it.
//! - It knows its place: a sum seeded with file and offset is its end.
//!
//! ```text
//! | index_len 4 | keys 4 | index | filter | crc32c 4 |
//! ```

use std::ops::Range;

use schemas::ids::Token;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::file_id::FileId;
use super::filter::{Filter, FilterBuilder};
use super::index::{BlockAt, Index, IndexBuilder};
use super::token_range::TokenRange;
use super::top::Entry;
use crate::integrity::checksum;
use crate::limits;
use crate::record::Key;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    index_len: U32,
    keys: U32,
}

/// Bytes of the sum at the end.
const SUM_BYTES: usize = size_of::<u32>();

/// Where a partition is, and what the table's list says of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) at: BlockAt,
    /// Its first token, and the one before the next partition's first.
    pub(super) tokens: TokenRange,
    /// Where its blocks are.
    pub(super) data: Range<u32>,
    pub(super) keys: u32,
}

/// What a table knows of some of its keys without reading their blocks.
///
/// All that a probe of an absent key reads of it but fingerprints is one line of memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Partition {
    filter: Filter,
    index: Index,
}

impl Partition {
    /// Checks and reads the partition at `place` of file `file`, whose bytes are `bytes`; an error
    /// says what is wrong.
    pub(super) fn verify(bytes: &[u8], file: FileId, place: &Place) -> Result<Self, &'static str> {
        let body = bytes.len().checked_sub(SUM_BYTES).ok_or("partition shorter than its sum")?;
        let (body, sum) = bytes.split_at(body);
        if checksum(file.0, place.at.offset, body).to_le_bytes() != sum {
            return Err("partition does not match its sum");
        }
        Self::decode(body, place).ok_or("partition does not fit")
    }

    /// Reads the partition of `place` that fills `body`; `None` unless it is sound.
    pub(super) fn decode(body: &[u8], place: &Place) -> Option<Self> {
        let (head, rest) = Head::ref_from_prefix(body).ok()?;
        let (index, filter) = rest.split_at_checked(head.index_len.get() as usize)?;
        let index = Index::decode(index, place.data.clone())?;
        let filter = Filter::decode(filter)?;
        let last = index.first_token(index.len() - 1);
        let sound = head.keys.get() == place.keys
            && index.first_token(0) == place.tokens.first()
            && last <= place.tokens.last();
        sound.then_some(Self { filter, index })
    }

    /// Whether it may have `key`, whose token is among its own. Never false for a key it has.
    #[inline]
    #[must_use]
    pub fn may_contain(&self, key: &Key<'_>) -> bool {
        self.filter.may_contain(key)
    }

    /// The block that holds `key`, whose token is among its own, if it has the key. Asks no filter.
    #[inline]
    #[must_use]
    pub fn locate(&self, key: &Key<'_>) -> Option<BlockAt> {
        self.index.locate(key)
    }

    /// The block that may hold `key`; `None` if it certainly has not got it.
    #[inline]
    pub(crate) fn probe(&self, key: &Key<'_>) -> Option<BlockAt> {
        if self.may_contain(key) { self.locate(key) } else { None }
    }

    /// Its blocks in order, with the first token of each.
    pub fn blocks(&self) -> impl Iterator<Item = (BlockAt, Token)> {
        self.index.blocks()
    }

    /// The tokens that the block at byte `offset` may have, if one begins there.
    pub(super) fn tokens_at(&self, offset: u64) -> Option<TokenRange> {
        let block = self.blocks().position(|(at, _)| at.offset == offset)?;
        Some(self.index.tokens(block))
    }

    /// The index of its blocks.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Memory that it takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.index.memory_bytes() + self.filter.memory_bytes()
    }
}

/// Collects the partitions of a table that is being written. They are kept until its blocks are
/// written: a few bytes a key.
#[derive(Debug, Default)]
pub(super) struct PartitionsBuilder {
    index: IndexBuilder,
    filter: FilterBuilder,
    keys: u32,
    /// Of the partition that is being filled: its first token, and where its blocks begin.
    first: Option<(Token, u32)>,
    /// Partitions without their sums, one behind the other.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    entries: Vec<Entry>,
}

impl PartitionsBuilder {
    /// Whether a partition is to end before a key with another token than the last one: at
    /// `block_ends` the block that is being filled ends anyway.
    pub(super) fn is_full(&self, block_ends: bool) -> bool {
        let times = if block_ends { 1 } else { 2 };
        self.keys as usize >= times * limits::PARTITION_KEYS_TARGET
            || self.index.len() >= times * limits::PARTITION_BLOCKS_TARGET
    }

    /// Adds a block that begins at `offset` with `first`; `tie` if the block before it ends with
    /// the same token.
    pub(super) fn push_block(&mut self, first: &Key<'_>, offset: u32, tie: bool) {
        self.first.get_or_insert((first.token, offset));
        self.index.push(first, offset, tie);
    }

    /// Adds a key of the last block.
    pub(super) fn push_key(&mut self, key: &Key<'_>) {
        self.keys += 1;
        self.filter.push(key);
    }

    /// Ends a partition, after the last of its blocks. Takes some time.
    ///
    /// `None` if it has more bytes than a number of the list can say.
    pub(super) fn end_partition(&mut self) -> Option<()> {
        let (first, data) = self.first.take().expect("a partition has a block");
        let start = self.bytes.len();
        let head = Head { index_len: 0.into(), keys: self.keys.into() };
        self.bytes.extend_from_slice(head.as_bytes());
        self.index.encode(&mut self.bytes);
        let index_len = self.bytes.len() - start - size_of::<Head>();
        let index_len = u32::try_from(index_len).ok()?;
        self.bytes[start..start + size_of::<u32>()].copy_from_slice(&index_len.to_le_bytes());
        let filtered = self.filter.finish(&mut self.bytes);
        let len = u32::try_from(self.bytes.len() - start + SUM_BYTES).ok()?;
        self.entries.push(Entry {
            first_token: first.0.into(),
            len: len.into(),
            data: data.into(),
            keys: self.keys.into(),
            unfiltered: (if filtered { 0 } else { self.keys }).into(),
        });
        self.ends.push(self.bytes.len());
        self.index.clear();
        self.keys = 0;
        Some(())
    }

    /// What the list of the partitions says, in their order.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Partition `number` without its sum.
    pub(super) fn body(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }
}

#[cfg(test)]
mod tests;

//! [`Top`]: the list of a table's partitions, which is always in memory.
//!
//! ```text
//! | first_token 8 | len 4 | data 4 | keys 4 | unfiltered 4 | x partitions
//! ```
//! `len` are the partition's bytes, its sum included; partitions follow each other from the end of
//! the blocks on. `data` is where its blocks begin: they end where the next one's begin. Of its
//! `keys`, `unfiltered` are in no filter: all or none.

use std::ops::Range;

use schemas::ids::Token;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::index::BlockAt;
use super::partition::Place;
use super::search;
use super::token_range::TokenRange;

/// What the list says of a partition.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) first_token: U64,
    pub(super) len: U32,
    pub(super) data: U32,
    pub(super) keys: U32,
    pub(super) unfiltered: U32,
}

/// What is kept of an entry beside its token.
#[derive(Debug)]
struct Row {
    /// Where the partition begins, from the end of the blocks on.
    at: u32,
    /// Where its blocks begin.
    data: u32,
    keys: u32,
}

/// The list of a table's partitions.
#[derive(Debug)]
pub(super) struct Top {
    first_tokens: Box<[u64]>,
    /// One for each partition, and what would be the next one's.
    rows: Box<[Row]>,
    unfiltered_keys: u64,
}

impl Top {
    /// Reads the list that fills `bytes`, of a table with `data_len` bytes of blocks and
    /// `partitions_len` of partitions; `None` unless it is sound.
    pub(super) fn decode(bytes: &[u8], data_len: u32, partitions_len: u32) -> Option<Self> {
        let entries = <[Entry]>::ref_from_bytes(bytes).ok()?;
        let (mut rows, mut at, mut unfiltered_keys) = (Vec::with_capacity(entries.len() + 1), 0, 0);
        for entry in entries {
            let (keys, unfiltered) = (entry.keys.get(), entry.unfiltered.get());
            if keys == 0 || unfiltered != 0 && unfiltered != keys {
                return None;
            }
            unfiltered_keys += u64::from(unfiltered);
            rows.push(Row { at, data: entry.data.get(), keys });
            at = u32::checked_add(at, entry.len.get())?;
        }
        rows.push(Row { at, data: data_len, keys: 0 });
        let first_tokens: Box<[u64]> = entries.iter().map(|it| it.first_token.get()).collect();
        let sound = at == partitions_len
            && !entries.is_empty()
            && rows[0].data == 0
            && rows.is_sorted_by(|a, b| a.at < b.at && a.data < b.data)
            && first_tokens.is_sorted_by(|a, b| a < b);
        sound.then(|| Self { first_tokens, rows: rows.into(), unfiltered_keys })
    }

    /// How many partitions there are, at least 1.
    pub(super) fn len(&self) -> usize {
        self.first_tokens.len()
    }

    /// The partition that may have keys of `token`; `None` if it is before the first token.
    #[inline]
    pub(super) fn find(&self, token: Token) -> Option<usize> {
        let tokens = &self.first_tokens;
        search::last_at_most(tokens.len(), token.0, |index| tokens[index])
    }

    /// The partitions that may have keys with tokens of `range`.
    pub(super) fn covering(&self, range: TokenRange) -> Range<usize> {
        let end = self.find(range.last()).map_or(0, |last| last + 1);
        self.find(range.first()).unwrap_or(0)..end
    }

    /// The partition whose blocks are around byte `offset` of the file; past the blocks the one
    /// that is there itself, if the last partition begins at or before it.
    pub(super) fn at_offset(&self, offset: u64) -> usize {
        let data_len = self.data(self.len()) as u64;
        let after = match offset.checked_sub(data_len) {
            None => self.rows.partition_point(|row| u64::from(row.data) <= offset),
            Some(at) => self.rows.partition_point(|row| u64::from(row.at) <= at),
        };
        after.saturating_sub(1).min(self.len() - 1)
    }

    /// Where the blocks of partition `number` begin, or all of them end.
    pub(super) fn data(&self, number: usize) -> u32 {
        self.rows[number].data
    }

    /// Keys of partition `number`.
    pub(super) fn keys(&self, number: usize) -> u32 {
        self.rows[number].keys
    }

    /// The tokens that partition `number` may have keys of.
    pub(super) fn tokens(&self, number: usize) -> TokenRange {
        let next = self.first_tokens.get(number + 1);
        let last = next.map_or(u64::MAX, |next| next - 1);
        TokenRange::new(Token(self.first_tokens[number]), Token(last)).expect("they go up")
    }

    /// Where partition `number` is.
    pub(super) fn at(&self, number: usize) -> BlockAt {
        let (row, next) = (&self.rows[number], &self.rows[number + 1]);
        let offset = u64::from(self.data(self.len())) + u64::from(row.at);
        BlockAt { offset, len: next.at - row.at }
    }

    /// Where partition `number` is, and what it has to agree with.
    pub(super) fn place(&self, number: usize) -> Place {
        Place {
            at: self.at(number),
            tokens: self.tokens(number),
            data: self.data(number)..self.data(number + 1),
            keys: self.keys(number),
        }
    }

    /// The partitions from `first` on, up to `end`, that one request of `bytes` bytes reads; at
    /// least one.
    pub(super) fn within(&self, first: usize, end: usize, bytes: usize) -> Range<usize> {
        let start = u64::from(self.rows[first].at);
        let fits = |&number: &usize| u64::from(self.rows[number + 1].at) - start <= bytes as u64;
        first..(first + 1..end).take_while(fits).last().map_or(first + 1, |last| last + 1)
    }

    /// Keys in partitions that say maybe to everything.
    pub(super) fn unfiltered_keys(&self) -> u64 {
        self.unfiltered_keys
    }

    /// Memory that it takes besides itself, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.first_tokens) + size_of_val(&*self.rows)
    }
}

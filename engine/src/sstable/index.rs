//! [`Index`]: which block of a partition may hold a key.
//!
//! Blocks are found by token alone. Where a run of keys with one token goes on in another block,
//! that block is a *tie*, and the index has its whole first key; runs are rare and ties are few.
//!
//! ```text
//! | blocks 4 | ties 4 | first_token 8 x blocks | offset 4 x blocks |
//! | tie: block 4 | namespace 4 | key_len 2 | key | x ties
//! ```
//! Blocks are packed: each ends where the next begins, the last where the next partition's begin.

use std::ops::Range;

use schemas::ids::{NamespaceId, Token};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::search;
use super::token_range::TokenRange;
use crate::env::ALIGN;
use crate::limits;
use crate::record::Key;

/// Where a block, or a partition, is in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockAt {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes; of a block at most [`limits::BLOCK_BYTES_MAX`].
    pub len: u32,
}

impl BlockAt {
    /// The byte after its last.
    #[inline]
    #[must_use]
    pub fn end(self) -> u64 {
        self.offset + u64::from(self.len)
    }

    /// What to read for it: the aligned offset and length of the pages that hold it.
    #[inline]
    #[must_use]
    pub fn cover(self) -> (u64, usize) {
        let start = self.offset - self.offset % ALIGN as u64;
        let len = (self.offset - start) as usize + self.len as usize;
        (start, len.next_multiple_of(ALIGN))
    }

    /// Its bytes in what was read for it; `None` if that is too short.
    #[inline]
    #[must_use]
    pub fn in_cover(self, cover: &[u8]) -> Option<&[u8]> {
        let start = (self.offset % ALIGN as u64) as usize;
        cover.get(start..start + self.len as usize)
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    blocks: U32,
    ties: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TieHead {
    block: U32,
    namespace: U32,
    key_len: U16,
}

/// A block that begins within a run of keys of one token.
#[derive(Debug)]
struct Tie {
    block: u32,
    namespace: NamespaceId,
    key: Box<[u8]>,
}

/// Which block of a partition may hold a key.
#[derive(Debug)]
pub(super) struct Index {
    first_tokens: Box<[u64]>,
    /// Where each block begins, and where the last one ends.
    offsets: Box<[u32]>,
    ties: Box<[Tie]>,
}

impl Index {
    /// Reads the index that fills `bytes`, of a partition whose blocks are at `data`; `None` unless
    /// it is sound.
    pub(super) fn decode(bytes: &[u8], data: Range<u32>) -> Option<Self> {
        let (head, rest) = Head::ref_from_prefix(bytes).ok()?;
        let blocks = head.blocks.get() as usize;
        let (tokens, rest) = <[U64]>::ref_from_prefix_with_elems(rest, blocks).ok()?;
        let (starts, rest) = <[U32]>::ref_from_prefix_with_elems(rest, blocks).ok()?;
        let first_tokens: Box<[u64]> = tokens.iter().map(|it| it.get()).collect();
        let offsets: Box<[u32]> = starts.iter().map(|it| it.get()).chain([data.end]).collect();
        let packed = offsets
            .windows(2)
            .all(|two| two[0] < two[1] && (two[1] - two[0]) as usize <= limits::BLOCK_BYTES_MAX);
        if blocks == 0 || offsets[0] != data.start || !packed || !first_tokens.is_sorted() {
            return None;
        }
        let ties = decode_ties(rest, head.ties.get() as usize, &first_tokens)?;
        Some(Self { first_tokens, offsets, ties })
    }

    /// Where block `index` is.
    pub(super) fn block(&self, index: usize) -> BlockAt {
        let (start, end) = (self.offsets[index], self.offsets[index + 1]);
        BlockAt { offset: start.into(), len: end - start }
    }

    /// The blocks, each with its first token.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (BlockAt, Token)> {
        let tokens = self.first_tokens.iter().enumerate();
        tokens.map(|(index, &token)| (self.block(index), Token(token)))
    }

    /// The first token of block `index`.
    pub(super) fn first_token(&self, index: usize) -> Token {
        Token(self.first_tokens[index])
    }

    /// The tokens that block `index` may have: of the last one all from its first on.
    pub(super) fn tokens(&self, index: usize) -> TokenRange {
        let last = self.first_tokens.get(index + 1).copied().unwrap_or(u64::MAX);
        TokenRange::new(self.first_token(index), Token(last)).expect("they are sorted")
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.first_tokens.len()
    }

    /// Memory that it takes besides itself, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let keys: usize = self.ties.iter().map(|tie| size_of::<Tie>() + tie.key.len()).sum();
        size_of_val(&*self.first_tokens) + size_of_val(&*self.offsets) + keys
    }

    /// The block that holds `key` if any does.
    #[inline]
    pub(super) fn locate(&self, key: &Key<'_>) -> Option<BlockAt> {
        if !self.ties.is_empty()
            && let Some(block) = self.locate_in_run(key)
        {
            return Some(self.block(block));
        }
        let tokens = &self.first_tokens;
        let last = search::last_at_most(tokens.len(), key.token.0, |index| tokens[index])?;
        Some(self.block(last))
    }

    /// The first block that may hold `token` or a greater one.
    pub(super) fn lower_bound(&self, token: Token) -> usize {
        self.first_tokens.partition_point(|&it| it < token.0).saturating_sub(1)
    }

    /// How many blocks, from the first, may hold `token` or a lesser one.
    pub(super) fn upper_bound(&self, token: Token) -> usize {
        self.first_tokens.partition_point(|&it| it <= token.0)
    }

    /// The block that holds `key` if its token is that of a tie.
    fn locate_in_run(&self, key: &Key<'_>) -> Option<usize> {
        let token = |tie: &Tie| self.first_tokens[tie.block as usize];
        let at_most = |tie: &Tie| {
            (token(tie), tie.namespace, &*tie.key) <= (key.token.0, key.namespace, key.bytes)
        };
        let after = self.ties.partition_point(at_most);
        let same_run = |tie: &&Tie| token(tie) == key.token.0;
        let before = after.checked_sub(1).map(|index| &self.ties[index]).filter(same_run);
        match before {
            Some(tie) => Some(tie.block as usize),
            // The run begins in the block before its first tie.
            None => self.ties.get(after).filter(same_run).map(|tie| tie.block as usize - 1),
        }
    }
}

fn decode_ties(mut rest: &[u8], count: usize, first_tokens: &[u64]) -> Option<Box<[Tie]>> {
    // A tie takes more than its head: so many bytes bound so much memory.
    if count > rest.len() / size_of::<TieHead>() {
        return None;
    }
    let mut ties: Vec<Tie> = Vec::with_capacity(count);
    for _ in 0..count {
        let (head, after) = TieHead::ref_from_prefix(rest).ok()?;
        let (key, after) = after.split_at_checked(head.key_len.get().into())?;
        let block = head.block.get();
        let follows = ties.last().is_none_or(|before| before.block < block);
        if !follows || block == 0 || block as usize >= first_tokens.len() {
            return None;
        }
        ties.push(Tie { block, namespace: NamespaceId(head.namespace.get()), key: key.into() });
        rest = after;
    }
    // Where a tie is missing or too many, a search would go astray.
    let mut tied = ties.iter().map(|tie| tie.block as usize).peekable();
    for block in 1..first_tokens.len() {
        let is_tie = tied.next_if_eq(&block).is_some();
        if first_tokens[block - 1] == first_tokens[block] && !is_tie {
            return None;
        }
    }
    let sorted = ties.is_sorted_by(|a, b| {
        let place = |tie: &Tie| (first_tokens[tie.block as usize], tie.namespace);
        (place(a), &a.key) < (place(b), &b.key)
    });
    (rest.is_empty() && sorted).then(|| ties.into())
}

/// Collects the indexes of a table that is being written, one partition after the other.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    first_tokens: Vec<u64>,
    offsets: Vec<u32>,
    ties: Vec<u8>,
    tie_count: u32,
}

impl IndexBuilder {
    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds a block that begins at `offset` with `first`; `tie` if the block before it ends with
    /// the same token.
    pub(super) fn push(&mut self, first: &Key<'_>, offset: u32, tie: bool) {
        if tie {
            let head = TieHead {
                block: u32::try_from(self.offsets.len()).expect("fewer than bytes").into(),
                namespace: first.namespace.0.into(),
                key_len: u16::try_from(first.bytes.len()).expect("a key within its limit").into(),
            };
            self.ties.extend_from_slice(head.as_bytes());
            self.ties.extend_from_slice(first.bytes);
            self.tie_count += 1;
        }
        self.first_tokens.push(first.token.0);
        self.offsets.push(offset);
    }

    /// Puts the index behind `out`, as it stands in the file.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let blocks = u32::try_from(self.offsets.len()).expect("fewer than bytes");
        let head = Head { blocks: blocks.into(), ties: self.tie_count.into() };
        out.extend_from_slice(head.as_bytes());
        out.extend(self.first_tokens.iter().flat_map(|it| it.to_le_bytes()));
        out.extend(self.offsets.iter().flat_map(|it| it.to_le_bytes()));
        out.extend_from_slice(&self.ties);
    }

    /// Forgets all blocks, for the next partition.
    pub(super) fn clear(&mut self) {
        self.first_tokens.clear();
        self.offsets.clear();
        self.ties.clear();
        self.tie_count = 0;
    }
}

//! [`TableScan`]: the records of a table in order, read from the disk in large requests.
//!
//! - Records come in the order of their keys, or an error does.
//! - Blocks go around the cache: what a compaction reads once must not push out what readers need.
//! - A request is under way while the blocks of the one before are looked at. The first is small,
//!   for whoever wants a few records; each is twice as long as the one before.

use std::io;

use schemas::ids::Token;

use super::block::{Block, Shape};
use super::error::TableError;
use super::table::{Table, covers};
use super::token_range::TokenRange;
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Env, File};
use crate::limits::{BACKGROUND_IO_BYTES_MAX, SCAN_IO_BYTES_FIRST};
use crate::record::Record;
use crate::sequential::{Begun, begin};

/// The visible records of a table with tokens of a range, in order.
pub struct TableScan<E: Env> {
    env: E,
    table: Table<E>,
    last: Token,
    /// The block that holds the current record; `None` at the end.
    block: Option<Loaded>,
    /// The next block.
    next: usize,
    /// Where the scan ends.
    blocks_end: usize,
    /// Blocks up to `span.end` were read.
    span: Span,
    ahead: Option<Ahead>,
    /// The length of the next request, about.
    request_bytes: usize,
}

/// A block, and the record that a scan is at in it.
struct Loaded {
    block: Block,
    shape: Shape,
    entry: usize,
    /// The entry after the last that is wanted.
    end: usize,
}

impl Loaded {
    /// Goes on to the first record, from the one it is at, that is not in `hidden`; whether there
    /// is one in the block.
    #[inline]
    fn skip_hidden(&mut self, hidden: &[TokenRange]) -> bool {
        if !hidden.is_empty() {
            let token = |entry| self.block.record_in(&self.shape, entry).key.token;
            let seen = (self.entry..self.end).find(|&entry| !covers(hidden, token(entry)));
            self.entry = seen.unwrap_or(self.end);
        }
        self.entry < self.end
    }
}

/// Whole blocks, and the pages of the file that hold them.
#[derive(Default)]
struct Span {
    /// The block after the last.
    end: usize,
    /// Where the pages begin in the file.
    at: u64,
    pages: AlignedBuf,
}

/// A span that is being read.
struct Ahead {
    end: usize,
    at: u64,
    reading: Begun<io::Result<AlignedBuf>>,
}

impl<E: Env> TableScan<E> {
    /// Starts at the first record of `table` with a token of `range` that can be seen.
    ///
    /// # Errors
    /// As for [`TableScan::advance`].
    pub async fn new(env: &E, table: &Table<E>, range: TokenRange) -> Result<Self, TableError> {
        let index = &table.contents.index;
        let range = table.range.and_then(|it| it.intersection(range));
        let (next, blocks_end, first, last) = match range.map(|it| (it.first(), it.last())) {
            Some((first, last)) => (index.lower_bound(first), index.upper_bound(last), first, last),
            None => (0, 0, Token(0), Token(0)),
        };
        let (env, table, span) =
            (env.clone(), table.clone(), Span { end: next, ..Span::default() });
        let (block, ahead, request_bytes) = (None, None, SCAN_IO_BYTES_FIRST);
        let mut scan =
            Self { env, table, last, block, next, blocks_end, span, ahead, request_bytes };
        scan.next_block().await?;
        while let Some(loaded) = &mut scan.block {
            loaded.entry = loaded.entry.max(loaded.block.lower_bound(first));
            if loaded.skip_hidden(&scan.table.hidden) {
                break;
            }
            scan.next_block().await?;
        }
        Ok(scan)
    }

    /// The record it is at; `None` at the end.
    #[inline]
    #[must_use]
    pub fn current(&self) -> Option<Record<'_>> {
        let Loaded { block, shape, entry, .. } = self.block.as_ref()?;
        Some(block.record_in(shape, *entry))
    }

    /// Goes to the next record if that is in the same block; whether it is.
    #[inline]
    pub fn advance_within_block(&mut self) -> bool {
        let Some(loaded) = self.block.as_mut().filter(|it| it.entry + 1 < it.end) else {
            return false;
        };
        loaded.entry += 1;
        loaded.skip_hidden(&self.table.hidden)
    }

    /// Goes to the next record.
    ///
    /// # Errors
    /// The disk refuses, or a block is not what was written.
    #[inline]
    pub async fn advance(&mut self) -> Result<(), TableError> {
        if self.advance_within_block() {
            return Ok(());
        }
        self.next_block().await
    }

    /// Goes to the first record that can be seen of the blocks to come.
    async fn next_block(&mut self) -> Result<(), TableError> {
        loop {
            self.load_block().await?;
            let hidden = &self.table.hidden;
            if self.block.as_mut().is_none_or(|loaded| loaded.skip_hidden(hidden)) {
                return Ok(());
            }
        }
    }

    async fn load_block(&mut self) -> Result<(), TableError> {
        self.env.pause().await;
        let before = self.block.take();
        if self.next >= self.blocks_end {
            return Ok(());
        }
        if self.next == self.span.end {
            self.next_span().await?;
        }
        let at = self.table.contents.index.block(self.next);
        let skip = (at.offset - self.span.at) as usize;
        let bytes = self.span.pages.get(skip..skip + at.len as usize).ok_or("file ends in a block");
        let block = bytes.and_then(|it| self.table.contents.verify(at, it));
        let block = block.and_then(|block| match &before {
            Some(Loaded { block: before, .. }) if before.last_key() >= block.record(0).key => {
                Err("block out of order")
            }
            _ => Ok(block),
        });
        let block = block.map_err(|what| self.table.corrupt(at, what))?;
        let (shape, end) = (block.shape(), block.upper_bound(self.last));
        self.next += 1;
        self.block = (end > 0).then_some(Loaded { block, shape, entry: 0, end });
        Ok(())
    }

    /// Takes the span that was read ahead, or reads one, and begins to read the one after it: not
    /// after the first, which may be all that is wanted.
    async fn next_span(&mut self) -> Result<(), TableError> {
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.read_from(self.next).await,
        };
        let is_first = self.span.pages.is_empty();
        let pages = ahead.reading.await;
        let pages = pages.map_err(TableError::io("cannot read", &self.table.contents.path))?;
        self.span = Span { end: ahead.end, at: ahead.at, pages };
        if !is_first && ahead.end < self.blocks_end {
            self.ahead = Some(self.read_from(ahead.end).await);
        }
        Ok(())
    }

    /// Begins to read a request's worth of blocks, at least one, from `block` on.
    async fn read_from(&mut self, block: usize) -> Ahead {
        let contents = &self.table.contents;
        let page = ALIGN as u64;
        let at = contents.index.block(block).offset / page * page;
        let end_of = |block| contents.index.block(block).end();
        let fits = |&block: &usize| end_of(block) - at <= self.request_bytes as u64;
        let more = (block + 1..self.blocks_end).take_while(fits).count();
        let end = block + 1 + more;
        let len = (end_of(end - 1) - at).next_multiple_of(page) as usize;
        self.request_bytes = (2 * self.request_bytes).min(BACKGROUND_IO_BYTES_MAX);
        let file = contents.file.clone();
        let reading = begin(async move { file.read_at(at, len).await }).await;
        Ahead { end, at, reading }
    }
}

//! [`TableScan`]: the records of a table in order, read from the disk in large requests.
//!
//! - Records come in the order of their keys, or an error does.
//! - Blocks go around the cache: what a compaction reads once must not push out what readers need.

use schemas::ids::Token;

use super::block::Block;
use super::error::TableError;
use super::table::Table;
use super::token_range::TokenRange;
use crate::env::Env;
use crate::limits::BACKGROUND_IO_BYTES_MAX;
use crate::record::Record;
use crate::sequential::read_span;

/// The visible records of a table with tokens of a range, in order.
pub struct TableScan<E: Env> {
    env: E,
    table: Table<E>,
    last: Token,
    /// The block that holds the current record, and the record's index in it; `None` at the end.
    block: Option<Block>,
    entry: usize,
    /// Blocks from here to `blocks_end` are still to come.
    next: usize,
    blocks_end: usize,
    /// Bytes of the file that were read ahead, and where they begin.
    ahead: Vec<u8>,
    ahead_at: u64,
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
        let (env, table) = (env.clone(), table.clone());
        let (ahead, ahead_at) = (Vec::new(), 0);
        let (block, entry) = (None, 0);
        let mut scan = Self { env, table, last, block, entry, next, blocks_end, ahead, ahead_at };
        loop {
            scan.next_block().await?;
            let Some(block) = &scan.block else { break };
            scan.entry = block.lower_bound(first);
            if scan.entry < block.len() {
                break;
            }
        }
        Ok(scan)
    }

    /// The record it is at; `None` at the end.
    #[inline]
    #[must_use]
    pub fn current(&self) -> Option<Record<'_>> {
        let record = self.block.as_ref()?.record(self.entry);
        (record.key.token <= self.last).then_some(record)
    }

    /// Goes to the next record.
    ///
    /// # Errors
    /// The disk refuses, or a block is not what was written.
    #[inline]
    pub async fn advance(&mut self) -> Result<(), TableError> {
        self.entry += 1;
        match &self.block {
            Some(block) if self.entry < block.len() => Ok(()),
            _ => self.next_block().await,
        }
    }

    async fn next_block(&mut self) -> Result<(), TableError> {
        self.env.pause().await;
        self.entry = 0;
        let before = self.block.take();
        if self.next >= self.blocks_end {
            return Ok(());
        }
        let at = self.table.contents.index.block(self.next);
        let len = at.len as usize;
        let skip = usize::try_from(at.offset.wrapping_sub(self.ahead_at)).unwrap_or(usize::MAX);
        if self.ahead.get(skip..).is_none_or(|rest| rest.len() < len) {
            self.read_ahead(at.offset, len).await?;
        }
        let skip = (at.offset - self.ahead_at) as usize;
        let bytes = self.ahead.get(skip..skip + len).ok_or("file ends in a block");
        let block = bytes.and_then(|it| self.table.contents.verify(at, it));
        let block = block.and_then(|block| match &before {
            Some(before) if before.last_key() >= block.record(0).key => Err("block out of order"),
            _ => Ok(block),
        });
        self.block = Some(block.map_err(|what| self.table.corrupt(at, what))?);
        self.next += 1;
        Ok(())
    }

    /// Reads at least the `len` bytes from `offset` on: a request's worth, if the scan goes that
    /// far.
    async fn read_ahead(&mut self, offset: u64, len: usize) -> Result<(), TableError> {
        let contents = &self.table.contents;
        let last = contents.index.block(self.blocks_end - 1);
        let left = (last.offset + u64::from(last.len) - offset) as usize;
        // From the middle of a page on, a request holds that much less.
        let room = BACKGROUND_IO_BYTES_MAX - at_page(offset);
        let want = left.min(room).max(len);
        let read = read_span(&contents.file, offset, want).await;
        self.ahead = read.map_err(TableError::io("cannot read", &contents.path))?;
        self.ahead_at = offset;
        Ok(())
    }
}

fn at_page(offset: u64) -> usize {
    (offset % crate::env::ALIGN as u64) as usize
}

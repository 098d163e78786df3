//! [`TableScan`]: the records of a table in order, read from the disk in large requests.
//!
//! - Records come in the order of their keys, or an error does.
//! - Blocks and partitions go around what is kept in memory: what a compaction reads once must not
//!   push out what readers need. Of a damaged block the partition is kept: it tells what is lost.
//! - A request is under way while the blocks of the one before are looked at. The first is small,
//!   for whoever wants a few records; each is twice as long as the one before.

use std::io;
use std::ops::Range;
use std::rc::Rc;

use schemas::ids::Token;

use super::block::{Block, Shape};
use super::error::TableError;
use super::index::BlockAt;
use super::partition::Partition;
use super::partition_walk::PartitionWalk;
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
    /// The block that holds the current record; `None` at the end.
    block: Option<Loaded>,
    places: Places<E>,
    span: Span,
    ahead: Option<Result<Option<Ahead>, TableError>>,
    /// The length of the next request, about.
    request_bytes: usize,
}

/// Where the blocks to come are, but for those of which nothing can be seen.
struct Places<E: Env> {
    table: Table<E>,
    partitions: PartitionWalk<E>,
    /// The partition that is being gone through, its number, and its blocks to come.
    at: Option<(Rc<Partition>, usize, Range<usize>)>,
    first: Token,
    last: Token,
    /// Why there are no more. It is told where they would come.
    failed: Option<TableError>,
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

/// Neighbouring blocks, and the pages of the file that hold them.
#[derive(Default)]
struct Span {
    blocks: std::vec::IntoIter<BlockAt>,
    /// Where the pages begin in the file.
    at: u64,
    pages: AlignedBuf,
}

/// A span that is being read.
struct Ahead {
    blocks: Vec<BlockAt>,
    at: u64,
    reading: Begun<io::Result<AlignedBuf>>,
}

impl<E: Env> Places<E> {
    fn new(table: &Table<E>, range: Option<TokenRange>) -> Self {
        let contents = &table.contents;
        let numbers = range.map_or(0..0, |range| contents.top.covering(range));
        let (first, last) = range.map_or_else(Default::default, |it| (it.first(), it.last()));
        let partitions = PartitionWalk::new(contents, numbers);
        Self { table: table.clone(), partitions, at: None, first, last, failed: None }
    }

    /// The next block; `None` at the end.
    async fn next(&mut self) -> Result<Option<BlockAt>, TableError> {
        loop {
            if let Some((partition, number, blocks)) = &mut self.at {
                let is_seen = |block: &usize| self.table.shows_block(*number, partition, *block);
                if let Some(block) = blocks.find(is_seen) {
                    return Ok(Some(partition.index().block(block)));
                }
            }
            self.at = None;
            self.partitions.skip_while(|number| !self.table.shows_partition(number));
            let number = self.partitions.next_number();
            let Some(partition) = self.partitions.next().await? else { return Ok(None) };
            let index = partition.index();
            let blocks = index.lower_bound(self.first)..index.upper_bound(self.last);
            self.at = Some((partition, number, blocks));
        }
    }

    /// Puts back what [`Places::next`] has given last.
    fn put_back(&mut self) {
        let (_, _, blocks) = self.at.as_mut().expect("it gave one");
        blocks.start -= 1;
    }

    /// A request's worth of blocks, about `bytes` from the page of the first on, at least one;
    /// none at the end. What cannot be told behind the first is told the next time.
    async fn request(&mut self, bytes: usize) -> Result<Vec<BlockAt>, TableError> {
        let mut blocks: Vec<BlockAt> = Vec::new();
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        loop {
            let next = self.next().await;
            let start = blocks.first().map(|first| first.cover().0);
            match (next, start) {
                (Ok(None), _) => return Ok(blocks),
                (Ok(Some(at)), Some(start)) if at.end() - start > bytes as u64 => {
                    self.put_back();
                    return Ok(blocks);
                }
                (Ok(Some(at)), _) => blocks.push(at),
                (Err(error), None) => return Err(error),
                (Err(error), Some(_)) => {
                    self.failed = Some(error);
                    return Ok(blocks);
                }
            }
        }
    }
}

impl<E: Env> TableScan<E> {
    /// Starts at the first record of `table` with a token of `range` that can be seen.
    ///
    /// # Errors
    /// As for [`TableScan::advance`].
    pub async fn new(env: &E, table: &Table<E>, range: TokenRange) -> Result<Self, TableError> {
        let range = table.range.and_then(|it| it.intersection(range));
        let places = Places::new(table, range);
        let first = places.first;
        let mut scan = Self {
            env: env.clone(),
            table: table.clone(),
            block: None,
            places,
            span: Span::default(),
            ahead: None,
            request_bytes: SCAN_IO_BYTES_FIRST,
        };
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
        let Some(at) = self.next_place().await? else { return Ok(()) };
        let skip = (at.offset - self.span.at) as usize;
        let bytes = self.span.pages.get(skip..skip + at.len as usize).ok_or("file ends in a block");
        let block = bytes.and_then(|it| self.table.contents.verify(at, it));
        let block = block.and_then(|block| match &before {
            Some(Loaded { block: before, .. }) if before.last_key() >= block.record(0).key => {
                Err("block out of order")
            }
            _ => Ok(block),
        });
        let block = match block {
            Ok(block) => block,
            Err(what) => return Err(self.table.found_corrupt(at, what).await.into()),
        };
        let (shape, end) = (block.shape(), block.upper_bound(self.places.last));
        self.block = (end > 0).then_some(Loaded { block, shape, entry: 0, end });
        Ok(())
    }

    /// The next block, whose pages are those of the span; `None` at the end.
    async fn next_place(&mut self) -> Result<Option<BlockAt>, TableError> {
        if let Some(at) = self.span.blocks.next() {
            return Ok(Some(at));
        }
        // The first span may be all that is wanted: none is read ahead of it.
        let is_first = self.span.pages.is_empty();
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead?,
            None => self.read_next().await?,
        };
        let Some(Ahead { blocks, at, reading }) = ahead else { return Ok(None) };
        let pages = reading.await;
        let pages = pages.map_err(TableError::io("cannot read", &self.table.contents.path))?;
        self.span = Span { blocks: blocks.into_iter(), at, pages };
        if !is_first {
            self.ahead = Some(self.read_next().await);
        }
        Ok(self.span.blocks.next())
    }

    /// Begins to read the next request's worth of blocks; `None` at the end.
    async fn read_next(&mut self) -> Result<Option<Ahead>, TableError> {
        let blocks = self.places.request(self.request_bytes).await?;
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(None) };
        let (at, page) = (first.cover().0, ALIGN as u64);
        let len = (last.end() - at).next_multiple_of(page) as usize;
        self.request_bytes = (2 * self.request_bytes).min(BACKGROUND_IO_BYTES_MAX);
        let file = self.table.contents.file.clone();
        let reading = begin(async move { file.read_at(at, len).await }).await;
        Ok(Some(Ahead { blocks, at, reading }))
    }
}

//! Checking a table that lies there: every block is read and checked, whether anybody asks for it
//! or not, so that damage is found while other copies are whole.

use std::ops::Range;

use super::error::TableError;
use super::index::BlockAt;
use super::table::Table;
use crate::env::Env;
use crate::integrity::Corrupt;
use crate::limits::BACKGROUND_IO_BYTES_MAX;
use crate::sequential::read_span;

/// Some neighbouring blocks, checked.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Bytes that were read.
    pub(crate) bytes: u64,
    /// Blocks that are not what was written.
    pub(crate) damaged: Vec<Corrupt>,
    /// The number of the block after them; `None` if they were the last.
    pub(crate) next: Option<usize>,
}

impl<E: Env> Table<E> {
    /// Reads what is around the blocks once more, and checks it.
    ///
    /// # Errors
    /// As of [`Table::open`].
    pub(crate) async fn check_around(&self, env: &E) -> Result<(), TableError> {
        let dir = self.path().rsplit_once('/').map_or("", |(dir, _)| dir);
        Self::open(env, dir, self.id(), super::TokenRange::ALL).await.map(drop)
    }

    /// Reads the blocks from number `from` on, as many as one request holds, and checks them. Those
    /// outside the visible range are passed over: nobody reads them any more.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) async fn check_blocks(&self, env: &E, from: usize) -> Result<Checked, TableError> {
        let index = &self.contents.index;
        let seen = self.range.map(|it| index.lower_bound(it.first())..index.upper_bound(it.last()));
        let Range { start: first, end: all } = seen.unwrap_or(0..0);
        let first = first.max(from);
        if first >= all {
            return Ok(Checked { bytes: 0, damaged: Vec::new(), next: None });
        }
        let start = index.block(first).offset;
        let end = |at: BlockAt| (at.offset + u64::from(at.len) - start) as usize;
        let fits = |number: &usize| end(index.block(*number)) <= BACKGROUND_IO_BYTES_MAX;
        let after = (first + 1..all).take_while(fits).last().map_or(first + 1, |it| it + 1);
        let len = end(index.block(after - 1));
        let read = read_span(&self.contents.file, start, len).await;
        let bytes = read.map_err(TableError::io("cannot read", self.path()))?;
        let mut damaged = Vec::new();
        for number in first..after {
            let at = index.block(number);
            let from = (at.offset - start) as usize;
            let block = bytes.get(from..from + at.len as usize).ok_or("file ends in a block");
            if let Err(what) = block.and_then(|block| self.contents.verify(at, block)) {
                damaged.push(self.corrupt(at, what));
            }
            env.pause().await;
        }
        let next = (after < all).then_some(after);
        Ok(Checked { bytes: bytes.len() as u64, damaged, next })
    }
}

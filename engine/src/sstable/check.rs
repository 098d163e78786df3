//! Checking a table that lies there: every partition and every block is read and checked, whether
//! anybody asks for it or not, so that damage is found while other copies are whole.

use std::rc::Rc;

use super::error::TableError;
use super::index::BlockAt;
use super::partition::Partition;
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
    /// Places that are not what was written.
    pub(crate) damaged: Vec<Corrupt>,
    /// Where the block after them begins; `None` if they were the last.
    pub(crate) next: Option<u64>,
}

impl<E: Env> Table<E> {
    /// Reads what is around blocks and partitions once more, and checks it. Says how many bytes
    /// that were.
    ///
    /// # Errors
    /// As of [`Table::open`].
    pub(crate) async fn check_around(&self, env: &E) -> Result<u64, TableError> {
        let dir = self.path().rsplit_once('/').map_or("", |(dir, _)| dir);
        Self::open(env, dir, self.id(), super::TokenRange::ALL).await?;
        Ok(self.file_bytes() - self.layout().top.offset)
    }

    /// Reads the blocks from the one at byte `from` on, as many of one partition as one request
    /// holds, and checks them; before the first of a partition, that as well. Those of which
    /// nothing can be seen are passed over: nobody reads them any more.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) async fn check_blocks(&self, env: &E, from: u64) -> Result<Checked, TableError> {
        let mut checked = Checked { bytes: 0, damaged: Vec::new(), next: None };
        if from >= self.layout().data_bytes {
            return Ok(checked);
        }
        let top = &self.contents.top;
        let partitions = top.at_offset(from)..top.len();
        let mut seen = partitions.filter(|&number| self.shows_partition(number));
        let Some(number) = seen.next() else { return Ok(checked) };
        let is_begun = from > u64::from(top.data(number));
        let partition = match self.checked_partition(number, is_begun, &mut checked).await {
            Ok(partition) => Some(partition),
            Err(TableError::Corrupt(corrupt)) => {
                checked.damaged.push(corrupt);
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(partition) = partition {
            let index = partition.index();
            let blocks = (0..index.len()).filter(|&it| self.shows_block(number, &partition, it));
            let blocks = blocks.map(|block| index.block(block)).filter(|it| it.offset >= from);
            let blocks: Vec<BlockAt> = blocks.collect();
            let after = self.check_some(env, &blocks, &mut checked).await?;
            if let Some(next) = blocks.get(after) {
                checked.next = Some(next.offset);
                return Ok(checked);
            }
        }
        checked.next = seen.next().map(|number| top.data(number).into());
        Ok(checked)
    }

    /// Partition `number` as it is on the disk, or, if its blocks are being gone through, from
    /// memory if it is there.
    async fn checked_partition(
        &self,
        number: usize,
        is_begun: bool,
        checked: &mut Checked,
    ) -> Result<Rc<Partition>, TableError> {
        if is_begun {
            return self.read_partition(number).await;
        }
        let at = self.partition_at(number);
        checked.bytes += u64::from(at.len);
        let read = read_span(&self.contents.file, at.offset, at.len as usize).await;
        let bytes = read.map_err(TableError::io("cannot read", self.path()))?;
        let bytes = Some(&*bytes).filter(|bytes| bytes.len() == at.len as usize);
        Ok(Rc::new(self.contents.verify_partition(number, bytes)?))
    }

    /// Checks the first of `blocks`, which are in order, as many as one request holds. Returns how
    /// many that were.
    async fn check_some(
        &self,
        env: &E,
        blocks: &[BlockAt],
        checked: &mut Checked,
    ) -> Result<usize, TableError> {
        let Some(first) = blocks.first() else { return Ok(0) };
        let len_upto = |block: &BlockAt| (block.end() - first.offset) as usize;
        let fits = |block: &&BlockAt| len_upto(block) <= BACKGROUND_IO_BYTES_MAX;
        let blocks = &blocks[..blocks.iter().take_while(fits).count().max(1)];
        let len = len_upto(&blocks[blocks.len() - 1]);
        let read = read_span(&self.contents.file, first.offset, len).await;
        let bytes = read.map_err(TableError::io("cannot read", self.path()))?;
        checked.bytes += bytes.len() as u64;
        for &at in blocks {
            let from = (at.offset - first.offset) as usize;
            let block = bytes.get(from..from + at.len as usize).ok_or("file ends in a block");
            if let Err(what) = block.and_then(|block| self.contents.verify(at, block)) {
                checked.damaged.push(self.found_corrupt(at, what).await);
            }
            env.pause().await;
        }
        Ok(blocks.len())
    }
}

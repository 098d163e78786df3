//! Checking a table that lies there: every partition and every block is read and checked, whether
//! anybody asks for it or not, so that damage is found while other copies are whole.

use std::rc::Rc;

use super::error::TableError;
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
    /// holds, and checks them; before the first of a partition, that as well. Those outside the
    /// visible range are passed over: nobody reads them any more.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) async fn check_blocks(&self, env: &E, from: u64) -> Result<Checked, TableError> {
        let mut checked = Checked { bytes: 0, damaged: Vec::new(), next: None };
        let (top, range) = (&self.contents.top, self.range());
        let Some((range, numbers)) = range.map(|range| (range, top.covering(range))) else {
            return Ok(checked);
        };
        let number = top.at_offset(from).max(numbers.start);
        if number >= numbers.end || from >= self.layout().data_bytes {
            return Ok(checked);
        }
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
            let end = index.upper_bound(range.last());
            let first = (index.lower_bound(range.first())..end)
                .find(|&block| index.block(block).offset >= from);
            if let Some(first) = first {
                let after = self.check_some(env, &partition, first, end, &mut checked).await?;
                if after < end {
                    checked.next = Some(index.block(after).offset);
                    return Ok(checked);
                }
            }
        }
        checked.next = (number + 1 < numbers.end).then(|| top.data(number + 1).into());
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

    /// Checks the blocks of `partition` from number `first` on, up to `end`, as many as one request
    /// holds. Returns the number of the one after them.
    async fn check_some(
        &self,
        env: &E,
        partition: &Partition,
        first: usize,
        end: usize,
        checked: &mut Checked,
    ) -> Result<usize, TableError> {
        let index = partition.index();
        let start = index.block(first).offset;
        let len_upto = |number: usize| (index.block(number).end() - start) as usize;
        let fits = |number: &usize| len_upto(*number) <= BACKGROUND_IO_BYTES_MAX;
        let after = (first + 1..end).take_while(fits).last().map_or(first + 1, |it| it + 1);
        let read = read_span(&self.contents.file, start, len_upto(after - 1)).await;
        let bytes = read.map_err(TableError::io("cannot read", self.path()))?;
        checked.bytes += bytes.len() as u64;
        for number in first..after {
            let at = index.block(number);
            let from = (at.offset - start) as usize;
            let block = bytes.get(from..from + at.len as usize).ok_or("file ends in a block");
            if let Err(what) = block.and_then(|block| self.contents.verify(at, block)) {
                checked.damaged.push(self.corrupt(at, what));
            }
            env.pause().await;
        }
        Ok(after)
    }
}

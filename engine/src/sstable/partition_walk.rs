//! [`PartitionWalk`]: the partitions of a table in order, for those who pass through: scans,
//! compactions, checks. What they read is not kept in memory for others.
//!
//! A request brings several, the first of a walk or after a jump one; those that are in memory are
//! not read.

use std::ops::Range;
use std::rc::Rc;

use super::error::TableError;
use super::partition::Partition;
use super::table::Contents;
use crate::env::Env;
use crate::limits::{BACKGROUND_IO_BYTES_MAX, SCAN_IO_BYTES_FIRST};
use crate::sequential::read_span;

/// The partitions of a table in order.
pub(super) struct PartitionWalk<E: Env> {
    contents: Rc<Contents<E>>,
    left: Range<usize>,
    read: Read,
    /// The length of the next request, about.
    request_bytes: usize,
}

/// Some neighbouring partitions as they stand in the file.
#[derive(Default)]
struct Read {
    partitions: Range<usize>,
    /// Where the bytes begin in the file.
    at: u64,
    bytes: Vec<u8>,
}

impl<E: Env> PartitionWalk<E> {
    /// Walks through the partitions `numbers` of the table of `contents`.
    pub(super) fn new(contents: &Rc<Contents<E>>, numbers: Range<usize>) -> Self {
        let read = Read::default();
        Self { contents: Rc::clone(contents), left: numbers, read, request_bytes: 0 }
    }

    /// The number of the next partition.
    pub(super) fn next_number(&self) -> usize {
        self.left.start
    }

    /// Passes over partitions to come until one of which `is_passed` says no.
    pub(super) fn skip_while(&mut self, is_passed: impl Fn(usize) -> bool) {
        while !self.left.is_empty() && is_passed(self.left.start) {
            self.left.start += 1;
        }
    }

    /// The next partition; `None` at the end.
    ///
    /// # Errors
    /// The disk refuses, or the partition is not what was written. The walk can go on behind it.
    pub(super) async fn next(&mut self) -> Result<Option<Rc<Partition>>, TableError> {
        let Some(number) = self.left.next() else { return Ok(None) };
        let contents = &self.contents;
        if let Some(partition) = contents.slots.get(number) {
            return Ok(Some(partition));
        }
        if !self.read.partitions.contains(&number) {
            if number != self.read.partitions.end {
                self.request_bytes = 0;
            }
            let partitions = contents.top.within(number, self.left.end, self.request_bytes);
            let (at, end) = (contents.top.at(number).offset, contents.top.at(partitions.end - 1));
            let len = (end.end() - at) as usize;
            let bytes = read_span(&contents.file, at, len).await;
            let bytes = bytes.map_err(TableError::io("cannot read", &contents.path))?;
            self.read = Read { partitions, at, bytes };
            self.request_bytes =
                (2 * self.request_bytes).clamp(SCAN_IO_BYTES_FIRST, BACKGROUND_IO_BYTES_MAX);
        }
        let at = contents.top.at(number);
        let start = (at.offset - self.read.at) as usize;
        let bytes = self.read.bytes.get(start..start + at.len as usize);
        let partition = contents.verify_partition(number, bytes)?;
        Ok(Some(Rc::new(partition)))
    }
}

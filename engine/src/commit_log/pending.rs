//! Batches on their way to the disk, and the place each of them has.
//!
//! - An entry is taken only if its batch has a place in a segment that exists: what was taken can
//!   be written whatever happens to the space on the disk.
//! - Batches are placed in sequence order, a batch never spans segments, and a segment begins with
//!   the batch that did not fit the one before.
//! - Buffers are made on first need, at most `batches_max`, and used again.

use std::collections::VecDeque;
use std::rc::Rc;

use super::format::{self, ENTRY_HEADER_BYTES, HEADER_BYTES, Kind, Label, Place};
use super::segments::{Segment, Segments};
use super::{AppendError, LogConfig, Sequence};
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Env};

/// A closed batch.
pub(super) struct Batch<F> {
    /// As long as the batch with its padding; the header is still to be written.
    pub(super) buf: AlignedBuf,
    pub(super) label: Label,
    pub(super) segment: Rc<Segment<F>>,
    pub(super) offset: u64,
}

impl<F> Batch<F> {
    /// Writes the header: nothing of the batch changes from here on.
    pub(super) fn finish(&mut self, durable_upto: Sequence) {
        self.label.durable_upto = durable_upto;
        let place = Place { segment: self.segment.id, offset: self.offset };
        format::finish(place, &self.label, &mut self.buf[..self.label.length]);
    }
}

/// The batch that entries go into. Without a buffer its limit is 0 and nothing fits.
#[derive(Default)]
struct OpenBatch {
    buf: AlignedBuf,
    used: usize,
    /// Bytes it may use: the most a batch has, or what is left of its segment.
    limit: usize,
    entries: u32,
}

/// A segment that is in use, and the last batch with entries placed in it.
struct Held<F> {
    segment: Rc<Segment<F>>,
    last: Sequence,
}

/// Batches that were not handed to the disk yet.
pub(super) struct Pending<F> {
    batch_bytes_max: usize,
    buffers_max: usize,
    /// Buffers in existence, wherever they are.
    buffers: usize,
    free: Vec<AlignedBuf>,
    /// The batch that was written last, for the store to read; free when a buffer is needed.
    landed: AlignedBuf,
    open: OpenBatch,
    closed: VecDeque<Batch<F>>,
    /// Of the open batch.
    next: Sequence,
    /// Segments in use, oldest first. The last is where batches are placed.
    held: VecDeque<Held<F>>,
    /// Where the open batch begins in the last segment.
    offset: u64,
}

impl<F> Pending<F> {
    pub(super) fn new(config: &LogConfig, next: Sequence) -> Self {
        Self {
            batch_bytes_max: config.batch_bytes_max,
            buffers_max: config.batches_max,
            buffers: 0,
            free: Vec::new(),
            landed: AlignedBuf::default(),
            open: OpenBatch::default(),
            closed: VecDeque::new(),
            next,
            held: VecDeque::new(),
            offset: 0,
        }
    }

    /// A segment found at start, with batches up to `last` that are still needed.
    pub(super) fn hold(&mut self, segment: Segment<F>, last: Sequence) {
        self.offset = segment.bytes;
        self.held.push_back(Held { segment: Rc::new(segment), last });
    }

    /// Puts an entry of `len` bytes, which `fill` writes, into the open batch.
    #[inline]
    pub(super) fn append<E: Env<File = F>>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
        segments: &Segments<E>,
    ) -> Result<Sequence, AppendError> {
        let framed = ENTRY_HEADER_BYTES + len;
        if self.open.used + framed > self.open.limit {
            self.make_room(len, segments)?;
        }
        let open = &mut self.open;
        let entry = &mut open.buf[open.used..open.used + framed];
        format::begin_entry(entry, len);
        fill(&mut entry[ENTRY_HEADER_BYTES..]);
        open.used += framed;
        open.entries += 1;
        Ok(self.next)
    }

    /// Opens a batch that an entry of `len` bytes fits.
    #[cold]
    fn make_room<E: Env<File = F>>(
        &mut self,
        len: usize,
        segments: &Segments<E>,
    ) -> Result<(), AppendError> {
        let max = self.batch_bytes_max - HEADER_BYTES - ENTRY_HEADER_BYTES;
        if len > max {
            return Err(AppendError::TooLarge { got: len, max });
        }
        self.close();
        self.open(HEADER_BYTES + ENTRY_HEADER_BYTES + len, segments)
    }

    /// Opens a batch in which at least `bytes` have a place. None is open with entries.
    fn open<E: Env<File = F>>(
        &mut self,
        bytes: usize,
        segments: &Segments<E>,
    ) -> Result<(), AppendError> {
        if self.room() < bytes as u64 {
            let Some(segment) = segments.take() else {
                segments.want();
                let full = segments.is_full();
                return Err(if full { AppendError::DiskFull } else { AppendError::Busy });
            };
            self.held.push_back(Held { segment: Rc::new(segment), last: Sequence(0) });
            self.offset = 0;
        }
        if self.open.buf.is_empty() {
            self.open.buf = self.take_buffer().ok_or(AppendError::Busy)?;
        }
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        self.open.used = HEADER_BYTES;
        self.open.limit = room.min(self.batch_bytes_max);
        Ok(())
    }

    /// Bytes left in the segment where batches are placed.
    pub(super) fn room(&self) -> u64 {
        self.held.back().map_or(0, |held| held.segment.bytes - self.offset)
    }

    fn take_buffer(&mut self) -> Option<AlignedBuf> {
        if let Some(buf) = self.free.pop() {
            return Some(buf);
        }
        if !self.landed.is_empty() {
            return Some(std::mem::take(&mut self.landed));
        }
        (self.buffers < self.buffers_max).then(|| {
            self.buffers += 1;
            AlignedBuf::zeroed(self.batch_bytes_max)
        })
    }

    /// Ends the open batch, if it has entries.
    pub(super) fn close(&mut self) {
        if self.open.entries > 0 {
            self.close_as(Kind::Entries);
        }
    }

    fn close_as(&mut self, kind: Kind) {
        let OpenBatch { mut buf, used, entries, .. } = std::mem::take(&mut self.open);
        let held = self.held.back_mut().expect("an open batch has a place");
        let label = Label {
            sequence: self.next,
            durable_upto: Sequence(0),
            kind,
            segment_blocks: (held.segment.bytes / ALIGN as u64) as u32,
            entries,
            length: used,
        };
        buf[used..label.padded()].fill(0);
        buf.set_len(label.padded());
        if kind == Kind::Entries {
            held.last = self.next;
            self.next.0 += 1;
        }
        let (segment, offset) = (held.segment.clone(), self.offset);
        self.offset += label.padded() as u64;
        self.closed.push_back(Batch { buf, label, segment, offset });
    }

    /// Closes a batch without entries; false if it has no place for now.
    pub(super) fn seal<E: Env<File = F>>(&mut self, segments: &Segments<E>) -> bool {
        self.close();
        let opened = self.open(HEADER_BYTES, segments).is_ok();
        if opened {
            self.close_as(Kind::Seal);
        }
        opened
    }

    /// The oldest batch that waits, which it ends if it is the open one.
    pub(super) fn first(&mut self) -> Option<&Batch<F>> {
        if self.closed.is_empty() {
            self.close();
        }
        self.closed.front()
    }

    /// Takes what [`Pending::first`] returned.
    pub(super) fn take_first(&mut self) -> Option<Batch<F>> {
        self.closed.pop_front()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.entries == 0
    }

    /// Takes back the buffer of a batch that was written; its bytes are `label.length` long.
    pub(super) fn landed(&mut self, mut buf: AlignedBuf) {
        buf.set_len(buf.capacity());
        let before = std::mem::replace(&mut self.landed, buf);
        if !before.is_empty() {
            self.free.push(before);
        }
    }

    /// The bytes of the batch that was written last.
    pub(super) fn last_landed(&self, length: usize) -> &[u8] {
        &self.landed[..length]
    }

    /// The last sequence given to an entry.
    pub(super) fn last(&self) -> Sequence {
        Sequence(if self.open.entries > 0 { self.next.0 } else { self.next.0 - 1 })
    }

    /// Whether it is time to have the next segment made: early, since writers are as fast as the
    /// disk, and not at the first write, since most of the logs of a test or a small node stay
    /// small.
    pub(super) fn wants_next(&self) -> bool {
        self.held.back().is_none_or(|held| self.offset >= held.segment.bytes / 8)
    }

    /// Takes out the oldest segment, if all its entries are at or below `flushed` and nobody
    /// writes to it any more.
    pub(super) fn take_flushed(&mut self, flushed: Sequence) -> Option<Segment<F>> {
        let Held { segment, last } = self.held.front()?;
        if self.held.len() == 1 || *last > flushed || Rc::strong_count(segment) > 1 {
            return None;
        }
        let held = self.held.pop_front()?;
        Rc::into_inner(held.segment)
    }

    /// Bytes of the segments in use; of the last one only those that batches have.
    pub(super) fn kept_bytes(&self) -> u64 {
        let before = self.held.iter().rev().skip(1).map(|held| held.segment.bytes);
        before.sum::<u64>() + self.offset
    }
}

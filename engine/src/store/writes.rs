//! Puts between being taken and being acknowledged.
//!
//! - Puts are acknowledged in the order in which they were taken, whole batches at a time.
//! - A slowed acknowledgement delays those behind it, never the durability of anything.

use std::collections::VecDeque;

use schemas::ids::Hlc;

use super::PutTicket;
use crate::commit_log::Sequence;
use crate::limits;

/// Puts of one batch of the log.
struct Batch {
    sequence: Sequence,
    /// Tickets below this are in it or before it.
    end: u64,
    bytes: usize,
    hlc_min: Hlc,
}

/// Acknowledgements held back.
struct Slowed {
    end: u64,
    until_us: u64,
}

/// Puts between being taken and being acknowledged.
pub(crate) struct Writes {
    next: u64,
    /// Not in a memtable yet, oldest first.
    batches: VecDeque<Batch>,
    unapplied_bytes: usize,
    applied: Sequence,
    /// Tickets below this may be acknowledged.
    ready: u64,
    /// Oldest first; what is ready beyond the last is not held back yet.
    slowed: VecDeque<Slowed>,
    acknowledged: u64,
}

impl Writes {
    /// `applied`: batches up to this one are in memtables or tables.
    pub(crate) fn new(applied: Sequence) -> Self {
        Self {
            next: 0,
            batches: VecDeque::new(),
            unapplied_bytes: 0,
            applied,
            ready: 0,
            slowed: VecDeque::new(),
            acknowledged: 0,
        }
    }

    /// A put of `bytes` bytes is in batch `sequence` of the log, and nowhere else yet.
    pub(crate) fn logged(&mut self, sequence: Sequence, hlc: Hlc, bytes: usize) -> PutTicket {
        let ticket = self.take();
        self.note(sequence, hlc, bytes);
        ticket
    }

    /// Something of `bytes` bytes that nobody waits for is in batch `sequence` of the log, and
    /// nowhere else yet.
    pub(crate) fn logged_unasked(&mut self, sequence: Sequence, bytes: usize) {
        self.note(sequence, Hlc(u64::MAX), bytes);
    }

    fn note(&mut self, sequence: Sequence, hlc: Hlc, bytes: usize) {
        self.unapplied_bytes += bytes;
        match self.batches.back_mut().filter(|batch| batch.sequence == sequence) {
            Some(batch) => {
                batch.end = self.next;
                batch.bytes += bytes;
                batch.hlc_min = batch.hlc_min.min(hlc);
            }
            None => {
                let end = self.next;
                self.batches.push_back(Batch { sequence, end, bytes, hlc_min: hlc });
            }
        }
    }

    /// A put is in the log's buffer and in the memtable.
    pub(crate) fn logged_and_applied(&mut self) -> PutTicket {
        let ticket = self.take();
        self.ready = self.next;
        ticket
    }

    /// The puts of batch `sequence` are durable and in the memtable.
    pub(crate) fn applied(&mut self, sequence: Sequence) {
        if let Some(batch) = self.batches.pop_front_if(|batch| batch.sequence == sequence) {
            self.unapplied_bytes -= batch.bytes;
            self.ready = batch.end;
        }
        self.applied = sequence;
    }

    /// Every batch up to this one is in memtables or tables, whole.
    pub(crate) fn applied_upto(&self) -> Sequence {
        self.applied
    }

    /// Bytes of puts that are in no memtable yet.
    pub(crate) fn unapplied_bytes(&self) -> usize {
        self.unapplied_bytes
    }

    /// The least stamp of the puts that are in no memtable yet.
    pub(crate) fn hlc_min(&self) -> Option<Hlc> {
        self.batches.iter().map(|batch| batch.hlc_min).min()
    }

    /// Whether a put waits for the log.
    pub(crate) fn waits_for_log(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Whether a put could be acknowledged without waiting for anything.
    pub(crate) fn has_ready(&self) -> bool {
        self.slowed.is_empty() && self.ready > self.acknowledged
    }

    /// Whether acknowledgements are held back.
    pub(crate) fn is_slowed(&self) -> bool {
        !self.slowed.is_empty()
    }

    /// When the oldest acknowledgement that is held back is due, on the monotonic clock.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.slowed.front().map(|slowed| slowed.until_us)
    }

    /// Acknowledges what is ready at `now_us`; what became ready just now is held back for
    /// `delay_us`. Returns the last ticket, and how many there were.
    pub(crate) fn acknowledge(&mut self, now_us: u64, delay_us: u64) -> Option<(PutTicket, u64)> {
        let queued = self.slowed.back().map_or(self.acknowledged, |slowed| slowed.end);
        if self.ready > queued && (delay_us > 0 || !self.slowed.is_empty()) {
            self.slowed.push_back(Slowed { end: self.ready, until_us: now_us + delay_us });
        }
        let before = self.acknowledged;
        if self.slowed.is_empty() {
            self.acknowledged = self.ready;
        }
        while let Some(slowed) = self.slowed.pop_front_if(|slowed| slowed.until_us <= now_us) {
            self.acknowledged = slowed.end;
        }
        let count = self.acknowledged - before;
        (count > 0).then(|| (PutTicket(self.acknowledged - 1), count))
    }

    fn take(&mut self) -> PutTicket {
        let ticket = PutTicket(self.next);
        self.next += 1;
        ticket
    }
}

/// How long to hold back an acknowledgement when something that may be `max` is at `now`: nothing
/// up to `from`, then growing with the square of what is gone of the way to `max`. Writers who
/// wait for their answers slow down with it, long before anybody has to be refused.
pub(crate) fn delay_us(now: usize, from: usize, max: usize) -> u64 {
    if now <= from {
        return 0;
    }
    let gone = (now - from) as f64 / max.saturating_sub(from).max(1) as f64;
    (gone.min(1.0).powi(2) * limits::SLOWED_US_MAX as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_acknowledged_whole_and_in_order() {
        let mut writes = Writes::new(Sequence(4));
        for (put, sequence) in [5, 5, 5, 6, 7, 7].into_iter().enumerate() {
            assert_eq!(
                writes.logged(Sequence(sequence), Hlc(put as u64), 10),
                PutTicket(put as u64)
            );
        }
        assert_eq!((writes.unapplied_bytes(), writes.hlc_min()), (60, Some(Hlc(0))));
        assert_eq!(writes.acknowledge(0, 0), None);
        writes.applied(Sequence(5));
        assert_eq!(writes.acknowledge(0, 0), Some((PutTicket(2), 3)));
        assert_eq!(writes.acknowledge(0, 0), None);
        writes.applied(Sequence(6));
        writes.applied(Sequence(7));
        assert_eq!(writes.acknowledge(0, 0), Some((PutTicket(5), 3)));
        assert_eq!((writes.unapplied_bytes(), writes.applied_upto()), (0, Sequence(7)));
    }

    #[test]
    fn a_batch_without_puts_moves_on() {
        let mut writes = Writes::new(Sequence(1));
        writes.logged(Sequence(3), Hlc(7), 10);
        writes.applied(Sequence(2));
        assert_eq!((writes.acknowledge(0, 0), writes.applied_upto()), (None, Sequence(2)));
        writes.applied(Sequence(3));
        assert_eq!(writes.acknowledge(0, 0), Some((PutTicket(0), 1)));
    }

    #[test]
    fn slowed_acknowledgements_come_late_and_in_order() {
        let mut writes = Writes::new(Sequence(0));
        writes.logged_and_applied();
        assert_eq!(writes.acknowledge(100, 50), None);
        writes.logged_and_applied();
        assert_eq!(writes.acknowledge(110, 0), None, "not before the one before it");
        assert_eq!(writes.acknowledge(149, 0), None);
        assert_eq!(writes.acknowledge(150, 0), Some((PutTicket(1), 2)));
        assert!(!writes.is_slowed());
    }

    #[test]
    fn delays_grow_from_nothing_to_the_limit() {
        assert_eq!(delay_us(500, 500, 1000), 0);
        assert_eq!(delay_us(750, 500, 1000), limits::SLOWED_US_MAX / 4);
        assert_eq!(delay_us(1000, 500, 1000), limits::SLOWED_US_MAX);
        assert_eq!(delay_us(9000, 500, 1000), limits::SLOWED_US_MAX);
        assert_eq!(delay_us(9000, 1000, 1000), limits::SLOWED_US_MAX);
    }
}

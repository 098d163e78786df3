//! Requests without a reply yet.
//!
//! A request's id is its slot's index and the slot's sequence number, so a reply is matched by one
//! lookup, and a reply that comes twice or to nobody is noticed. Sequence numbers start at 1: the
//! id 0 is the connection's own.

use schemas::kind::Kind;

/// A request in flight on a connection: a small number, free again once its reply is there.
///
/// Slots are dense: a driver can keep what belongs to a request in an array of
/// [`Connection::slots_max`](super::Connection::slots_max) entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u32);

impl Slot {
    /// The slot's number, below the connection's limit.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    sequence: u32,
    /// The reply that is due; none while the slot is free.
    due: Option<Kind>,
    forgotten: bool,
}

/// The slots of one connection: at most `max` in use.
#[derive(Debug)]
pub(super) struct Slots {
    entries: Vec<Entry>,
    free: Vec<u32>,
    max: usize,
}

/// A request in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    pub(super) slot: Slot,
    /// The kind of reply that is due.
    pub(super) reply: Kind,
    pub(super) forgotten: bool,
}

impl Slots {
    pub(super) const fn new(max: usize) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), max }
    }

    /// Slots that there are at most; fewer than before only while none is in use.
    pub(super) fn set_max(&mut self, max: usize) {
        assert!(self.in_flight() == 0, "slots are in use");
        *self = Self::new(max);
    }

    pub(super) const fn max(&self) -> usize {
        self.max
    }

    #[inline]
    pub(super) const fn in_flight(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Takes a slot for a request that `due` will answer, with the request's id; `None` while all
    /// are in use.
    #[inline]
    pub(super) fn take(&mut self, due: Kind) -> Option<(Slot, u64)> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.entries.len() < self.max => {
                self.entries.push(Entry { sequence: 0, due: None, forgotten: false });
                u32::try_from(self.entries.len() - 1).expect("slots are at most u32::MAX")
            }
            None => return None,
        };
        let entry = &mut self.entries[index as usize];
        entry.sequence = entry.sequence.wrapping_add(1).max(1);
        entry.due = Some(due);
        entry.forgotten = false;
        Some((Slot(index), u64::from(entry.sequence) << 32 | u64::from(index)))
    }

    /// Frees a slot: its reply was read, or its request was not sent after all.
    #[inline]
    pub(super) fn free(&mut self, slot: Slot) {
        self.entries[slot.index()].due = None;
        self.free.push(slot.0);
    }

    /// The request in flight that `request_id` names; `None` if there is no such one.
    #[inline]
    pub(super) fn find(&self, request_id: u64) -> Option<Due> {
        let index = request_id as u32;
        let entry = self.entries.get(index as usize)?;
        if u64::from(entry.sequence) != request_id >> 32 {
            return None;
        }
        Some(Due { slot: Slot(index), reply: entry.due?, forgotten: entry.forgotten })
    }

    /// Nobody waits for the reply any more; the slot stays taken until it comes.
    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(entry) = self.entries.get_mut(slot.index()) {
            entry.forgotten = true;
        }
    }

    /// Empties the table; the slots whose requests somebody still waits for.
    pub(super) fn drain(&mut self) -> Vec<Slot> {
        let waiting = |(index, entry): (usize, &Entry)| {
            (entry.due.is_some() && !entry.forgotten).then_some(Slot(index as u32))
        };
        let slots = self.entries.iter().enumerate().filter_map(waiting).collect();
        *self = Self::new(self.max);
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reply does.
    fn settle(slots: &mut Slots, id: u64) -> Option<Due> {
        let due = slots.find(id)?;
        slots.free(due.slot);
        Some(due)
    }

    #[test]
    fn a_reply_settles_its_request_once() {
        let mut slots = Slots::new(2);
        let (first, id) = slots.take(Kind::GetReply).unwrap();
        assert_ne!(id, 0);
        let expected = Due { slot: first, reply: Kind::GetReply, forgotten: false };
        assert_eq!(settle(&mut slots, id), Some(expected));
        assert_eq!(slots.find(id), None, "a second reply");
        let (again, next_id) = slots.take(Kind::PutReply).unwrap();
        assert_eq!(again, first, "the slot is used again");
        assert_ne!(next_id, id);
        assert_eq!(slots.find(id), None, "a late reply to the slot's last request");
        assert_eq!(slots.in_flight(), 1);
    }

    #[test]
    fn slots_are_bounded_and_a_forgotten_one_stays_taken() {
        let mut slots = Slots::new(2);
        let (first, id) = slots.take(Kind::GetReply).unwrap();
        let (second, _) = slots.take(Kind::GetReply).unwrap();
        slots.forget(first);
        assert_eq!(slots.take(Kind::GetReply), None);
        assert!(settle(&mut slots, id).unwrap().forgotten);
        let (third, _) = slots.take(Kind::GetReply).unwrap();
        assert_eq!(slots.drain(), [third, second]);
        assert_eq!(slots.in_flight(), 0);
    }

    #[test]
    fn ids_of_no_request_settle_nothing() {
        let mut slots = Slots::new(2);
        let (_, id) = slots.take(Kind::GetReply).unwrap();
        for wrong in [0, 1, id ^ 1 << 32, id + 1, u64::MAX] {
            assert_eq!(slots.find(wrong), None, "{wrong}");
        }
    }
}

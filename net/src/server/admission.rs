//! What a core takes on, and what it turns away.
//!
//! Counted here: connections, requests under way and their bytes, bytes of input that is kept, and
//! of replies that were not sent yet. Each has a bound of its own; a request that would pass one is
//! answered `Overloaded`, and a connection whose replies pass their share is not read from.
//!
//! Memory is used up by those who hold more than their share of it, and they are the ones who are
//! refused then: a connection within its share is served however much others hold.

use std::cell::Cell;

use super::config::CoreLimits;
use crate::limits;

/// The least share of one connection in the core's memory for replies, in bytes.
const OUTPUT_SHARE_MIN: usize = 16 << 10;

/// What connections hold, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Input that is not whole, or not taken yet.
    pub input: usize,
    /// Replies that were not sent yet.
    pub output: usize,
}

/// What one core has taken on.
#[derive(Debug)]
pub struct Admission {
    limits: CoreLimits,
    bytes_max: usize,
    connections: Cell<usize>,
    in_flight: Cell<usize>,
    in_flight_bytes: Cell<usize>,
    held: Cell<Held>,
}

impl Admission {
    /// Nothing yet; at most `limits`, and `bytes_max` bytes of requests under way and, apart from
    /// them, as many of input that is kept, and of replies.
    #[must_use]
    pub fn new(limits: CoreLimits, bytes_max: usize) -> Self {
        Self {
            limits,
            bytes_max,
            connections: Cell::default(),
            in_flight: Cell::default(),
            in_flight_bytes: Cell::default(),
            held: Cell::default(),
        }
    }

    /// Whether a request of `bytes` may be under way as well.
    #[inline]
    #[must_use]
    pub fn has_room(&self, bytes: u32) -> bool {
        self.in_flight.get() < self.limits.in_flight_max
            && self.in_flight_bytes.get() + bytes as usize <= self.bytes_max
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.get()
    }

    /// The share of one connection in the memory for replies, in bytes: an equal one, so that
    /// those who read theirs are never held up by those who do not.
    #[inline]
    #[must_use]
    pub fn output_share(&self) -> usize {
        let least = if self.has_output_room() { OUTPUT_SHARE_MIN } else { 1 };
        self.share().clamp(least, limits::OUTPUT_BYTES_MAX)
    }

    /// For how many bytes of values there is room on a connection that has not read `unread` bytes
    /// of replies: any number, until these are its share, or all memory for replies is used up;
    /// then what is left of its share.
    #[inline]
    #[must_use]
    pub fn value_room(&self, unread: usize) -> usize {
        let left = self.output_share().saturating_sub(unread);
        if left > 0 && self.has_output_room() { usize::MAX } else { left }
    }

    /// Whether there is memory for replies.
    #[inline]
    #[must_use]
    pub fn has_output_room(&self) -> bool {
        self.held.get().output < self.bytes_max
    }

    /// Whether a connection may keep `input` bytes of requests, which are counted already.
    #[must_use]
    pub(super) fn keeps(&self, input: usize) -> bool {
        self.held.get().input <= self.bytes_max || input <= self.share()
    }

    /// A connection that held `before` holds `now`.
    #[inline]
    pub(super) fn holds(&self, before: Held, now: Held) {
        let Held { input, output } = self.held.get();
        let (input, output) = (input + now.input, output + now.output);
        self.held.set(Held { input: input - before.input, output: output - before.output });
    }

    /// What all connections hold.
    #[must_use]
    pub fn held(&self) -> Held {
        self.held.get()
    }

    fn share(&self) -> usize {
        self.bytes_max / self.connections.get().max(1)
    }

    /// Bytes that requests under way may have, and, apart from them, replies.
    #[inline]
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    #[inline]
    pub(super) fn begin(&self, bytes: u32) {
        self.in_flight.set(self.in_flight.get() + 1);
        self.in_flight_bytes.set(self.in_flight_bytes.get() + bytes as usize);
    }

    #[inline]
    pub(super) fn end(&self, bytes: u32) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.in_flight_bytes.set(self.in_flight_bytes.get() - bytes as usize);
    }

    /// Counts one more connection; `false`, and it is not counted, if there are too many.
    pub(super) fn connect(&self) -> bool {
        let room = self.connections.get() < self.limits.connections_max;
        self.connections.set(self.connections.get() + usize::from(room));
        room
    }

    pub(super) fn disconnect(&self) {
        self.connections.set(self.connections.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission::new(CoreLimits { connections_max: 2, in_flight_max: 2 }, 100 << 10)
    }

    #[test]
    fn requests_are_bounded_in_number_and_in_bytes() {
        let admission = admission();
        assert!(admission.has_room(100 << 10) && !admission.has_room((100 << 10) + 1));
        admission.begin(60 << 10);
        assert!(admission.has_room(40 << 10) && !admission.has_room((40 << 10) + 1));
        admission.begin(1);
        assert!(!admission.has_room(0));
        admission.end(60 << 10);
        assert!(admission.has_room(0));
    }

    #[test]
    fn connections_are_bounded_and_share_the_memory_for_replies() {
        let admission = admission();
        assert_eq!(admission.output_share(), 100 << 10);
        assert!(admission.connect() && admission.connect() && !admission.connect());
        assert_eq!(admission.output_share(), 50 << 10);
        admission.disconnect();
        assert!(admission.connect());
    }

    #[test]
    fn when_memory_is_used_up_those_who_hold_less_than_their_share_are_served() {
        let admission = admission();
        assert!(admission.connect() && admission.connect());
        let (none, all) = (Held::default(), Held { input: 101 << 10, output: 101 << 10 });
        let (within, past) = (50 << 10, (50 << 10) + 1);
        assert!(admission.keeps(past) && admission.value_room(0) == usize::MAX);
        admission.holds(none, all);
        assert!(admission.keeps(within) && !admission.keeps(past));
        assert_eq!(
            [0, 20 << 10, past].map(|unread| admission.value_room(unread)),
            [50 << 10, 30 << 10, 0]
        );
        admission.holds(all, none);
        assert_eq!(admission.held(), none);
        assert!(admission.keeps(past) && admission.value_room(20 << 10) == usize::MAX);
    }
}

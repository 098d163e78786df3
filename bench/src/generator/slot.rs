//! A place for one request in flight.

use super::Nanos;
use crate::workload::Operation;

/// An operation that was drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Drawn {
    pub(super) operation: Operation,
    pub(super) key: u64,
    pub(super) intended: Nanos,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// In its pool.
    Free,
    /// Has an operation whose next request is queued or delayed.
    Ready,
    /// Its request is on the wire.
    Sent,
    /// Its connection is gone.
    Dead,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    pub(super) operation: Operation,
    /// Whether the request is the write of a read-modify-write.
    pub(super) second: bool,
    /// How often the request was refused.
    pub(super) attempts: u8,
    /// Its connection takes no new requests: it dies with the one in flight.
    pub(super) retired: bool,
    /// Tells a late reply from the reply to what is in flight now.
    pub(super) generation: u32,
    pub(super) lane: usize,
    pub(super) connection: usize,
    pub(super) key: u64,
    /// The number of the write in flight.
    pub(super) sequence: u64,
    /// When the operation was intended to start.
    pub(super) intended: Nanos,
    /// When its first request was sent.
    pub(super) started: Nanos,
    /// When the request in flight was intended.
    pub(super) asked: Nanos,
    /// When the request in flight was sent.
    pub(super) sent: Nanos,
    /// When the slot became free.
    pub(super) freed: Nanos,
}

impl Slot {
    pub(super) fn free(connection: usize, lane: usize) -> Self {
        Self {
            state: State::Free,
            operation: Operation::Get,
            second: false,
            attempts: 0,
            retired: false,
            generation: 0,
            lane,
            connection,
            key: 0,
            sequence: 0,
            intended: 0,
            started: 0,
            asked: 0,
            sent: 0,
            freed: 0,
        }
    }

    #[inline]
    pub(super) fn begin(&mut self, drawn: Drawn, now: Nanos) {
        self.state = State::Ready;
        self.operation = drawn.operation;
        self.second = false;
        self.attempts = 0;
        self.key = drawn.key;
        self.intended = drawn.intended;
        self.asked = drawn.intended;
        self.sent = now;
    }

    /// Whether the request in flight is a write.
    #[inline]
    pub(super) fn writes(&self) -> bool {
        self.operation == Operation::Put || self.second
    }
}

//! [`Network`]: what each message takes, and what all of them come to.
//!
//! Datagrams may be lost. Other messages are not: they go over connections. Both wait for what the
//! sender has still to send.

use std::ops::RangeInclusive;

use fastrand::Rng;

/// Bytes of a message beside a document: frame, identities, epochs.
pub(super) const MESSAGE_BYTES: u64 = 96;

/// How links are.
#[derive(Clone, Debug)]
pub struct Links {
    /// How long a message is on its way, in microseconds.
    pub delay_us: RangeInclusive<u64>,
    /// Datagrams that are lost.
    pub loss_permille: u32,
    /// What a node sends in a second, in bytes.
    pub bytes_per_s: u64,
}

impl Links {
    /// Of one data centre: 0.1 to 1 ms, 10 Gbit/s.
    #[must_use]
    pub fn lan() -> Self {
        Self { delay_us: 100..=1_000, loss_permille: 0, bytes_per_s: 1_250_000_000 }
    }
}

/// What a node sent.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes of them.
    pub datagram_bytes: u64,
    /// Messages over connections.
    pub messages: u64,
    /// Bytes of them.
    pub message_bytes: u64,
}

impl Sent {
    /// What was sent since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            datagrams: self.datagrams - before.datagrams,
            datagram_bytes: self.datagram_bytes - before.datagram_bytes,
            messages: self.messages - before.messages,
            message_bytes: self.message_bytes - before.message_bytes,
        }
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.datagram_bytes + self.message_bytes
    }

    fn add(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.datagram_bytes += other.datagram_bytes;
        self.messages += other.messages;
        self.message_bytes += other.message_bytes;
    }
}

/// The links of all nodes.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) links: Links,
    rng: Rng,
    /// When each node has sent what it was to send.
    free_at_us: Vec<u64>,
    sent: Vec<Sent>,
    /// On which side of a partition each node is.
    sides: Vec<u8>,
}

impl Network {
    pub(super) fn new(links: Links, nodes: usize, rng: Rng) -> Self {
        let (free_at_us, sent, sides) =
            (vec![0; nodes], vec![Sent::default(); nodes], vec![0; nodes]);
        Self { links, rng, free_at_us, sent, sides }
    }

    pub(super) fn set_side(&mut self, node: usize, side: u8) {
        self.sides[node] = side;
    }

    pub(super) fn sent(&self, node: usize) -> Sent {
        self.sent[node]
    }

    pub(super) fn total(&self) -> Sent {
        let mut total = Sent::default();
        self.sent.iter().for_each(|sent| total.add(*sent));
        total
    }

    /// When a datagram arrives, if it does.
    pub(super) fn datagram(
        &mut self,
        now_us: u64,
        ways: (usize, usize),
        bytes: u64,
    ) -> Option<u64> {
        self.sent[ways.0].datagrams += 1;
        self.sent[ways.0].datagram_bytes += bytes;
        let is_lost = self.rng.u32(..1_000) < self.links.loss_permille;
        let at_us = self.transmitted(now_us, ways.0, bytes);
        (!is_lost && self.is_open(ways)).then_some(at_us)
    }

    /// When a message arrives, if there is a way.
    pub(super) fn message(&mut self, now_us: u64, ways: (usize, usize), bytes: u64) -> Option<u64> {
        self.sent[ways.0].messages += 1;
        self.sent[ways.0].message_bytes += bytes;
        let at_us = self.transmitted(now_us, ways.0, bytes);
        self.is_open(ways).then_some(at_us)
    }

    fn transmitted(&mut self, now_us: u64, from: usize, bytes: u64) -> u64 {
        let takes_us = bytes * 1_000_000 / self.links.bytes_per_s;
        let done_us = self.free_at_us[from].max(now_us) + takes_us;
        self.free_at_us[from] = done_us;
        done_us + self.rng.u64(self.links.delay_us.clone())
    }

    fn is_open(&self, (from, to): (usize, usize)) -> bool {
        self.sides.get(from) == self.sides.get(to)
    }
}

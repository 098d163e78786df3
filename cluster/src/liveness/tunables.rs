//! [`Tunables`]: how often, how many, how long; scaled by the number of nodes.

use std::num::{NonZeroU8, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::{GOSSIP_BYTES_MAX, GOSSIP_BYTES_MIN};

use super::datagram::PREFIX_BYTES;

/// What may be tuned. All nodes of a cluster should have the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tunables {
    /// How often one member is probed; at least twice `probe_rtt`.
    pub probe_period: Duration,
    /// How long a direct answer is waited for before others are asked to try.
    pub probe_rtt: Duration,
    /// How many are asked to try, and how many are told at once of what is urgent.
    pub indirect_probes: u8,
    /// How long a suspect has to refute: probe periods, times the decimal logarithm of the number
    /// of nodes.
    pub suspicion_factor: u32,
    /// How often each node passes a claim or a record on, beyond the natural logarithm of the
    /// number of nodes: it misses one node of about e to the power of this.
    pub transmissions: u8,
    /// How often there is gossip, while there is something to tell.
    pub gossip_period: Duration,
    /// How many are told each time.
    pub gossip_fanout: u8,
    /// How often a member that is up is asked whom it knows.
    pub exchange_period: Duration,
    /// How often members of the topology that are not up are sought.
    pub seek_period: Duration,
    /// How often the node's record is spread: this, and in large clusters as seldom as all their
    /// records need to get through.
    pub record_period: Duration,
    /// Bytes of a datagram, at most [`GOSSIP_BYTES_MAX`].
    pub datagram_bytes: usize,
}

impl Tunables {
    /// For nodes less than some tens of milliseconds from each other; the numbers of memberlist's
    /// `DefaultLANConfig`.
    #[must_use]
    pub fn lan() -> Self {
        Self {
            probe_period: Duration::from_secs(1),
            probe_rtt: Duration::from_millis(500),
            indirect_probes: 3,
            suspicion_factor: 5,
            transmissions: 12,
            gossip_period: Duration::from_millis(200),
            gossip_fanout: 3,
            exchange_period: Duration::from_secs(30),
            seek_period: Duration::from_secs(2),
            record_period: Duration::from_secs(5),
            datagram_bytes: GOSSIP_BYTES_MAX,
        }
    }

    /// For nodes hundreds of milliseconds from each other; as memberlist's `DefaultWANConfig`.
    #[must_use]
    pub fn wan() -> Self {
        Self {
            probe_period: Duration::from_secs(5),
            probe_rtt: Duration::from_millis(1_500),
            suspicion_factor: 6,
            gossip_period: Duration::from_millis(500),
            gossip_fanout: 4,
            exchange_period: Duration::from_secs(60),
            seek_period: Duration::from_secs(5),
            ..Self::lan()
        }
    }

    /// Some that work, for a simulator to draw.
    #[must_use]
    pub fn drawn(rng: &mut fastrand::Rng) -> Self {
        let mut millis = |range: RangeInclusive<u64>| Duration::from_millis(rng.u64(range));
        let probe_rtt = millis(100..=1_000);
        let probe_period = probe_rtt * 2 + millis(0..=2_000);
        let gossip_period = millis(50..=1_000);
        let exchange_period = millis(5_000..=60_000);
        let seek_period = millis(500..=10_000);
        let record_period = millis(1_000..=20_000);
        Self {
            probe_period,
            probe_rtt,
            indirect_probes: rng.u8(1..=5),
            suspicion_factor: rng.u32(3..=10),
            transmissions: rng.u8(6..=16),
            gossip_period,
            gossip_fanout: rng.u8(1..=5),
            exchange_period,
            seek_period,
            record_period,
            datagram_bytes: rng.usize(GOSSIP_BYTES_MIN..=GOSSIP_BYTES_MAX),
        }
    }

    /// How long a suspect of `nodes` has to refute.
    #[must_use]
    pub fn suspicion(&self, nodes: usize) -> Duration {
        self.probe_period * self.suspicion_factor * logarithm_tenths(nodes) / 10
    }

    /// How often a node's record is spread among `nodes`: each node gets `nodes` of them in this
    /// time, and passes each on about ten times; there is room for some 300 a second.
    #[must_use]
    pub fn record_period(&self, nodes: usize) -> Duration {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        self.record_period.max(Duration::from_millis(60) * nodes)
    }

    /// As foca takes them.
    ///
    /// # Panics
    /// If they contradict each other.
    pub(super) fn config(&self, nodes: usize) -> foca::Config {
        assert!(self.probe_rtt > Duration::ZERO && self.probe_period >= self.probe_rtt * 2);
        assert!(self.suspicion_factor > 0 && self.seek_period > Duration::ZERO);
        assert!(!self.gossip_period.is_zero() && !self.exchange_period.is_zero());
        assert!((GOSSIP_BYTES_MIN..=GOSSIP_BYTES_MAX).contains(&self.datagram_bytes));
        let natural = 7 * (nodes.max(1).ilog2() + 1) / 10;
        let transmissions = self.transmissions.saturating_add(natural as u8).max(1);
        let count = |count: u8| NonZeroUsize::new(usize::from(count)).expect("at least one");
        let every = |frequency, num_members| foca::PeriodicParams { frequency, num_members };
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: count(self.indirect_probes),
            max_transmissions: NonZeroU8::new(transmissions).expect("at least one"),
            suspect_to_down_after: self.suspicion(nodes),
            remove_down_after: None,
            max_packet_size: NonZeroUsize::new(self.datagram_bytes - PREFIX_BYTES)
                .expect("longer than a prefix"),
            notify_down_members: true,
            periodic_announce: Some(every(self.exchange_period, count(1))),
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(every(self.gossip_period, count(self.gossip_fanout))),
        }
    }
}

/// The decimal logarithm of a number of nodes in tenths, at least 1.0: from the binary one, whose
/// whole part is exact on every machine.
fn logarithm_tenths(nodes: usize) -> u32 {
    let binary = nodes.max(1).ilog2() + 1;
    (3 * binary).max(10)
}

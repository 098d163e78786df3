//! [`Peers`]: which nodes answer, and how fast.
//!
//! Latency is a moving mean with its mean deviation (Jacobson, "Congestion Avoidance and Control",
//! 1988): four deviations above the mean is about what 99 of 100 answers need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemas::ids::{Actor, NodeId};

/// What is known of other nodes' answers.
#[derive(Clone, Default, Debug)]
pub(crate) struct Peers {
    down: BTreeSet<NodeId>,
    latencies: BTreeMap<NodeId, Latency>,
    /// The latest life of each that was heard of.
    boots: BTreeMap<NodeId, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    mean_us: u64,
    deviation_us: u64,
}

impl Peers {
    pub(crate) fn set_up(&mut self, node: NodeId, is_up: bool) {
        if is_up {
            self.down.remove(&node);
        } else {
            self.down.insert(node);
        }
    }

    /// Forgets all nodes but those that `keep` names.
    pub(crate) fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.down.retain(|&node| keep(node));
        self.latencies.retain(|&node, _| keep(node));
        self.boots.retain(|&node, _| keep(node));
    }

    /// How much is known.
    pub(crate) fn len(&self) -> usize {
        self.down.len() + self.latencies.len() + self.boots.len()
    }

    /// Whether no later life of the node was heard of.
    pub(crate) fn is_current(&mut self, from: Actor) -> bool {
        self.has_begun(from);
        !self.is_over(from)
    }

    /// `life` is known of its node: earlier ones are over.
    pub(crate) fn has_begun(&mut self, life: Actor) {
        let latest = self.boots.entry(life.node).or_insert(life.boot);
        *latest = life.boot.max(*latest);
    }

    /// Whether a later life of its node was heard of.
    pub(crate) fn is_over(&self, life: Actor) -> bool {
        self.boots.get(&life.node).is_some_and(|&latest| latest > life.boot)
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        !self.down.contains(&node)
    }

    /// An answer of `node` took so long.
    pub(crate) fn answered(&mut self, node: NodeId, after: Duration) {
        let took_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX / 16);
        let first = Latency { mean_us: took_us, deviation_us: took_us / 2 };
        let latency = self.latencies.entry(node).or_insert(first);
        let off_us = latency.mean_us.abs_diff(took_us);
        latency.deviation_us = (latency.deviation_us * 3 + off_us) / 4;
        latency.mean_us = (latency.mean_us * 7 + took_us) / 8;
    }

    /// How long an answer of `node` takes at most, nearly always.
    pub(crate) fn patience(&self, node: NodeId, unknown: Duration) -> Duration {
        self.latencies.get(&node).map_or(unknown, |latency| {
            Duration::from_micros(latency.mean_us + 4 * latency.deviation_us)
        })
    }

    /// How long an answer of `node` takes on average.
    pub(crate) fn mean(&self, node: NodeId, unknown: Duration) -> Duration {
        let mean = self.latencies.get(&node).map(|it| Duration::from_micros(it.mean_us));
        mean.unwrap_or(unknown)
    }
}

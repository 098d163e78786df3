//! [`Network`]: when a message arrives, if it does, and how often.
//!
//! Each pair of nodes has a way there and a way back of its own, so a cut may be one-way. What is
//! delayed may be overtaken. A clogged way holds all that is sent on it until it is free again.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::places::Places;

/// How the ways are while nothing is wrong with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkOptions {
    /// The least that a message takes.
    pub delay_us_min: u64,
    /// What it takes more on average; exponentially distributed.
    pub delay_us_mean: u64,
    /// Of a thousand messages, how many are lost.
    pub loss_permille: u32,
    /// Of a thousand messages, how many arrive twice.
    pub double_permille: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Way {
    is_cut: bool,
    clogged_until_us: u64,
    slow_us: u64,
}

/// The ways between nodes, by their numbers.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) options: NetworkOptions,
    nodes: usize,
    ways: Vec<Way>,
    places: Places,
}

/// When a message arrives: never, once, twice.
pub(super) type Arrivals = [Option<u64>; 2];

impl Network {
    pub(super) fn new(options: NetworkOptions, places: Places, nodes: usize) -> Self {
        Self { options, nodes, ways: vec![Way::default(); nodes * nodes], places }
    }

    /// When what is sent at `now_us` arrives.
    pub(super) fn arrivals(&self, rng: &mut Rng, now_us: u64, from: usize, to: usize) -> Arrivals {
        let way = self.ways[from * self.nodes + to];
        if way.is_cut || rng.u32(..1000) < self.options.loss_permille {
            return [None, None];
        }
        let options = self.options;
        let mean_us = options.delay_us_mean;
        let is_far = self.places.of(from) != self.places.of(to);
        let far_us = if is_far { self.places.far_us } else { 0 };
        let sent_us =
            now_us.max(way.clogged_until_us) + options.delay_us_min + way.slow_us + far_us;
        let first = sent_us + exponential(rng, mean_us);
        let is_double = rng.u32(..1000) < options.double_permille;
        let second = is_double.then(|| sent_us + exponential(rng, mean_us * 20));
        [Some(first), second]
    }

    /// Cuts or mends the way from one node to another.
    pub(super) fn cut(&mut self, from: usize, to: usize, is_cut: bool) {
        self.ways[from * self.nodes + to].is_cut = is_cut;
    }

    /// Holds what is sent from one node to another until `until_us`.
    pub(super) fn clog(&mut self, from: usize, to: usize, until_us: u64) {
        self.ways[from * self.nodes + to].clogged_until_us = until_us;
    }

    /// Makes all that `node` sends and hears take so much longer.
    pub(super) fn slow(&mut self, node: usize, slow_us: u64) {
        for other in 0..self.nodes {
            self.ways[node * self.nodes + other].slow_us = slow_us;
            self.ways[other * self.nodes + node].slow_us = slow_us;
        }
    }

    /// Mends everything.
    pub(super) fn heal(&mut self) {
        self.ways.fill(Way::default());
    }
}

/// A number of the exponential distribution, near enough: leading zeros of random bits are
/// geometric, and each halves the odds as each ln 2 of the mean does. In whole numbers, so that it
/// is the same on every machine.
fn exponential(rng: &mut Rng, mean: u64) -> u64 {
    let bits = rng.u64(1..);
    let zeros = bits.leading_zeros();
    let fraction = bits.checked_shl(zeros + 1).unwrap_or(0) >> 48;
    let halvings_65536ths = (u64::from(zeros) << 16) + (65_535 - fraction);
    mean * halvings_65536ths / 94_548
}

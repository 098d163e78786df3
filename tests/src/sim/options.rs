//! [`Options`]: what a run is like, drawn from its seed: small limits and odd settings find more
//! than sensible ones (Groce et al., "Swarm Testing", ISSTA 2012).

use std::num::NonZeroU64;
use std::time::Duration;

use cluster::liveness;
use cluster::mutation::Mutations;
use cluster::node::NodeTunables;
use cluster::topology::agreement::Timing;
use cluster::tunables::Tunables;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::network::NetworkOptions;
use super::places::Places;

/// What a run is like.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What all chance of the run is drawn from.
    pub seed: u64,
    /// Nodes at the start.
    pub nodes: usize,
    /// Cores of each.
    pub shards: u16,
    /// Copies of each key, in the first data centre if there are several.
    pub copies: u8,
    /// Data centres, and at which levels clients of them ask.
    pub places: Places,
    /// Vnodes, a power of two.
    pub vnodes: u32,
    /// How long clients work while things go wrong.
    #[serde(with = "crate::duration")]
    pub safety: Duration,
    /// How long they go on when nothing does any more.
    #[serde(with = "crate::duration")]
    pub liveness: Duration,
    /// The network while nothing is wrong with it.
    pub network: NetworkOptions,
    /// What clients do.
    pub clients: ClientOptions,
    /// The longest that a disk takes to sync, in microseconds.
    pub sync_us_max: u64,
    /// Of a thousand reads, how many go to the disk.
    pub miss_permille: u32,
    /// Dots of each vnode whose keys a node knows.
    pub recent_max: usize,
    /// Settings of the cores.
    #[serde(with = "super::settings")]
    pub tunables: Tunables,
    /// Settings of the nodes.
    #[serde(skip, default = "NodeTunables::default")]
    pub node: NodeTunables,
    /// How long a member is down before the others give it up for lost.
    #[serde(with = "crate::duration")]
    pub forget_after: Duration,
    /// Changes of the topology that operators want, at most.
    pub changes_max: usize,
}

/// What clients do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientOptions {
    /// How many there are.
    pub processes: u32,
    /// Keys they share at a time.
    pub keys: u64,
    /// How long they use these before they go on to others, so that of some keys the last that was
    /// written was written in the midst of faults; zero if they never do.
    #[serde(with = "crate::duration")]
    pub keys_for: Duration,
    /// The mean time between an answer and the next request, in microseconds.
    pub think_us_mean: u64,
    /// How long they wait for an answer.
    #[serde(with = "crate::duration")]
    pub patience: Duration,
    /// Of a thousand operations, how many are puts and deletes.
    pub put_permille: u32,
    /// As above.
    pub delete_permille: u32,
    /// Of a thousand puts, how many are of values that expire.
    pub ttl_permille: u32,
    /// The longest that such a value lives, in milliseconds.
    pub ttl_ms_max: u64,
    /// Of a thousand operations, how many have a level that makes no promise.
    pub weak_permille: u32,
    /// Of a thousand operations, how many let others stand in for owners.
    pub sloppy_permille: u32,
    /// Of a thousand operations, how many are of keys that keep siblings.
    pub siblings_permille: u32,
    /// Of a thousand writes of those, how many forget what was read before.
    pub blind_permille: u32,
    /// Of a thousand reads, how many are of several keys at once.
    pub multi_permille: u32,
    /// Of a thousand reads, how many are of all keys of a vnode, page by page.
    pub scan_permille: u32,
    /// Whether reads make sure that no later one tells less.
    pub repairs_first: bool,
}

impl Options {
    /// The run of a seed: so long under faults, so long after.
    #[must_use]
    pub fn draw(seed: u64, nodes: usize, safety: Duration) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x6f70_7469_6f6e_7300);
        let network = NetworkOptions {
            delay_us_min: rng.u64(20..500),
            delay_us_mean: rng.u64(20..3000),
            loss_permille: rare(&mut rng, 50),
            double_permille: rare(&mut rng, 50),
        };
        let clients = ClientOptions::draw(&mut rng, seed);
        let tunables = draw_tunables(&mut rng, seed);
        let mut options = Self {
            seed,
            nodes,
            shards: rng.u16(1..=2),
            copies: rng.u8(1..=5).min(3).min(nodes.try_into().unwrap_or(3)),
            places: Places::draw(seed, nodes),
            vnodes: 1 << rng.u32(2..7),
            safety,
            liveness: Duration::from_secs(60),
            network,
            clients,
            sync_us_max: rng.u64(100..20_000),
            miss_permille: rare(&mut rng, 200),
            recent_max: 1 << rng.u32(2..12),
            tunables,
            node: NodeTunables {
                liveness: liveness::Tunables::drawn(&mut rng),
                timing: Timing::default(),
                steward_every: Duration::from_millis(rng.u64(200..3000)),
                ..NodeTunables::default()
            },
            forget_after: Duration::from_secs(7 * 86_400),
            changes_max: *rng.choice([0, 0, 1, 3, 8].iter()).expect("five"),
        };
        if rng.u32(..4) > 0 {
            options.clients.keys_for = Duration::from_secs(1 << rng.u32(2..8));
        }
        if rng.u32(..4) == 0 {
            let clients = &mut options.clients;
            clients.sloppy_permille = rng.u32(..=1000 - clients.weak_permille);
        }
        if rng.u32(..4) == 0 {
            options.clients.ttl_permille = rng.u32(..=1000);
            options.clients.ttl_ms_max = 1 << rng.u32(9..18);
        }
        if rng.u32(..6) == 0 && options.copies > 2 {
            options.forget_after = Duration::from_secs(rng.u64(10..120));
        }
        options
    }

    /// Copies of each key at the start, in all data centres.
    #[must_use]
    pub fn copies_in_all(&self) -> u8 {
        Places::layout(self).iter().map(|dc| dc.copies).sum()
    }
}

impl ClientOptions {
    fn draw(rng: &mut Rng, seed: u64) -> Self {
        let mut reads = Rng::with_seed(seed ^ 0x7265_6164_7300_0000);
        Self {
            processes: rng.u32(2..12),
            keys: rng.u64(1..40),
            keys_for: Duration::ZERO,
            think_us_mean: rng.u64(100_000..1_000_000),
            patience: Duration::from_millis(rng.u64(200..5000)),
            put_permille: rng.u32(100..700),
            delete_permille: rare(rng, 200),
            ttl_permille: 0,
            ttl_ms_max: 1,
            weak_permille: rare(rng, 300),
            sloppy_permille: rare(rng, 300),
            siblings_permille: *rng.choice([0, 500, 1000].iter()).expect("three"),
            blind_permille: rng.u32(..500),
            multi_permille: rare(&mut reads, 400),
            scan_permille: rare(&mut reads, 400),
            repairs_first: rng.bool(),
        }
    }
}

fn draw_tunables(rng: &mut Rng, seed: u64) -> Tunables {
    let mut moves = Rng::with_seed(seed ^ 0x6d6f_7665_7300_0000);
    Tunables {
        operations_max: rng.usize(4..200),
        resend_after_256ths: rng.u32(16..240),
        behind_pause: Duration::from_millis(rng.u64(1..100)),
        hedge_after_min: Duration::from_millis(rng.u64(1..50)),
        latency_first: Duration::from_millis(rng.u64(1..100)),
        counted_hint_bytes_max: 1 << rng.u32(9..20),
        spare_hint_bytes_max: 1 << rng.u32(7..16),
        handoff_patience: Duration::from_millis(rng.u64(500..20_000)),
        repair_period: Duration::from_secs(rng.u64(10..300)),
        repair_retry: Duration::from_millis(rng.u64(100..3000)),
        repair_patience: Duration::from_millis(rng.u64(500..20_000)),
        repair_page_bytes_max: 1 << rng.u32(6..16),
        repair_bytes_per_second: NonZeroU64::MIN.saturating_add(1 << moves.u32(14..24)),
        moves_max: moves.usize(1..6),
        move_bytes_per_second: NonZeroU64::MIN.saturating_add(1 << moves.u32(14..24)),
        horizon_period: Duration::from_millis(rng.u64(1_000..60_000)),
        horizon_window: Duration::from_millis(rng.u64(1_000..60_000)),
        mutations: Mutations::default(),
    }
}

/// Half of the time none of a thousand, else fewer than `permille`.
fn rare(rng: &mut Rng, permille: u32) -> u32 {
    if rng.bool() { 0 } else { rng.u32(..permille) }
}

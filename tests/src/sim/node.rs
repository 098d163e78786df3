//! [`Node`]: a node as its machine sees it: what is on its disk, what is in its memory, its clocks.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use cluster::mutation::{Mutation, Mutations};
use cluster::node::{NodeTunables, Origin};
use cluster::shard::{Shard, Start};
use cluster::time::{Instant, Now};
use cluster::topology::Document;
use schemas::ids::{Actor, Hlc, NodeId, ShardId, Vnode, VnodeBits};

use super::options::Options;
use super::store::ModelStore;
use super::topology;

/// The wall clock when a run begins: a moment of 2026.
pub(super) const START_MS: u64 = 1_790_000_000_000;

/// A node.
pub(super) struct Node {
    pub(super) id: NodeId,
    /// How often it was started; on its disk.
    pub(super) boot: u32,
    pub(super) is_running: bool,
    pub(super) is_paused: bool,
    /// No stamp above it; on its disk.
    pub(super) ceiling: Hlc,
    pub(super) is_ceiling_rising: bool,
    /// What it may read of the topology at its start; on its disk.
    pub(super) origin: Origin,
    pub(super) machine: Option<cluster::node::Node>,
    /// When its machine is woken.
    pub(super) alarm: Option<Instant>,
    pub(super) address: SocketAddr,
    pub(super) bits: VnodeBits,
    pub(super) cores: Vec<Core>,
    clock_off_ms: i64,
    frozen_ms: Option<u64>,
    /// Since when its clock runs how much too fast, in microseconds a second.
    drift: (u64, i64),
    /// What its disk takes longer to sync.
    pub(super) slow_us: u64,
    mutations: Mutations,
}

/// A core.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) store: ModelStore,
    pub(super) shard: Option<Shard>,
    /// When it is woken.
    pub(super) alarm: Option<Instant>,
}

impl Node {
    pub(super) fn new(number: usize, origin: Origin, options: &Options) -> Self {
        let bits = VnodeBits::from_count(options.vnodes).expect("a power of two");
        let mutations = options.tunables.mutations;
        let store = ModelStore::new(bits, options.recent_max, mutations);
        let core = |_| Core { store: store.clone(), shard: None, alarm: None };
        Self {
            id: topology::node(number),
            boot: 0,
            is_running: false,
            is_paused: false,
            ceiling: Hlc(0),
            is_ceiling_rising: false,
            origin,
            machine: None,
            alarm: None,
            address: topology::address(number),
            bits,
            mutations,
            cores: (0..options.shards).map(core).collect(),
            clock_off_ms: 0,
            frozen_ms: None,
            drift: (0, 0),
            slow_us: 0,
        }
    }

    pub(super) fn actor(&self) -> Actor {
        let is_reborn = self.mutations.has(Mutation::ReuseDots);
        Actor { node: self.id, boot: if is_reborn { 1 } else { self.boot } }
    }

    /// Starts its machine, as what is on its disk says.
    pub(super) fn start(&mut self, now_us: u64, options: &Options) {
        self.boot += 1;
        self.is_running = true;
        self.is_ceiling_rising = false;
        let (now, me, origin) = (self.now(now_us), self.actor(), self.origin.clone());
        let seed = options.seed ^ self.id.0.get() << 32 ^ u64::from(self.boot);
        let (forget_after, mutations) = (options.forget_after, self.mutations);
        let tunables = &NodeTunables { forget_after, mutations, ..options.node.clone() };
        let machine = cluster::node::Node::new(now, me, self.address, origin, tunables, seed);
        self.machine = Some(machine.expect("what was persisted"));
        self.alarm = None;
    }

    /// Starts its cores, with the first document of this life.
    pub(super) fn start_cores(&mut self, now_us: u64, document: &Arc<Document>, options: &Options) {
        let (now, me, shards) = (self.now(now_us), self.actor(), self.cores.len() as u16);
        for number in 0..shards {
            let store = &self.cores[usize::from(number)].store;
            let forgets = self.mutations.has(Mutation::ForgetHintsAtStart);
            let hinted = store.hints.keys().map(|(node, _)| *node).filter(|_| !forgets).collect();
            let start = Start {
                me,
                vnodes: self.vnodes(number),
                document: Arc::clone(document),
                floor: self.ceiling,
                held: store.held.clone(),
                stored: store.stored(),
                horizons: store.horizons.clone(),
                hinted,
                tunables: options.tunables.clone(),
            };
            let core = &mut self.cores[usize::from(number)];
            (core.shard, core.alarm) = (Some(Shard::new(now, start)), None);
        }
    }

    /// Its memory is gone.
    pub(super) fn stop(&mut self) {
        (self.is_running, self.is_paused) = (false, false);
        (self.machine, self.alarm) = (None, None);
        for core in &mut self.cores {
            (core.shard, core.alarm) = (None, None);
        }
    }

    /// The topology that it has on disk and goes by.
    pub(super) fn document(&self) -> Option<&Arc<Document>> {
        self.machine.as_ref()?.document()
    }

    /// The vnodes of a core; none if there are fewer than cores.
    fn vnodes(&self, shard: u16) -> RangeInclusive<Vnode> {
        let (bits, shards) = (self.bits, self.cores.len() as u16);
        let tokens = ShardId(shard).tokens(bits, shards);
        let none = Vnode(1)..=Vnode(0);
        tokens.map_or(none, |(first, last)| first.vnode(bits)..=last.vnode(bits))
    }

    /// Says of all vnodes that it reads that it has all of them: it is the first document.
    pub(super) fn found(&mut self, document: &Document) {
        let index = document.index_of(self.id);
        for vnode in document.ring.all() {
            if document.ring.slots(vnode).any(|slot| slot.reader == index && index.is_some()) {
                let core = self.core_of(vnode);
                self.cores[core].store.held.insert(vnode);
            }
        }
    }

    /// The core that owns a vnode.
    pub(super) fn core_of(&self, vnode: Vnode) -> usize {
        usize::from(vnode.shard(self.bits, self.cores.len() as u16).0)
    }

    /// What its clocks show.
    pub(super) fn now(&self, now_us: u64) -> Now {
        Now { at: Instant(now_us), wall_ms: self.wall_ms(now_us) }
    }

    fn wall_ms(&self, now_us: u64) -> u64 {
        let (since_us, by_ppm) = self.drift;
        let drifted_ms = now_us.saturating_sub(since_us) as i64 * by_ppm / 1_000_000_000;
        let off_ms = self.clock_off_ms + drifted_ms;
        let right_ms = START_MS + now_us / 1000;
        self.frozen_ms.unwrap_or_else(|| right_ms.saturating_add_signed(off_ms))
    }

    /// From now on its clock gains so much; it is right until then.
    pub(super) fn let_clock_drift(&mut self, now_us: u64, by_ppm: i64) {
        self.drift = (now_us, by_ppm);
    }

    pub(super) fn set_clock_off(&mut self, by_ms: i64) {
        self.clock_off_ms = by_ms;
    }

    pub(super) fn freeze_clock(&mut self, now_us: u64, is_frozen: bool) {
        self.frozen_ms = is_frozen.then(|| self.wall_ms(now_us));
    }

    /// The greatest stamp that any of its cores gave.
    pub(super) fn last_stamp(&self) -> Hlc {
        let stamps = self.cores.iter().filter_map(|core| core.shard.as_ref());
        stamps.map(Shard::last_stamp).max().unwrap_or_default()
    }

    /// The keys that it has records of.
    pub(super) fn keys(&self) -> BTreeSet<cluster::record::Key> {
        self.cores.iter().flat_map(|core| core.store.records.keys().cloned()).collect()
    }
}

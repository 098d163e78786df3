//! [`Node`]: a node as its machine sees it: what is on its disk, what is in its memory, its clocks.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use cluster::mutation::{Mutation, Mutations};
use cluster::shard::{Shard, Start};
use cluster::time::{Instant, Now};
use cluster::topology::Document;
use cluster::tunables::Tunables;
use schemas::ids::{Actor, Hlc, NodeId, ShardId, Vnode};

use super::options::Options;
use super::store::ModelStore;

/// The wall clock when a run begins: a moment of 2026.
const START_MS: u64 = 1_790_000_000_000;

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    /// How often it was started; on its disk.
    pub(super) boot: u32,
    pub(super) is_running: bool,
    pub(super) is_paused: bool,
    /// No stamp above it; on its disk.
    pub(super) ceiling: Hlc,
    pub(super) is_ceiling_rising: bool,
    /// On its disk.
    pub(super) document: Arc<Document>,
    pub(super) cores: Vec<Core>,
    clock_off_ms: i64,
    frozen_ms: Option<u64>,
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
    pub(super) fn new(id: NodeId, document: Arc<Document>, options: &Options) -> Self {
        let mutations = options.tunables.mutations;
        let store = ModelStore::new(document.bits, options.recent_max, mutations);
        let core = |_| Core { store: store.clone(), shard: None, alarm: None };
        Self {
            id,
            boot: 0,
            is_running: false,
            is_paused: false,
            ceiling: Hlc(0),
            is_ceiling_rising: false,
            mutations,
            cores: (0..options.shards).map(core).collect(),
            document,
            clock_off_ms: 0,
            frozen_ms: None,
        }
    }

    pub(super) fn actor(&self) -> Actor {
        let is_reborn = self.mutations.has(Mutation::ReuseDots);
        Actor { node: self.id, boot: if is_reborn { 1 } else { self.boot } }
    }

    /// Starts it, as what is on its disk says.
    pub(super) fn start(&mut self, now_us: u64, tunables: &Tunables) {
        let now = self.now(now_us);
        self.boot += 1;
        self.is_running = true;
        self.is_ceiling_rising = false;
        let (me, shards) = (self.actor(), self.cores.len() as u16);
        for number in 0..shards {
            let store = &self.cores[usize::from(number)].store;
            let held = store.held.clone();
            let forgets = tunables.mutations.has(Mutation::ForgetHintsAtStart);
            let hinted = store.hints.keys().map(|(node, _)| *node).filter(|_| !forgets).collect();
            let start = Start {
                me,
                vnodes: self.vnodes(number),
                document: Arc::clone(&self.document),
                floor: self.ceiling,
                held,
                hinted,
                tunables: tunables.clone(),
            };
            let core = &mut self.cores[usize::from(number)];
            (core.shard, core.alarm) = (Some(Shard::new(now, start)), None);
        }
    }

    /// The vnodes of a core; none if there are fewer than cores.
    fn vnodes(&self, shard: u16) -> RangeInclusive<Vnode> {
        let (bits, shards) = (self.document.bits, self.cores.len() as u16);
        let tokens = ShardId(shard).tokens(bits, shards);
        let none = Vnode(1)..=Vnode(0);
        tokens.map_or(none, |(first, last)| first.vnode(bits)..=last.vnode(bits))
    }

    /// Says of all vnodes that it owns that it has all of them: it is the first document.
    pub(super) fn found(&mut self) {
        let document = Arc::clone(&self.document);
        let index = document.index_of(self.id);
        for vnode in (0..document.bits.count()).map(|vnode| Vnode(vnode as u16)) {
            if document.ring.slots(vnode).any(|slot| slot.reader == index && index.is_some()) {
                let core = self.core_of(vnode);
                self.cores[core].store.held.insert(vnode);
            }
        }
    }

    /// The core that owns a vnode.
    pub(super) fn core_of(&self, vnode: Vnode) -> usize {
        usize::from(vnode.shard(self.document.bits, self.cores.len() as u16).0)
    }

    /// What its clocks show.
    pub(super) fn now(&self, now_us: u64) -> Now {
        Now { at: Instant(now_us), wall_ms: self.wall_ms(now_us) }
    }

    fn wall_ms(&self, now_us: u64) -> u64 {
        let right_ms = START_MS + now_us / 1000;
        self.frozen_ms.unwrap_or_else(|| right_ms.saturating_add_signed(self.clock_off_ms))
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

//! [`ModelStore`]: what a core stores, as far as the cluster can tell it from the engine: records
//! that merge, hints, clocks of vnodes, a log whose end a crash takes.
//!
//! - What is taken becomes durable in order, and is seen only then.
//! - A crash leaves all that was durable, and of the rest the first few.
//! - Which keys the last dots were of is in memory alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use cluster::event::{Hint, Order, Page, Stored, Ticket};
use cluster::horizon::{Horizon, fit, kept, oldest};
use cluster::limits::SET_ASIDE_MAX;
use cluster::mutation::{Mutation, Mutations};
use cluster::record::{Digest, Key, Kind, Record, merge};
use cluster::repair::LEAVES;
use cluster::topology::Document;
use fastrand::Rng;
use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version, Vnode, VnodeBits};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::node::START_MS;

/// What is on its way to the disk.
#[derive(Clone, Debug)]
enum Entry {
    Record(Rc<Record>),
    SetAside(Rc<Record>),
    Horizon(Vnode, Rc<Horizon>),
    Hint(NodeId, Hint),
    DropHint(NodeId, Key, Digest),
    Join(Vnode, VnodeClock),
    Hold(Vnode, bool),
    Clear(Vnode),
    Exact(Vnode),
    Recount(Vnode),
    Drop(Vnode),
}

/// What a core stores.
#[derive(Clone, Debug)]
pub(super) struct ModelStore {
    bits: VnodeBits,
    pub(super) records: BTreeMap<Key, Rc<Record>>,
    pub(super) hints: BTreeMap<(NodeId, Key), Hint>,
    clocks: BTreeMap<Vnode, VnodeClock>,
    pub(super) held: BTreeSet<Vnode>,
    /// Vnodes whose clocks were cleared, and do not tell all that is there.
    pub(super) inexact: BTreeSet<Vnode>,
    /// Vnodes whose clocks have run out of room.
    overflowed: BTreeSet<Vnode>,
    /// Vnodes of which something was lost.
    pub(super) lost: BTreeSet<Vnode>,
    pub(super) horizons: BTreeMap<Vnode, Rc<Horizon>>,
    /// What came too late, and nobody had seen.
    pub(super) aside: Vec<Rc<Record>>,
    /// The last dots of each vnode.
    recent: BTreeMap<Vnode, VecDeque<(Dot, Key)>>,
    recent_max: usize,
    log: VecDeque<(u64, Ticket, Entry)>,
    /// When the last that was taken is durable.
    last_durable_us: u64,
    pub(super) is_full: bool,
    mutations: Mutations,
    /// Which namespaces there are, once that was told.
    document: Option<Arc<Document>>,
}

impl ModelStore {
    /// Knows the keys of so many dots of each vnode.
    pub(super) fn new(bits: VnodeBits, recent_max: usize, mutations: Mutations) -> Self {
        Self {
            bits,
            records: BTreeMap::new(),
            hints: BTreeMap::new(),
            clocks: BTreeMap::new(),
            held: BTreeSet::new(),
            inexact: BTreeSet::new(),
            overflowed: BTreeSet::new(),
            lost: BTreeSet::new(),
            horizons: BTreeMap::new(),
            aside: Vec::new(),
            recent: BTreeMap::new(),
            recent_max,
            log: VecDeque::new(),
            last_durable_us: 0,
            is_full: false,
            mutations,
            document: None,
        }
    }

    /// Forgets what is of namespaces that were dropped, and what comes of them.
    pub(super) fn adopt(&mut self, document: &Arc<Document>) {
        self.records.retain(|key, _| !document.is_dropped(key.namespace));
        self.document = Some(Arc::clone(document));
    }

    /// Takes what is to be kept; when it will be durable. `None` if it will not be.
    pub(super) fn take(
        &mut self,
        now_us: u64,
        sync_us: u64,
        ticket: Ticket,
        order: Order,
    ) -> Option<u64> {
        let entry = match order {
            Order::Put(record) => Entry::Record(record),
            Order::SetAside(record) => Entry::SetAside(record),
            Order::Horizon(vnode, horizon) => Entry::Horizon(vnode, horizon),
            Order::PutHint { target, record, is_counted } => {
                Entry::Hint(target, Hint { record, is_counted })
            }
            Order::DropHint { target, key, digest } => Entry::DropHint(target, key, digest),
            Order::Join(vnode, clock) => Entry::Join(vnode, clock),
            Order::Hold(vnode, is_held) => Entry::Hold(vnode, is_held),
            Order::Clear(vnode) => Entry::Clear(vnode),
            Order::Exact(vnode) => Entry::Exact(vnode),
            Order::Recount(vnode) => Entry::Recount(vnode),
            Order::Drop(vnode) => Entry::Drop(vnode),
            order => unreachable!("{order:?} keeps nothing"),
        };
        if self.is_full && matches!(entry, Entry::Record(_) | Entry::Hint(..)) {
            return None;
        }
        self.last_durable_us = self.last_durable_us.max(now_us + sync_us);
        self.log.push_back((self.last_durable_us, ticket, entry));
        Some(self.last_durable_us)
    }

    /// The next that is durable by now.
    pub(super) fn next_durable(&mut self, now_us: u64) -> Option<Ticket> {
        let &(at_us, ticket, _) = self.log.front()?;
        if at_us > now_us {
            return None;
        }
        let (_, _, entry) = self.log.pop_front()?;
        self.apply(entry);
        Some(ticket)
    }

    /// The node crashes: some of what was not durable is, and the rest is gone.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        for _ in 0..rng.usize(..=self.log.len()) {
            if let Some((_, _, entry)) = self.log.pop_front() {
                self.apply(entry);
            }
        }
        self.log.clear();
        self.recent.clear();
    }

    /// Of some vnodes some records go, and some of all hints.
    pub(super) fn lose_part(&mut self, rng: &mut Rng) {
        let bits = self.bits;
        let of: BTreeSet<Vnode> = self.records.keys().map(|key| key.token.vnode(bits)).collect();
        let of: BTreeSet<Vnode> = of.into_iter().filter(|_| rng.bool()).collect();
        let permille = rng.u32(1..=1000);
        self.records
            .retain(|key, _| !of.contains(&key.token.vnode(bits)) || rng.u32(..1000) >= permille);
        self.hints.retain(|_, _| rng.u32(..1000) >= permille);
        self.lost.extend(of);
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Record(record) => self.apply_record(record),
            Entry::SetAside(record) => {
                if self.aside.len() < SET_ASIDE_MAX {
                    self.aside.push(record);
                }
            }
            Entry::Horizon(vnode, horizon) => self.keep_horizon(vnode, horizon),
            Entry::Hint(target, hint) => {
                let place = (target, hint.record.key.clone());
                let is_wrong = self.mutations.has(Mutation::HintsReplaceNewer);
                let merged = match self.hints.get(&place).filter(|_| !is_wrong) {
                    Some(known) => Hint {
                        record: merge(&known.record, &hint.record),
                        is_counted: known.is_counted || hint.is_counted,
                    },
                    None => hint,
                };
                self.hints.insert(place, merged);
            }
            Entry::DropHint(target, key, digest) => {
                let place = (target, key);
                let is_blind = self.mutations.has(Mutation::DropNewerHint);
                let is_it = |hint: &Hint| hint.record.digest() == digest || is_blind;
                if self.hints.get(&place).is_some_and(is_it) {
                    self.hints.remove(&place);
                }
            }
            Entry::Join(vnode, clock) => {
                self.clocks.entry(vnode).or_default().join(&clock);
            }
            Entry::Hold(vnode, true) => {
                self.held.insert(vnode);
            }
            Entry::Hold(vnode, false) => {
                self.held.remove(&vnode);
            }
            Entry::Clear(vnode) => {
                self.clocks.remove(&vnode);
                self.recent.remove(&vnode);
                self.held.remove(&vnode);
                self.horizons.remove(&vnode);
                self.lost.remove(&vnode);
                self.inexact.insert(vnode);
            }
            Entry::Exact(vnode) => {
                self.inexact.remove(&vnode);
            }
            Entry::Recount(vnode) => self.recount(vnode),
            Entry::Drop(vnode) => {
                let bits = self.bits;
                self.records.retain(|key, _| key.token.vnode(bits) != vnode);
                self.clocks.remove(&vnode);
                self.horizons.remove(&vnode);
                self.recent.remove(&vnode);
                self.inexact.remove(&vnode);
                self.overflowed.remove(&vnode);
                self.held.remove(&vnode);
            }
        }
    }

    fn apply_record(&mut self, record: Rc<Record>) {
        let vnode = record.key.token.vnode(self.bits);
        let clock = self.clocks.entry(vnode).or_default();
        for dot in record.dots() {
            if clock.insert(dot) {
                let recent = self.recent.entry(vnode).or_default();
                recent.push_back((dot, record.key.clone()));
                if recent.len() > self.recent_max {
                    recent.pop_front();
                }
            }
        }
        if clock.is_full() {
            self.overflowed.insert(vnode);
        }
        let (key, below) = (record.key.clone(), self.below(vnode));
        let now_ms = START_MS + self.last_durable_us / 1000;
        let known = self.records.get(&key);
        let is_whole = self.held.contains(&vnode);
        let record = if is_whole { fit(known.map(|it| &**it), &record, below) } else { record };
        let merged = known.map_or_else(
            || Rc::clone(&record),
            |known| merge_with(self.mutations, now_ms, known, &record),
        );
        let is_dropped = self.document.as_ref().is_some_and(|it| it.is_dropped(key.namespace));
        match kept(&merged, below).filter(|it| !is_dropped && !self.is_purged_wrongly(it)) {
            Some(record) => self.records.insert(key, record),
            None => self.records.remove(&key),
        };
    }

    fn keep_horizon(&mut self, vnode: Vnode, horizon: Rc<Horizon>) {
        if horizon.below <= self.below(vnode) {
            return;
        }
        let (bits, below) = (self.bits, horizon.below);
        let is_here = |key: &Key| key.token.vnode(bits) == vnode;
        self.records.retain(|key, it| {
            let rest = if is_here(key) { kept(it, below) } else { return true };
            rest.map(|rest| *it = rest).is_some()
        });
        self.horizons.insert(vnode, horizon);
    }

    fn recount(&mut self, vnode: Vnode) {
        let mut clock = self.clock(vnode);
        let here = self.range(self.bits.tokens(vnode), None);
        here.flat_map(|record| record.dots()).for_each(|dot| {
            clock.insert(dot);
        });
        if !clock.is_full() {
            self.overflowed.remove(&vnode);
        }
        self.clocks.insert(vnode, clock);
    }

    fn is_purged_wrongly(&self, record: &Record) -> bool {
        let has = |mutation| self.mutations.has(mutation);
        has(Mutation::PurgeBelowNoHorizon) && matches!(record.kind, Kind::Tombstone | Kind::Context)
    }

    /// The purge horizon of a vnode; zero if there is none.
    pub(super) fn below(&self, vnode: Vnode) -> Hlc {
        self.horizons.get(&vnode).map_or(Hlc(0), |it| it.below)
    }

    /// The oldest value that is kept for others, or on its way to the disk.
    fn oldest_hint(&self) -> Option<Hlc> {
        let taken = self.log.iter().filter_map(|(_, _, entry)| match entry {
            Entry::Hint(_, hint) => Some(hint),
            _ => None,
        });
        self.hints.values().chain(taken).map(|hint| oldest(&hint.record)).min()
    }

    /// What is asked for.
    pub(super) fn answer(&self, order: &Order) -> Stored {
        match order {
            Order::Get(key) => Stored::Record(self.get(key)),
            Order::Hints { target, after, count_max } => {
                let (hints, has_more) = self.hints_of(*target, after.as_ref(), *count_max);
                Stored::Hints(hints, has_more)
            }
            Order::Clock(vnode) => Stored::Clock(self.clock(*vnode)),
            Order::Dots { vnode, actor } => Stored::Dots(self.dots(*vnode, *actor)),
            Order::Since { vnode, theirs, after, bytes_max } => {
                let page = self.since(*vnode, theirs).map(|keys| {
                    let behind = |key: &&Key| after.as_ref().is_none_or(|after| *key > after);
                    let keys = keys.iter().filter(behind);
                    page(keys.filter_map(|key| self.records.get(key)), *bytes_max)
                });
                Stored::Since(self.clock(*vnode), page)
            }
            Order::Leaves { vnode, below } => {
                Stored::Leaves(self.clock(*vnode), self.leaves(*vnode, *below))
            }
            Order::OldestHint => Stored::OldestHint(self.oldest_hint()),
            Order::Page { tokens, after, bytes_max } => {
                Stored::Page(page(self.range(*tokens, after.as_ref()), *bytes_max))
            }
            order => unreachable!("{order:?} asks for nothing"),
        }
    }

    /// Whether a write of `version`, or one with a greater stamp, is on disk, as this node's or for
    /// another.
    pub(super) fn has(&self, key: &Key, version: Version) -> bool {
        let kept = self.hints.iter().filter(|(place, _)| place.1 == *key);
        let records = kept.map(|(_, hint)| &hint.record).chain(self.records.get(key));
        records.into_iter().any(|record| record.version >= version)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Rc<Record>> {
        self.records.get(key).cloned()
    }

    /// The vnodes of which there is anything.
    pub(super) fn stored(&self) -> BTreeSet<Vnode> {
        self.clocks.keys().chain(&self.inexact).copied().collect()
    }

    pub(super) fn clock(&self, vnode: Vnode) -> VnodeClock {
        self.clocks.get(&vnode).cloned().unwrap_or_default()
    }

    /// What there is of an actor in a vnode; `None` if that may not be all.
    fn dots(&self, vnode: Vnode, actor: Actor) -> Option<VnodeClock> {
        let mut clock = self.clock(vnode).only(actor);
        let of_vnode = |(_, key): &&(NodeId, Key)| key.token.vnode(self.bits) == vnode;
        let hints = self.hints.iter().filter(|(place, _)| of_vnode(place));
        let dots = hints.flat_map(|(_, hint)| hint.record.dots());
        for dot in dots.filter(|dot| dot.actor == actor) {
            clock.insert(dot);
        }
        let lacks = [&self.inexact, &self.overflowed].into_iter().any(|it| it.contains(&vnode));
        (!lacks && !clock.is_full()).then_some(clock)
    }

    /// When all that was taken is durable.
    pub(super) fn last_durable_us(&self) -> u64 {
        self.last_durable_us
    }

    fn hints_of(&self, target: NodeId, after: Option<&Key>, count_max: usize) -> (Vec<Hint>, bool) {
        let from = match after {
            Some(key) => Bound::Excluded((target, key.clone())),
            None => Bound::Included((target, first_key(Token(0)))),
        };
        let of_target = self.hints.range((from, Bound::Unbounded));
        let mut of_target = of_target.take_while(|((node, _), _)| *node == target);
        let hints = of_target.by_ref().take(count_max).map(|(_, hint)| hint.clone()).collect();
        (hints, of_target.next().is_some())
    }

    /// The keys of the dots that `theirs` lacks; `None` unless all of them are known.
    fn since(&self, vnode: Vnode, theirs: &VnodeClock) -> Option<BTreeSet<Key>> {
        let ours = self.clock(vnode);
        let lacks = ours.count_beyond(theirs);
        let recent = self.recent.get(&vnode).into_iter().flatten();
        // A clock that is full forgets dots, and may take them for new when they come again.
        let known: BTreeMap<Dot, &Key> = recent
            .filter(|(dot, _)| ours.contains(*dot) && !theirs.contains(*dot))
            .map(|(dot, key)| (*dot, key))
            .collect();
        (known.len() as u64 == lacks).then(|| known.into_values().cloned().collect())
    }

    fn range(
        &self,
        tokens: (Token, Token),
        after: Option<&Key>,
    ) -> impl Iterator<Item = &Rc<Record>> {
        let from = match after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Included(first_key(tokens.0)),
        };
        let behind = self.records.range((from, Bound::Unbounded));
        behind.take_while(move |(key, _)| key.token <= tokens.1).map(|(_, record)| record)
    }

    fn leaves(&self, vnode: Vnode, below: Hlc) -> Vec<u64> {
        let (first, last) = self.bits.tokens(vnode);
        let width = (last.0 - first.0) / u64::from(LEAVES) + 1;
        let mut leaves = vec![0u64; usize::from(LEAVES)];
        for record in self.range((first, last), None).filter_map(|it| kept(it, below)) {
            let leaf = ((record.key.token.0 - first.0) / width) as usize;
            leaves[leaf] = leaves[leaf].wrapping_add(leaf_hash(&record));
        }
        leaves
    }
}

/// What two records of one key come to, unless a mistake is on.
fn merge_with(
    mutations: Mutations,
    now_ms: u64,
    known: &Rc<Record>,
    record: &Rc<Record>,
) -> Rc<Record> {
    if mutations.has(Mutation::ExpiredUncoversOlder)
        && known.kind == Kind::Value
        && known.is_dead(now_ms)
    {
        return Rc::clone(record);
    }
    if mutations.has(Mutation::LastArrivalWins) {
        return Rc::clone(record);
    }
    if mutations.has(Mutation::NewerIsJoined) && known.version > record.version {
        return Rc::clone(known);
    }
    if mutations.has(Mutation::TombstoneLoses) {
        match (known.kind, record.kind) {
            (Kind::Tombstone, Kind::Value) => return Rc::clone(record),
            (Kind::Value, Kind::Tombstone) => return Rc::clone(known),
            _ => {}
        }
    }
    if mutations.has(Mutation::DropSibling) && known.kind == Kind::Siblings {
        let is_newer = record.version > known.version;
        return Rc::clone(if is_newer { record } else { known });
    }
    merge(known, record)
}

/// Of the key and all of the version: two records of one stamp differ by their dots.
fn leaf_hash(record: &Record) -> u64 {
    let Digest { version: Version { hlc, dot }, hash } = record.digest();
    let (node, boot) = (dot.actor.node.0.get(), u64::from(dot.actor.boot));
    let numbers = [record.key.token.0, hlc.0, node, boot, dot.counter];
    numbers.iter().fold(hash, |hash, number| xxh3_64_with_seed(&number.to_le_bytes(), hash))
}

fn first_key(token: Token) -> Key {
    Key { token, namespace: NamespaceId(0), bytes: Rc::from([]) }
}

fn page<'a>(records: impl Iterator<Item = &'a Rc<Record>>, bytes_max: usize) -> Page {
    let (mut page, mut bytes) = (Page::default(), 0);
    for record in records {
        bytes += record.key.bytes.len() + record.value.len() + 64;
        if bytes > bytes_max && !page.records.is_empty() {
            page.has_more = true;
            break;
        }
        page.records.push(Rc::clone(record));
    }
    page
}

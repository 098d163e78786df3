//! Owners and stand-ins of one vnode with a few keys, their clients and their network.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use fastrand::Rng;
use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Hlc, NamespaceId, NodeId, Version, Vnode};

use crate::version::{
    Content, Context, DotCounters, HlcClock, Sibling, Siblings, Stands, merge, next_ceiling,
};

const OWNERS: usize = 3;
const NODES: usize = 5;
const KEYS: usize = 3;
const VNODE: Vnode = Vnode(7);

/// A rule that is not kept to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// A crash does not begin another boot, so dots are given twice.
    SameBoot,
    /// A write starts from nothing, not from what is there.
    StartsFromNothing,
    /// A stand-in gives dots as the same actor after it has forgotten what it wrote.
    ForgetsAndGoesOn,
    /// A stand-in claims to have seen what is below the horizon.
    StandInSettles,
    /// A copy that comes late is stored as it is.
    LateAsItIs,
    /// A writer is told to have seen what it was not shown.
    WriterHasSeenAll,
    /// A write does not tell what its context covers beyond what is there.
    ForgetsItsContext,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::SameBoot,
        Self::StartsFromNothing,
        Self::ForgetsAndGoesOn,
        Self::StandInSettles,
        Self::LateAsItIs,
        Self::WriterHasSeenAll,
        Self::ForgetsItsContext,
    ];
}

/// How often what has happened.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Counts {
    pub(super) writes: u64,
    pub(super) deletes: u64,
    pub(super) siblings: u64,
    pub(super) crashes: u64,
    pub(super) lost: u64,
    pub(super) purged: u64,
    pub(super) late: u64,
    pub(super) handed_over: u64,
    pub(super) settled: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        self.deletes += other.deletes;
        self.siblings += other.siblings;
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.purged += other.purged;
        self.late += other.late;
        self.handed_over += other.handed_over;
        self.settled += other.settled;
    }
}

/// Writes, by number.
type Writes = BTreeSet<usize>;

/// A put or a delete, as the definition has it.
struct Write {
    key: usize,
    version: Version,
    /// What its client had seen.
    past: Writes,
    is_delete: bool,
}

/// What somebody has of a key: the record, and all writes that have gone into it.
#[derive(Clone, Default)]
struct Copy {
    record: Option<(Version, Vec<u8>)>,
    history: Writes,
}

impl Copy {
    fn new(set: &Siblings<'_>, history: Writes) -> Self {
        let mut bytes = Vec::new();
        set.encode(&mut bytes);
        Self { record: set.version().map(|version| (version, bytes)), history }
    }

    fn set(&self) -> Siblings<'_> {
        let record = self.record.as_ref();
        record.map_or(Siblings::default(), |(version, bytes)| {
            Siblings::decode(*version, bytes).expect("its own bytes")
        })
    }

    /// As records come to it: merged, not read.
    fn merge(&mut self, other: &Self) {
        let content = |set: &Siblings<'_>, record: &(Version, Vec<u8>)| {
            (set.kind(), set.expires_at_ms(), record.0)
        };
        let merged = match (&self.record, &other.record) {
            (_, None) => None,
            (None, Some(_)) => Some(other.set()),
            (Some(ours), Some(theirs)) => {
                let (kind, expires_at_ms, version) = content(&self.set(), ours);
                let first = Content { version, kind, expires_at_ms, value: &ours.1 };
                let (kind, expires_at_ms, version) = content(&other.set(), theirs);
                let second = Content { version, kind, expires_at_ms, value: &theirs.1 };
                match merge(&first, &second) {
                    Stands::First => None,
                    Stands::Second => Some(other.set()),
                    Stands::Third(set) => Some(set),
                }
            }
        };
        let record = merged.map(|set| Self::new(&set, Writes::new()).record);
        self.record = record.unwrap_or_else(|| self.record.take());
        self.history.extend(&other.history);
    }
}

/// What a node stores.
#[derive(Clone, Default)]
struct Store {
    copies: [Copy; KEYS],
    dots: VnodeClock,
}

struct Node {
    actor: Actor,
    is_owner: bool,
    clock: HlcClock,
    ceiling: Hlc,
    dots: DotCounters,
    horizon: Hlc,
    store: Store,
    /// What a crash leaves of it.
    synced: Store,
}

impl Node {
    fn new(number: usize) -> Self {
        let node = NodeId(NonZeroU64::new(number as u64 + 1).unwrap());
        let actor = Actor { node, boot: 0 };
        let mut it = Self {
            actor,
            is_owner: number < OWNERS,
            clock: HlcClock::new(Hlc(0)),
            ceiling: Hlc::from_millis(100),
            dots: DotCounters::new(actor, VNODE..=VNODE),
            horizon: Hlc(0),
            store: Store::default(),
            synced: Store::default(),
        };
        it.boot(true);
        it
    }

    fn boot(&mut self, is_another: bool) {
        self.actor.boot += u32::from(is_another);
        self.clock = HlcClock::new(self.ceiling);
        self.dots = DotCounters::new(self.actor, VNODE..=VNODE);
    }
}

/// A context that a client was given, as it got it.
struct Given {
    key: usize,
    token: Vec<u8>,
    history: Writes,
}

pub(super) struct World {
    rng: Rng,
    fault: Option<Fault>,
    wall_ms: u64,
    writes: Vec<Write>,
    nodes: Vec<Node>,
    /// Whole sets on their way to owners.
    network: Vec<(usize, usize, Copy)>,
    given: Vec<Given>,
    pub(super) counts: Counts,
}

type Checked = Result<(), String>;

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            fault,
            wall_ms: 1000,
            writes: Vec::new(),
            nodes: (0..NODES).map(Node::new).collect(),
            network: Vec::new(),
            given: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn step(&mut self) -> Checked {
        self.wall_ms += self.rng.u64(..40);
        let (node, key) = (self.rng.usize(..NODES), self.rng.usize(..KEYS));
        let stand_in = self.rng.usize(OWNERS..NODES);
        let (owner, other) = (self.rng.usize(..OWNERS), self.rng.usize(..OWNERS));
        match self.rng.u8(..100) {
            0..27 => self.write(owner, key)?,
            27..36 => self.write(stand_in, key)?,
            36..46 => drop(self.read(key)?),
            46..66 => self.deliver()?,
            66..76 => self.nodes[node].synced = self.nodes[node].store.clone(),
            76..80 => self.crash(node),
            80..86 => self.session(owner, other)?,
            86..90 => self.raise_horizon(owner),
            90..92 => self.purge(owner),
            92..96 => self.settle_down()?,
            _ => self.hand_over(stand_in)?,
        }
        Ok(())
    }

    /// Whether the copy shows what stands of its history.
    fn check(&self, copy: &Copy) -> Checked {
        let shown: BTreeSet<Version> = copy.set().live().iter().map(|it| it.version).collect();
        let expected = self.standing(&copy.history);
        if shown == expected {
            return Ok(());
        }
        Err(format!("{shown:?} stand, not {expected:?}"))
    }

    /// The definition.
    fn standing(&self, history: &Writes) -> BTreeSet<Version> {
        let replaced: Writes =
            history.iter().flat_map(|&it| &self.writes[it].past).copied().collect();
        let stand = history.difference(&replaced).map(|&it| &self.writes[it]);
        stand.filter(|it| !it.is_delete).map(|it| it.version).collect()
    }

    /// A client reads some owners, and is shown what they come to.
    fn read(&mut self, key: usize) -> Result<usize, String> {
        let mut copy = Copy::default();
        for _ in 0..self.rng.usize(1..=OWNERS) {
            let node = self.rng.usize(..OWNERS);
            copy.merge(&self.nodes[node].store.copies[key]);
        }
        self.check(&copy)?;
        self.counts.siblings += u64::from(copy.set().live().len() > 1);
        let context = copy.set().context();
        Ok(self.give(key, &context, copy.history))
    }

    fn give(&mut self, key: usize, context: &Context, history: Writes) -> usize {
        let mut token = Vec::new();
        context.encode_token(NamespaceId(1), &[key as u8], &mut token);
        self.given.push(Given { key, token, history });
        self.given.len() - 1
    }

    /// The context of a write: of a read just now, of any earlier one, or none.
    fn brought(&mut self, key: usize) -> Result<(Context, Writes), String> {
        let given = match self.rng.u8(..8) {
            0..3 => Some(self.read(key)?),
            3..6 if !self.given.is_empty() => Some(self.rng.usize(..self.given.len())),
            _ => None,
        };
        let given = given.map(|it| &self.given[it]).filter(|it| it.key == key);
        let token = given.map_or(&[][..], |it| &it.token);
        let context = Context::decode_token(NamespaceId(1), &[key as u8], token);
        let context = context.map_err(|error| error.to_string())?;
        Ok((context, given.map(|it| it.history.clone()).unwrap_or_default()))
    }

    fn write(&mut self, at: usize, key: usize) -> Checked {
        let (context, past) = self.brought(key)?;
        let is_delete = self.rng.u8(..4) == 0;
        let number = self.writes.len();
        let wall_ms = self.wall_ms + at as u64 * 60;
        let (fault, node) = (self.fault, &mut self.nodes[at]);
        if let Some(ceiling) = next_ceiling(node.ceiling, node.clock.last(), wall_ms) {
            node.ceiling = ceiling;
        }
        let before = match fault {
            Some(Fault::StartsFromNothing) => Copy::default(),
            _ => node.store.copies[key].clone(),
        };
        let base = before.set();
        let settles = node.is_owner || fault == Some(Fault::StandInSettles);
        let horizon = if settles { node.horizon } else { Hlc(0) };
        let last = base.version().map_or(Hlc(0), |it| it.hlc);
        let seen = last.max(context.hlc()).max(horizon);
        if !node.clock.admits(wall_ms, seen) {
            return Ok(());
        }
        let Some(hlc) = node.clock.stamp(wall_ms, seen, node.ceiling) else { return Ok(()) };
        let version = Version { hlc, dot: node.dots.next(VNODE) };
        let value = number.to_le_bytes();
        let covers = match fault {
            Some(Fault::ForgetsItsContext) => base.history(),
            _ => &context,
        };
        let written = if is_delete {
            base.delete(version, covers, horizon)
        } else {
            base.write(Sibling { version, expires_at_ms: 0, value: &value }, covers, horizon)
        };
        // Many blind writes: a refusal is right.
        let Ok(set) = written else { return Ok(()) };
        node.dots.advance(VNODE);
        self.counts.writes += 1;
        self.counts.deletes += u64::from(is_delete);
        self.counts.settled += u64::from(set.history().floor() > base.history().floor());
        let of_writer = match fault {
            Some(Fault::WriterHasSeenAll) => set.context(),
            _ => set.context_of_writer(&context),
        };
        let mut history = before.history.clone();
        history.extend(&past);
        history.insert(number);
        let copy = Copy::new(&set, history.clone());
        let is_brought = of_writer == context;
        let seen_by_writer = if is_brought { past.clone() } else { history };
        self.writes.push(Write { key, version, past, is_delete });
        if fault != Some(Fault::WriterHasSeenAll) || is_brought {
            self.give(key, &of_writer, seen_by_writer);
        } else {
            // What its client has seen, in truth.
            let mut truth = self.writes[number].past.clone();
            truth.insert(number);
            self.give(key, &of_writer, truth);
        }
        self.store(at, key, copy.clone(), version)?;
        for to in (0..OWNERS).filter(|&to| to != at && self.nodes[at].is_owner) {
            if self.rng.u8(..5) > 0 {
                self.network.push((to, key, copy.clone()));
            }
        }
        Ok(())
    }

    /// A copy takes the place of what is there; what is known of the key only grows.
    fn store(&mut self, at: usize, key: usize, copy: Copy, version: Version) -> Checked {
        // What a stand-in has may be older than the horizon. It shows when it comes to an owner.
        if self.nodes[at].is_owner {
            self.check(&copy)?;
        }
        let stored = &self.nodes[at].store.copies[key];
        let (before, after) = (stored.set(), copy.set());
        if !after.history().dominates(before.history()) || after.version() < before.version() {
            return Err(format!("node {at} goes back from {before:?} to {after:?}"));
        }
        let store = &mut self.nodes[at].store;
        store.copies[key] = copy;
        store.dots.insert(version.dot);
        Ok(())
    }

    fn receive(&mut self, at: usize, key: usize, copy: &Copy) -> Checked {
        let Some((version, _)) = copy.record else { return Ok(()) };
        let node = &self.nodes[at];
        let mut arrived = copy.clone();
        let is_late = copy.set().oldest().is_some_and(|oldest| oldest < node.horizon);
        if is_late && self.fault != Some(Fault::LateAsItIs) {
            let set = copy.set().late(&node.store.copies[key].set(), node.horizon);
            self.counts.late += u64::from(set != copy.set());
            arrived.record = Copy::new(&set, Writes::new()).record;
        }
        let mut stored = node.store.copies[key].clone();
        stored.merge(&arrived);
        self.store(at, key, stored, version)
    }

    /// Anything on its way may arrive now, twice, or never.
    fn deliver(&mut self) -> Checked {
        if self.network.is_empty() {
            return Ok(());
        }
        let at = self.rng.usize(..self.network.len());
        let fate = self.rng.u8(..8);
        let (to, key, copy) = match fate {
            0..3 => self.network[at].clone(),
            _ => self.network.swap_remove(at),
        };
        if fate == 3 {
            return Ok(());
        }
        self.receive(to, key, &copy)
    }

    fn crash(&mut self, at: usize) {
        let is_another = self.fault != Some(Fault::SameBoot);
        let node = &mut self.nodes[at];
        self.counts.crashes += 1;
        self.counts.lost += u64::from(node.store.dots != node.synced.dots);
        node.store = node.synced.clone();
        node.boot(is_another);
    }

    /// `from` sends `to` every copy with a dot that `to` lacks.
    fn session(&mut self, from: usize, to: usize) -> Checked {
        let (ours, theirs) = (&self.nodes[from].store, &self.nodes[to].store.dots);
        let lacked =
            |it: &&Write| ours.dots.contains(it.version.dot) && !theirs.contains(it.version.dot);
        let keys: BTreeSet<usize> = self.writes.iter().filter(lacked).map(|it| it.key).collect();
        let dots = ours.dots.clone();
        for key in keys {
            let copy = self.nodes[from].store.copies[key].clone();
            self.receive(to, key, &copy)?;
        }
        self.nodes[to].store.dots.join(&dots);
        Ok(())
    }

    /// The horizon, as whoever sees everything finds it: below it every owner has on disk what
    /// there is, and no stamp is given.
    fn raise_horizon(&mut self, at: usize) {
        for node in &mut self.nodes {
            // A promise: no stamp is given below this one.
            let _ = node.clock.stamp(self.wall_ms, Hlc(0), node.ceiling);
        }
        let stores = self.nodes.iter().flat_map(|it| [&it.store, &it.synced]);
        let copies = stores.flat_map(|it| &it.copies).chain(self.network.iter().map(|it| &it.2));
        let there: Writes = copies.flat_map(|it| &it.history).copied().collect();
        let has = |node: &Node, it: usize| {
            node.synced.copies.iter().any(|copy| copy.history.contains(&it))
        };
        let owners = &self.nodes[..OWNERS];
        let lacked = there.into_iter().filter(|&it| !owners.iter().all(|node| has(node, it)));
        let lacked = lacked.map(|it| self.writes[it].version.hlc);
        let to_come = self.nodes.iter().map(|it| Hlc(it.clock.last().0 + 1));
        let horizon = lacked.chain(to_come).min().expect("there are nodes");
        let node = &mut self.nodes[at];
        node.horizon = node.horizon.max(horizon);
        for stand_in in &mut self.nodes[OWNERS..] {
            stand_in.horizon = stand_in.horizon.max(horizon);
        }
    }

    /// Deletes below the horizon are dropped, context and all.
    fn purge(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        for copy in &mut node.store.copies {
            let version = copy.set().version().filter(|_| copy.set().is_empty());
            if version.is_some_and(|it| it.hlc < node.horizon) {
                copy.record = None;
                self.counts.purged += 1;
            }
        }
    }

    /// Owners are brought together and on disk, while some messages are still on their way.
    fn settle_down(&mut self) -> Checked {
        for stand_in in OWNERS..NODES {
            self.give_all(stand_in, 0)?;
        }
        for (from, to) in pairs().chain(pairs()) {
            self.session(from, to)?;
        }
        for at in 0..OWNERS {
            self.nodes[at].synced = self.nodes[at].store.clone();
        }
        for at in 0..OWNERS {
            self.raise_horizon(at);
            self.purge(at);
        }
        Ok(())
    }

    /// A stand-in gives an owner all that it has.
    fn give_all(&mut self, stand_in: usize, owner: usize) -> Checked {
        for key in 0..KEYS {
            let copy = self.nodes[stand_in].store.copies[key].clone();
            self.receive(owner, key, &copy)?;
        }
        Ok(())
    }

    /// A stand-in gives owners what it has; if all have it on disk, it forgets it.
    fn hand_over(&mut self, at: usize) -> Checked {
        let is_for_all = self.rng.bool();
        for owner in 0..OWNERS {
            if !is_for_all && self.rng.bool() {
                continue;
            }
            self.give_all(at, owner)?;
            self.nodes[owner].synced = self.nodes[owner].store.clone();
        }
        if is_for_all {
            let node = &mut self.nodes[at];
            (node.store, node.synced) = (Store::default(), Store::default());
            self.counts.handed_over += 1;
            if self.fault != Some(Fault::ForgetsAndGoesOn) {
                node.boot(true);
            }
        }
        Ok(())
    }

    /// The network is empty, stand-ins hand over, owners compare their clocks: then all show the
    /// same, which is what stands of all that any of them has; and once whole copies are compared,
    /// they have the same bytes.
    pub(super) fn heal(&mut self) -> Checked {
        self.network.clear();
        for stand_in in OWNERS..NODES {
            self.give_all(stand_in, 0)?;
        }
        for (from, to) in pairs().chain(pairs()) {
            self.session(from, to)?;
        }
        for key in 0..KEYS {
            let all = |node: &Node| node.store.copies[key].history.clone();
            let history: Writes = self.nodes[..OWNERS].iter().flat_map(all).collect();
            for at in 0..OWNERS {
                let record = self.nodes[at].store.copies[key].record.clone();
                self.check(&Copy { record, history: history.clone() })?;
            }
            for (from, to) in pairs().chain(pairs()) {
                let copy = self.nodes[from].store.copies[key].clone();
                self.receive(to, key, &copy)?;
            }
            let mut records = self.nodes[..OWNERS].iter().map(|it| &it.store.copies[key].record);
            let first = records.next().expect("there are owners");
            if !records.all(|it| it == first) {
                return Err(format!("key {key} has different records"));
            }
        }
        Ok(())
    }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..OWNERS).flat_map(|from| (0..OWNERS).map(move |to| (from, to))).filter(|it| it.0 != it.1)
}

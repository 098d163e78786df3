//! [`Liveness`]: the machine around foca: its calls, its waiting, its lives.
//!
//! foca is driven and not believed in three things:
//! - **the next life is begun here** (see [`Liveness::begin_anew`]) and not by foca, which would
//!   take what it thought of others, and had not yet told, into it;
//! - **members of the topology that are not up are sought here**, all the time: foca stops all it
//!   does when it knows nobody, and forgets;
//! - **who is down** is settled between suspicion and refutation ([`super::peers`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foca::{Foca, Member, State, Timer};
use schemas::ids::{Actor, ClusterId, NodeId};

use super::chance::Chance;
use super::counters::Counters;
use super::identity::Identity;
use super::outside::Outside;
use super::peers::{Health, Peers};
use super::record::{Heard, Record, Records, Spread, Told};
use super::tunables::Tunables;
use super::wire::Wire;
use crate::time::Instant;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A datagram came; what carries it has checked its MAC, if it has one.
    Datagram(&'a [u8]),
    /// The time of [`Liveness::deadline`] has come.
    Tick,
}

/// What the driver is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a datagram, and forget it.
    Send {
        /// To whom.
        to: NodeId,
        /// Where that is.
        address: SocketAddr,
        /// At most [`Tunables::datagram_bytes`] bytes.
        datagram: Box<[u8]>,
    },
    /// A node looks different from here.
    Changed {
        /// Which node, and its boot.
        actor: Actor,
        /// How it looks.
        health: Health,
    },
}

pub(super) type Swim = Foca<Identity, Wire, Chance, Spread>;

/// One node's view of who answers.
///
/// After each call the driver polls until there is nothing more, and calls with [`Event::Tick`]
/// once [`Liveness::deadline`] has come. It reads datagrams that wait before it ticks, if it can:
/// they may hold the answer that the tick would find missing.
pub struct Liveness {
    pub(super) cluster: ClusterId,
    pub(super) me: Identity,
    pub(super) tunables: Tunables,
    pub(super) swim: Swim,
    pub(super) outside: Outside,
    pub(super) peers: Peers,
    pub(super) records: Records,
    pub(super) counters: Counters,
    rng: fastrand::Rng,
    own: Option<Own>,
    seek_at: Instant,
    renew_at: Instant,
    /// The greatest renewal of this boot that anybody spoke of.
    renewal_heard: u32,
}

/// This node's own record.
#[derive(Clone, Copy, Debug)]
struct Own {
    told: Told,
    spread_at: Instant,
}

impl Liveness {
    /// A node that knows nobody yet: `me` as it starts, reached by others at `address`.
    ///
    /// # Panics
    /// If `tunables` contradict each other, or `me` has boot 0.
    #[must_use]
    pub fn new(
        now: Instant,
        cluster: ClusterId,
        me: Actor,
        address: SocketAddr,
        tunables: Tunables,
        seed: u64,
    ) -> Self {
        assert!(me.boot > 0, "boots are counted from 1");
        let mut rng = fastrand::Rng::with_seed(seed);
        let me = Identity { node: me.node, boot: me.boot, renewal: 0, address };
        let peers = Peers::default();
        let swim = new_swim(me, &tunables, peers.expected(), &mut rng);
        Self {
            cluster,
            me,
            tunables,
            swim,
            outside: Outside::new(now, cluster),
            peers,
            records: Records::default(),
            counters: Counters::default(),
            rng,
            own: None,
            seek_at: now,
            renew_at: now,
            renewal_heard: 0,
        }
    }

    /// The members of the topology are these; this node may be one of them. All others become
    /// strangers, of whom there are few.
    ///
    /// # Panics
    /// If there are more than [`MEMBERS_MAX`](crate::limits::MEMBERS_MAX).
    pub fn set_members(&mut self, now: Instant, members: impl Into<Arc<[(NodeId, SocketAddr)]>>) {
        self.outside.now = now;
        self.peers.set_members(members.into());
        while self.peers.is_overfull() {
            let node = self.peers.dispensable(true).expect("there are strangers");
            self.remove_stranger(node);
        }
        let config = self.tunables.config(self.peers.expected());
        let result = self.swim.set_config(config);
        self.check(result);
        self.seek_at = now;
        self.settle();
    }

    /// These nodes, in their first lives of a boot, are up, and everybody knows: nothing of it is
    /// passed on or told. With many nodes at once it takes less than to let them hear of each
    /// other, which a simulation of them begins with.
    pub fn assume_up(&mut self, now: Instant, nodes: impl Iterator<Item = (Actor, SocketAddr)>) {
        self.outside.now = now;
        let me = self.me.node;
        let alive = nodes.filter(|(actor, _)| actor.node != me).map(|(actor, address)| {
            let Actor { node, boot } = actor;
            Member::alive(Identity { node, boot, renewal: 0, address })
        });
        let result = self.swim.apply_many(alive, false, &mut self.outside);
        self.check(result);
        for held in self.swim.iter_membership_state() {
            self.peers.observe(held);
        }
        self.settle();
    }

    /// What this node tells of itself: spread at once if the epoch is another than before, and else
    /// with the next of the regular ones. Values beside their ranges are cut to them.
    pub fn set_record(&mut self, now: Instant, record: Record) {
        self.outside.now = now;
        let record = record.limited();
        let told = Told { actor: self.me.actor(), sequence: 0, record };
        let own = self.own.get_or_insert(Own { told, spread_at: now });
        if own.told.record.epoch != record.epoch {
            own.spread_at = now;
        }
        own.told.record = record;
        if own.spread_at <= now {
            self.spread_record();
            let result = self.swim.gossip(&mut self.outside);
            self.check(result);
        }
        self.settle();
    }

    /// Takes what happened at `now`.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) {
        self.outside.now = now;
        match event {
            Event::Datagram(bytes) => self.receive(bytes),
            Event::Tick => self.tick(),
        }
        self.settle();
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Effect> {
        self.outside.effects.pop_front()
    }

    /// When to tick next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let own = self.own.map(|it| it.spread_at);
        let renewal = self.outside.is_over.then_some(self.renew_at);
        [self.outside.timers.first(), own, renewal, Some(self.seek_at)].into_iter().flatten().min()
    }

    /// How `node` looks; this node itself is up.
    #[must_use]
    pub fn health(&self, node: NodeId) -> Health {
        if node == self.me.node { Health::Up } else { self.peers.health(node) }
    }

    /// Whether `node` is up, or at worst suspected not to be.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.health(node) != Health::Down
    }

    /// The last boot of `node` that was heard of.
    #[must_use]
    pub fn boot(&self, node: NodeId) -> Option<u32> {
        if node == self.me.node { Some(self.me.boot) } else { self.peers.boot(node) }
    }

    /// All other nodes that were heard of, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (Actor, Health)> {
        self.peers.iter()
    }

    /// What `node` last told of itself.
    #[must_use]
    pub fn record(&self, node: NodeId) -> Option<&Heard> {
        self.records.get(node)
    }

    /// What all other nodes last told of themselves, by id.
    pub fn records(&self) -> impl Iterator<Item = &Heard> {
        self.records.iter()
    }

    /// What was refused, and what this machine went through.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { sent: self.outside.sent, ..self.counters }
    }

    fn tick(&mut self) {
        let now = self.outside.now;
        if self.outside.timers.forgive(now, self.tunables.probe_rtt) {
            self.counters.pauses += 1;
        }
        while let Some(timer) = self.outside.timers.pop(now) {
            self.time_out(timer);
        }
        if self.seek_at <= now {
            self.seek();
        }
        if self.own.is_some_and(|it| it.spread_at <= now) {
            self.spread_record();
        }
    }

    fn time_out(&mut self, timer: Timer<Identity>) {
        let concerned = match &timer {
            Timer::ProbeRandomMember(_) => self.outside.probed,
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } => {
                // foca would tell one that has refuted that it is down, and so end its life.
                if self.peers.suspicion(member_id) != Some(*incarnation) {
                    return;
                }
                Some(member_id.node)
            }
            _ => None,
        };
        let result = self.swim.handle_timer(timer, &mut self.outside);
        self.check(result);
        if let Some(node) = concerned {
            self.observe(node);
        }
    }

    /// Announces this node to members that are not up: to whoever they are by now.
    fn seek(&mut self) {
        for (node, address) in self.peers.missing(self.me.node, &mut self.rng) {
            let anyone = Identity::any_life(node, address);
            let result = self.swim.announce(anyone, &mut self.outside);
            self.check(result);
        }
        self.seek_at = self.around(self.tunables.seek_period);
    }

    fn spread_record(&mut self) {
        let every = self.tunables.record_period(self.peers.expected());
        let spread_at = self.around(every);
        let Some(own) = &mut self.own else { return };
        own.spread_at = spread_at;
        own.told.sequence = own.told.sequence.saturating_add(1);
        let bytes = own.told.encode();
        let result = self.swim.add_broadcast(&bytes).map(|_| ());
        self.check(result);
    }

    /// Somebody spread a record of this boot that this node did not make: the next is above it.
    pub(super) fn outbid_record(&mut self, sequence: u64) {
        if let Some(own) = self.own.as_mut().filter(|it| it.told.sequence < sequence) {
            own.told.sequence = sequence;
            own.spread_at = self.outside.now;
            self.counters.outranked += 1;
        }
    }

    /// Somebody takes this node for a later life of itself: if that is of this boot it is outbid,
    /// or nobody would listen to this one.
    pub(super) fn outbid_life(&mut self, id: &Identity) {
        if id.life() > self.me.life() {
            self.counters.outranked += 1;
            if id.boot == self.me.boot {
                self.renewal_heard = self.renewal_heard.max(id.renewal);
                self.outside.is_over = true;
            }
        }
    }

    /// Begins the next life if this one is over, but not too often: each costs everybody.
    fn settle(&mut self) {
        if self.outside.is_over && self.renew_at <= self.outside.now {
            self.begin_anew();
        }
    }

    /// A new life of this boot: with those who are up, and with no opinion of anybody else.
    ///
    /// Who was declared down was cut off, and so is one who knows nobody any more: what it thinks
    /// of the others is of no use to them, and would make them defend themselves.
    fn begin_anew(&mut self) {
        self.outside.is_over = false;
        let last = self.me.renewal.max(self.renewal_heard);
        // At the end of the counter only a start helps; by itself no boot gets there.
        let Some(renewal) = last.checked_add(1) else { return };
        self.me.renewal = renewal;
        self.renew_at = self.outside.now + self.tunables.probe_period;
        self.outside.timers.clear();
        self.counters.renewals += 1;
        self.peers.forget_down();
        let active: Vec<_> = self.swim.iter_members().cloned().collect();
        self.swim = new_swim(self.me, &self.tunables, self.peers.expected(), &mut self.rng);
        let result = self.swim.apply_many(active.into_iter(), false, &mut self.outside);
        self.check(result);
        if let Some(own) = self.own.filter(|it| it.told.sequence > 0) {
            let result = self.swim.add_broadcast(&own.told.encode()).map(|_| ());
            self.check(result);
        }
        let result = self.swim.gossip(&mut self.outside);
        self.check(result);
        self.seek_at = self.outside.now;
    }

    /// Reads from foca what it holds of `node` and tells whoever asks.
    pub(super) fn observe(&mut self, node: NodeId) {
        let held = self.swim.iter_membership_state().find(|it| it.id().node == node);
        if let Some((actor, health)) = held.and_then(|it| self.peers.observe(it)) {
            self.outside.effects.push_back(Effect::Changed { actor, health });
        }
    }

    /// A stranger is not known any more.
    pub(super) fn remove_stranger(&mut self, node: NodeId) {
        let held = self.swim.iter_membership_state().find(|it| it.id().node == node);
        if let Some((id, incarnation)) = held.map(|it| (*it.id(), it.incarnation())) {
            let down = Member::new(id, incarnation, State::Down);
            let result = self.swim.apply_many(std::iter::once(down), false, &mut self.outside);
            self.check(result);
            let result = self.swim.handle_timer(Timer::RemoveDown(id), &mut self.outside);
            self.check(result);
        }
        self.records.forget(node);
        if let Some(actor) = self.peers.remove_stranger(node) {
            let health = Health::Down;
            self.outside.effects.push_back(Effect::Changed { actor, health });
        }
    }

    pub(super) fn check(&mut self, result: Result<(), foca::Error>) {
        self.counters.faults += u64::from(result.is_err());
    }

    /// A quarter of `period` before or after its end, so that nodes started at once drift apart.
    fn around(&mut self, period: Duration) -> Instant {
        let permille = self.rng.u32(750..=1_250);
        self.outside.now + period * permille / 1_000
    }
}

fn new_swim(me: Identity, tunables: &Tunables, nodes: usize, rng: &mut fastrand::Rng) -> Swim {
    Foca::with_custom_broadcast(
        me,
        tunables.config(nodes),
        Chance(rng.fork()),
        Wire::default(),
        Spread,
    )
}

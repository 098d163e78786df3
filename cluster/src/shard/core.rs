//! [`Core`]: what the parts of a shard share: who it is, what it knows of the cluster, and the way
//! out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Hlc, NodeId, Token, Vnode};
use schemas::limits::KEY_BYTES_MAX;
use slab::Slab;

use super::counts::{Counts, Sizes};
use super::log::Log;
use super::peers::Peers;
use crate::coordinator::{Gathers, Reply};
use crate::ended::EndedStep;
use crate::event::{Effect, Order, RequestId, StoreError, Ticket};
use crate::handoff::{Handoff, HintStep};
use crate::horizon::{Arrival, Horizon, HorizonStep};
use crate::limits::{ASKED_MAX, COMPARED_MAX};
use crate::message::{Message, OpId, Refusal};
use crate::mutation::Mutation;
use crate::record::{Key, Kind, Record};
use crate::release::ReleaseStep;
use crate::repair::{Asked, RepairStep};
use crate::replica::Ask;
use crate::time::Now;
use crate::topology::{Document, Epoch, MemberIndex, Policy, Standing};
use crate::tunables::Tunables;
use crate::version::DotCounters;

/// What an order to the store was given for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// The record of a write that is coordinated here.
    Assign(OpId),
    /// What a write of siblings changes.
    Base(Key),
    /// A replica's part in one, for whoever asked.
    Replica(Ask),
    /// A step in handing over what is kept for others.
    Handoff(HintStep),
    /// A step in comparing with another owner.
    Repair(RepairStep),
    /// Forgetting what was seen of a vnode, since some of it was lost.
    Clear(Vnode),
    /// What another owner asked for, who compares.
    Answer(Asked),
    /// A step in giving vnodes away.
    Release(ReleaseStep),
    /// A step in learning what is void.
    Ended(EndedStep),
    /// A step towards a purge horizon.
    Horizon(HorizonStep),
}

impl Purpose {
    /// Whether another node waits for it.
    fn is_asked(&self) -> bool {
        use EndedStep::{Compare, Report};
        let is_of_ended = matches!(self, Self::Ended(Report(..) | Compare(..)));
        matches!(self, Self::Replica(_)) || is_of_ended || self.is_compared()
    }

    /// Whether another node compares with it.
    fn is_compared(&self) -> bool {
        use HorizonStep::{Advance, Confirm, Tell};
        let is_of_horizon = matches!(self, Self::Horizon(Tell(..) | Confirm(..) | Advance(..)));
        is_of_horizon || matches!(self, Self::Answer(_) | Self::Release(ReleaseStep::Compare(..)))
    }
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) me: Actor,
    /// The vnodes of the core.
    pub(crate) vnodes: RangeInclusive<Vnode>,
    pub(crate) dots: DotCounters,
    pub(crate) document: Arc<Document>,
    /// This node, unless it is no member.
    pub(crate) index: Option<MemberIndex>,
    /// The vnodes of which the store has all that it ever acknowledged.
    pub(crate) held: BTreeSet<Vnode>,
    /// The vnodes that the store is forgetting: what is put into them now would go, too.
    pub(crate) dropping: BTreeSet<Vnode>,
    /// The vnodes whose clock the store is clearing: until then it says too much.
    pub(crate) clearing: BTreeSet<Vnode>,
    /// The vnodes whose clock does not tell all that is there.
    pub(crate) inexact: BTreeSet<Vnode>,
    /// The vnodes that were found to be short of a horizon, and are to be forgotten and taken anew.
    pub(crate) retaking: BTreeSet<Vnode>,
    /// The purge horizons that the store has taken.
    pub(crate) horizons: BTreeMap<Vnode, Rc<Horizon>>,
    /// Whether no horizon can be above what this node stamps: it has been a member for as long as
    /// it has been asked for its promise.
    pub(crate) has_floor: bool,
    /// The vnodes of which the store has something, as far as is known.
    pub(crate) stored: BTreeSet<Vnode>,
    pub(crate) peers: Peers,
    pub(crate) tunables: Tunables,
    pub(crate) counts: Counts,
    pub(crate) log: Log,
    pub(crate) gathers: Gathers,
    effects: VecDeque<Effect>,
    loopback: VecDeque<(Vnode, Message)>,
    tickets: Slab<Purpose>,
    /// Orders that other nodes wait for, and those of them that are of comparisons.
    asked: usize,
    compared: usize,
}

impl Core {
    pub(crate) fn new(
        me: Actor,
        vnodes: RangeInclusive<Vnode>,
        document: Arc<Document>,
        tunables: Tunables,
    ) -> Self {
        let index = document.index_of(me.node);
        Self {
            me,
            dots: DotCounters::new(me, vnodes.clone()),
            vnodes,
            document,
            index,
            held: BTreeSet::new(),
            dropping: BTreeSet::new(),
            clearing: BTreeSet::new(),
            inexact: BTreeSet::new(),
            retaking: BTreeSet::new(),
            horizons: BTreeMap::new(),
            has_floor: false,
            stored: BTreeSet::new(),
            peers: Peers::default(),
            tunables,
            counts: Counts::default(),
            log: Log::default(),
            gathers: Gathers::default(),
            effects: VecDeque::new(),
            loopback: VecDeque::new(),
            tickets: Slab::new(),
            asked: 0,
            compared: 0,
        }
    }

    /// The data centre of this node; nobody's name if it is no member.
    pub(crate) fn dc(&self) -> &str {
        self.index.map_or("", |index| &self.document.member(index).dc)
    }

    /// Whether `node` is a member of this node's data centre.
    pub(crate) fn is_near(&self, node: NodeId) -> bool {
        let index = self.document.index_of(node);
        index.is_some_and(|index| *self.document.member(index).dc == *self.dc())
    }

    /// Whether a simulation has switched a mistake on.
    #[inline]
    pub(crate) fn is_wrong(&self, mutation: Mutation) -> bool {
        self.tunables.mutations.has(mutation)
    }

    pub(crate) fn vnode_of(&self, key: &Key) -> Vnode {
        key.token.vnode(self.document.bits)
    }

    /// The purge horizon of a vnode; zero if there is none.
    pub(crate) fn below(&self, vnode: Vnode) -> Hlc {
        self.horizons.get(&vnode).map_or(Hlc(0), |it| it.below)
    }

    /// What a record is to the own copy of its vnode.
    pub(crate) fn arrival(&mut self, vnode: Vnode, record: &Record) -> Arrival {
        let arrival = self.horizons.get(&vnode).map(|it| it.arrival(record));
        let arrival = arrival.unwrap_or(Arrival::New);
        if arrival == Arrival::New || self.is_wrong(Mutation::LateRecordIsStored) {
            return Arrival::New;
        }
        self.counts.late += 1;
        arrival
    }

    /// What the store is to do with a record that another node had for this one; `None` if it was
    /// here. What is late and was not is of a node that was given up for lost, and came back.
    pub(crate) fn as_it_arrives(&mut self, vnode: Vnode, record: Rc<Record>) -> Option<Order> {
        match self.arrival(vnode, &record) {
            Arrival::New => Some(Order::Put(record)),
            Arrival::Known => None,
            Arrival::Unseen => {
                self.counts.set_aside += 1;
                Some(Order::SetAside(record))
            }
        }
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        node == self.me.node || self.peers.is_up(node)
    }

    pub(crate) fn is_held(&self, vnode: Vnode) -> bool {
        self.held.contains(&vnode)
    }

    /// Whether the store is forgetting what it has seen of `vnode`: its clock says too much.
    pub(crate) fn is_forgetting(&self, vnode: Vnode) -> bool {
        self.dropping.contains(&vnode) || self.clearing.contains(&vnode)
    }

    /// Whether nothing more is to come of a life: a later one of its node is known, or the node is
    /// of the cluster no more.
    pub(crate) fn is_over(&self, life: Actor) -> bool {
        if life.node == self.me.node {
            return life.boot < self.me.boot;
        }
        self.peers.is_over(life) || self.document.index_of(life.node).is_none()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        let standing = |index: MemberIndex| self.document.member(index).standing;
        self.index.is_some_and(|index| standing(index) == Standing::Leaving)
    }

    pub(crate) fn has_some(&self, vnode: Vnode) -> bool {
        self.stored.contains(&vnode)
    }

    /// Forgets what was seen of vnodes of which something was lost, and that they were held.
    pub(crate) fn clear(&mut self, lost: BTreeSet<Vnode>) {
        if self.is_wrong(Mutation::LossKeepsClock) {
            return;
        }
        for vnode in lost {
            self.held.remove(&vnode);
            self.horizons.remove(&vnode);
            self.inexact.insert(vnode);
            self.clearing.insert(vnode);
            self.order(Purpose::Clear(vnode), Order::Clear(vnode));
        }
    }

    /// `node` has a topology of at least `epoch`.
    pub(crate) fn heard_newer(&mut self, node: NodeId, epoch: Epoch) {
        if epoch > self.document.epoch {
            self.effects.push_back(Effect::Newer { node, epoch });
        }
    }

    /// A message of `node`, sent in `epoch` of a vnode, was refused.
    pub(crate) fn count_refusal(&mut self, node: NodeId, epoch: Epoch, refusal: Refusal) {
        self.counts.count(refusal);
        if refusal == Refusal::Behind {
            self.heard_newer(node, epoch);
        }
    }

    /// What is told of a store that does not do something.
    pub(crate) fn refusal(&mut self, error: StoreError) -> Refusal {
        let refusal = match error {
            StoreError::Busy => Refusal::Busy,
            StoreError::Full => Refusal::Full,
            StoreError::Damaged => Refusal::Damaged,
        };
        self.counts.count(refusal);
        refusal
    }

    /// Whether a message that came from `from` is listened to; counts it if not.
    pub(crate) fn is_heard(&mut self, from: Actor, vnode: Vnode) -> bool {
        let count = if from.node == self.me.node {
            &mut self.counts.impostors
        } else if self.document.index_of(from.node).is_none() {
            &mut self.counts.strangers
        } else if !self.has_vnode(vnode) {
            &mut self.counts.misdirected
        } else if !self.peers.is_current(from) {
            &mut self.counts.former_lives
        } else {
            return true;
        };
        *count += 1;
        false
    }

    /// Whether `vnode` is one of this core's.
    pub(crate) fn has_vnode(&self, vnode: Vnode) -> bool {
        self.vnodes.contains(&vnode) && usize::from(vnode.0) < self.document.ring.vnodes()
    }

    /// Whether a key that came from elsewhere is one, of `vnode`.
    pub(crate) fn is_key_of(&self, vnode: Vnode, key: &Key) -> bool {
        (1..=KEY_BYTES_MAX).contains(&key.bytes.len())
            && self.vnode_of(key) == vnode
            && key.token == Token::of(&key.bytes, self.document.token_seed)
    }

    /// Whether a record that came from elsewhere is one, of `vnode`; and of its namespace, if that
    /// is known: it may have been created since.
    pub(crate) fn is_record_of(&self, vnode: Vnode, record: &Record) -> bool {
        let dot = record.version.dot;
        let policy = self.document.namespace(record.key.namespace).map(|it| it.policy);
        let fits = match record.kind {
            Kind::Value => policy != Some(Policy::Siblings),
            Kind::Tombstone => true,
            Kind::Siblings | Kind::Context => policy != Some(Policy::LastWriterWins),
        };
        fits && self.is_key_of(vnode, &record.key)
            && (dot.actor != self.me || dot.counter <= self.dots.given(vnode))
            && record.is_sound()
    }

    /// Whether a clock that came from elsewhere tells of no dot that this life has not given.
    pub(crate) fn is_clock_of(&self, vnode: Vnode, clock: &VnodeClock) -> bool {
        clock.of(self.me).is_none_or(|it| it.greatest() <= self.dots.given(vnode))
    }

    /// Whether one order more is given for another node.
    ///
    /// # Errors
    /// The refusal to.
    pub(crate) fn has_room(&self) -> Result<(), Refusal> {
        if self.asked < ASKED_MAX { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// As [`has_room`](Self::has_room), for a comparison.
    ///
    /// # Errors
    /// The refusal to.
    pub(crate) fn has_room_to_compare(&self) -> Result<(), Refusal> {
        if self.compared < COMPARED_MAX { self.has_room() } else { Err(Refusal::Busy) }
    }

    pub(crate) fn reply(&mut self, to: RequestId, reply: Reply) {
        self.effects.push_back(Effect::Reply(to, reply));
    }

    /// To another node, or to this shard, which hears it before the next event.
    pub(crate) fn send(&mut self, to: NodeId, vnode: Vnode, message: Message) {
        if to == self.me.node {
            self.loopback.push_back((vnode, message));
        } else {
            self.effects.push_back(Effect::Send { to, vnode, message });
        }
    }

    pub(crate) fn order(&mut self, purpose: Purpose, order: Order) {
        self.asked += usize::from(purpose.is_asked());
        self.compared += usize::from(purpose.is_compared());
        let ticket = self.tickets.insert(purpose);
        let ticket = Ticket(u32::try_from(ticket).expect("orders under way are bounded"));
        self.effects.push_back(Effect::Store(ticket, order));
    }

    /// What an order was for, which is not over yet.
    ///
    /// # Panics
    /// If the driver tells of a ticket twice.
    pub(crate) fn purpose(&self, ticket: Ticket) -> Purpose {
        self.tickets[ticket.0 as usize].clone()
    }

    /// What an order was for that is over.
    ///
    /// # Panics
    /// If the driver tells of a ticket twice.
    pub(crate) fn end_order(&mut self, ticket: Ticket) -> Purpose {
        let purpose = self.tickets.remove(ticket.0 as usize);
        self.asked -= usize::from(purpose.is_asked());
        self.compared -= usize::from(purpose.is_compared());
        purpose
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(crate) fn next_loopback(&mut self) -> Option<(Vnode, Message)> {
        self.loopback.pop_front()
    }

    pub(crate) fn set_document(&mut self, document: Arc<Document>) {
        self.index = document.index_of(self.me.node);
        let known = &document;
        self.peers.retain(|node| known.index_of(node).is_some());
        self.log.epoch_begins();
        self.document = document;
    }

    /// Writes down how much there is of what.
    pub(crate) fn measure(&self, sizes: &mut Sizes) {
        sizes.orders = self.tickets.len();
        sizes.asked = self.asked;
        sizes.effects = self.effects.len() + self.loopback.len();
        let forgets = self.dropping.len() + self.clearing.len() + self.inexact.len();
        sizes.vnodes = self.held.len() + self.stored.len() + forgets;
        sizes.horizons = self.horizons.len() + self.retaking.len();
        sizes.peers = self.peers.len();
    }
}

/// The moment and all that the parts of a shard share.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) core: &'a mut Core,
    pub(crate) handoff: &'a mut Handoff,
}

//! [`Core`]: what the parts of a shard share: who it is, what it knows of the cluster, and the way
//! out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use schemas::ids::{Actor, Hlc, NodeId, Vnode};
use slab::Slab;

use super::log::Log;
use super::peers::Peers;
use crate::coordinator::{Gathers, Reply};
use crate::event::{Effect, Order, RequestId, Ticket};
use crate::handoff::{Handoff, HintStep};
use crate::horizon::{Arrival, Horizon, HorizonStep};
use crate::message::{Message, OpId, Refusal};
use crate::mutation::Mutation;
use crate::record::{Key, Record};
use crate::release::ReleaseStep;
use crate::repair::{Asked, RepairStep};
use crate::replica::Ask;
use crate::time::Now;
use crate::topology::{Document, Epoch, MemberIndex, Standing};
use crate::tunables::Tunables;

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
    /// What another owner asked for, who compares.
    Answer(Asked),
    /// A step in giving vnodes away.
    Release(ReleaseStep),
    /// A step towards a purge horizon.
    Horizon(HorizonStep),
}

/// What happened that ought not to, or not often.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Answers that no operation waits for: late, doubled, of strangers.
    pub stray_answers: u64,
    /// Messages that contradict themselves.
    pub malformed: u64,
    /// Requests that another node sent again.
    pub doubled: u64,
    /// Messages of an earlier life of a node.
    pub former_lives: u64,
    /// Messages from nodes that are not of the cluster.
    pub strangers: u64,
    /// Messages of an older epoch of their vnode.
    pub stale: u64,
    /// Messages of a newer epoch of their vnode.
    pub behind: u64,
    /// Requests refused since too many were under way.
    pub overloaded: u64,
    /// Records sent to replicas that had an older one.
    pub read_repairs: u64,
    /// Reads that asked one replica more than they had to.
    pub hedges: u64,
    /// Writes acknowledged with the help of stand-ins.
    pub sloppy: u64,
    /// Hints that their owners have.
    pub hints_delivered: u64,
    /// Hints that were not kept, for want of room.
    pub hints_dropped: u64,
    /// Comparisons begun with other owners.
    pub repairs: u64,
    /// Those that were not ended.
    pub repairs_failed: u64,
    /// Those for which recent dots were not enough.
    pub repairs_by_leaves: u64,
    /// Records that they brought.
    pub repaired_records: u64,
    /// Purge horizons that this core has advanced.
    pub horizons: u64,
    /// Records that came too late to be stored.
    pub late: u64,
    /// Those of them that nobody here had seen: they are set aside.
    pub set_aside: u64,
    /// Vnodes of which this core had too little, and began anew.
    pub retaken: u64,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) me: Actor,
    pub(crate) document: Arc<Document>,
    /// This node, unless it is no member.
    pub(crate) index: Option<MemberIndex>,
    /// The vnodes of which the store has all that it ever acknowledged.
    pub(crate) held: BTreeSet<Vnode>,
    /// The vnodes that the store is forgetting: what is put into them now would go, too.
    pub(crate) dropping: BTreeSet<Vnode>,
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
}

impl Core {
    pub(crate) fn new(me: Actor, document: Arc<Document>, tunables: Tunables) -> Self {
        let index = document.index_of(me.node);
        Self {
            me,
            document,
            index,
            held: BTreeSet::new(),
            dropping: BTreeSet::new(),
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

    pub(crate) fn is_leaving(&self) -> bool {
        let standing = |index: MemberIndex| self.document.member(index).standing;
        self.index.is_some_and(|index| standing(index) == Standing::Leaving)
    }

    pub(crate) fn has_some(&self, vnode: Vnode) -> bool {
        self.stored.contains(&vnode)
    }

    /// `node` has a topology of at least `epoch`.
    pub(crate) fn heard_newer(&mut self, node: NodeId, epoch: Epoch) {
        if epoch > self.document.epoch {
            self.effects.push_back(Effect::Newer { node, epoch });
        }
    }

    /// A message of `node`, sent in `epoch` of a vnode, was refused.
    pub(crate) fn count_refusal(&mut self, node: NodeId, epoch: Epoch, refusal: Refusal) {
        match refusal {
            Refusal::Stale(_) => self.counts.stale += 1,
            Refusal::Behind => {
                self.counts.behind += 1;
                self.heard_newer(node, epoch);
            }
            _ => {}
        }
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
        self.tickets.remove(ticket.0 as usize)
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

    /// Orders to the store that are under way.
    pub(crate) fn orders(&self) -> usize {
        self.tickets.len()
    }
}

/// The moment and all that the parts of a shard share.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) core: &'a mut Core,
    pub(crate) handoff: &'a mut Handoff,
}

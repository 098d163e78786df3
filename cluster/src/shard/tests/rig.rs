//! [`Rig`]: one shard, its store, and all that it says to others.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use schemas::consistency::Consistency;
use schemas::ids::{Actor, Hlc, NamespaceId, NodeId, Token, Vnode};

use super::store::{Job, Store};
use crate::coordinator::{Reply, Request, Wanted};
use crate::event::{Effect, Event, Order, RequestId, StoreError};
use crate::message::Message;
use crate::record::{Key, Kind, Record};
use crate::shard::{Shard, Start};
use crate::time::{Instant, Now};
use crate::topology::fixture::{self, node};
use crate::topology::{DataCentre, Document, Epoch, MemberIndex, Namespace, Phase, Policy, Slot};
use crate::tunables::Tunables;
use crate::version::{Context, Sibling, Siblings};
use schemas::ids::{Dot, Version};

/// The namespace that keeps siblings.
pub(super) const SIBLINGS: NamespaceId = NamespaceId(2);

/// The life that the shard is in, and those that others are in when a test begins.
pub(super) const BOOT: u32 = 5;

/// When a test begins.
pub(super) const START_MS: u64 = 1_790_000_000_000;

/// A shard and its surroundings.
pub(super) struct Rig {
    pub(super) shard: Shard,
    pub(super) now: Now,
    pub(super) document: Arc<Document>,
    pub(super) store: Store,
    /// What the shard said to others and was not taken yet.
    pub(super) sent: Vec<(NodeId, Vnode, Message)>,
    pub(super) replies: BTreeMap<RequestId, Reply>,
    /// Whether the store takes nothing.
    pub(super) is_full: bool,
    requests: u64,
}

/// Five nodes, three copies; node 1 has a core of the first half of eight vnodes.
pub(super) fn document() -> Document {
    let mut document = fixture::document(5, 3, 8);
    document.namespaces.push(Namespace {
        id: SIBLINGS,
        name: "siblings".into(),
        policy: Policy::Siblings,
        replication: vec![DataCentre { name: "dc".into(), copies: 3 }],
        former: None,
        is_strict: false,
        ttl_ms: 0,
    });
    document.last_namespace = SIBLINGS;
    document
}

impl Rig {
    pub(super) fn new(tunables: Tunables) -> Self {
        Self::holding((0..4).map(Vnode).collect(), tunables)
    }

    /// Whose store has all of these vnodes.
    pub(super) fn holding(held: BTreeSet<Vnode>, tunables: Tunables) -> Self {
        let document = Arc::new(document());
        let now = Now { at: Instant(1_000_000), wall_ms: START_MS };
        let start = Start {
            me: Actor { node: node(1), boot: BOOT },
            vnodes: Vnode(0)..=Vnode(3),
            document: Arc::clone(&document),
            floor: Hlc(0),
            held,
            stored: (0..4).map(Vnode).collect(),
            lost: [].into(),
            inexact: [].into(),
            horizons: [].into(),
            hinted: [].into(),
            tunables,
        };
        let mut rig = Self {
            shard: Shard::new(now, start),
            now,
            document,
            store: Store::new(),
            sent: Vec::new(),
            replies: BTreeMap::new(),
            is_full: false,
            requests: 0,
        };
        rig.handle(Event::Ceiling(Hlc::from_millis(START_MS + 30 * 86_400_000)));
        rig
    }

    /// Something happens, and what the shard wants is done.
    pub(super) fn handle(&mut self, event: Event) {
        self.shard.handle(self.now, event);
        while let Some(effect) = self.shard.poll() {
            match effect {
                Effect::Reply(id, reply) => {
                    assert!(self.replies.insert(id, reply).is_none(), "one answer a request");
                }
                Effect::Send { to, vnode, message } => self.sent.push((to, vnode, message)),
                Effect::Store(ticket, order) if is_question(&order) => {
                    self.store.jobs.push_back(Job::Answer(ticket, order));
                }
                Effect::Store(ticket, order) => {
                    let is_record = matches!(order, Order::Put(_) | Order::PutHint { .. });
                    let taken =
                        if self.is_full && is_record { Err(StoreError::Full) } else { Ok(()) };
                    if taken.is_ok() {
                        self.store.jobs.push_back(Job::Keep(ticket, order));
                    }
                    self.shard.handle(self.now, Event::Taken(ticket, taken));
                }
                _ => {}
            }
        }
        assert_eq!(self.shard.sizes().effects, 0, "what is polled is gone");
    }

    /// A vnode of the core goes on in moving to other nodes, or begins to.
    pub(super) fn move_on(&mut self, rng: &mut Rng) {
        let mut next = (*self.document).clone();
        next.epoch = Epoch(next.epoch.0 + 1);
        let vnode = Vnode(rng.u16(..4));
        let mut slots: Vec<Slot> = next.ring.slots(vnode).collect();
        let phase = match next.ring.phase(vnode) {
            Phase::Stable => {
                let mut members: Vec<u16> = (0..5).collect();
                rng.shuffle(&mut members);
                for (slot, member) in slots.iter_mut().zip(members) {
                    slot.successor = Some(MemberIndex(member));
                }
                Phase::Moving
            }
            Phase::Moving => Phase::Settling,
            Phase::Settling => {
                slots.iter_mut().for_each(|slot| slot.reader = slot.successor);
                Phase::Stable
            }
        };
        next.ring.set(vnode, &slots, phase, next.epoch);
        self.document = Arc::new(next);
        self.handle(Event::Topology(Arc::clone(&self.document)));
    }

    /// The store does the first thing that waits. Whether there was one.
    pub(super) fn work(&mut self) -> bool {
        let Some(job) = self.store.jobs.pop_front() else { return false };
        let bits = self.document.bits;
        match job {
            Job::Keep(ticket, order) => {
                self.store.keep(bits, order);
                self.handle(Event::Durable(ticket));
            }
            Job::Answer(ticket, order) => {
                let stored = self.store.answer(bits, &order);
                self.handle(Event::Answered(ticket, Ok(stored)));
            }
        }
        true
    }

    /// The store does all that waits.
    pub(super) fn work_all(&mut self) {
        while self.work() {}
    }

    /// Another node, in the life it is in, says something; the store does what follows.
    pub(super) fn hear(&mut self, from: u64, vnode: Vnode, message: Message) {
        let from = Actor { node: node(from), boot: BOOT };
        self.handle(Event::Received { from, vnode, message });
        self.work_all();
    }

    /// What the shard said since it was asked last.
    pub(super) fn said(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.sent).into_iter().map(|it| it.2).collect()
    }

    /// Time passes; what is due happens.
    pub(super) fn pass(&mut self, by: Duration) {
        let until = self.now.at + by;
        while let Some(at) = self.shard.deadline().filter(|at| *at <= until) {
            self.tick_to(at);
            self.handle(Event::Due);
            self.work_all();
        }
        self.tick_to(until);
    }

    fn tick_to(&mut self, at: Instant) {
        let by_ms = at.since(self.now.at).as_millis() as u64;
        self.now = Now { at: at.max(self.now.at), wall_ms: self.now.wall_ms + by_ms };
    }

    /// A client asks for something.
    pub(super) fn ask(&mut self, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.handle(Event::Request(id, request.into()));
        id
    }

    /// Whether a client's key is of this core.
    pub(super) fn is_own(&self, key: &[u8]) -> bool {
        Token::of(key, self.document.token_seed).vnode(self.document.bits) < Vnode(4)
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }
}

fn is_question(order: &Order) -> bool {
    use Order::{Clock, Dots, Get, Hints, Leaves, OldestHint, Page, Since};
    let is_of_records = matches!(order, Get(_) | Since { .. } | Leaves { .. } | Page { .. });
    is_of_records || matches!(order, Clock(_) | Dots { .. } | Hints { .. } | OldestHint)
}

/// A key of `vnode` of the namespace `of`; each number is another.
pub(super) fn key(document: &Document, of: NamespaceId, vnode: Vnode, number: usize) -> Key {
    let tries = (0..).map(|it| format!("key {it}").into_bytes());
    let keys = tries.map(|bytes| Key {
        token: Token::of(&bytes, document.token_seed),
        namespace: of,
        bytes: bytes.into(),
    });
    let mut keys = keys.filter(|it| it.token.vnode(document.bits) == vnode);
    keys.nth(number).expect("there is no end of them")
}

/// A value that node `number` has written.
pub(super) fn record(key: &Key, number: u64, counter: u64) -> Record {
    let dot = Dot { actor: Actor { node: node(number), boot: BOOT }, counter };
    let version = Version { hlc: Hlc::from_millis(START_MS + counter), dot };
    let (key, value) = (key.clone(), Rc::from(*b"a value"));
    Record { key, version, kind: Kind::Value, expires_at_ms: 0, value }
}

/// A set of one value that node `number` has written.
pub(super) fn set(key: &Key, number: u64, counter: u64) -> Record {
    let version = record(key, number, counter).version;
    let sibling = Sibling { version, expires_at_ms: 0, value: b"a sibling" };
    let set = Siblings::default().write(sibling, &Context::NOTHING, Hlc(0));
    Record::of_set(key.clone(), &set.expect("within the limits"))
}

/// A request that any client may make.
pub(super) fn request(key: &Key, wanted: Wanted) -> Request {
    Request {
        namespace: key.namespace,
        key: Rc::clone(&key.bytes),
        wanted,
        level: Consistency::Quorum,
        is_strict: false,
        seen: Hlc(0),
        patience: Duration::from_secs(5),
    }
}

/// A put of some bytes.
pub(super) fn put() -> Wanted {
    Wanted::Put { value: Rc::from(*b"bytes"), ttl_ms: 0, context: None }
}

//! Nodes of one core each, whose messages arrive at once and in order, and whose stores keep
//! records in a tree. A node that is cut off hears and says nothing; a disk that is held has
//! nothing new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::clock::VnodeClock;
use schemas::consistency::Consistency;
use schemas::ids::{Actor, Hlc, NamespaceId, NodeId, Token, Vnode};

use crate::coordinator::{Reply, Request, Wanted};
use crate::event::{Effect, Event, Order, Page, RequestId, Stored, Ticket};
use crate::message::Message;
use crate::record::{Key, Record, merge};
use crate::shard::{Shard, Start};
use crate::time::{Instant, Now};
use crate::topology::fixture::node;
use crate::topology::{Document, Epoch};
use crate::tunables::Tunables;

pub(super) const NAMESPACE: NamespaceId = NamespaceId::DEFAULT;

/// One node.
pub(super) struct TestNode {
    pub(super) shard: Shard,
    pub(super) records: BTreeMap<Key, Rc<Record>>,
    pub(super) clocks: BTreeMap<Vnode, VnodeClock>,
    log: VecDeque<(Ticket, Order)>,
    pub(super) is_disk_held: bool,
    pub(super) is_cut_off: bool,
    /// What it said it has caught up with.
    pub(super) caught_up: BTreeSet<(Vnode, Epoch)>,
}

/// All nodes, numbered from 1.
pub(super) struct Network {
    pub(super) document: Arc<Document>,
    pub(super) nodes: Vec<TestNode>,
    pub(super) replies: BTreeMap<RequestId, Reply>,
    on_their_way: VecDeque<(NodeId, NodeId, Vnode, Message)>,
    /// Messages that arrived.
    pub(super) messages: usize,
    now_us: u64,
    next_request: u64,
}

impl Network {
    /// Nodes of a document, each of which holds what it reads.
    pub(super) fn new(document: Document, tunables: &Tunables) -> Self {
        let document = Arc::new(document);
        let nodes = document.members.iter().map(|it| start(&document, it.id, tunables)).collect();
        let mut network = Self {
            document,
            nodes,
            replies: BTreeMap::new(),
            on_their_way: VecDeque::new(),
            messages: 0,
            now_us: 1_000_000,
            next_request: 1,
        };
        for number in 1..=network.nodes.len() {
            network.tell(number, Event::Ceiling(Hlc(u64::MAX)));
        }
        network
    }

    pub(super) fn now(&self) -> Now {
        Now { at: Instant(self.now_us), wall_ms: 1_700_000_000_000 + self.now_us / 1000 }
    }

    pub(super) fn node(&mut self, number: usize) -> &mut TestNode {
        &mut self.nodes[number - 1]
    }

    /// Something happens to a node, and all that follows from it.
    pub(super) fn tell(&mut self, number: usize, event: Event) {
        self.handle(number, event);
        self.deliver();
    }

    /// All nodes hear of another document.
    pub(super) fn adopt(&mut self, document: Document) {
        self.document = Arc::new(document);
        for number in 1..=self.nodes.len() {
            self.tell(number, Event::Topology(Arc::clone(&self.document)));
        }
    }

    /// A client's number, and what it asks for.
    pub(super) fn ask(
        &mut self,
        number: usize,
        event: impl FnOnce(RequestId) -> Event,
    ) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.tell(number, event(id));
        id
    }

    pub(super) fn put(&mut self, number: usize, key: &[u8], value: &[u8], level: Consistency) {
        let value = value.into();
        self.write(number, key, Wanted::Put { value, ttl_ms: 0, context: None }, level);
    }

    pub(super) fn write(&mut self, number: usize, key: &[u8], wanted: Wanted, level: Consistency) {
        let request = Rc::new(Request {
            namespace: NAMESPACE,
            key: key.into(),
            wanted,
            level,
            is_strict: true,
            seen: Hlc(0),
            patience: Duration::from_secs(1),
        });
        let id = self.ask(number, |id| Event::Request(id, request));
        assert!(matches!(self.replies[&id], Reply::Written(_)), "{:?}", self.replies[&id]);
    }

    /// The key of these bytes.
    pub(super) fn key(&self, bytes: &[u8]) -> Key {
        let token = Token::of(bytes, self.document.token_seed);
        Key { token, namespace: NAMESPACE, bytes: bytes.into() }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, time: Duration) {
        let end_us = self.now_us + time.as_micros() as u64;
        loop {
            let due = |(number, it): (usize, &TestNode)| {
                let at = it.shard.deadline().filter(|_| !it.is_cut_off)?;
                (at.0 <= end_us).then_some((at.0, number + 1))
            };
            let Some((at_us, number)) = self.nodes.iter().enumerate().filter_map(due).min() else {
                break;
            };
            self.now_us = self.now_us.max(at_us);
            self.tell(number, Event::Due);
        }
        self.now_us = end_us;
    }

    /// What a node's disk was held from is on it.
    pub(super) fn release_disk(&mut self, number: usize) {
        self.node(number).is_disk_held = false;
        self.sync(number);
        self.deliver();
    }

    fn handle(&mut self, number: usize, event: Event) {
        let now = self.now();
        self.node(number).shard.handle(now, event);
        while let Some(effect) = self.node(number).shard.poll() {
            self.carry_out(number, effect);
        }
    }

    fn carry_out(&mut self, number: usize, effect: Effect) {
        let now = self.now();
        match effect {
            Effect::Reply(id, reply) => {
                assert!(self.replies.insert(id, reply).is_none(), "one reply to {id:?}");
            }
            Effect::Send { to, vnode, message } => {
                self.on_their_way.push_back((node(number as u64), to, vnode, message));
            }
            Effect::Store(ticket, order) => match self.node(number).answer(&order) {
                Some(stored) => self.handle(number, Event::Answered(ticket, Ok(stored))),
                None => {
                    self.node(number).log.push_back((ticket, order));
                    self.node(number).shard.handle(now, Event::Taken(ticket, Ok(())));
                    self.sync(number);
                }
            },
            Effect::CaughtUp(vnode, epoch) => {
                self.node(number).caught_up.insert((vnode, epoch));
            }
            Effect::Newer { .. } | Effect::Older(_) | Effect::Released(_) | Effect::Promise(_) => {}
        }
    }

    fn sync(&mut self, number: usize) {
        while !self.node(number).is_disk_held
            && let Some((ticket, order)) = self.node(number).log.pop_front()
        {
            self.node(number).apply(order);
            self.handle(number, Event::Durable(ticket));
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, vnode, message)) = self.on_their_way.pop_front() {
            let of = |node: NodeId| node.0.get() as usize;
            if self.node(of(from)).is_cut_off || self.node(of(to)).is_cut_off {
                continue;
            }
            self.messages += 1;
            let from = Actor { node: from, boot: 1 };
            self.handle(of(to), Event::Received { from, vnode, message });
        }
    }
}

fn start(document: &Arc<Document>, id: NodeId, tunables: &Tunables) -> TestNode {
    let now = Now { at: Instant(0), wall_ms: 1 };
    let index = document.index_of(id);
    let reads = |vnode: &Vnode| document.ring.slots(*vnode).any(|slot| slot.reader == index);
    let last = Vnode((document.ring.vnodes() - 1) as u16);
    let start = Start {
        me: Actor { node: id, boot: 1 },
        vnodes: Vnode(0)..=last,
        document: Arc::clone(document),
        floor: Hlc(0),
        held: document.ring.all().filter(reads).collect(),
        stored: BTreeSet::new(),
        lost: BTreeSet::new(),
        inexact: BTreeSet::new(),
        horizons: BTreeMap::new(),
        hinted: BTreeSet::new(),
        tunables: tunables.clone(),
    };
    TestNode {
        shard: Shard::new(now, start),
        records: BTreeMap::new(),
        clocks: BTreeMap::new(),
        log: VecDeque::new(),
        is_disk_held: false,
        is_cut_off: false,
        caught_up: BTreeSet::new(),
    }
}

impl TestNode {
    fn apply(&mut self, order: Order) {
        match order {
            Order::Put(record) => self.put(record),
            Order::Join(vnode, clock) => {
                self.clocks.entry(vnode).or_default().join(&clock);
            }
            Order::Drop(vnode) => {
                let bits = self.shard.core.document.bits;
                self.records.retain(|key, _| key.token.vnode(bits) != vnode);
            }
            // Hints are read by nobody here.
            _ => {}
        }
    }

    /// A record is on disk.
    pub(super) fn put(&mut self, record: Rc<Record>) {
        let vnode = self.shard.core.vnode_of(&record.key);
        self.clocks.entry(vnode).or_default().insert(record.version.dot);
        let known = self.records.get(&record.key);
        let merged = known.map_or_else(|| Rc::clone(&record), |known| merge(known, &record));
        self.records.insert(record.key.clone(), merged);
    }

    /// What the store has, if it is asked for anything.
    fn answer(&self, order: &Order) -> Option<Stored> {
        let clock = |vnode| self.clocks.get(vnode).cloned().unwrap_or_default();
        Some(match order {
            Order::Get(key) => Stored::Record(self.records.get(key).cloned()),
            Order::Hints { .. } => Stored::Hints(Vec::new(), false),
            Order::OldestHint => Stored::OldestHint(None),
            Order::Clock(vnode) => Stored::Clock(clock(vnode)),
            Order::Since { vnode, theirs, after, bytes_max } => {
                let tokens = self.shard.core.document.bits.tokens(*vnode);
                let lacks = |it: &&Rc<Record>| !theirs.contains(it.version.dot);
                let records = self.range(tokens, after.as_ref()).filter(lacks);
                Stored::Since(clock(vnode), Some(page(records, *bytes_max)))
            }
            Order::Page { tokens, after, bytes_max } => {
                Stored::Page(page(self.range(*tokens, after.as_ref()), *bytes_max))
            }
            Order::Leaves { vnode, .. } => Stored::Leaves(clock(vnode), Vec::new()),
            Order::Dots { vnode, actor } => {
                Stored::Dots(self.log.is_empty().then(|| clock(vnode).only(*actor)))
            }
            _ => return None,
        })
    }

    fn range(
        &self,
        tokens: (Token, Token),
        after: Option<&Key>,
    ) -> impl Iterator<Item = &Rc<Record>> {
        let first = Key { token: tokens.0, namespace: NamespaceId(0), bytes: [].into() };
        let from = after.map_or(Bound::Included(first), |key| Bound::Excluded(key.clone()));
        let behind = self.records.range((from, Bound::Unbounded));
        behind.take_while(move |(key, _)| key.token <= tokens.1).map(|(_, record)| record)
    }
}

fn page<'a>(records: impl Iterator<Item = &'a Rc<Record>>, bytes_max: usize) -> Page {
    let (mut page, mut bytes) = (Page::default(), 0);
    for record in records {
        bytes += record.key.bytes.len() + record.value.len();
        if bytes > bytes_max && !page.records.is_empty() {
            page.has_more = true;
            break;
        }
        page.records.push(Rc::clone(record));
    }
    page
}

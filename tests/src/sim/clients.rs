//! [`Clients`]: what is asked, what was answered: the history of a run.
//!
//! A process asks one thing after another, of any node. It tells each time of the greatest stamp
//! that it saw, and of keys with siblings what it saw of them last, unless it forgot. If the node
//! dies it does not know what became of its request.

mod many;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::rc::Rc;

use cluster::coordinator::{Refused, Reply, Request, Wanted};
use cluster::event::{Event, RequestId};
use cluster::record::{Kind as RecordKind, Record};
use cluster::topology;
use cluster::version::{Context, Siblings};
use schemas::consistency::Consistency;
use schemas::ids::{Hlc, NamespaceId, Token, Version};
use schemas::status::Applied;

use self::many::Calls;
use super::namespaces::created;
use super::options::{ClientOptions, Options};
use super::places::Asked;
use super::run::gives_up;
use super::topology::{LWW, SIBLINGS};
use super::world::{Happening, World};
use crate::history::{ABSENT, History, Kind, Level, NEVER, Operation, Outcome, Policy};

/// All clients.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) history: History,
    /// The greatest stamp that each process has seen.
    seen: Vec<Hlc>,
    /// What a process saw of a key with siblings when it read it last.
    read: BTreeMap<(u32, NamespaceId, u64), Seen>,
    calls: BTreeMap<RequestId, Calls>,
    next_request: u64,
    next_value: u64,
    pub(super) is_stopped: bool,
    /// Copies of each key at the start.
    copies: u8,
    /// Keys that were used.
    used: BTreeSet<(u64, NamespaceId, bool)>,
}

/// What was seen of a key with siblings.
#[derive(Clone, Default, Debug)]
struct Seen {
    token: Rc<[u8]>,
    values: Rc<[u64]>,
}

/// A request without an answer.
#[derive(Clone, Debug)]
struct Call {
    process: u32,
    node: usize,
    kind: Kind,
    space: Space,
    key: u64,
    value: u64,
    context: Option<Seen>,
    asked: Asked,
    repairs_first: bool,
    is_settled: bool,
    /// Whether it is part of what its process goes by later.
    is_in_session: bool,
    /// Of a value that is put; 0 if it does not expire.
    ttl_ms: u64,
    seen: Hlc,
    call_us: u64,
}

impl Call {
    /// When what is put expires, by a right clock, but for the time that it takes to be stamped.
    fn expires_ns(&self) -> u64 {
        if self.ttl_ms == 0 { NEVER } else { self.call_us * 1000 + self.ttl_ms * 1_000_000 }
    }
}

/// A namespace as clients know it.
#[derive(Clone, Copy, Debug)]
struct Space {
    id: NamespaceId,
    policy: Policy,
    /// The most copies that a key has had.
    copies: u8,
}

impl ClientOptions {
    /// The first of the keys that are used at a moment.
    fn first_key(&self, now_us: u64) -> u64 {
        let every_us = self.keys_for.as_micros() as u64;
        now_us.checked_div(every_us).unwrap_or(0) * self.keys
    }
}

impl Clients {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            history: History::new(),
            seen: vec![Hlc(0); options.clients.processes as usize],
            read: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_request: 1,
            next_value: 1,
            is_stopped: false,
            copies: options.copies_in_all(),
            used: BTreeSet::new(),
        }
    }
}

impl World {
    /// A process asks for something.
    pub(super) fn client(&mut self, process: u32) {
        if self.clients.is_stopped {
            return;
        }
        let options = &self.options.clients;
        let (rng, put, delete) = (&mut self.rng, options.put_permille, options.delete_permille);
        let kind = match rng.u32(..1000) {
            draw if draw < put => Kind::Put,
            draw if draw < put + delete => Kind::Delete,
            _ => Kind::Get,
        };
        let level = match rng.u32(..1000) {
            draw if draw < options.weak_permille => Level::Weak,
            draw if draw < options.weak_permille + options.sloppy_permille => Level::Sloppy,
            _ => Level::Quorum,
        };
        let is_siblings = rng.u32(..1000) < options.siblings_permille;
        let is_blind = rng.u32(..1000) < options.blind_permille;
        let key = options.first_key(self.now_us) + rng.u64(..options.keys);
        let expires = kind == Kind::Put && rng.u32(..1000) < options.ttl_permille;
        let ttl_ms = if expires { rng.u64(1..=options.ttl_ms_max) } else { 0 };
        let (node, place) = self.whom_to_ask(process);
        let space = self.space(node, is_siblings);
        let is_siblings = space.policy == Policy::Siblings;
        let mut asked = self.options.places.ask(&mut self.rng, place, kind, level, space.copies);
        // Who was given up and does not know it answers with what it has, and nobody else is asked.
        let is_alone = asked.consistency == Consistency::ONE && space.copies > 1;
        if is_alone && kind == Kind::Get && gives_up(&self.options, &self.faults) {
            asked.level = Level::Weak;
        }
        let (mut value, mut context) = (ABSENT, None);
        if kind != Kind::Get {
            value = self.clients.next_value;
            self.clients.next_value += 1;
            let read = self.clients.read.get(&(process, space.id, key));
            context = read.filter(|_| is_siblings && !is_blind).cloned();
        }
        let is_promise = kind == Kind::Get && level == Level::Quorum;
        let call = Call {
            process,
            node,
            kind,
            space,
            key,
            value,
            context,
            asked,
            repairs_first: self.options.clients.repairs_first && is_promise,
            is_settled: false,
            is_in_session: true,
            ttl_ms,
            seen: self.clients.seen[process as usize],
            call_us: self.now_us,
        };
        if self.is_serving(node) {
            match kind {
                Kind::Get => self.get(call),
                Kind::Put | Kind::Delete => self.ask(call),
            }
        } else {
            self.ask_later(process);
        }
    }

    /// A node that a process asks, and the data centre of its coordinator.
    fn whom_to_ask(&mut self, process: u32) -> (usize, usize) {
        let (places, nodes) = (self.options.places, self.nodes.len());
        let home = places.of(process as usize);
        let near = (0..nodes).filter(|&node| places.of(node) == home);
        let near: Vec<usize> = near.filter(|_| places.stays_at_home()).collect();
        let node = match self.rng.choice(&near) {
            Some(&node) => node,
            None => self.rng.usize(..nodes),
        };
        (node, places.of(node))
    }

    /// A namespace that a node knows, now and then one that was created.
    fn space(&mut self, node: usize, is_siblings: bool) -> Space {
        let created: Vec<_> =
            self.nodes[node].document().into_iter().flat_map(|it| created(it)).collect();
        if let Some(&(id, policy, copies)) = self.rng.choice(&created)
            && self.rng.u32(..4) == 0
        {
            let is_lww = policy == topology::Policy::LastWriterWins;
            let policy = if is_lww { Policy::Lww } else { Policy::Siblings };
            return Space { id, policy, copies };
        }
        let policy = if is_siblings { Policy::Siblings } else { Policy::Lww };
        Space { id: if is_siblings { SIBLINGS } else { LWW }, policy, copies: self.clients.copies }
    }

    /// Reads a key for the last time.
    fn ask_at_last(&mut self, node: usize, key: u64, space: Space) {
        let consistency = Consistency::Quorum;
        let asked = Asked { consistency, level: Level::Quorum, is_seen_by_all: true };
        self.ask(Call {
            process: 0,
            node,
            kind: Kind::Get,
            space,
            key,
            value: ABSENT,
            context: None,
            asked,
            repairs_first: false,
            is_settled: true,
            is_in_session: false,
            ttl_ms: 0,
            seen: Hlc(0),
            call_us: self.now_us,
        });
    }

    fn ask(&mut self, call: Call) {
        let id = self.next_request();
        let key: Rc<[u8]> = key_bytes(call.key).into();
        let context = call.context.as_ref().map(|seen| Rc::clone(&seen.token));
        let wanted = match call.kind {
            Kind::Put => {
                let (value, ttl_ms) = (call.value.to_le_bytes().into(), call.ttl_ms);
                Wanted::Put { value, ttl_ms, context }
            }
            Kind::Delete => Wanted::Delete { context },
            Kind::Get => Wanted::Get { repairs_first: call.repairs_first },
        };
        let request = Rc::new(Request {
            namespace: call.space.id,
            key: Rc::clone(&key),
            wanted,
            level: call.asked.consistency,
            is_strict: call.asked.level != Level::Sloppy,
            seen: call.seen,
            patience: self.options.clients.patience,
        });
        let core = self.core_of(call.node, Token::of(&key, self.options.seed));
        self.begin(id, core, Calls::One(call), Event::Request(id, request));
    }

    fn next_request(&mut self) -> RequestId {
        self.clients.next_request += 1;
        RequestId(self.clients.next_request - 1)
    }

    /// Asks a core of the node of `calls`.
    fn begin(&mut self, id: RequestId, core: usize, calls: Calls, event: Event) {
        let (node, first) = (calls.first().node, calls.first().key);
        self.trace.add(self.now_us, 5, [id.0, node as u64, first]);
        for call in calls.of_keys() {
            let is_siblings = call.space.policy == Policy::Siblings;
            self.clients.used.insert((call.key, call.space.id, is_siblings));
        }
        self.clients.calls.insert(id, calls);
        self.drive(node, core, event);
    }

    fn ask_later(&mut self, process: u32) {
        let think_us = self.rng.u64(..=self.options.clients.think_us_mean * 2);
        self.later(self.now_us + think_us, Happening::Client(process));
    }

    /// A process is answered.
    pub(super) fn reply(&mut self, id: RequestId, reply: Reply) {
        let Some(calls) = self.clients.calls.remove(&id) else { return };
        self.trace.add(self.now_us, 6, [id.0, 0, 0]);
        match (calls, reply) {
            (Calls::One(call), Reply::Written(version)) => {
                let found = Found { version: Some(version), ..Found::default() };
                self.record(&call, Outcome::Ok, &found);
                if call.space.policy == Policy::Lww {
                    let of = (call.asked.consistency, call.space.copies);
                    self.acknowledged(call.call_us, self.key_of(&call), version, of);
                }
                self.saw(&call, version.hlc);
            }
            (Calls::One(call), Reply::Found(record)) => {
                let stamp = self.read(&call, record.as_deref());
                self.saw(&call, stamp);
            }
            (Calls::Many(calls), Reply::FoundAll(found)) => self.found_all(&calls, &found),
            (Calls::Page(call), Reply::Page(page)) => self.turn_page(call, &page),
            (calls, Reply::Refused(refused)) => self.end(&calls, outcome(&refused)),
            (calls, reply) => unreachable!("{reply:?} is no answer to {calls:?}"),
        }
    }

    /// A process is told what there is of a key; the stamp of that.
    fn read(&mut self, call: &Call, record: Option<&Record>) -> Hlc {
        let now_ms = self.nodes[call.node].now(self.now_us).wall_ms;
        let found = record.map(|record| Found::of(record, now_ms)).unwrap_or_default();
        self.record(call, Outcome::Ok, &found);
        let Found { version, token, values, .. } = found;
        if call.space.policy == Policy::Siblings && !call.is_settled {
            let key = (call.process, call.space.id, call.key);
            self.clients.read.insert(key, Seen { token, values });
        }
        version.map_or(Hlc(0), |version| version.hlc)
    }

    /// Nothing comes of what was asked for.
    fn end(&mut self, calls: &Calls, outcome: Outcome) {
        for call in calls.of_keys() {
            self.record(call, outcome, &Found::default());
        }
        self.saw(calls.first(), Hlc(0));
    }

    fn saw(&mut self, call: &Call, stamp: Hlc) {
        if !call.is_settled {
            let seen = &mut self.clients.seen[call.process as usize];
            *seen = stamp.max(*seen);
            self.ask_later(call.process);
        }
    }

    fn record(&mut self, call: &Call, outcome: Outcome, found: &Found) {
        let is_lost = outcome == Outcome::Unknown;
        // What keeps a session's reads from going back.
        let goes_on = self.options.places.has_sessions(call.space.copies);
        let is_session = self.options.clients.repairs_first && goes_on && call.is_in_session;
        let (is_get, is_lww) = (call.kind == Kind::Get, call.space.policy == Policy::Lww);
        let is_told = is_get && !is_lww && outcome == Outcome::Ok;
        let value = if is_get && is_lww { found.values.first().copied() } else { None };
        let operation = Operation {
            process: call.process,
            session: is_session.then(|| NonZeroU32::MIN.saturating_add(call.process)),
            namespace: call.space.id,
            value: value.unwrap_or(call.value),
            context_in: call.context.as_ref().map(|seen| &*seen.values),
            context_out: is_told.then_some(&*found.values),
            context_entries: found.entries,
            siblings: if is_told { &found.values } else { &[] },
            stamp: found.version.filter(|_| !is_get || is_lww),
            seen: call.seen,
            expires_ns: call.expires_ns(),
            level: call.asked.level,
            blocking_repair: call.repairs_first && call.asked.is_seen_by_all,
            settled: call.is_settled,
            call_ns: call.call_us * 1000,
            return_ns: if is_lost { NEVER } else { self.now_us * 1000 },
            outcome,
            ..Operation::new(call.kind, call.space.policy, call.key)
        };
        self.clients.history.push(&operation).expect("a sound operation");
    }

    /// A node has died: who asked it does not know what became of it.
    pub(super) fn node_is_gone(&mut self, node: usize) {
        let gone = |(&id, calls): (&RequestId, &Calls)| (calls.first().node == node).then_some(id);
        let ids: Vec<RequestId> = self.clients.calls.iter().filter_map(gone).collect();
        for id in ids {
            let Some(calls) = self.clients.calls.remove(&id) else { continue };
            self.end(&calls, Outcome::Unknown);
        }
    }

    /// Reads all keys that clients used for the last time, one after another, but those of
    /// namespaces that are gone.
    pub(super) fn read_all_at_last(&mut self) {
        for (key, id, is_siblings) in self.clients.used.clone() {
            let knows = |node: &usize| {
                let document = self.nodes[*node].document();
                document.is_some_and(|document| document.namespace(id).is_some())
            };
            let serving = (0..self.nodes.len()).filter(|&node| self.is_serving(node));
            let serving: Vec<usize> = serving.filter(knows).collect();
            let Some(&node) = serving.get(key as usize % serving.len().max(1)) else { continue };
            let policy = if is_siblings { Policy::Siblings } else { Policy::Lww };
            self.ask_at_last(node, key, Space { id, policy, copies: 0 });
            let late_us = self.now_us + self.options.clients.patience.as_micros() as u64 + 1000;
            while self.unanswered() > 0 && self.now_us < late_us {
                self.run(self.now_us + 1000);
            }
        }
    }

    /// Keys with acknowledged writes that are gone with their namespaces: nobody can read them.
    pub(super) fn keys_gone(&self) -> u64 {
        let Some(document) = self.document() else { return 0 };
        let all = self.clients.history.operations();
        let gone = all
            .filter(|(_, it)| it.is_acknowledged() && document.namespace(it.namespace).is_none());
        let keys: BTreeSet<_> = gone.map(|(_, it)| (it.namespace, it.key)).collect();
        keys.len() as u64
    }

    /// Requests without an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.clients.calls.len()
    }
}

/// What an answer says.
#[derive(Default)]
struct Found {
    version: Option<Version>,
    /// The value, or the siblings.
    values: Rc<[u64]>,
    token: Rc<[u8]>,
    /// Of the context.
    entries: u16,
}

impl Found {
    /// What a node says whose clock shows `now_ms`.
    fn of(record: &Record, now_ms: u64) -> Self {
        let version = Some(record.version);
        match record.kind {
            RecordKind::Value if record.is_dead(now_ms) => Self { version, ..Self::default() },
            RecordKind::Value => {
                Self { version, values: [number(&record.value)].into(), ..Self::default() }
            }
            RecordKind::Tombstone => Self { version, ..Self::default() },
            RecordKind::Siblings | RecordKind::Context => {
                let set = Siblings::decode(record.version, &record.value).expect("a set");
                let context: Context = set.context();
                let mut token = Vec::new();
                context.encode_token(record.key.namespace, &record.key.bytes, &mut token);
                let values: Vec<u64> = set.values(now_ms).map(|it| number(it.value)).collect();
                let entries = context.seen().len() as u16;
                Self { version, values: values.into(), token: token.into(), entries }
            }
        }
    }
}

/// What became of what was refused.
fn outcome(refused: &Refused) -> Outcome {
    if refused.applied == Applied::No { Outcome::Fail } else { Outcome::Unknown }
}

fn key_bytes(key: u64) -> [u8; 8] {
    key.to_be_bytes()
}

fn number(value: &[u8]) -> u64 {
    value.first_chunk().map_or(ABSENT, |bytes| u64::from_le_bytes(*bytes))
}

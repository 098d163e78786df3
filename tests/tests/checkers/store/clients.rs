//! The clients' side: what they ask for, what becomes of it in simulated time, and its record.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemas::ids::Hlc;
use tests::history::{ABSENT, History, Kind, Level, NEVER, Operation, Outcome, Policy};

use super::record::{Context, Record};
use super::replicas::{Asked, KEYS, REPLICAS, Replicas};
use super::{Mistake, Setup};

const CLIENTS: usize = 4;
const PHASES: usize = 2;
const OPERATIONS: usize = 60;
const MS: u64 = 1_000_000;

/// Reads of a session that find less than it knows try again so often, and then fail.
const TRIES_MAX: u32 = 100;

enum Event {
    /// A client asks for something.
    Next { client: usize },
    /// A write reaches the replica that stamps it.
    Write { client: usize, asked: Asked, call_ns: u64 },
    /// A record arrives.
    Apply { replica: usize, key: u64, record: Record },
    /// A write is answered.
    Written { client: usize, operation: Operation<'static>, context: Context },
    /// A read asks a replica.
    Ask { read: usize, replica: usize },
    /// A read is answered.
    Read { read: usize },
}

struct Read {
    client: usize,
    key: u64,
    call_ns: u64,
    found: Record,
    pending: usize,
    tries: u32,
}

#[derive(Default)]
struct Client {
    seen: Hlc,
    /// What its session has of each key.
    session: BTreeMap<u64, Record>,
    contexts: BTreeMap<u64, Context>,
}

struct Run<'r> {
    setup: Setup,
    rng: &'r mut fastrand::Rng,
    now_ns: u64,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    replicas: Replicas,
    clients: Vec<Client>,
    reads: Vec<Read>,
    history: History,
    left: usize,
    values: u64,
    /// Whether contexts are recorded in full.
    full_contexts: bool,
}

/// What clients of a store saw.
pub(crate) fn run(setup: &Setup, rng: &mut fastrand::Rng) -> History {
    let replicas = Replicas::new(setup, rng);
    let full_contexts = rng.bool();
    let mut run = Run {
        setup: *setup,
        rng,
        now_ns: MS,
        queue: BTreeMap::new(),
        queued: 0,
        replicas,
        clients: (0..CLIENTS).map(|_| Client::default()).collect(),
        reads: Vec::new(),
        history: History::new(),
        left: 0,
        values: 0,
        full_contexts,
    };
    for _ in 0..PHASES {
        run.phase();
    }
    run.history
}

impl Run<'_> {
    fn phase(&mut self) {
        self.left = OPERATIONS;
        for client in 0..CLIENTS {
            self.after(3, Event::Next { client });
        }
        while let Some(((at_ns, _), event)) = self.queue.pop_first() {
            self.now_ns = at_ns;
            self.take(event);
        }
        for (key, record) in self.replicas.settle() {
            self.now_ns += MS;
            let call_ns = self.now_ns;
            self.now_ns += MS;
            self.record_get(None, key, call_ns, &record);
        }
        self.replicas.purge();
        self.now_ns += MS;
    }

    /// Queues an event, up to so many milliseconds from now; no two have the same moment.
    fn after(&mut self, ms_max: u64, event: Event) -> u64 {
        let at_ns = self.now_ns + 1 + self.rng.u64(..ms_max * MS);
        self.at(at_ns, event);
        at_ns
    }

    fn at(&mut self, at_ns: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((at_ns, self.queued), event);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Next { client } => self.next(client),
            Event::Write { client, asked, call_ns } => self.write(client, &asked, call_ns),
            Event::Apply { replica, key, record } => self.replicas.apply(replica, key, &record),
            Event::Written { client, operation, context } => {
                self.written(client, &operation, context);
            }
            Event::Ask { read, replica } => self.ask(read, replica),
            Event::Read { read } => self.answer(read),
        }
    }

    fn next(&mut self, client: usize) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let (key, call_ns) = (self.rng.u64(..KEYS), self.now_ns);
        if self.rng.bool() {
            let read = self.reads.len();
            let (found, pending) = (Record::default(), 0);
            self.reads.push(Read { client, key, call_ns, found, pending, tries: 0 });
            self.ask_some(read);
            return;
        }
        self.values += 1;
        let kind = if self.rng.u8(..4) == 0 { Kind::Delete } else { Kind::Put };
        let expires = self.setup.expiry && kind == Kind::Put && self.rng.u8(..3) == 0;
        let expires_ns = if expires { call_ns + self.rng.u64(..30) * MS } else { NEVER };
        let own = &mut self.clients[client];
        let seen = if self.setup.sessions { own.seen } else { Hlc(0) };
        let blind = self.setup.mistake == Some(Mistake::Unbounded);
        let context = own.contexts.get(&key).filter(|_| !blind).cloned().unwrap_or_default();
        let asked = Asked { kind, key, value: self.values, expires_ns, seen, context };
        self.after(2, Event::Write { client, asked, call_ns });
    }

    fn write(&mut self, client: usize, asked: &Asked, call_ns: u64) {
        let at = self.rng.usize(..REPLICAS);
        let (record, version) = self.replicas.write(at, asked, self.now_ns);
        let lost = self.setup.mistake == Some(Mistake::LosesWrites) && self.rng.u8(..20) == 0;
        let unknown = self.rng.u8(..12) == 0;
        let mut answer_ns = self.now_ns;
        if !lost {
            answer_ns = self.send(at, asked.key, &record, self.setup.level, unknown);
        }
        let operation = Operation {
            process: client as u32,
            session: self.session(client),
            value: asked.value,
            seen: asked.seen,
            expires_ns: asked.expires_ns,
            level: self.setup.level,
            call_ns,
            ..Operation::new(asked.kind, self.setup.policy, asked.key)
        };
        if unknown {
            let (outcome, return_ns) = (Outcome::Unknown, NEVER);
            self.record_write(&Operation { outcome, return_ns, ..operation }, &asked.context);
            self.after(5, Event::Next { client });
            return;
        }
        let return_ns = answer_ns + 1 + self.rng.u64(..2 * MS);
        let operation = Operation { stamp: Some(version), return_ns, ..operation };
        let context = asked.context.clone();
        self.at(return_ns, Event::Written { client, operation, context });
    }

    /// Sends a record to all replicas, first to `at`: when as many as are waited for have it.
    fn send(&mut self, at: usize, key: u64, record: &Record, level: Level, unknown: bool) -> u64 {
        let mut order: Vec<usize> = (0..REPLICAS).collect();
        self.rng.shuffle(&mut order);
        order.sort_by_key(|replica| *replica != at);
        // The replica that merged siblings has them at once: the next write there goes on from it.
        let merges = self.setup.policy == Policy::Siblings;
        let waited = if level == Level::Sloppy { 0 } else { self.replicas.quorum() };
        let mut answer_ns = self.now_ns;
        for (place, replica) in order.into_iter().enumerate() {
            let event = Event::Apply { replica, key, record: record.clone() };
            if place == 0 && merges {
                self.replicas.apply(replica, key, record);
            } else if unknown && self.rng.bool() {
                // It never gets there by itself.
            } else if place < waited {
                answer_ns = self.after(3, event).max(answer_ns);
            } else {
                let ms_max = [3, 60][self.rng.usize(..2)];
                self.after(ms_max, event);
            }
        }
        answer_ns
    }

    fn written(&mut self, client: usize, operation: &Operation<'_>, context: Context) {
        self.record_write(operation, &context);
        let own = &mut self.clients[client];
        own.seen = own.seen.max(operation.stamp.map_or(Hlc(0), |it| it.hlc));
        own.contexts.entry(operation.key).or_default().wrote(operation.value);
        // What the session has of the key is at least what it wrote.
        let known = own.session.entry(operation.key).or_default();
        known.known.insert(operation.value);
        known.known.extend(&context.known);
        if let Some(version) = operation.stamp.filter(|_| self.setup.policy == Policy::Lww) {
            let (value, expires_ns) = (operation.value, operation.expires_ns);
            let top = super::record::Top { version, value, expires_ns };
            known.top = known.top.max(Some(top));
        }
        self.after(5, Event::Next { client });
    }

    fn ask_some(&mut self, read: usize) {
        let one = self.setup.mistake == Some(Mistake::ReadsOne);
        let pending = if one { 1 } else { self.replicas.quorum() };
        let mut order: Vec<usize> = (0..REPLICAS).collect();
        self.rng.shuffle(&mut order);
        self.reads[read].pending = pending;
        for replica in order.into_iter().take(pending) {
            self.after(3, Event::Ask { read, replica });
        }
    }

    fn ask(&mut self, read: usize, replica: usize) {
        let mut key = self.reads[read].key;
        if self.setup.mistake == Some(Mistake::ReadsOtherKey) && self.rng.u8(..20) == 0 {
            key = (key + 1) % KEYS;
        }
        let record = self.replicas.read(replica, key, self.now_ns);
        let it = &mut self.reads[read];
        it.found.merge(&record);
        it.pending -= 1;
        if it.pending > 0 {
            return;
        }
        let known = self.clients[it.client].session.get(&it.key).cloned().unwrap_or_default();
        let forgets = !self.setup.sessions || self.setup.mistake == Some(Mistake::SessionsForget);
        if !forgets && !it.found.includes(&known) && it.tries < TRIES_MAX {
            (it.found, it.tries) = (Record::default(), it.tries + 1);
            self.ask_some(read);
            return;
        }
        let (key, found) = (it.key, it.found.clone());
        let mut answer_ns = self.now_ns;
        if self.setup.blocking_repair && self.setup.mistake != Some(Mistake::NoWriteBack) {
            answer_ns = self.send(replica, key, &found, Level::Quorum, false);
        }
        self.at(answer_ns + 1, Event::Read { read });
    }

    fn answer(&mut self, read: usize) {
        let &Read { client, key, call_ns, tries, .. } = &self.reads[read];
        let found = std::mem::take(&mut self.reads[read].found);
        if tries < TRIES_MAX {
            self.record_get(Some(client), key, call_ns, &found);
            let own = &mut self.clients[client];
            own.seen = own.seen.max(found.top.map_or(Hlc(0), |top| top.version.hlc));
            own.contexts.entry(key).or_default().read(&found);
            own.session.entry(key).or_default().merge(&found);
        }
        self.after(5, Event::Next { client });
    }

    fn session(&self, client: usize) -> Option<NonZeroU32> {
        NonZeroU32::new(client as u32 + 1).filter(|_| self.setup.sessions)
    }

    fn record_write(&mut self, operation: &Operation<'_>, context: &Context) {
        let siblings = self.setup.policy == Policy::Siblings;
        let covered = if self.full_contexts { &context.known } else { &context.greatest };
        let covered: Vec<u64> = covered.iter().copied().collect();
        let stamp = operation.stamp.filter(|_| !siblings);
        let context_in = siblings.then_some(&covered[..]);
        self.push(&Operation { stamp, context_in, ..*operation });
    }

    /// A read by a client, or one of the settled store.
    fn record_get(&mut self, client: Option<usize>, key: u64, call_ns: u64, found: &Record) {
        let lww = self.setup.policy == Policy::Lww;
        let invents = self.setup.mistake == Some(Mistake::InventsValues) && self.rng.u8(..20) == 0;
        let shown = |value: u64| if invents { value + 1_000_000 } else { value };
        let siblings: Vec<u64> = found.live.iter().map(|&value| shown(value)).collect();
        let known: Vec<u64> = found.known.iter().copied().collect();
        let at = self.rng.usize(..REPLICAS);
        let value = self.replicas.value_of(at, found, self.now_ns);
        let value = if value == ABSENT { ABSENT } else { shown(value) };
        self.push(&Operation {
            process: client.map_or(CLIENTS, |client| client) as u32,
            session: client.and_then(|client| self.session(client)),
            value,
            siblings: &siblings,
            context_out: (!lww).then_some(&known[..]),
            context_entries: if lww { 0 } else { REPLICAS as u16 },
            stamp: found.top.map(|top| top.version),
            level: if client.is_some() { self.setup.level } else { Level::Quorum },
            blocking_repair: client.is_some() && self.setup.blocking_repair,
            settled: client.is_none(),
            call_ns,
            return_ns: self.now_ns,
            ..Operation::new(Kind::Get, self.setup.policy, key)
        });
    }

    fn push(&mut self, operation: &Operation<'_>) {
        self.history.push(operation).expect("a sound operation");
    }
}

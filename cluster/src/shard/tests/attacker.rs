//! [`Attacker`]: says anything in anybody's name: what was said before, what answers what was
//! asked, either with some of it changed, and what it makes up with each number at an edge.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use schemas::clock::VnodeClock;
use schemas::consistency::Consistency;
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version, Vnode};
use schemas::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use schemas::status::Status;

use super::rig::{BOOT, SIBLINGS, START_MS, key, record, set};
use crate::coordinator::{Refused, Reply, Request, Wanted};
use crate::event::Page;
use crate::horizon::{Horizon, HorizonIs};
use crate::message::{
    Answer, Attempt, HorizonMessage, Message, OpId, Pull, PullWanted, Pulled, Read, Refusal,
    ScanRead, Scanned, Write,
};
use crate::record::{Digest, Key, Kind, Record};
use crate::repair::LEAVES;
use crate::topology::fixture::node;
use crate::topology::{Document, Epoch};
use crate::version::{Context, Ended, Question, Report, Round};

/// Whoever speaks to the shard.
pub(super) struct Attacker {
    pub(super) rng: Rng,
    pub(super) document: Document,
    /// What was said before.
    heard: Vec<(Vnode, Message)>,
}

impl Attacker {
    pub(super) fn new(seed: u64, document: &Document) -> Self {
        Self { rng: Rng::with_seed(seed), document: document.clone(), heard: Vec::new() }
    }

    /// Who speaks: mostly another member, in a life that it had, has or will have; nobody of the
    /// cluster; the shard's own node.
    pub(super) fn who(&mut self) -> Actor {
        let number = match self.rng.u32(..10) {
            0 => self.rng.u64(1..12),
            _ => self.rng.u64(2..=5),
        };
        let boot = match self.rng.u32(..40) {
            0 => BOOT - 1,
            1 => 0,
            _ => BOOT,
        };
        Actor { node: node(number), boot }
    }

    /// What is said, of which vnode. `asked` is what the shard has said to others.
    pub(super) fn message(&mut self, asked: &[(NodeId, Vnode, Message)]) -> (Vnode, Message) {
        let said = match self.rng.u32(..8) {
            0 | 1 if !self.heard.is_empty() => {
                let (vnode, message) = self.rng.choice(&self.heard).expect("some").clone();
                (vnode, self.changed(message))
            }
            2 if !asked.is_empty() => {
                // Its own words, back to it.
                let (_, vnode, message) = self.rng.choice(asked).expect("some").clone();
                (vnode, self.changed(message))
            }
            3..=5 if !asked.is_empty() => {
                let (_, vnode, message) = self.rng.choice(asked).expect("some").clone();
                let answer = self.answer(vnode, &message);
                let is_honest = self.rng.bool();
                (vnode, if is_honest { answer } else { self.changed(answer) })
            }
            _ => (self.vnode(), self.made_up()),
        };
        if self.heard.len() < 200 {
            self.heard.push(said.clone());
        } else {
            let at = self.rng.usize(..200);
            self.heard[at] = said.clone();
        }
        said
    }

    /// An answer that may be right.
    pub(super) fn answer(&mut self, vnode: Vnode, message: &Message) -> Message {
        match message {
            Message::Write(Write { op, epoch, .. }) => {
                let attempt = Attempt { op: op.unwrap_or_default(), epoch: *epoch };
                Message::Wrote { attempt, result: Ok(()) }
            }
            Message::Read(Read { op, epoch, key, wants_data }) => {
                let record = self.rng.bool().then(|| self.record_of(key));
                let answer = match (wants_data, record) {
                    (true, record) => Answer::Data(record),
                    (false, record) => Answer::Digest(record.map(|it| it.digest())),
                };
                let attempt = Attempt { op: *op, epoch: *epoch };
                Message::Answer { attempt, result: Ok(answer) }
            }
            Message::Forward { op, .. } => {
                let version = record(&key(&self.document, SIBLINGS, vnode, 0), 2, 1).version;
                Message::Forwarded { op: *op, reply: Reply::Written(version) }
            }
            Message::Hint { op, .. } => Message::HintStored { op: *op, result: Ok(()) },
            Message::Pull(Pull { session, step, wanted, .. }) => {
                let pulled = match wanted {
                    PullWanted::Since { .. } if self.rng.u32(..3) == 0 => Pulled::Compare,
                    PullWanted::Leaves => {
                        let some = self.rng.u64(..3);
                        Pulled::Leaves(self.clock(), vec![some; usize::from(LEAVES)])
                    }
                    PullWanted::Leaf { has, .. } => {
                        let lacks = has.iter().map(|it| it.0).filter(|_| self.rng.bool()).collect();
                        Pulled::Leaf(self.page(vnode), lacks)
                    }
                    _ => Pulled::Records(self.clock(), self.page(vnode)),
                };
                let (session, step, horizon) = (*session, *step, HorizonIs::Same);
                let is_held = self.rng.bool();
                Message::Pulled { session, step, is_held, horizon, result: Ok(pulled) }
            }
            Message::Scan(ScanRead { op, epoch, .. }) => {
                let attempt = Attempt { op: *op, epoch: *epoch };
                Message::Scanned { attempt, result: Ok(Scanned::default()) }
            }
            Message::Horizon(HorizonMessage::Ask { round, .. }) => {
                Message::Horizon(HorizonMessage::Told { round: *round, clock: self.clock() })
            }
            Message::Horizon(HorizonMessage::Confirm { round, .. }) => {
                Message::Horizon(HorizonMessage::Confirmed { round: *round })
            }
            Message::Release { epoch, clock } => {
                Message::Released { epoch: *epoch, clock: clock.clone() }
            }
            Message::Ended(question) => Message::EndedReport(Box::new(self.report(*question))),
            answer => answer.clone(),
        }
    }

    /// A message that nobody has sent.
    fn made_up(&mut self) -> Message {
        let (op, epoch) = (self.op(), self.epoch());
        let attempt = Attempt { op, epoch };
        match self.rng.u32(..18) {
            0 => Message::Write(Write {
                op: self.rng.bool().then_some(op),
                epoch,
                record: self.record(),
                stands_in_for: (self.rng.u32(..3) == 0).then(|| self.node()),
            }),
            1 => Message::Wrote { attempt, result: self.result() },
            2 => Message::Read(Read { op, epoch, key: self.key(), wants_data: self.rng.bool() }),
            3 => {
                let answer = if self.rng.bool() {
                    Answer::Data(self.rng.bool().then(|| self.record()))
                } else {
                    Answer::Digest(self.rng.bool().then(|| self.digest()))
                };
                Message::Answer { attempt, result: self.result().map(|()| answer) }
            }
            4 => Message::Forward {
                op,
                lane: Vnode(self.rng.u16(..)),
                request: self.request().into(),
                left: self.duration(),
            },
            5 => Message::Forwarded { op, reply: self.reply() },
            6 => Message::Hint { op, epoch, record: self.record() },
            7 => Message::HintStored { op, result: self.result() },
            8 => {
                let (step, wanted) = (self.rng.u32(..4), self.wanted());
                let below = Hlc(self.small_or_edge());
                Message::Pull(Pull { session: op, step, epoch, below, wanted })
            }
            9 => {
                let (step, pulled) = (self.rng.u32(..8), self.pulled());
                let result = self.result().map(|()| pulled);
                let (is_held, horizon) = (self.rng.bool(), self.horizon_is());
                Message::Pulled { session: op, step, is_held, horizon, result }
            }
            10 => Message::Release { epoch, clock: self.clock() },
            11 => Message::Horizon(self.of_horizon()),
            12 => Message::Scan(self.scan()),
            13 => Message::Scanned { attempt, result: self.scanned() },
            14 => Message::Ended(self.question()),
            15 => {
                let question = self.question();
                Message::EndedReport(Box::new(self.report(question)))
            }
            16 => Message::Void { epoch, ended: self.ended() },
            _ => Message::Released { epoch, clock: self.clock() },
        }
    }

    /// The same with something of it changed.
    fn changed(&mut self, mut message: Message) -> Message {
        match &mut message {
            Message::Write(it) => self.change_write(it),
            Message::Read(it) => match self.rng.u32(..4) {
                0 => it.op = self.op(),
                1 => it.epoch = self.epoch(),
                2 => it.key = self.key(),
                _ => it.wants_data = !it.wants_data,
            },
            Message::Wrote { attempt, result } => match self.rng.u32(..3) {
                0 => attempt.op = self.op(),
                1 => attempt.epoch = self.epoch(),
                _ => *result = self.result(),
            },
            Message::HintStored { op, result } => {
                if self.rng.bool() {
                    *op = self.op()
                } else {
                    *result = self.result()
                }
            }
            Message::Answer { attempt, result } => match (self.rng.u32(..4), result) {
                (0, result) => *result = self.result().map(|()| Answer::Data(None)),
                (1, Ok(Answer::Data(Some(record)))) => {
                    *record = self.changed_record(&record.clone());
                }
                (1, Ok(answer)) => *answer = Answer::Digest(Some(self.digest())),
                (2, _) => attempt.epoch = self.epoch(),
                _ => attempt.op = self.op(),
            },
            Message::Forward { op, lane, request, left } => match self.rng.u32(..4) {
                0 => *op = self.op(),
                1 => *lane = Vnode(self.rng.u16(..)),
                2 => *request = self.request().into(),
                _ => *left = self.duration(),
            },
            Message::Forwarded { op, reply } => {
                if self.rng.bool() {
                    *op = self.op()
                } else {
                    *reply = self.reply()
                }
            }
            Message::Hint { op, epoch, record } => match self.rng.u32(..3) {
                0 => *op = self.op(),
                1 => *epoch = self.epoch(),
                _ => *record = self.changed_record(&record.clone()),
            },
            Message::Pull(it) => match self.rng.u32(..5) {
                0 => it.session = self.op(),
                1 => it.step = self.rng.u32(..),
                3 => it.below = Hlc(self.number()),
                2 => it.epoch = self.epoch(),
                _ => it.wanted = self.wanted(),
            },
            Message::Horizon(message) => *message = self.of_horizon(),
            Message::Scan(it) => *it = self.scan(),
            Message::Scanned { attempt, result } => match self.rng.u32(..3) {
                0 => attempt.op = self.op(),
                1 => attempt.epoch = self.epoch(),
                _ => *result = self.scanned(),
            },
            Message::Release { epoch, clock } | Message::Released { epoch, clock } => {
                if self.rng.bool() { *epoch = self.epoch() } else { *clock = self.clock() }
            }
            other => self.change_more(other),
        }
        message
    }

    fn change_more(&mut self, message: &mut Message) {
        match message {
            Message::Ended(question) => *question = self.question(),
            Message::EndedReport(report) if self.rng.bool() => report.question = self.question(),
            Message::EndedReport(report) => report.clock = self.clock(),
            Message::Void { epoch, ended } => {
                if self.rng.bool() {
                    *epoch = self.epoch()
                } else {
                    *ended = self.ended()
                }
            }
            Message::Pulled { session, step, is_held, horizon, result } => {
                match self.rng.u32(..6) {
                    5 => *is_held = !*is_held,
                    0 => *session = self.op(),
                    3 => *horizon = self.horizon_is(),
                    1 => *step = step.wrapping_add(self.rng.u32(..3)).wrapping_sub(1),
                    2 => *result = self.result().map(|()| Pulled::Compare),
                    _ => self.change_pulled(result),
                }
            }
            other => *other = self.made_up(),
        }
    }

    fn change_write(&mut self, it: &mut Write) {
        match self.rng.u32(..4) {
            0 => it.op = Some(self.op()),
            1 => it.epoch = self.epoch(),
            2 => it.record = self.changed_record(&it.record.clone()),
            _ => it.stands_in_for = Some(self.node()),
        }
    }

    fn change_pulled(&mut self, result: &mut Result<Pulled, Refusal>) {
        match result {
            Ok(Pulled::Records(clock, page)) => match self.rng.u32(..5) {
                0 => *clock = self.clock(),
                1 => page.has_more = !page.has_more,
                2 => page.records.reverse(),
                3 => page.records.push(self.record()),
                _ => page.records.extend(page.records.clone()),
            },
            Ok(Pulled::Leaf(page, lacks)) => match self.rng.u32(..4) {
                0 => lacks.extend([7; 20_000]),
                1 => lacks.push(self.number()),
                2 => page.records.push(self.record()),
                _ => page.has_more = !page.has_more,
            },
            Ok(Pulled::Leaves(clock, leaves)) => match self.rng.u32(..3) {
                0 => *clock = self.clock(),
                1 => leaves.truncate(self.rng.usize(..64)),
                _ => leaves.extend([7; 1000]),
            },
            other => *other = Ok(self.pulled()),
        }
    }

    fn changed_record(&mut self, record: &Record) -> Rc<Record> {
        let mut record = record.clone();
        match self.rng.u32(..8) {
            0 => record.key = self.key(),
            1 => record.version = self.version(),
            2 => record.kind = self.kind(),
            3 => record.expires_at_ms = self.number(),
            4 => record.key.token = Token(self.rng.u64(..)),
            5 => record.key.namespace = NamespaceId(self.rng.u32(..4)),
            _ => {
                let mut value = record.value.to_vec();
                match value.len() {
                    0 => value.push(0),
                    len => value[self.rng.usize(..len)] ^= 1 << self.rng.u32(..8),
                }
                value.truncate(self.rng.usize(value.len() / 2..=value.len()));
                record.value = value.into();
            }
        }
        record.into()
    }

    /// A record of this key that can be.
    fn record_of(&mut self, of: &Key) -> Rc<Record> {
        let (number, counter) = (self.rng.u64(1..=5), self.rng.u64(1..50));
        let (number, counter) = if number == 1 { (2, counter) } else { (number, counter) };
        let make = if of.namespace == SIBLINGS { set } else { record };
        make(of, number, counter).into()
    }

    fn record(&mut self) -> Rc<Record> {
        let key = self.key();
        let record = self.record_of(&key);
        if self.rng.bool() { record } else { self.changed_record(&record) }
    }

    /// Some records of `vnode`, in order.
    fn page(&mut self, vnode: Vnode) -> Page {
        let keys = (0..self.rng.usize(..4)).map(|it| key(&self.document, SIBLINGS, vnode, it));
        let mut records: Vec<_> =
            keys.collect::<Vec<_>>().iter().map(|it| self.record_of(it)).collect();
        records.sort_by(|a, b| a.key.cmp(&b.key));
        Page { records, has_more: self.rng.u32(..4) == 0 }
    }

    /// A question of a life that is over, that goes on, or that nobody had.
    fn question(&mut self) -> Question {
        let round = if self.rng.bool() { Round::Givers } else { Round::Owners };
        let (actor, number) = (self.version().dot.actor, self.op().0);
        Question { actor, epoch: self.epoch(), number, round }
    }

    fn report(&mut self, question: Question) -> Report {
        Report { question, clock: self.clock() }
    }

    fn ended(&mut self) -> Rc<Ended> {
        let clocks = (0..self.rng.usize(..3)).map(|_| self.clock()).collect();
        Rc::new(Ended::new(self.version().dot.actor, clocks))
    }

    fn pulled(&mut self) -> Pulled {
        match self.rng.u32(..4) {
            3 => {
                let lacks = (0..self.rng.usize(..3)).map(|_| self.number()).collect();
                Pulled::Leaf(self.page(Vnode(0)), lacks)
            }
            0 => {
                let records = (0..self.rng.usize(..4)).map(|_| self.record()).collect();
                Pulled::Records(self.clock(), Page { records, has_more: self.rng.bool() })
            }
            1 => Pulled::Compare,
            _ => {
                let leaves = (0..self.rng.usize(..130)).map(|_| self.rng.u64(..)).collect();
                Pulled::Leaves(self.clock(), leaves)
            }
        }
    }

    fn scan(&mut self) -> ScanRead {
        let (op, epoch, key) = (self.op(), self.epoch(), self.key());
        let (first, last) = self.document.bits.tokens(key.token.vnode(self.document.bits));
        let tokens = if self.rng.u32(..3) == 0 { (key.token, last) } else { (first, last) };
        let namespace = key.namespace;
        let after = self.rng.bool().then_some(key);
        let (count_max, bytes_max) = (self.number() as usize, self.number() as usize);
        ScanRead { op, epoch, namespace, tokens, after, count_max, bytes_max }
    }

    fn scanned(&mut self) -> Result<Scanned, Refusal> {
        let records = (0..self.rng.usize(..4)).map(|_| self.record()).collect();
        let upto = self.rng.bool().then(|| self.key());
        self.result().map(|()| Scanned { records, upto })
    }

    fn of_horizon(&mut self) -> HorizonMessage {
        let (round, epoch, clock) = (self.op(), self.epoch(), self.clock());
        match self.rng.u32(..5) {
            0 => HorizonMessage::Ask { round, epoch },
            1 => HorizonMessage::Told { round, clock },
            2 => HorizonMessage::Confirm { round, epoch, clock },
            3 => HorizonMessage::Confirmed { round },
            _ => HorizonMessage::Advance { epoch, horizon: self.horizon() },
        }
    }

    fn horizon(&mut self) -> Rc<Horizon> {
        // A little ahead it would make all that comes for a while late: a member may say so.
        let below = Hlc(self.small_or_edge());
        let near = Hlc::from_millis(START_MS - 10_000)..Hlc::from_millis(START_MS + 90_000_000);
        let below = if near.contains(&below) { near.start } else { below };
        Rc::new(Horizon { below, clock: self.clock() })
    }

    fn horizon_is(&mut self) -> HorizonIs {
        match self.rng.u32(..3) {
            0 => HorizonIs::Lower,
            1 => HorizonIs::Same,
            _ => HorizonIs::Higher(self.horizon()),
        }
    }

    fn wanted(&mut self) -> PullWanted {
        let after = self.rng.bool().then(|| self.key());
        match self.rng.u32(..3) {
            0 => PullWanted::Since { clock: self.clock(), after },
            1 => PullWanted::Leaves,
            _ => {
                let count = if self.rng.u32(..50) == 0 { 20_000 } else { self.rng.usize(..4) };
                let has = (0..count).map(|_| (self.number(), self.digest())).collect();
                PullWanted::Leaf { leaf: self.rng.u16(..80), after, has }
            }
        }
    }

    fn clock(&mut self) -> VnodeClock {
        let mut clock = VnodeClock::default();
        let actors = if self.rng.u32(..30) == 0 { 2000 } else { self.rng.usize(..5) };
        for _ in 0..actors {
            let version = self.version();
            match self.rng.u32(..3) {
                0 => clock.insert_upto(version.dot.actor, version.dot.counter),
                _ => {
                    clock.insert(version.dot);
                }
            }
        }
        clock
    }

    pub(super) fn request(&mut self) -> Request {
        let context = self.context();
        let value = match self.rng.u32(..30) {
            0 => vec![0; VALUE_BYTES_MAX + self.rng.usize(..2)],
            _ => vec![1; self.rng.usize(..9)],
        };
        let wanted = match self.rng.u32(..4) {
            0 => Wanted::Get { repairs_first: self.rng.bool() },
            1 => Wanted::Delete { context },
            _ => Wanted::Put { value: value.into(), ttl_ms: self.small_or_edge(), context },
        };
        let key = self.key();
        Request {
            namespace: key.namespace,
            key: key.bytes,
            wanted,
            level: self.level(),
            is_strict: self.rng.bool(),
            seen: Hlc(self.small_or_edge()),
            patience: self.duration(),
        }
    }

    fn context(&mut self) -> Option<Rc<[u8]>> {
        let mut bytes = Vec::new();
        match self.rng.u32(..4) {
            0 => return None,
            1 => bytes.extend((0..self.rng.usize(..100)).map(|_| self.rng.u8(..))),
            2 => bytes.resize(self.rng.usize(16_000..20_000), 1),
            _ => {
                // A token that is made up, of any key, or of a right one.
                let key = self.key();
                let record = set(&key, self.rng.u64(1..6), self.rng.u64(1..9));
                let context = record.content().set().map_or(Context::NOTHING, |it| it.context());
                context.encode_token(key.namespace, &key.bytes, &mut bytes);
                if self.rng.u32(..3) == 0 && !bytes.is_empty() {
                    let at = self.rng.usize(..bytes.len());
                    bytes[at] ^= 1;
                }
            }
        }
        Some(bytes.into())
    }

    fn level(&mut self) -> Consistency {
        let named = [
            Consistency::Default,
            Consistency::Quorum,
            Consistency::All,
            Consistency::LocalOne,
            Consistency::LocalQuorum,
            Consistency::EachQuorum,
        ];
        match self.rng.usize(..8) {
            at if at < named.len() => named[at],
            _ => Consistency::Count(self.rng.u8(1..).try_into().expect("not zero")),
        }
    }

    fn key(&mut self) -> Key {
        let vnode =
            Vnode(if self.rng.u32(..8) == 0 { self.rng.u16(..8) } else { self.rng.u16(..4) });
        let namespace = if self.rng.bool() { SIBLINGS } else { NamespaceId::DEFAULT };
        let mut it = key(&self.document, namespace, vnode, self.rng.usize(..5));
        match self.rng.u32(..24) {
            0 => it.namespace = NamespaceId(self.rng.u32(..)),
            1 => it.bytes = Rc::from([]),
            2 => it.bytes = vec![0; KEY_BYTES_MAX + self.rng.usize(..2)].into(),
            3 => it.token = Token(self.number()),
            _ => {}
        }
        it
    }

    fn version(&mut self) -> Version {
        let boots = [0, 1, BOOT - 1, BOOT, BOOT + 1, u32::MAX];
        let boot = *self.rng.choice(&boots).expect("some");
        let dot = Dot { actor: Actor { node: self.node(), boot }, counter: self.number() };
        Version { hlc: Hlc(self.number()), dot }
    }

    fn digest(&mut self) -> Digest {
        Digest { version: self.version(), hash: self.number() }
    }

    fn reply(&mut self) -> Reply {
        match self.rng.u32(..3) {
            0 => Reply::Written(self.version()),
            1 => Reply::Found(self.rng.bool().then(|| self.record())),
            _ => Reply::Refused(Refused::untouched(Status::Internal)),
        }
    }

    fn result(&mut self) -> Result<(), Refusal> {
        let refusals = [
            Refusal::Stale(self.epoch()),
            Refusal::Behind,
            Refusal::NotOwner,
            Refusal::NotHeld,
            Refusal::Busy,
            Refusal::Full,
            Refusal::Damaged,
            Refusal::Late,
            Refusal::Malformed,
        ];
        if self.rng.bool() { Ok(()) } else { Err(*self.rng.choice(&refusals).expect("some")) }
    }

    fn kind(&mut self) -> Kind {
        let kinds = [Kind::Value, Kind::Tombstone, Kind::Siblings, Kind::Context];
        *self.rng.choice(&kinds).expect("some")
    }

    fn node(&mut self) -> NodeId {
        match self.rng.u32(..6) {
            0 => node(self.rng.u64(1..)),
            _ => node(self.rng.u64(1..=6)),
        }
    }

    fn vnode(&mut self) -> Vnode {
        Vnode(if self.rng.u32(..12) == 0 { self.rng.u16(..) } else { self.rng.u16(..5) })
    }

    fn epoch(&mut self) -> Epoch {
        let (ring, last) = (&self.document.ring, self.document.epoch.0);
        let of_vnode = ring.epoch(Vnode(self.rng.u16(..4))).0;
        let epochs = [of_vnode, of_vnode, of_vnode, last, 0, last + 1, of_vnode - 1, u32::MAX];
        Epoch(*self.rng.choice(&epochs).expect("some"))
    }

    /// A number of an operation of this life, or of another.
    fn op(&mut self) -> OpId {
        let of_life = u64::from(BOOT) << 40;
        match self.rng.u32(..4) {
            0 => OpId(self.number()),
            1 => OpId((of_life - (1 << 40)) + self.rng.u64(..40)),
            _ => OpId(of_life + self.rng.u64(..300)),
        }
    }

    fn duration(&mut self) -> Duration {
        match self.rng.u32(..10) {
            0 => Duration::MAX,
            1 => Duration::ZERO,
            2 => Duration::from_nanos(1),
            _ => Duration::from_millis(self.rng.u64(1..10_000)),
        }
    }

    fn small_or_edge(&mut self) -> u64 {
        if self.rng.u32(..6) == 0 { self.number() } else { 0 }
    }

    /// Any number, mostly one at an edge.
    fn number(&mut self) -> u64 {
        let now = Hlc::from_millis(START_MS).0;
        let edges = [0, 1, 2, 40, now, now + (1 << 26), 1 << 40, 1 << 63, u64::MAX - 1, u64::MAX];
        let any = self.rng.u64(..);
        if self.rng.u32(..8) == 0 { any } else { *self.rng.choice(&edges).expect("some") }
    }
}

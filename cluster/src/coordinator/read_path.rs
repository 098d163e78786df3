//! READ 4: data from one copy, digests from the others, what is newer is fetched, what is older is
//! repaired. The ladder is in the README.
//!
//! - A copy's answer counts once what it has is known: it has nothing, or what was merged into the
//!   answer, or something older.
//! - Answers of one more copy are asked for whenever one is slow, refuses, or is behind.
//! - A client is told no less than any copy that counted had.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::consistency::Consistency;
use schemas::ids::{NamespaceId, NodeId, Vnode};
use schemas::status::Status;
use smallvec::SmallVec;

use super::Coordinator;
use super::copies::{Nodes, copies};
use super::operation::{Client, Fate, Operation};
use super::quorum::{Access, Quorum};
use super::request::{Refused, Reply};
use super::write_path::{Copy, Own, WriteOp};
use crate::event::Effect;
use crate::limits::PATIENCE_MAX;
use crate::message::{Answer, Attempt, Message, OpId, Read, Refusal, Write};
use crate::mutation::Mutation;
use crate::record::{Digest, Key, Kind, Record, merge};
use crate::shard::{Core, Turn};
use crate::time::Instant;
use crate::topology::{Epoch, Namespace};

/// How a key is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) level: Consistency,
    pub(super) patience: Duration,
    pub(super) repairs_first: bool,
}

/// Who has copies to read: the nearest first; those that seem down last, since they may not be.
pub(super) fn nearest(core: &Core, vnode: Vnode, namespace: &Namespace) -> Nodes {
    let mut nodes = copies(&core.document, vnode, Some(namespace), Access::Read);
    let unknown = core.tunables.latency_first;
    nodes.sort_by_cached_key(|&node| {
        let (is_down, is_other) = (!core.is_up(node), node != core.me.node);
        (is_down, is_other, !core.is_near(node), core.peers.mean(node, unknown), node)
    });
    nodes
}

/// A read under way.
#[derive(Debug)]
pub(super) struct ReadOp {
    client: Client,
    namespace: NamespaceId,
    pub(super) vnode: Vnode,
    pub(super) epoch: Epoch,
    key: Key,
    level: Consistency,
    repairs_first: bool,
    /// With nothing counted.
    quorum: Quorum,
    copies: SmallVec<[Asked; 4]>,
    /// Of all data that came.
    merged: Option<Rc<Record>>,
    /// What went into it.
    sources: SmallVec<[Digest; 4]>,
    deadline: Instant,
    pub(super) alarm: Instant,
}

/// A copy that may be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    node: NodeId,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    /// Since when, and whether for data.
    Asked(Instant, bool),
    Answered(Option<Digest>),
    /// As answered, and its data is asked for.
    Fetching(Digest, Instant),
    Refused,
    /// To be asked again.
    Behind,
}

impl Coordinator {
    /// A client's read.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>, client: Client, key: Key, asking: Asking) {
        let document = Arc::clone(&turn.core.document);
        let namespace = document.namespace(key.namespace).expect("checked before");
        let begun = ReadOp::new(turn, client, key, namespace, asking);
        let Some(op) = begun else { return };
        let id = self.table.insert(Operation::Read(Box::new(op)));
        let Some(Operation::Read(op)) = self.table.get_mut(id) else { return };
        op.ask_enough(turn, id);
        self.settle(id, Fate::Stays);
    }

    /// A copy has answered.
    pub(crate) fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        attempt: Attempt,
        result: Result<Answer, Refusal>,
    ) {
        let id = attempt.op;
        let Some(Operation::Read(op)) = self.table.attempted(attempt) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        op.hear(turn, id, from, result);
        let step = op.step(turn, id);
        self.read_step(turn, id, step);
    }

    pub(super) fn read_step(&mut self, turn: &mut Turn<'_>, id: OpId, step: Step) {
        let (fate, repair) = match step {
            Step::Wait => (Fate::Stays, None),
            Step::End => (Fate::Ends, None),
            Step::Repair(op) => (Fate::Ends, Some(op)),
        };
        self.settle(id, fate);
        if let Some(op) = repair {
            self.repair(turn, op);
        }
    }
}

/// What follows.
pub(super) enum Step {
    Wait,
    End,
    /// Enough copies have to have it, then the client is told.
    Repair(Box<WriteOp>),
}

impl ReadOp {
    fn new(
        turn: &mut Turn<'_>,
        client: Client,
        key: Key,
        namespace: &Namespace,
        asking: Asking,
    ) -> Option<Self> {
        let core = &mut *turn.core;
        let (document, vnode) = (Arc::clone(&core.document), core.vnode_of(&key));
        let ring = &document.ring;
        let Asking { level, patience, repairs_first } = asking;
        let quorum = match Quorum::new(&document, vnode, namespace, level, Access::Read, core.dc())
        {
            Ok(quorum) => quorum,
            Err(it) => {
                let untouched = Refused::untouched(Status::Unavailable);
                let refused = Refused { got: it.copies, needed: it.needed, ..untouched };
                client.reply(core, vnode, Reply::Refused(refused));
                return None;
            }
        };
        let nodes = nearest(core, vnode, namespace);
        let deadline = turn.now.at + patience.min(PATIENCE_MAX);
        Some(Self {
            client,
            namespace: namespace.id,
            vnode,
            epoch: ring.epoch(vnode),
            key,
            level,
            repairs_first,
            quorum,
            copies: nodes.iter().map(|&node| Asked { node, state: State::Idle }).collect(),
            merged: None,
            sources: SmallVec::new(),
            deadline,
            alarm: deadline,
        })
    }

    /// Asks the nearest copies, until enough would have answered if all did that were asked.
    fn ask_enough(&mut self, turn: &mut Turn<'_>, id: OpId) {
        while !self.could_be_met(turn.core, |state| {
            !matches!(state, State::Idle | State::Refused | State::Behind)
        }) {
            if !self.ask_next(turn, id) {
                break;
            }
        }
        self.set_hedge(turn);
    }

    /// Asks the nearest copy that was not asked. Whether there was one.
    fn ask_next(&mut self, turn: &mut Turn<'_>, id: OpId) -> bool {
        let is_data_asked = self
            .copies
            .iter()
            .any(|it| matches!(it.state, State::Asked(_, true) | State::Fetching(..)))
            || self.merged.is_some();
        let idle = self.copies.iter().position(|it| it.state == State::Idle);
        let Some(at) = idle else { return false };
        self.ask(turn, id, at, !is_data_asked);
        true
    }

    fn ask(&mut self, turn: &mut Turn<'_>, id: OpId, at: usize, wants_data: bool) {
        let copy = &mut self.copies[at];
        copy.state = match copy.state {
            State::Answered(Some(digest)) => State::Fetching(digest, turn.now.at),
            _ => State::Asked(turn.now.at, wants_data),
        };
        let (epoch, key) = (self.epoch, self.key.clone());
        let read = Read { op: id, epoch, key, wants_data };
        turn.core.send(copy.node, self.vnode, Message::Read(read));
    }

    /// Wakes when the slowest that was asked ought to have answered.
    fn set_hedge(&mut self, turn: &Turn<'_>) {
        let core = &*turn.core;
        let is_idle = self.copies.iter().any(|it| it.state == State::Idle);
        let waits = self.copies.iter().filter_map(|it| match it.state {
            State::Asked(since, _) | State::Fetching(_, since) => {
                let patience = core.peers.patience(it.node, core.tunables.latency_first);
                Some(since + patience.max(core.tunables.hedge_after_min))
            }
            _ => None,
        });
        let hedge = waits.min().filter(|&at| is_idle && at > turn.now.at);
        let behind = self.copies.iter().any(|it| it.state == State::Behind);
        let again = behind.then(|| turn.now.at + core.tunables.behind_pause);
        self.alarm = [hedge, again].into_iter().flatten().min().unwrap_or(self.deadline);
        self.alarm = self.alarm.min(self.deadline);
    }

    fn could_be_met(&self, core: &Core, may: impl Fn(State) -> bool) -> bool {
        let able = self.copies.iter().filter(|it| may(it.state));
        let members = able.filter_map(|it| core.document.index_of(it.node));
        self.quorum.could_be_met(&core.document.ring, self.vnode, members)
    }

    fn hear(
        &mut self,
        turn: &mut Turn<'_>,
        id: OpId,
        from: NodeId,
        result: Result<Answer, Refusal>,
    ) {
        let Some(mut at) = self.copies.iter().position(|it| it.node == from) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        if turn.core.is_wrong(Mutation::CountDoubledAnswers)
            && let State::Answered(_) = self.copies[at].state
        {
            let waits = |it: &Asked| matches!(it.state, State::Asked(..));
            at = self.copies.iter().position(waits).unwrap_or(at);
        }
        let (since, wants_data) = match self.copies[at].state {
            State::Asked(since, wants_data) => (since, wants_data),
            State::Fetching(_, since) => (since, true),
            _ => {
                turn.core.counts.stray_answers += 1;
                return;
            }
        };
        if wants_data && matches!(result, Ok(Answer::Digest(_))) {
            // What was asked before, once more.
            turn.core.counts.stray_answers += 1;
            return;
        }
        turn.core.peers.answered(from, turn.now.at.since(since));
        match result.and_then(|answer| self.checked(turn.core, answer)) {
            Ok(answer) => {
                let digest = answer.digest();
                if let Answer::Data(Some(record)) = answer {
                    self.take(turn.core, &record);
                }
                self.copies[at].state = State::Answered(digest);
            }
            Err(refusal) => {
                self.copies[at].state = State::Refused;
                match refusal {
                    Refusal::Stale(epoch) => turn.core.heard_newer(from, epoch),
                    Refusal::Behind => {
                        turn.core.effect(Effect::Older(from));
                        self.copies[at].state = State::Behind;
                    }
                    _ => {}
                }
                self.ask_enough(turn, id);
            }
        }
    }

    /// An answer about the key. Another counts as a refusal: others are asked.
    fn checked(&self, core: &mut Core, answer: Answer) -> Result<Answer, Refusal> {
        if let Answer::Data(Some(record)) = &answer
            && (record.key != self.key || !core.is_record_of(self.vnode, record))
        {
            core.counts.malformed += 1;
            return Err(Refusal::Malformed);
        }
        Ok(answer)
    }

    fn take(&mut self, core: &Core, record: &Rc<Record>) {
        let digest = record.digest();
        if self.sources.contains(&digest) {
            return;
        }
        self.sources.push(digest);
        self.merged = Some(match self.merged.take() {
            Some(merged) if core.is_wrong(Mutation::ReadFirstData) => merged,
            Some(merged) => merge(&merged, record),
            None => Rc::clone(record),
        });
    }

    /// Whether what a copy has is in what was merged.
    fn is_known(&self, core: &Core, has: Option<Digest>) -> bool {
        has.is_none_or(|digest| {
            self.sources.contains(&digest)
                || core.is_wrong(Mutation::IgnoreNewerDigest)
                || self.merged.as_ref().is_some_and(|merged| {
                    let stands_alone = matches!(merged.kind, Kind::Value | Kind::Tombstone);
                    stands_alone && digest.version < merged.version || digest == merged.digest()
                })
        })
    }

    /// Fetches what is not known, or tells the client.
    fn step(&mut self, turn: &mut Turn<'_>, id: OpId) -> Step {
        let core = &*turn.core;
        let known =
            |it: &&Asked| matches!(it.state, State::Answered(has) if self.is_known(core, has));
        let mut answered = self.copies.iter().filter(known);
        let members = answered.clone().filter_map(|it| core.document.index_of(it.node));
        let is_met = self.quorum.could_be_met(&core.document.ring, self.vnode, members);
        if is_met || core.is_wrong(Mutation::ReadBelowQuorum) && answered.next().is_some() {
            return self.finish(turn);
        }
        for at in 0..self.copies.len() {
            if let State::Answered(has) = self.copies[at].state
                && !self.is_known(turn.core, has)
            {
                self.ask(turn, id, at, true);
            }
        }
        if !self.could_be_met(turn.core, |state| state != State::Refused) {
            self.refuse(turn.core);
            return Step::End;
        }
        self.set_hedge(turn);
        Step::Wait
    }

    /// Enough have answered: those that have less are told, before the client is or after.
    fn finish(&mut self, turn: &mut Turn<'_>) -> Step {
        let Some(merged) = self.merged.clone() else {
            self.client.reply(turn.core, self.vnode, Reply::Found(None));
            return Step::End;
        };
        let has = Some(merged.digest());
        if self.repairs_first && !turn.core.is_wrong(Mutation::RepairWithoutWaiting) {
            return self.repair_first(turn, merged);
        }
        self.client.reply(turn.core, self.vnode, Reply::Found(Some(Rc::clone(&merged))));
        for copy in &self.copies {
            if matches!(copy.state, State::Answered(it) if it != has) {
                turn.core.counts.read_repairs += 1;
                let record = Rc::clone(&merged);
                let write = Write { op: None, epoch: self.epoch, record, stands_in_for: None };
                turn.core.send(copy.node, self.vnode, Message::Write(write));
            }
        }
        Step::End
    }

    fn repair_first(&self, turn: &mut Turn<'_>, merged: Rc<Record>) -> Step {
        let core = &mut *turn.core;
        let document = Arc::clone(&core.document);
        let namespace = document.namespace(self.namespace);
        let level = self.level;
        let quorum = namespace.and_then(|namespace| {
            Quorum::new(&document, self.vnode, namespace, level, Access::Write, core.dc()).ok()
        });
        let (Some(mut quorum), Some(namespace)) = (quorum, namespace) else {
            self.refuse(core);
            return Step::End;
        };
        let has = Some(merged.digest());
        let all = copies(&document, self.vnode, Some(namespace), Access::Write);
        let mut targets: SmallVec<[Copy; 4]> = all.iter().map(|&it| Copy::of(it)).collect();
        for copy in &mut targets {
            let is_equal = |it: &Asked| it.node == copy.node && it.state == State::Answered(has);
            copy.is_done = self.copies.iter().any(is_equal);
            if let Some(member) = document.index_of(copy.node).filter(|_| copy.is_done) {
                quorum.count(&document.ring, self.vnode, member);
            }
        }
        let outcome = Reply::Found(Some(Rc::clone(&merged)));
        if quorum.is_met() {
            self.client.reply(core, self.vnode, outcome);
            return Step::End;
        }
        core.counts.read_repairs += 1;
        Step::Repair(Box::new(WriteOp {
            client: self.client,
            outcome,
            namespace: self.namespace,
            vnode: self.vnode,
            epoch: document.ring.epoch(self.vnode),
            record: merged,
            level: self.level,
            is_strict: true,
            quorum,
            copies: targets,
            unfit: SmallVec::new(),
            own: Own::AsOthers,
            sent_at: turn.now.at,
            deadline: self.deadline,
            alarm: self.deadline,
            is_answered: false,
        }))
    }

    fn refuse(&self, core: &mut Core) {
        let mut quorum = self.quorum.clone();
        for copy in &self.copies {
            if let (State::Answered(_), Some(member)) =
                (copy.state, core.document.index_of(copy.node))
            {
                quorum.count(&core.document.ring, self.vnode, member);
            }
        }
        let (got, needed) = quorum.progress();
        let refused = Refused { got, needed, ..Refused::untouched(Status::Unavailable) };
        self.client.reply(core, self.vnode, Reply::Refused(refused));
    }

    /// Time to ask one copy more, or to give up.
    pub(super) fn due(&mut self, turn: &mut Turn<'_>, id: OpId) -> Step {
        if turn.now.at >= self.deadline {
            self.refuse(turn.core);
            return Step::End;
        }
        for copy in self.copies.iter_mut().filter(|it| it.state == State::Behind) {
            copy.state = State::Idle;
        }
        if self.ask_next(turn, id) {
            turn.core.counts.hedges += 1;
        }
        self.set_hedge(turn);
        Step::Wait
    }

    /// The vnode has changed: asks the copies of now.
    pub(super) fn retarget(&mut self, turn: &mut Turn<'_>, id: OpId) -> Fate {
        let document = Arc::clone(&turn.core.document);
        let ring = &document.ring;
        if ring.epoch(self.vnode) == self.epoch {
            return Fate::Stays;
        }
        let Some(namespace) = document.namespace(self.namespace) else { return Fate::Stays };
        let (level, dc) = (self.level, turn.core.dc());
        let Ok(quorum) = Quorum::new(&document, self.vnode, namespace, level, Access::Read, dc)
        else {
            return Fate::Stays;
        };
        let nodes = nearest(turn.core, self.vnode, namespace);
        (self.quorum, self.epoch) = (quorum, ring.epoch(self.vnode));
        self.copies = nodes.iter().map(|&node| Asked { node, state: State::Idle }).collect();
        self.ask_enough(turn, id);
        Fate::Stays
    }
}

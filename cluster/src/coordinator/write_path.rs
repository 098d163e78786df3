//! WRITE 4: version, copies from the ring, send, count acknowledgements. The ladder is in the
//! README.
//!
//! ```text
//! request -> not an owner: forward | dot and stamp -> own store takes it -> send to the others
//!            enough on disk: the client is told | not answered: sent again, and to stand-ins
//! ```
//! - A record is sent to nobody before the own store has taken it, so dots have no gaps here.
//! - A node's acknowledgement says that it has the record on disk; each counts in the slots of the
//!   copy that it is of.
//! - A write that is under way when its vnode changes starts counting anew in the new epoch, with
//!   the same record.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::consistency::Consistency;
use schemas::ids::{Hlc, NamespaceId, NodeId, Version, Vnode};
use schemas::status::{Applied, Status};
use smallvec::SmallVec;

use super::Coordinator;
use super::copies::{Nodes, copies, has_copy, stand_in};
use super::operation::{Client, Fate, Operation};
use super::quorum::{Access, Quorum};
use super::request::{Refused, Reply, Request, Wanted};
use crate::event::{Effect, Order, StoreError};
use crate::message::{Attempt, Message, OpId, Refusal, Write};
use crate::mutation::Mutation;
use crate::record::{Key, Kind, Record};
use crate::shard::{Core, Purpose, Turn};
use crate::time::Instant;
use crate::topology::{Epoch, Namespace, Policy};

/// A write under way.
#[derive(Debug)]
pub(super) struct WriteOp {
    pub(super) client: Client,
    /// What the client is told once enough copies have the record.
    pub(super) outcome: Reply,
    pub(super) namespace: NamespaceId,
    pub(super) vnode: Vnode,
    /// The vnode's, when the copies below were found.
    pub(super) epoch: Epoch,
    pub(super) record: Rc<Record>,
    pub(super) level: Consistency,
    pub(super) is_strict: bool,
    pub(super) quorum: Quorum,
    pub(super) copies: SmallVec<[Copy; 4]>,
    /// Who would not stand in for any.
    pub(super) unfit: SmallVec<[NodeId; 2]>,
    /// What this node's own store has of it.
    pub(super) own: Own,
    pub(super) sent_at: Instant,
    pub(super) deadline: Instant,
    pub(super) alarm: Instant,
    pub(super) is_answered: bool,
}

/// How far this node's own copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Own {
    /// It has none, or gets it as others do.
    AsOthers,
    /// Taken, not yet on disk; as a hint for the node named, if one is.
    Taken(Option<NodeId>),
    /// On disk.
    Durable(Option<NodeId>),
}

/// A copy that is to have the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Copy {
    pub(super) node: NodeId,
    pub(super) is_done: bool,
    /// It will not have it, whatever is sent again.
    pub(super) has_refused: bool,
    pub(super) stand_in: Option<StandIn>,
}

/// Who keeps the record for a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StandIn {
    node: NodeId,
    is_done: bool,
}

impl Copy {
    pub(super) fn of(node: NodeId) -> Self {
        Self { node, is_done: false, has_refused: false, stand_in: None }
    }

    /// Whether its owner has the record, or somebody keeps it for it.
    fn is_kept(&self) -> bool {
        self.is_done || self.stand_in.is_some_and(|it| it.is_done)
    }
}

impl Coordinator {
    /// A client's write: forwarded, refused, or begun.
    pub(super) fn write(
        &mut self,
        turn: &mut Turn<'_>,
        client: Client,
        key: Key,
        request: &Rc<Request>,
    ) {
        let document = Arc::clone(&turn.core.document);
        let core = &mut *turn.core;
        let vnode = core.vnode_of(&key);
        let namespace = document.namespace(key.namespace).expect("checked before");
        let is_strict = (request.is_strict || namespace.is_strict)
            && !core.is_wrong(Mutation::StrictCountsStandIns);
        // Who has not all of a vnode may write what others resolve, but not what it resolves.
        let is_owner = has_copy(&document, vnode, core.me.node, Access::Read)
            && (namespace.policy == Policy::LastWriterWins || core.is_held(vnode));
        if !is_owner {
            let owners = copies(&document, vnode, Some(namespace), Access::Read);
            // Whose data centre is the local one, the client's coordinator says.
            let is_near = |node: NodeId| !request.level.is_local() || core.is_near(node);
            let up = owners.iter().copied().filter(|&node| core.is_up(node) && is_near(node));
            let unknown = core.tunables.latency_first;
            let nearest = up.min_by_key(|&node| (core.peers.mean(node, unknown), node));
            match (nearest, client) {
                (Some(owner), Client::Here(_)) => {
                    return self.forward(turn, client, vnode, owner, request);
                }
                // Whoever forwarded it takes this node for an owner.
                (_, Client::Node(..)) => return refuse(core, client, vnode, Status::NotOwner),
                _ => {}
            }
        }
        let Some(draft) = Draft::new(turn, client, vnode, namespace, request, is_strict) else {
            return;
        };
        if namespace.policy == Policy::Siblings {
            return if is_owner {
                self.write_siblings(turn, key, draft, request)
            } else {
                refuse(turn.core, client, vnode, Status::Unavailable)
            };
        }
        if !is_owner && !turn.core.has_floor {
            // Owners may be past what its clock shows.
            return refuse(turn.core, client, vnode, Status::Unavailable);
        }
        let Some(record) = self.versioned(turn, &key, namespace, request) else {
            return refuse(turn.core, client, vnode, Status::Overloaded);
        };
        if !is_owner && !turn.handoff.has_room(turn.core, &record) {
            return refuse(turn.core, client, vnode, Status::Overloaded);
        }
        let op = draft.with(turn, record, is_owner);
        self.assign(turn, op);
    }

    /// The record that a write makes, with stamp and dot; `None` while stamps have run dry.
    fn versioned(
        &mut self,
        turn: &mut Turn<'_>,
        key: &Key,
        namespace: &Namespace,
        request: &Request,
    ) -> Option<Rc<Record>> {
        let is_blind = turn.core.is_wrong(Mutation::IgnoreSeenStamp);
        let seen = if is_blind { Hlc(0) } else { request.seen };
        let vnode = turn.core.vnode_of(key);
        let seen = seen.max(turn.core.below(vnode));
        let version = self.version(turn.core, turn.now.wall_ms, vnode, seen)?;
        let (kind, value, ttl_ms) = match &request.wanted {
            Wanted::Put { value, ttl_ms, .. } => {
                let ttl_ms = if *ttl_ms == 0 { namespace.ttl_ms } else { *ttl_ms };
                (Kind::Value, Rc::clone(value), ttl_ms)
            }
            Wanted::Delete { .. } => (Kind::Tombstone, Rc::from([]), 0),
            Wanted::Get { .. } => unreachable!("a read"),
        };
        let expires_at_ms = if ttl_ms == 0 { 0 } else { version.hlc.millis() + ttl_ms };
        Some(Rc::new(Record { key: key.clone(), version, kind, expires_at_ms, value }))
    }

    /// The stamp of now and the next dot of `vnode`; `None` while stamps have run dry.
    pub(super) fn version(
        &mut self,
        core: &Core,
        wall_ms: u64,
        vnode: Vnode,
        seen: Hlc,
    ) -> Option<Version> {
        let hlc = self.clock.stamp(wall_ms, seen, self.ceiling)?;
        Some(Version { hlc, dot: core.dots.next(vnode) })
    }

    /// Gives the record to the own store, before anybody else hears of it.
    pub(super) fn assign(&mut self, turn: &mut Turn<'_>, op: WriteOp) {
        assert!(!self.is_assigning, "effects are carried out before the next request");
        self.is_assigning = true;
        let record = Rc::clone(&op.record);
        let order = match op.own {
            Own::Taken(Some(target)) => {
                turn.handoff.counted(turn.now.at, target, &record);
                Order::PutHint { target, record, is_counted: true }
            }
            _ => Order::Put(record),
        };
        let id = self.table.insert(Operation::Write(Box::new(op)));
        turn.core.order(Purpose::Assign(id), order);
        if turn.core.is_wrong(Mutation::SendBeforeOwnStore)
            && let Some(Operation::Write(op)) = self.table.get_mut(id)
        {
            op.send(turn, id);
        }
    }

    /// The own store has taken the record, or has not.
    pub(super) fn assigned(
        &mut self,
        turn: &mut Turn<'_>,
        id: OpId,
        taken: Result<(), StoreError>,
    ) {
        self.is_assigning = false;
        let Some(Operation::Write(op)) = self.table.get_mut(id) else {
            unreachable!("nothing ends a write that is being assigned");
        };
        if let Err(error) = taken {
            let (client, vnode, key) = (op.client, op.vnode, op.record.key.clone());
            self.table.remove(id);
            let status = match error {
                StoreError::Full => Status::DiskFull,
                StoreError::Busy => Status::Overloaded,
                StoreError::Damaged => Status::Corrupt,
            };
            refuse(turn.core, client, vnode, status);
            return self.sibling_not_taken(turn, key);
        }
        turn.core.dots.advance(op.vnode);
        let record = Rc::clone(&op.record);
        let fate = op.send(turn, id);
        self.settle(id, fate);
        self.sibling_taken(turn, id, &record);
    }

    /// A record that others already have in parts goes to those of the write's copies that lack
    /// it, and its client is told its outcome when enough have it.
    pub(super) fn repair(&mut self, turn: &mut Turn<'_>, op: Box<WriteOp>) {
        if self.table.is_full() {
            let refused = Refused::untouched(Status::Overloaded);
            return op.client.reply(turn.core, op.vnode, Reply::Refused(refused));
        }
        let id = self.table.insert(Operation::Write(op));
        let Some(Operation::Write(op)) = self.table.get_mut(id) else { return };
        let fate = op.send(turn, id);
        self.settle(id, fate);
    }

    /// The own copy is on disk.
    pub(super) fn own_durable(&mut self, turn: &mut Turn<'_>, id: OpId) {
        let Some(Operation::Write(op)) = self.table.get_mut(id) else { return };
        if let Own::Taken(target) = op.own {
            op.own = Own::Durable(target);
            target.into_iter().for_each(|it| turn.handoff.durable(turn.now.at, it));
        }
        op.count_own(turn.core);
        let key = op.record.key.clone();
        let fate = op.go_on(turn.core);
        self.settle(id, fate);
        self.sibling_shown(id, &key);
    }

    /// `from` has the record on disk, or will not have it.
    pub(crate) fn wrote(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        attempt: Attempt,
        result: Result<(), Refusal>,
    ) {
        let id = attempt.op;
        let Some(Operation::Write(op)) = self.table.attempted(attempt) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        if !op.is_asked(from) {
            turn.core.counts.stray_answers += 1;
            return;
        }
        turn.core.peers.answered(from, turn.now.at.since(op.sent_at));
        let fate = match result {
            Err(_) if turn.core.is_wrong(Mutation::CountRefusals) => {
                op.acknowledged(turn.core, from)
            }
            Ok(()) => op.acknowledged(turn.core, from),
            Err(refusal) => op.refused(turn, id, from, refusal),
        };
        self.settle(id, fate);
    }
}

/// Refuses before anything was done.
pub(super) fn refuse(core: &mut Core, client: Client, vnode: Vnode, status: Status) {
    client.reply(core, vnode, Reply::Refused(Refused::untouched(status)));
}

/// A write that has no record yet.
#[derive(Debug)]
pub(super) struct Draft {
    client: Client,
    namespace: NamespaceId,
    vnode: Vnode,
    level: Consistency,
    is_strict: bool,
    quorum: Quorum,
    copies: Nodes,
    ttl_ms: u64,
    patience: Duration,
}

impl Draft {
    pub(super) fn client(&self) -> Client {
        self.client
    }

    /// How long values stand that say nothing of it; 0 for ever.
    pub(super) fn ttl_ms(&self) -> u64 {
        self.ttl_ms
    }

    /// Finds who is to have the record, and whether that can be enough; tells the client if not.
    pub(super) fn new(
        turn: &mut Turn<'_>,
        client: Client,
        vnode: Vnode,
        namespace: &Namespace,
        request: &Request,
        is_strict: bool,
    ) -> Option<Self> {
        let core = &mut *turn.core;
        let document = Arc::clone(&core.document);
        let ring = &document.ring;
        let level = request.level;
        let cannot = |core: &mut Core, got, needed| {
            let refused = Refused { got, needed, ..Refused::untouched(Status::Unavailable) };
            client.reply(core, vnode, Reply::Refused(refused));
            None
        };
        let quorum = match Quorum::new(&document, vnode, namespace, level, Access::Write, core.dc())
        {
            Ok(quorum) => quorum,
            Err(unmeetable) => return cannot(core, unmeetable.copies, unmeetable.needed),
        };
        let copies = copies(&document, vnode, Some(namespace), Access::Write);
        let mut taken = Nodes::new();
        let mut has_somebody = |node: NodeId| {
            let fit = |it: NodeId| core.is_up(it) && !taken.contains(&it);
            let stand_in = || stand_in(&document, vnode, node, fit);
            let found = if core.is_up(node) {
                Some(node)
            } else if is_strict {
                None
            } else {
                stand_in()
            };
            taken.extend(found);
            found.is_some()
        };
        let reachable: Nodes = copies.iter().copied().filter(|&it| has_somebody(it)).collect();
        let members = reachable.iter().filter_map(|&node| document.index_of(node));
        if !quorum.could_be_met(ring, vnode, members) {
            let (_, needed) = quorum.progress();
            return cannot(core, reachable.len() as u32, needed);
        }
        let (ttl_ms, namespace, patience) = (namespace.ttl_ms, namespace.id, request.waits());
        Some(Self { client, namespace, vnode, level, is_strict, quorum, copies, ttl_ms, patience })
    }

    /// The write of `record`, whose dot this node gave: as an owner, or else standing in for one.
    pub(super) fn with(self, turn: &Turn<'_>, record: Rc<Record>, is_owner: bool) -> WriteOp {
        let (core, at) = (&*turn.core, turn.now.at);
        let mut copies: SmallVec<[Copy; 4]> = self.copies.iter().map(|&it| Copy::of(it)).collect();
        let node = core.me.node;
        let mut own = Own::Taken(None);
        if !is_owner {
            let near = copies.iter().position(|it| core.is_near(it.node)).unwrap_or(0);
            copies[near].stand_in = Some(StandIn { node, is_done: false });
            own = Own::Taken(Some(copies[near].node));
        }
        WriteOp {
            client: self.client,
            outcome: Reply::Written(record.version),
            namespace: self.namespace,
            vnode: self.vnode,
            epoch: core.document.ring.epoch(self.vnode),
            record,
            level: self.level,
            is_strict: self.is_strict,
            quorum: self.quorum,
            copies,
            unfit: SmallVec::new(),
            own,
            sent_at: at,
            deadline: at + self.patience,
            alarm: at + self.patience / 256 * core.tunables.resend_after_256ths,
            is_answered: false,
        }
    }
}

impl WriteOp {
    /// Sends the record to all copies that have not got it, and to stand-ins where it takes them.
    fn send(&mut self, turn: &mut Turn<'_>, id: OpId) -> Fate {
        self.sent_at = turn.now.at;
        self.count_own(turn.core);
        let me = turn.core.me.node;
        let is_own = self.own != Own::AsOthers;
        for copy in self.copies.iter().filter(|it| !it.is_done && !it.has_refused) {
            let has_it_from_here = copy.node == me && is_own;
            if !has_it_from_here && turn.core.is_up(copy.node) {
                let message = self.message(id, None);
                turn.core.send(copy.node, self.vnode, message);
            }
        }
        let up = |copy: &Copy| turn.core.is_up(copy.node) && !copy.has_refused;
        if !self.could_be_met(turn.core, up) {
            self.ask_stand_ins(turn.core, id, |core, copy| {
                !core.is_up(copy.node) || copy.has_refused
            });
        }
        self.go_on(turn.core)
    }

    /// The stamp, unless the record is only brought to copies that others have it of.
    pub(super) fn stamped_here(&self) -> Option<Hlc> {
        (self.own != Own::AsOthers).then_some(self.record.version.hlc)
    }

    fn message(&self, id: OpId, stands_in_for: Option<NodeId>) -> Message {
        let (op, record) = (Some(id), Rc::clone(&self.record));
        Message::Write(Write { op, epoch: self.epoch, record, stands_in_for })
    }

    /// Counts what this node has itself.
    fn count_own(&mut self, core: &Core) {
        let me = core.me.node;
        let own = match self.own {
            Own::Taken(of) if core.is_wrong(Mutation::AckBeforeOwnDisk) => Own::Durable(of),
            own => own,
        };
        match own {
            Own::Durable(None) => {
                if let Some(copy) = self.copies.iter_mut().find(|it| it.node == me) {
                    copy.is_done = true;
                    self.count(core, me);
                }
            }
            Own::Durable(Some(target)) => {
                let kept = |it: &&mut Copy| {
                    it.node == target && it.stand_in.is_some_and(|it| it.node == me)
                };
                if let Some(copy) = self.copies.iter_mut().find(kept) {
                    copy.stand_in = Some(StandIn { node: me, is_done: true });
                    self.count(core, target);
                }
            }
            Own::AsOthers | Own::Taken(_) => {}
        }
    }

    fn count(&mut self, core: &Core, node: NodeId) {
        if let Some(member) = core.document.index_of(node) {
            self.quorum.count(&core.document.ring, self.vnode, member);
            if core.is_wrong(Mutation::CountSuccessors) {
                self.quorum.count_successors();
            }
        }
    }

    /// Whether enough would have the record if all copies had it that `may` is true of.
    fn could_be_met(&self, core: &Core, may: impl Fn(&Copy) -> bool) -> bool {
        let able = self.copies.iter().filter(|copy| copy.is_kept() || may(copy));
        let members = able.filter_map(|copy| core.document.index_of(copy.node));
        self.quorum.could_be_met(&core.document.ring, self.vnode, members)
    }

    /// Sends the record to a node for each copy that has nobody yet and that `needs_one`.
    fn ask_stand_ins(
        &mut self,
        core: &mut Core,
        id: OpId,
        needs_one: impl Fn(&Core, &Copy) -> bool,
    ) {
        if self.is_strict || self.client == Client::Nobody {
            return;
        }
        for at in 0..self.copies.len() {
            let copy = self.copies[at];
            if copy.is_done || copy.stand_in.is_some() || !needs_one(core, &copy) {
                continue;
            }
            let is_free = |node| {
                let is_taken = |it: &Copy| it.stand_in.is_some_and(|it| it.node == node);
                !self.copies.iter().any(is_taken) && !self.unfit.contains(&node)
            };
            let fit = |node: NodeId| node != core.me.node && core.is_up(node) && is_free(node);
            let Some(node) = stand_in(&core.document, self.vnode, copy.node, fit) else { continue };
            self.copies[at].stand_in = Some(StandIn { node, is_done: false });
            let message = self.message(id, Some(copy.node));
            core.send(node, self.vnode, message);
        }
    }

    /// Whether `node` is to have the record, for itself or for another.
    fn is_asked(&self, node: NodeId) -> bool {
        let stands_in = |it: &Copy| it.stand_in.is_some_and(|it| it.node == node);
        self.copies.iter().any(|it| it.node == node || stands_in(it))
    }

    /// A copy has the record on disk, or somebody for it.
    fn acknowledged(&mut self, core: &mut Core, from: NodeId) -> Fate {
        if let Some(copy) = self.copies.iter_mut().find(|it| it.node == from) {
            copy.is_done = true;
            self.count(core, from);
            return self.go_on(core);
        }
        let kept = self.copies.iter_mut().find_map(|it| {
            let stand_in = it.stand_in.as_mut().filter(|it| it.node == from)?;
            stand_in.is_done = true;
            Some(it.node)
        });
        if let Some(owner) = kept {
            core.counts.sloppy += u64::from(!self.is_answered);
            self.count(core, owner);
        }
        self.go_on(core)
    }

    /// A node will not store the record, or not yet.
    fn refused(&mut self, turn: &mut Turn<'_>, id: OpId, from: NodeId, refusal: Refusal) -> Fate {
        match refusal {
            Refusal::Stale(epoch) => turn.core.heard_newer(from, epoch),
            // It learns the topology meanwhile; the record is the same however often it is sent.
            Refusal::Behind => {
                turn.core.effect(Effect::Older(from));
                self.alarm = self.alarm.min(turn.now.at + turn.core.tunables.behind_pause);
            }
            _ => {
                let mut without = None;
                for copy in &mut self.copies {
                    copy.has_refused |= copy.node == from;
                    if copy.stand_in.is_some_and(|it| it.node == from && !it.is_done) {
                        copy.stand_in = None;
                        without = Some(copy.node);
                    }
                }
                // Another one, if there is one.
                self.unfit.extend(without.map(|_| from));
                self.ask_stand_ins(turn.core, id, |_, copy| {
                    copy.has_refused || Some(copy.node) == without
                });
            }
        }
        self.go_on(turn.core)
    }

    /// Tells the client when enough have it, and ends when all have.
    fn go_on(&mut self, core: &mut Core) -> Fate {
        let is_hasty = core.is_wrong(Mutation::AckBeforeQuorum) && self.quorum.progress().0 > 0;
        if !self.is_answered && (self.quorum.is_met() || is_hasty) {
            self.is_answered = true;
            self.client.reply(core, self.vnode, self.outcome.clone());
        }
        let is_over = self.copies.iter().all(Copy::is_kept) && self.is_own_settled();
        if is_over && self.is_answered { Fate::Ends } else { Fate::Stays }
    }

    fn is_own_settled(&self) -> bool {
        !matches!(self.own, Own::Taken(_))
    }

    /// Time to send again, or to give up.
    pub(super) fn due(&mut self, turn: &mut Turn<'_>, id: OpId) -> Fate {
        if turn.now.at < self.deadline {
            self.alarm = self.deadline;
            let fate = self.send(turn, id);
            if !self.quorum.is_met() {
                self.ask_stand_ins(turn.core, id, |_, _| true);
            }
            return fate;
        }
        if !self.is_answered {
            self.is_answered = true;
            let (got, needed) = self.quorum.progress();
            let is_sure = turn.core.is_wrong(Mutation::TimeoutIsFailure);
            let applied = if is_sure { Applied::No } else { Applied::Unknown };
            let status = Status::OutcomeUnknown;
            let refused = Refused { status, applied, got, needed };
            self.client.reply(turn.core, self.vnode, Reply::Refused(refused));
        }
        // What others have already they bring themselves; it may be too old to be kept.
        if self.own != Own::AsOthers {
            self.leave_hints(turn);
        }
        Fate::Ends
    }

    /// Keeps the record for the copies that nobody keeps it for.
    fn leave_hints(&self, turn: &mut Turn<'_>) {
        let me = turn.core.me.node;
        for copy in self.copies.iter().filter(|it| !it.is_kept() && it.node != me) {
            turn.handoff.spare(turn.now.at, turn.core, copy.node, &self.record);
        }
    }

    /// The vnode has changed: starts counting anew, with the copies of now.
    pub(super) fn retarget(&mut self, turn: &mut Turn<'_>, id: OpId) -> Fate {
        let document = Arc::clone(&turn.core.document);
        let ring = &document.ring;
        if ring.epoch(self.vnode) == self.epoch {
            return Fate::Stays;
        }
        let Some(namespace) = document.namespace(self.namespace) else { return Fate::Stays };
        let dc = turn.core.dc();
        let level = self.level;
        let Ok(quorum) = Quorum::new(&document, self.vnode, namespace, level, Access::Write, dc)
        else {
            return Fate::Stays;
        };
        let copies = copies(&document, self.vnode, Some(namespace), Access::Write);
        (self.quorum, self.epoch) = (quorum, ring.epoch(self.vnode));
        self.copies = copies.iter().map(|&node| Copy::of(node)).collect();
        self.send(turn, id)
    }
}

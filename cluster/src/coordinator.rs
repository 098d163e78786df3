//! The coordinator: the operations of a core's clients, and who gives them what they wait for.

mod copies;
mod forward;
mod multi_get;
mod once;
mod operation;
mod quorum;
mod read_path;
mod request;
mod scan_path;
mod siblings;
mod table;
mod write_path;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use schemas::ids::{Hlc, NamespaceId, NodeId, Token, Version, Vnode};
use schemas::limits::{KEY_BYTES_MAX, TTL_MS_MAX, VALUE_BYTES_MAX};
use schemas::status::Status;

pub use self::copies::Nodes;
pub(crate) use self::copies::copies;
pub(crate) use self::multi_get::Gathers;
use self::once::Once;
use self::operation::{Client, Fate, Operation};
pub use self::quorum::{Access, Quorum, Unmeetable};
use self::read_path::Asking;
pub use self::request::{MultiGet, Page, Refused, Reply, Request, Scan, Wanted};
use self::table::Table;
use self::write_path::refuse;
use crate::event::{RequestId, StoreError, Stored};
use crate::message::OpId;
use crate::mutation::Mutation;
use crate::record::Key;
use crate::shard::{Core, Sizes, Turn};
use crate::time::Instant;
use crate::version::HlcClock;

/// What is looked at before anything is begun.
#[derive(Clone, Copy)]
struct Asked {
    namespace: NamespaceId,
    seen: Hlc,
    patience: Duration,
    /// Places that it takes in the table.
    operations: usize,
}

/// Why no key is like that.
fn unfit_key(key: &[u8]) -> Option<Status> {
    match key.len() {
        0 => Some(Status::KeyEmpty),
        len if len > KEY_BYTES_MAX => Some(Status::KeyTooLong),
        _ => None,
    }
}

/// The operations of a core's clients.
#[derive(Debug)]
pub(crate) struct Coordinator {
    table: Table<Operation>,
    clock: HlcClock,
    ceiling: Hlc,
    /// Whether a record is on its way to the store whose dot is not used up yet.
    is_assigning: bool,
    once: Once,
    writing: siblings::Keys,
    /// Writes of siblings that wait for others of their key.
    waiting: usize,
    /// Scans under way.
    scans: usize,
    /// Stamps of writes that go straight at the engine and are not on disk, ascending.
    local: VecDeque<Hlc>,
}

/// Who forwards a request: a core of another node, and its number for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarder {
    pub(crate) node: NodeId,
    pub(crate) lane: Vnode,
    pub(crate) op: OpId,
}

impl Coordinator {
    /// No stamp is at or below `floor`.
    pub(crate) fn new(core: &Core, floor: Hlc) -> Self {
        Self {
            table: Table::new(core.me.boot, core.tunables.operations_max),
            clock: HlcClock::new(floor),
            ceiling: floor,
            is_assigning: false,
            once: Once::default(),
            writing: siblings::Keys::new(),
            waiting: 0,
            scans: 0,
            local: VecDeque::new(),
        }
    }

    /// A client of this node asks for something.
    pub(crate) fn request(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        wanted: &Rc<Request>,
    ) {
        self.begin(turn, Client::Here(request), wanted);
    }

    /// A client of another node asks for something of a vnode that this one owns.
    pub(crate) fn request_of(
        &mut self,
        turn: &mut Turn<'_>,
        from: Forwarder,
        vnode: Vnode,
        wanted: &Rc<Request>,
    ) {
        let Forwarder { node, lane, op } = from;
        let document = &turn.core.document;
        if Token::of(&wanted.key, document.token_seed).vnode(document.bits) != vnode {
            turn.core.counts.malformed += 1;
            return refuse(turn.core, Client::Node(node, op), vnode, Status::MalformedBody);
        }
        if !self.once.is_first(node, lane, op) && !turn.core.is_wrong(Mutation::BeginTwice) {
            turn.core.counts.doubled += 1;
            return;
        }
        self.begin(turn, Client::Node(node, op), wanted);
    }

    fn begin(&mut self, turn: &mut Turn<'_>, client: Client, request: &Rc<Request>) {
        let core = &mut *turn.core;
        let token = Token::of(&request.key, core.document.token_seed);
        let vnode = token.vnode(core.document.bits);
        if let Some(status) = self.unfit(core, turn.now.wall_ms, request) {
            core.counts.unfit += u64::from(status != Status::Overloaded);
            return refuse(core, client, vnode, status);
        }
        let key = Key { token, namespace: request.namespace, bytes: Rc::clone(&request.key) };
        match request.wanted {
            Wanted::Get { repairs_first } => {
                let (level, patience) = (request.level, request.patience);
                let asking = Asking { level, patience, repairs_first };
                self.read(turn, client, key, asking);
            }
            Wanted::Put { .. } | Wanted::Delete { .. } => self.write(turn, client, key, request),
        }
    }

    /// Why a request is not begun.
    fn unfit(&self, core: &mut Core, wall_ms: u64, request: &Request) -> Option<Status> {
        let (value, ttl_ms) = match &request.wanted {
            Wanted::Put { value, ttl_ms, .. } => (value.len(), *ttl_ms),
            _ => (0, 0),
        };
        let of_value = [
            (value > VALUE_BYTES_MAX, Status::ValueTooLarge),
            (ttl_ms > TTL_MS_MAX, Status::TtlTooLong),
        ];
        let of_value = of_value.into_iter().find_map(|(is_so, status)| is_so.then_some(status));
        let &Request { namespace, seen, patience, .. } = request;
        let asked = Asked { namespace, seen, patience, operations: 1 };
        unfit_key(&request.key).or(of_value).or_else(|| self.unready(core, wall_ms, asked))
    }

    /// Why nothing of the kind is begun, whatever the key.
    fn unready(&self, core: &mut Core, wall_ms: u64, asked: Asked) -> Option<Status> {
        let is_known = core.document.namespace(asked.namespace).is_some();
        let under_way = self.table.len() + self.waiting;
        let is_full = under_way + asked.operations > core.tunables.operations_max;
        let status = [
            (!is_known, Status::UnknownNamespace),
            (!self.clock.admits(wall_ms, asked.seen), Status::StampAhead),
            (asked.patience.is_zero(), Status::DeadlineExceeded),
            (core.index.is_none(), Status::Draining),
            (is_full, Status::Overloaded),
        ];
        let status = status.into_iter().find_map(|(is_so, status)| is_so.then_some(status));
        core.counts.overloaded += u64::from(status == Some(Status::Overloaded));
        status
    }

    /// Stamp and dot of the next write in `vnode`, which is not coordinated.
    pub(crate) fn next_version(
        &mut self,
        core: &Core,
        wall_ms: u64,
        vnode: Vnode,
        seen: Hlc,
    ) -> Result<Version, Status> {
        if !self.clock.admits(wall_ms, seen) {
            return Err(Status::StampAhead);
        }
        self.version(core, wall_ms, vnode, seen.max(core.below(vnode))).ok_or(Status::Overloaded)
    }

    /// The store has taken a write with the next version of `vnode`.
    pub(crate) fn local_taken(&mut self, core: &mut Core, vnode: Vnode, version: Version) {
        assert!(!self.is_assigning, "effects are carried out before the next write");
        assert_eq!(core.dots.next(vnode), version.dot, "it is the next version");
        core.dots.advance(vnode);
        self.local.push_back(version.hlc);
    }

    /// The first write of those that the store has taken without the coordinator is on disk.
    pub(crate) fn local_durable(&mut self) {
        self.local.pop_front().expect("the store has taken one");
    }

    /// No stamp above `ceiling` may be given.
    pub(crate) fn raise_ceiling(&mut self, ceiling: Hlc) {
        self.ceiling = self.ceiling.max(ceiling);
    }

    /// Time has passed: every later stamp is above what is returned, in all lives of the node, and
    /// above `floor`.
    pub(crate) fn pass(&mut self, wall_ms: u64, floor: Hlc) -> Hlc {
        self.clock.pass(wall_ms, floor, self.ceiling)
    }

    /// The least stamp that was given to a write which is under way.
    pub(crate) fn least_under_way(&self) -> Option<Hlc> {
        let writes = self.table.iter().filter_map(|operation| match operation {
            Operation::Write(op) => op.stamped_here(),
            Operation::Read(_) | Operation::Scan(_) | Operation::Forwarded(_) => None,
        });
        writes.chain(self.local.front().copied()).min()
    }

    /// The greatest stamp that was given, or that none may be at or below.
    pub(crate) fn last_stamp(&self) -> Hlc {
        self.clock.last()
    }

    /// The store has taken the record of a write, or will not.
    pub(crate) fn taken(&mut self, turn: &mut Turn<'_>, op: OpId, taken: Result<(), StoreError>) {
        self.assigned(turn, op, taken);
    }

    /// The store has told what it has of a key that is to be changed.
    pub(crate) fn base(
        &mut self,
        turn: &mut Turn<'_>,
        key: Key,
        result: Result<Stored, StoreError>,
    ) {
        self.base_read(turn, key, result);
    }

    /// The record of a write is on the own disk.
    pub(crate) fn durable(&mut self, turn: &mut Turn<'_>, op: OpId) {
        self.own_durable(turn, op);
    }

    /// An owner says what became of a request.
    pub(crate) fn hear_forwarded(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        op: OpId,
        reply: Reply,
    ) {
        self.forwarded(turn, from, op, reply);
    }

    /// The topology has changed.
    pub(crate) fn topology(&mut self, turn: &mut Turn<'_>) {
        let document = &turn.core.document;
        self.once.retain(|node| document.index_of(node).is_some());
        for id in self.table.ids() {
            let fate = match self.table.get_mut(id) {
                Some(Operation::Write(op)) => op.retarget(turn, id),
                Some(Operation::Read(op)) => op.retarget(turn, id),
                Some(Operation::Scan(op)) => op.retarget(turn, id),
                Some(Operation::Forwarded(_)) | None => Fate::Stays,
            };
            self.settle(id, fate);
        }
    }

    /// The next moment at which an operation is to be looked at.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.table.deadline()
    }

    /// Looks at those whose moment has come.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>) {
        while let Some(id) = self.table.next_due(turn.now.at) {
            let fate = match self.table.get_mut(id) {
                Some(Operation::Write(op)) => op.due(turn, id),
                Some(Operation::Scan(op)) => op.due(turn, id),
                Some(Operation::Forwarded(op)) => op.due(turn),
                Some(Operation::Read(op)) => {
                    let step = op.due(turn, id);
                    self.read_step(turn, id, step);
                    continue;
                }
                None => continue,
            };
            self.settle(id, fate);
        }
    }

    /// An operation is over, or is to be looked at again.
    fn settle(&mut self, id: OpId, fate: Fate) {
        match fate {
            Fate::Stays => {
                if let Some(alarm) = self.table.get_mut(id).map(|it| it.alarm()) {
                    self.table.set_alarm(id, alarm);
                }
            }
            Fate::Ends => {
                let over = self.table.remove(id);
                self.scans -= usize::from(matches!(over, Some(Operation::Scan(_))));
            }
        }
    }

    /// The number of the next operation.
    pub(crate) fn next_op(&self) -> OpId {
        self.table.next()
    }

    /// Whether operations on `vnode` are under way that began before `op`: they may send what they
    /// have read.
    pub(crate) fn has_older(&self, vnode: Vnode, op: OpId) -> bool {
        let mut older = self.table.numbered().filter(|(id, _)| *id < op);
        older.any(|(_, operation)| operation.vnode() == Some(vnode))
    }

    /// Writes down how much there is of what.
    pub(crate) fn measure(&self, sizes: &mut Sizes) {
        sizes.operations = self.table.len();
        sizes.alarms = self.table.alarms();
        sizes.waiting = self.waiting;
        sizes.keys = self.writing.len();
        sizes.begun = self.once.len();
    }
}

//! One core's shard: its store, the stamps and dots its writes get, and what is under way.
//!
//! What it keeps true:
//!
//! - A key's requests are served by the core that owns its vnode, and by no other: any other core
//!   hands them on, and the reply says where they belong.
//! - A write's stamp and dot are given here, once, when its record is taken by the store; a write
//!   that is refused uses up no dot.
//! - What is under way is answered exactly once: a write when the store acknowledges it, a read
//!   when its block has come in, a multi-get when the last of its keys is known.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cluster::version::{DotCounters, HlcClock};
use engine::env::Env;
use engine::memtable::WARM_MAX;
use engine::record::{self, Key};
use engine::store::{
    Done, Failure, GetTicket, PutTicket, ScanTicket, SnapshotStep, SnapshotTicket, Stats, Store,
};
use schemas::consistency::Consistency;
use schemas::ids::{Actor, Hlc, NamespaceId, ShardId, Token, Version, Vnode, VnodeBits};
use schemas::kind::Kind;
use schemas::message::{Delete, Get, MultiGet, Put, Scan};
use schemas::status::Status;
use smallvec::SmallVec;

use super::config::Ceiling;
use super::multi_get::{FoundKeys, Gathers, WantedKeys};
use super::operation::Operation;
use super::outbox::Message;
use super::scan_path::PendingScan;
use super::service::{Context, Origin, Outcome, Replies, Request, Service};
use super::write_path::Write;
use crate::limits::RETRY_AFTER_US;
use crate::runtime::{SnapshotReply, Tick};

/// Copies of each record that a node on its own keeps.
const COPIES: u8 = 1;

/// What shards on different cores tell each other.
pub enum ShardMessage {
    /// A request that belongs there.
    Request(Forwarded),
    /// Keys of a multi-get that belong there.
    Keys(Box<WantedKeys>),
    /// What is known of them.
    Found(Box<FoundKeys>),
}

/// A request on its way to the core that owns its key.
pub struct Forwarded {
    origin: Origin,
    deadline_us: u64,
    body: Box<[u8]>,
}

/// Who a shard is.
#[derive(Clone, Debug)]
pub struct ShardIdentity {
    /// Which shard.
    pub own: ShardId,
    /// How many the node has.
    pub shards: u16,
    /// Size of the ring.
    pub vnode_bits: VnodeBits,
    /// Seed of the tokens.
    pub ring_seed: u64,
    /// Who gives the dots.
    pub actor: Actor,
    /// Stamps are above it.
    pub hlc_floor: Hlc,
}

impl ShardIdentity {
    /// The shard of the node that owns `token`.
    #[inline]
    #[must_use]
    pub fn owner(&self, token: Token) -> ShardId {
        token.vnode(self.vnode_bits).shard(self.vnode_bits, self.shards)
    }

    /// The tokens this shard owns, first and last; `None` where there are more shards than vnodes
    /// and it owns none.
    #[must_use]
    pub fn tokens(&self) -> Option<(Token, Token)> {
        self.own.tokens(self.vnode_bits, self.shards)
    }

    /// The vnodes this shard owns, first and last; `None` where it owns none.
    #[must_use]
    pub fn vnodes(&self) -> Option<(Vnode, Vnode)> {
        let (first, last) = self.tokens()?;
        Some((first.vnode(self.vnode_bits), last.vnode(self.vnode_bits)))
    }
}

/// One core's shard.
pub struct Shard<E: Env> {
    pub(super) identity: ShardIdentity,
    pub(super) store: Store<E>,
    pub(super) clock: HlcClock,
    pub(super) dots: DotCounters,
    pub(super) ceiling: Arc<Ceiling>,
    pub(super) puts: VecDeque<PendingPut>,
    pub(super) gets: HashMap<GetTicket, PendingGet, ahash::RandomState>,
    pub(super) scans: HashMap<ScanTicket, PendingScan, ahash::RandomState>,
    pub(super) gathers: Gathers,
    snapshots: HashMap<SnapshotTicket, SnapshotReply, ahash::RandomState>,
    /// Kept to keep its memory.
    done: Vec<Done>,
}

/// A write that the store has taken and not acknowledged.
pub(super) struct PendingPut {
    pub(super) ticket: PutTicket,
    pub(super) origin: Origin,
    pub(super) version: Version,
    pub(super) kind: record::Kind,
}

/// A read that waits for the disk, and what it is for.
pub(super) enum PendingGet {
    /// A request of its own.
    Request { origin: Origin, key_only: bool, deadline_us: u64 },
    /// A key of a multi-get.
    Key { gather: usize, index: u16, key_only: bool },
}

impl<E: Env> Shard<E> {
    /// The shard whose records are in `store`.
    ///
    /// # Panics
    /// If it owns no vnode.
    #[must_use]
    pub fn new(identity: ShardIdentity, store: Store<E>, ceiling: Arc<Ceiling>) -> Self {
        let (first, last) = identity.vnodes().expect("a shard owns a part of the ring");
        Self {
            clock: HlcClock::new(identity.hlc_floor),
            dots: DotCounters::new(identity.actor, first..=last),
            identity,
            store,
            ceiling,
            puts: VecDeque::new(),
            gets: HashMap::default(),
            scans: HashMap::default(),
            gathers: Gathers::default(),
            snapshots: HashMap::default(),
            done: Vec::new(),
        }
    }

    /// The key of `bytes` in its place.
    #[inline]
    pub(super) fn key<'a>(&self, namespace: NamespaceId, bytes: &'a [u8]) -> Key<'a> {
        Key { token: Token::of(bytes, self.identity.ring_seed), namespace, bytes }
    }

    /// Serves a request whose key may belong here.
    fn serve(
        &mut self,
        request: &Request<'_>,
        context: &mut Context<'_, ShardMessage>,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        match request.origin.operation {
            Operation::Get | Operation::Exists => {
                let get = Get::decode(request.body)?;
                check(get.namespace, get.consistency)?;
                let key = self.key(get.namespace, get.key);
                match self.identity.owner(key.token) {
                    owner if owner == self.identity.own => {
                        self.get(&key, get.key_only, request, context, out)
                    }
                    owner => self.forward(owner, request, context),
                }
            }
            Operation::Put => {
                let put = Put::decode(request.body)?;
                check(put.namespace, put.consistency)?;
                self.write_or_forward(put.key, &Write::put(&put), request, context)
            }
            Operation::Delete => {
                let delete = Delete::decode(request.body)?;
                check(delete.namespace, delete.consistency)?;
                self.write_or_forward(delete.key, &Write::delete(&delete), request, context)
            }
            Operation::MultiGet => {
                let wanted = MultiGet::decode(request.body)?;
                check(wanted.namespace, wanted.consistency)?;
                self.multi_get(&wanted, request, context, out)
            }
            Operation::Scan => {
                let scan = Scan::decode(request.body)?;
                check(scan.namespace, scan.consistency)?;
                match self.identity.owner(scan.from.token) {
                    owner if owner == self.identity.own => self.scan(&scan, request, context),
                    owner => self.forward(owner, request, context),
                }
            }
        }
    }

    fn write_or_forward(
        &mut self,
        key: &[u8],
        write: &Write<'_>,
        request: &Request<'_>,
        context: &mut Context<'_, ShardMessage>,
    ) -> Result<Outcome, Refusal> {
        let key = self.key(write.namespace, key);
        match self.identity.owner(key.token) {
            owner if owner == self.identity.own => self.write(&key, write, request, context),
            owner => self.forward(owner, request, context),
        }
    }

    /// Hands a request on to the core that owns its key.
    fn forward(
        &mut self,
        owner: ShardId,
        request: &Request<'_>,
        context: &mut Context<'_, ShardMessage>,
    ) -> Result<Outcome, Refusal> {
        assert!(request.origin.core == self.identity.own, "every core knows the same owner");
        admit(request, context)?;
        let &Request { origin, deadline_us, body } = request;
        let forwarded = Forwarded { origin, deadline_us, body: body.into() };
        let message = Message::Service(ShardMessage::Request(forwarded));
        context.outbox.try_send(owner, message).map_err(|_| Refusal::overloaded())?;
        Ok(Outcome::UnderWay)
    }
}

impl<E: Env> Service for Shard<E> {
    type Message = ShardMessage;

    #[inline]
    fn request(
        &mut self,
        request: &Request<'_>,
        context: &mut Context<'_, ShardMessage>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        match self.serve(request, context, out) {
            Ok(outcome) => outcome,
            Err(Refusal { status, retry_after_us }) => {
                request.origin.refuse_for(context.own, status, retry_after_us, out);
                Outcome::Refused(status)
            }
        }
    }

    #[inline]
    fn look_ahead<'a>(&self, requests: impl Iterator<Item = (u8, &'a [u8])>) -> usize {
        let mut requests = requests.take(WARM_MAX);
        // Alone it would wait just as long here as later.
        let (Some(first), Some(second)) = (requests.next(), requests.next()) else { return 1 };
        let mut seen = 0;
        let mut tokens = SmallVec::<[Token; WARM_MAX]>::new();
        for (kind, body) in [first, second].into_iter().chain(requests) {
            seen += 1;
            if kind == Kind::Get as u8
                && let Ok(get) = Get::decode(body)
            {
                tokens.push(Token::of(get.key, self.identity.ring_seed));
            }
        }
        self.store.warm(&tokens);
        seen
    }

    fn message(
        &mut self,
        from: ShardId,
        message: ShardMessage,
        tick: Tick,
        replies: &mut Replies<'_, ShardMessage>,
    ) {
        match message {
            ShardMessage::Request(forwarded) => {
                let Forwarded { origin, deadline_us, body } = forwarded;
                let mut frame = Vec::new();
                let own = self.identity.own;
                let outcome = if deadline_us <= tick.now_us {
                    origin.refuse(own, Status::DeadlineExceeded, &mut frame);
                    Outcome::Refused(Status::DeadlineExceeded)
                } else {
                    let request = Request { body: &body, origin, deadline_us };
                    self.request(&request, &mut replies.context(tick), &mut frame)
                };
                if outcome != Outcome::UnderWay {
                    replies.reply_frame(&origin, frame);
                }
            }
            ShardMessage::Keys(wanted) => self.look_up(from, &wanted, tick, replies),
            ShardMessage::Found(found) => self.found(&found, tick, replies),
        }
    }

    fn tick(&mut self, tick: Tick, replies: &mut Replies<'_, ShardMessage>) -> Result<(), Failure> {
        let mut done = std::mem::take(&mut self.done);
        self.store.poll(&mut done)?;
        for ended in done.drain(..) {
            match ended {
                Done::PutsUpto(ticket) => self.acknowledge(ticket, replies),
                Done::Get(ticket, result) => self.read(ticket, &result, tick, replies),
                // No peer asks for one yet.
                Done::Digest(..) | Done::Export(..) | Done::Dropped(..) => {}
                Done::Snapshot(ticket, result) => {
                    if let Some(reply) = self.snapshots.remove(&ticket) {
                        reply(Ok(result));
                    }
                }
                Done::Scan(ticket, page) => self.scanned(ticket, &page, tick, replies),
            }
        }
        self.done = done;
        // The only owner of its keys stamps a write as its store takes it: none comes late.
        self.store.set_purge_horizon(self.clock.last());
        self.store.tick();
        Ok(())
    }

    fn compact(&mut self) {
        self.store.compact_all();
    }

    fn snapshot(&mut self, step: SnapshotStep, reply: SnapshotReply) {
        match self.store.snapshot_now(step) {
            Ok(ticket) => drop(self.snapshots.insert(ticket, reply)),
            Err(refused) => reply(Err(refused)),
        }
    }

    fn idle(&self) -> bool {
        self.store.idle()
    }

    fn drained(&self) -> bool {
        self.puts.is_empty()
            && self.gets.is_empty()
            && self.scans.is_empty()
            && self.gathers.is_empty()
    }

    async fn close(self) -> Result<(), Failure> {
        // The writes that nobody was told of, because time was up, are made durable all the same.
        self.ceiling.publish(self.identity.own, self.clock.last());
        self.store.close().await
    }

    fn stats(&self) -> Option<&Stats> {
        Some(self.store.stats())
    }
}

/// Why a request is refused, and when to try again.
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) retry_after_us: u32,
}

impl Refusal {
    pub(super) fn overloaded() -> Self {
        Self { status: Status::Overloaded, retry_after_us: RETRY_AFTER_US }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, retry_after_us: 0 }
    }
}

/// Checks what a node on its own can check without the key.
#[inline]
fn check(namespace: NamespaceId, level: Consistency) -> Result<(), Status> {
    if namespace != NamespaceId::DEFAULT {
        return Err(Status::UnknownNamespace);
    }
    level.needed(COPIES).map(drop).ok_or(Status::Unavailable)
}

/// Whether a request may be under way. One that another core has sent was admitted there.
#[inline]
pub(super) fn admit<M>(request: &Request<'_>, context: &Context<'_, M>) -> Result<(), Refusal> {
    let Origin { core, bytes, .. } = request.origin;
    let admitted = core != context.own || context.admission.has_room(bytes);
    if admitted { Ok(()) } else { Err(Refusal::overloaded()) }
}

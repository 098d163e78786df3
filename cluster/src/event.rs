//! What happens to a shard, and what it wants done.

use std::rc::Rc;
use std::sync::Arc;

use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Hlc, NodeId, Token, Vnode};

use crate::coordinator::{MultiGet, Reply, Request, Scan};
use crate::horizon::{Horizon, Promise, Promised};
use crate::message::Message;
use crate::record::{Digest, Key, Record};
use crate::topology::{Document, Epoch};

/// A client's request, by the number the driver gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Names an order to the store until it is carried out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u32);

/// What happens to a shard.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client wants something of a key whose vnode this core owns, or would.
    Request(RequestId, Rc<Request>),
    /// A client wants to know of several keys whose vnodes this core owns, or would.
    MultiGet(RequestId, Rc<MultiGet>),
    /// A client wants to know of a part of a vnode that this core owns, or would.
    Scan(RequestId, Rc<Scan>),
    /// Another shard said something, to this node in this life of it: what was sent to an earlier
    /// one is lost with its connections.
    Received {
        /// Who: a node in one of its lives.
        from: Actor,
        /// Of which vnode.
        vnode: Vnode,
        /// What.
        message: Message,
    },
    /// The store has taken what it is to keep, or will not: told before the next effect is carried
    /// out.
    Taken(Ticket, Result<(), StoreError>),
    /// What was taken is on disk, survives a crash, and is seen from now on. In the order in which
    /// it was taken.
    Durable(Ticket),
    /// What the store was asked for.
    Answered(Ticket, Result<Stored, StoreError>),
    /// The topology as it is on this node's disk from now on.
    Topology(Arc<Document>),
    /// A node answers, or answers nobody.
    Liveness {
        /// Which.
        node: NodeId,
        /// Whether it answers.
        is_up: bool,
    },
    /// A life of a node is known: earlier ones of it are over, and say nothing any more.
    Life(Actor),
    /// No stamp above this one may be given: it is on the node's disk.
    Ceiling(Hlc),
    /// What all members promise of what is old.
    Promised(Promised),
    /// The moment of [`Shard::deadline`](crate::shard::Shard::deadline) has come.
    Due,
}

/// What a shard wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The client's answer.
    Reply(RequestId, Reply),
    /// A message for the core that owns `vnode` on another node. It may be lost.
    Send {
        /// Where.
        to: NodeId,
        /// Of which vnode.
        vnode: Vnode,
        /// What.
        message: Message,
    },
    /// The store has something to do.
    Store(Ticket, Order),
    /// Somebody has a newer topology than this node, of at least this epoch.
    Newer {
        /// Who.
        node: NodeId,
        /// Which it has, at least.
        epoch: Epoch,
    },
    /// Somebody has an older topology than this node.
    Older(NodeId),
    /// This core has all of a vnode that its part in moving it needs, in this epoch of the vnode.
    CaughtUp(Vnode, Epoch),
    /// This core has given a vnode away that others have all of, and has forgotten it.
    Released(Vnode),
    /// What this core promises of what is old: for the node.
    Promise(Promise),
}

/// What the store is to do. What it keeps is told of by [`Event::Taken`] and [`Event::Durable`],
/// what it is asked for by [`Event::Answered`].
#[derive(Clone, Debug)]
pub enum Order {
    /// Merge a record into what is stored, and count its dots ([`Record::dots`]) as seen. Of a set
    /// that comes to a held vnode, what is late for its horizon is left out
    /// ([`horizon::fit`](crate::horizon::fit)). A record that is below the horizon itself is merged
    /// as any: another copy has it. One of a [dropped](crate::topology::Document::is_dropped)
    /// namespace counts as seen, and is not kept.
    Put(Rc<Record>),
    /// Keep a record for whoever runs the cluster to look at, and nobody else: it came too late to
    /// be merged, and what it is was never known here. At most
    /// [`SET_ASIDE_MAX`](crate::limits::SET_ASIDE_MAX) are kept, then none that is new.
    SetAside(Rc<Record>),
    /// Remember a horizon of a vnode, unless there is a later one. What is not
    /// [kept](crate::horizon::kept) below it is in no answer from then on, and goes when that
    /// suits the store. Whatever clears the vnode's clock takes the horizon with it.
    Horizon(Vnode, Rc<Horizon>),
    /// Keep a record for an owner that is not this node, merged into what is kept for it already.
    PutHint {
        /// Whom it is for.
        target: NodeId,
        /// What.
        record: Rc<Record>,
        /// Whether a client was told that it is stored.
        is_counted: bool,
    },
    /// Forget what is kept for an owner, unless it has changed since.
    DropHint {
        /// Whom it was for.
        target: NodeId,
        /// Of which key.
        key: Key,
        /// What it has.
        digest: Digest,
    },
    /// Count all that a clock tells of as seen: a whole session has brought it.
    Join(Vnode, VnodeClock),
    /// Remember whether the store has all of a vnode that it ever acknowledged.
    Hold(Vnode, bool),
    /// Forget which dots of a vnode are seen, its horizon, and that it was held: some of it was
    /// lost. What is there stays, and its clock does not tell all of that until [`Order::Exact`].
    Clear(Vnode),
    /// The clock of a vnode tells all that is there that other owners have not got, as far as it
    /// was cleared.
    Exact(Vnode),
    /// Count the dots of all records of a vnode as seen, since its clock ran out of room once. If
    /// there is room for all, it tells all that is there from then on.
    Recount(Vnode),
    /// Forget all of a vnode: records, clock, horizon, and that it was held.
    Drop(Vnode),
    /// Read a record: [`Stored::Record`].
    Get(Key),
    /// What is kept for an owner: [`Stored::Hints`].
    Hints {
        /// Whom it is for.
        target: NodeId,
        /// Behind which key.
        after: Option<Key>,
        /// Keys at most.
        count_max: usize,
    },
    /// The oldest value in what is kept for others, whether it is on disk or was only taken:
    /// [`Stored::OldestHint`].
    OldestHint,
    /// Which dots of a vnode are seen and on disk: [`Stored::Clock`].
    Clock(Vnode),
    /// All dots of an actor in a vnode, of records and of hints, told once all that was taken
    /// before is on disk: [`Stored::Dots`].
    Dots {
        /// Of which vnode.
        vnode: Vnode,
        /// Whose.
        actor: Actor,
    },
    /// What a clock lacks of a vnode: [`Stored::Since`].
    Since {
        /// Of which vnode.
        vnode: Vnode,
        /// What the other has.
        theirs: VnodeClock,
        /// Behind which key.
        after: Option<Key>,
        /// Bytes of records at most, one record apart.
        bytes_max: usize,
    },
    /// The hashes of the leaves of a vnode: [`Stored::Leaves`].
    Leaves {
        /// Of which vnode.
        vnode: Vnode,
        /// What may be purged below this horizon, or the store's own, is left out.
        below: Hlc,
    },
    /// Records in the order of keys: [`Stored::Page`].
    Page {
        /// Tokens from the first to the last, both counted.
        tokens: (Token, Token),
        /// Behind which key.
        after: Option<Key>,
        /// Bytes of records at most, one record apart.
        bytes_max: usize,
    },
}

/// What a store was asked for.
#[derive(Clone, Debug)]
pub enum Stored {
    /// What is stored of a key.
    Record(Option<Rc<Record>>),
    /// What is kept for an owner, in the order of keys, and whether there is more.
    Hints(Vec<Hint>, bool),
    /// The least [stamp](crate::horizon::oldest) that is kept for others; `None` for nothing.
    OldestHint(Option<Hlc>),
    /// Which dots are seen and on disk.
    Clock(VnodeClock),
    /// The dots of an actor; `None` if they may not be all that there are: the clock of the vnode
    /// has run out of room since [`Order::Recount`], or was cleared since [`Order::Exact`].
    Dots(Option<VnodeClock>),
    /// What another lacks; `None` if the store does not know without comparing everything.
    Since(VnodeClock, Option<Page>),
    /// The hashes of the leaves of a vnode, equal parts of its tokens in their order; and its
    /// clock from before they were made.
    Leaves(VnodeClock, Vec<u64>),
    /// Records.
    Page(Page),
}

/// Some records in the order of their keys.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Page {
    /// Each as it stands, dead or alive.
    pub records: Vec<Rc<Record>>,
    /// Whether there is more behind the last.
    pub has_more: bool,
}

/// A record that is kept for an owner.
#[derive(Clone, PartialEq, Debug)]
pub struct Hint {
    /// What.
    pub record: Rc<Record>,
    /// Whether a client was told that it is stored.
    pub is_counted: bool,
}

/// Why the store does not do something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreError {
    /// It has too much to do.
    Busy,
    /// There is no space.
    Full,
    /// What is stored is damaged.
    Damaged,
}

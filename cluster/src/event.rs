//! What happens to a shard, and what it wants done.

use std::rc::Rc;
use std::sync::Arc;

use schemas::ids::{Actor, Hlc, NodeId, Vnode};

use crate::coordinator::{Reply, Request};
use crate::message::Message;
use crate::record::{Key, Record};
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
    /// Another shard said something.
    Received {
        /// Who: a node in one of its lives.
        from: Actor,
        /// Of which vnode.
        vnode: Vnode,
        /// What.
        message: Message,
    },
    /// The store has taken a record, or will not: told before the next effect is carried out.
    /// A record that was taken is there for every later [`Order::Get`].
    Taken(Ticket, Result<(), StoreError>),
    /// A record that was taken is on disk, and survives a crash.
    Durable(Ticket),
    /// What is stored of a key.
    Got(Ticket, Result<Option<Rc<Record>>, StoreError>),
    /// The topology as it is on this node's disk from now on.
    Topology(Arc<Document>),
    /// A node answers, or answers nobody.
    Liveness {
        /// Which.
        node: NodeId,
        /// Whether it answers.
        is_up: bool,
    },
    /// No stamp above this one may be given: it is on the node's disk.
    Ceiling(Hlc),
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
}

/// What the store is to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Merge a record into what is stored: [`Event::Taken`], then [`Event::Durable`].
    Put(Rc<Record>),
    /// Keep a record for an owner that is not this node: [`Event::Taken`], then
    /// [`Event::Durable`].
    PutHint {
        /// Whom it is for.
        target: NodeId,
        /// What.
        record: Rc<Record>,
        /// Whether a client was told that it is stored.
        is_counted: bool,
    },
    /// Read a record: [`Event::Got`].
    Get(Key),
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

//! What shards of different nodes tell each other. A message is addressed to a vnode of a node,
//! whose driver gives it to the core that owns the vnode.
//!
//! Nothing in a message is trusted but who sent it: answers count only for the operation and the
//! node that was asked, once.

use std::rc::Rc;
use std::time::Duration;

use schemas::clock::VnodeClock;
use schemas::ids::{Hlc, NamespaceId, NodeId, Token, Vnode};

use crate::coordinator::{Reply, Request};
use crate::event::Page;
use crate::horizon::{Horizon, HorizonIs};
use crate::record::{Digest, Key, Record};
use crate::topology::Epoch;
use crate::version::{Ended, Question, Report};

/// An operation of a coordinator: unique among all of its core, in all lives of its node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct OpId(pub u64);

/// What an operation asks in one epoch of its vnode. An answer counts in no other: slots may have
/// changed hands meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attempt {
    /// The operation.
    pub op: OpId,
    /// The vnode's epoch by the sender's document.
    pub epoch: Epoch,
}

/// What one shard tells another.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// Store this.
    Write(Write),
    /// What became of a [`Write`].
    Wrote {
        /// Which.
        attempt: Attempt,
        /// On disk, or not.
        result: Result<(), Refusal>,
    },
    /// What is stored of this key?
    Read(Read),
    /// What became of a [`Read`].
    Answer {
        /// Which.
        attempt: Attempt,
        /// What is stored, or why it is not said.
        result: Result<Answer, Refusal>,
    },
    /// What is stored of this part of the vnode?
    Scan(ScanRead),
    /// What became of a [`ScanRead`].
    Scanned {
        /// Which.
        attempt: Attempt,
        /// What is stored, or why it is not said.
        result: Result<Scanned, Refusal>,
    },
    /// Coordinate this: the sender does not own the vnode.
    Forward {
        /// The number that the sender's core has for it.
        op: OpId,
        /// The first vnode of that core: it numbers what it forwards in ascending order.
        lane: Vnode,
        /// What the client wants.
        request: Rc<Request>,
        /// How long it waits yet.
        left: Duration,
    },
    /// Store what another node kept for this one, or has and found that this one has not.
    Hint {
        /// The sender's number for it.
        op: OpId,
        /// The vnode's epoch by the sender's document.
        epoch: Epoch,
        /// What to store.
        record: Rc<Record>,
    },
    /// What became of a [`Message::Hint`].
    HintStored {
        /// Which.
        op: OpId,
        /// On disk, or not.
        result: Result<(), Refusal>,
    },
    /// What has the sender not got of this vnode?
    Pull(Pull),
    /// Some of what was asked for by a [`Message::Pull`].
    Pulled {
        /// Whose session it is.
        session: OpId,
        /// Which of its steps.
        step: u32,
        /// Whether the sender has all of the vnode.
        is_held: bool,
        /// How the sender's horizon stands to that of the question.
        horizon: HorizonIs,
        /// What there is, or why it is not said.
        result: Result<Pulled, Refusal>,
    },
    /// The sender has given this vnode away, with all that this clock tells of: is it there?
    Release {
        /// The vnode's epoch by the sender's document.
        epoch: Epoch,
        /// What the sender has.
        clock: VnodeClock,
    },
    /// All that a [`Message::Release`] told of is on disk here.
    Released {
        /// In which epoch of the vnode.
        epoch: Epoch,
        /// Of what.
        clock: VnodeClock,
    },
    /// What is there of a life that is over?
    Ended(Question),
    /// What the sender has of it.
    EndedReport(Box<Report>),
    /// All that there is of it, in an epoch of the topology.
    Void {
        /// In which.
        epoch: Epoch,
        /// What there is; the rest is void.
        ended: Rc<Ended>,
    },
    /// Of the purge horizon.
    Horizon(HorizonMessage),
    /// What became of a [`Message::Forward`].
    Forwarded {
        /// Which.
        op: OpId,
        /// For the client.
        reply: Reply,
    },
}

/// A record for a replica, or for one that stands in for it.
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    /// Whose answer it will be; `None` if nobody waits for one.
    pub op: Option<OpId>,
    /// The vnode's epoch by the sender's document.
    pub epoch: Epoch,
    /// What to store.
    pub record: Rc<Record>,
    /// The owner it is kept for, by a node that is none.
    pub stands_in_for: Option<NodeId>,
}

/// What readers of a vnode tell each other of its purge horizon.
#[derive(Clone, PartialEq, Debug)]
pub enum HorizonMessage {
    /// What has the receiver on disk?
    Ask {
        /// The sender's number for the round.
        round: OpId,
        /// The vnode's epoch by the sender's document.
        epoch: Epoch,
    },
    /// This.
    Told {
        /// In which round.
        round: OpId,
        /// What is on disk.
        clock: VnodeClock,
    },
    /// Has the receiver all of this on disk?
    Confirm {
        /// The sender's number for the round.
        round: OpId,
        /// The vnode's epoch by the sender's document.
        epoch: Epoch,
        /// What all readers had together.
        clock: VnodeClock,
    },
    /// It has.
    Confirmed {
        /// In which round.
        round: OpId,
    },
    /// All readers had all of this.
    Advance {
        /// The vnode's epoch by the sender's document.
        epoch: Epoch,
        /// What is to be kept.
        horizon: Rc<Horizon>,
    },
}

/// A step of a session in which an owner of a vnode learns what another has.
#[derive(Clone, PartialEq, Debug)]
pub struct Pull {
    /// The sender's number for the session.
    pub session: OpId,
    /// Which of its steps: the answer names it.
    pub step: u32,
    /// The vnode's epoch by the sender's document.
    pub epoch: Epoch,
    /// The sender's horizon.
    pub below: Hlc,
    /// What is asked.
    pub wanted: PullWanted,
}

/// What is asked in a session.
#[derive(Clone, PartialEq, Debug)]
pub enum PullWanted {
    /// Records of dots that this clock lacks.
    Since {
        /// What the sender had when the session began.
        clock: VnodeClock,
        /// Behind which key.
        after: Option<Key>,
    },
    /// The hashes of the vnode's leaves.
    Leaves,
    /// Records of a leaf that are not among these.
    Leaf {
        /// Which.
        leaf: u16,
        /// Behind which key.
        after: Option<Key>,
        /// What the sender has of it from there on, up to the last if there is more: a hash of each
        /// key, and its record's digest; ascending.
        has: Vec<(u64, Digest)>,
    },
}

/// Some of what was asked for in a session.
#[derive(Clone, PartialEq, Debug)]
pub enum Pulled {
    /// The clock that the sender of the records had before it looked, and records.
    Records(VnodeClock, Page),
    /// Records of a leaf; and the hashes of keys that the other has, and of which this page has
    /// not the same.
    Leaf(Page, Vec<u64>),
    /// It does not know without comparing leaves.
    Compare,
    /// The clock that the sender had before it made these hashes of the vnode's leaves.
    Leaves(VnodeClock, Vec<u64>),
}

/// A question for a replica.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// Whose answer it will be.
    pub op: OpId,
    /// The vnode's epoch by the sender's document.
    pub epoch: Epoch,
    /// What is wanted.
    pub key: Key,
    /// The record, or only its digest.
    pub wants_data: bool,
}

/// A question for a replica: a page of what is stored.
#[derive(Clone, PartialEq, Debug)]
pub struct ScanRead {
    /// Whose answer it will be.
    pub op: OpId,
    /// The vnode's epoch by the sender's document.
    pub epoch: Epoch,
    /// Of which namespace.
    pub namespace: NamespaceId,
    /// Tokens from the first to the last, both counted.
    pub tokens: (Token, Token),
    /// Behind which key.
    pub after: Option<Key>,
    /// Records at most.
    pub count_max: usize,
    /// Bytes of records at most, one record apart.
    pub bytes_max: usize,
}

/// A page of what a replica has.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Scanned {
    /// What is stored, dead or alive, of every key behind that which was asked for, up to `upto`.
    pub records: Vec<Rc<Record>>,
    /// How far that goes; `None` if to the last token.
    pub upto: Option<Key>,
}

/// What a replica has of a key; `None` where it has nothing.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The record.
    Data(Option<Rc<Record>>),
    /// Its digest.
    Digest(Option<Digest>),
}

impl Answer {
    /// The digest of what is stored.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Data(record) => record.as_ref().map(|record| record.digest()),
            Self::Digest(digest) => *digest,
        }
    }
}

/// Why a replica does not do what it is asked to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The sender's document is older than the replica's, which has this epoch.
    Stale(Epoch),
    /// The replica's document is older than the sender's.
    Behind,
    /// The node does not own the vnode.
    NotOwner,
    /// It owns the vnode and has not all of it yet.
    NotHeld,
    /// It has too much to do.
    Busy,
    /// There is no space for it.
    Full,
    /// What is stored is damaged.
    Damaged,
    /// It is older than what may be gone.
    Late,
    /// The message contradicts itself.
    Malformed,
}

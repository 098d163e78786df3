//! What clients ask for, and what they are told.

use std::rc::Rc;
use std::time::Duration;

use schemas::consistency::Consistency;
use schemas::ids::{Hlc, NamespaceId, Token, Version};
use schemas::status::{Applied, Status};

use crate::limits::PATIENCE_MAX;
use crate::record::{Key, Record};

/// What a client wants of one key.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// Where the key belongs.
    pub namespace: NamespaceId,
    /// The key.
    pub key: Rc<[u8]>,
    /// What is to be done with it.
    pub wanted: Wanted,
    /// How many copies have to answer.
    pub level: Consistency,
    /// Whether acknowledgements of stand-ins do not count, whatever the namespace says.
    pub is_strict: bool,
    /// The greatest stamp that the client has seen.
    pub seen: Hlc,
    /// How long the client waits; what is more than [`PATIENCE_MAX`] counts as that.
    pub patience: Duration,
}

/// What a client wants to know of several keys, each as a [`Wanted::Get`]; of keys whose vnodes one
/// core owns, or would.
#[derive(Clone, PartialEq, Debug)]
pub struct MultiGet {
    /// Where the keys belong.
    pub namespace: NamespaceId,
    /// The keys, 1 to [`MULTI_GET_KEYS_MAX`](schemas::limits::MULTI_GET_KEYS_MAX).
    pub keys: Vec<Rc<[u8]>>,
    /// How many copies of each have to answer.
    pub level: Consistency,
    /// As in [`Wanted::Get`].
    pub repairs_first: bool,
    /// The greatest stamp that the client has seen.
    pub seen: Hlc,
    /// How long the client waits.
    pub patience: Duration,
}

/// What a client wants to know of a part of a vnode: the records of a namespace in the order of
/// keys, page by page.
#[derive(Clone, PartialEq, Debug)]
pub struct Scan {
    /// Where the keys belong.
    pub namespace: NamespaceId,
    /// Tokens from the first to the last, both counted, of one vnode.
    pub tokens: (Token, Token),
    /// Behind which key: [`Page::next`] of the page before.
    pub after: Option<Key>,
    /// How many copies have to answer.
    pub level: Consistency,
    /// Records at most, up to [`SCAN_RECORDS_MAX`](schemas::limits::SCAN_RECORDS_MAX).
    pub count_max: usize,
    /// Bytes of keys and values at most, one record apart, up to
    /// [`SCAN_PAGE_BYTES_MAX`](schemas::limits::SCAN_PAGE_BYTES_MAX).
    pub bytes_max: usize,
    /// The greatest stamp that the client has seen.
    pub seen: Hlc,
    /// How long the client waits.
    pub patience: Duration,
}

/// A page of a [`Scan`].
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Page {
    /// What is stored, dead or alive, of every key behind that which was asked for, up to `next`.
    pub records: Vec<Rc<Record>>,
    /// How far that goes; `None` if to the last token. It is no key that there is unless it is that
    /// of the last record.
    pub next: Option<Key>,
}

/// What is to be done with a key.
#[derive(Clone, PartialEq, Debug)]
pub enum Wanted {
    /// Give it a value.
    Put {
        /// Which.
        value: Rc<[u8]>,
        /// For how long, in milliseconds; 0 for as long as the namespace says.
        ttl_ms: u64,
        /// What it replaces, in a namespace of siblings.
        context: Option<Rc<[u8]>>,
    },
    /// Take its values away.
    Delete {
        /// Which, in a namespace of siblings.
        context: Option<Rc<[u8]>>,
    },
    /// Tell them.
    Get {
        /// Whether what is told is first made sure to be on enough copies, so that no later read
        /// tells less.
        repairs_first: bool,
    },
}

impl Request {
    /// How long it is under way at most.
    pub(super) fn waits(&self) -> Duration {
        self.patience.min(PATIENCE_MAX)
    }
}

impl Wanted {
    /// Whether it changes anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Get { .. })
    }
}

/// What a client is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// Enough copies have it.
    Written(Version),
    /// What is stored, dead or alive; `None` if nothing was ever written.
    Found(Option<Rc<Record>>),
    /// Of each key of a [`MultiGet`], in its order, as [`Found`](Self::Found) or why not.
    FoundAll(Vec<Result<Option<Rc<Record>>, Refused>>),
    /// Of a [`Scan`].
    Page(Page),
    /// It was not done, or not that anybody knew.
    Refused(Refused),
}

/// Why something was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// What happened.
    pub status: Status,
    /// Whether it was done all the same.
    pub applied: Applied,
    /// Copies that answered.
    pub got: u32,
    /// Copies that have to.
    pub needed: u32,
}

impl Refused {
    /// Refused before anything was done.
    #[must_use]
    pub fn untouched(status: Status) -> Self {
        Self { status, applied: Applied::No, got: 0, needed: 0 }
    }
}

//! A replicated store as a model, and clients of it, in simulated time: what it records must be
//! found right, and with a mistake planted in it, wrong.
//!
//! Three replicas of each key. A write is stamped, or with siblings merged into what is there, at
//! one of them and sent to all; each gets it when chance has it, those that are waited for before
//! the answer. A read asks replicas at moments of their own and merges what they have. Between two
//! phases everything arrives, replicas agree, and every key is read.

mod clients;
mod record;
mod replicas;

pub(crate) use clients::run;

use tests::history::{Level, Policy};

/// Milliseconds that clocks of nodes may be off, in each direction.
pub(crate) const SKEW_MS: u64 = 5;

/// How the store and its clients are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    /// [`Level::Quorum`]: two of three are waited for. [`Level::Weak`]: one. [`Level::Sloppy`]: two
    /// reads, and for writes two others that tell the owners later.
    pub(crate) level: Level,
    /// Reads write back before they answer.
    pub(crate) blocking_repair: bool,
    /// Clients carry what they saw from one request to the next.
    pub(crate) sessions: bool,
    /// Some values expire.
    pub(crate) expiry: bool,
    /// Clocks of nodes differ.
    pub(crate) skewed: bool,
    pub(crate) mistake: Option<Mistake>,
}

/// What may be wrong with the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mistake {
    /// Reads that say they asked two replicas asked one.
    ReadsOne,
    /// A write in twenty is acknowledged and sent to nobody.
    LosesWrites,
    /// Reads that say they wrote back did not.
    NoWriteBack,
    /// Sessions take whatever a read finds.
    SessionsForget,
    /// A read in twenty shows another key's record.
    ReadsOtherKey,
    /// Replicas do not keep tombstones.
    DropsTombstones,
    /// An expired record is forgotten by one replica alone, and what another has of old comes back.
    ExpiredUncovers,
    /// What a request tells of does not raise the clock.
    IgnoresSeen,
    /// A node's clock is far ahead.
    ClockAhead,
    /// A write replaces all siblings.
    DropsSiblings,
    /// A write replaces no sibling.
    KeepsSiblings,
    /// A value gets another number on its way.
    InventsValues,
    /// Clients send no context, and nobody limits what comes of it.
    Unbounded,
}

impl Setup {
    /// Nothing of all that, at [`Level::Quorum`].
    pub(crate) fn plain(policy: Policy) -> Self {
        Self {
            policy,
            level: Level::Quorum,
            blocking_repair: false,
            sessions: false,
            expiry: false,
            skewed: false,
            mistake: None,
        }
    }
}

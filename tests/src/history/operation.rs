//! One operation of a client: what it asked for, what it was told, and when.

use std::num::NonZeroU32;

use schemas::ids::{Hlc, NamespaceId, Version};
use serde::{Deserialize, Serialize};

/// The value of a key that has none. No write has it.
pub const ABSENT: u64 = 0;

/// Later than every moment: when an operation returned that never did.
pub const NEVER: u64 = u64::MAX;

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Write a value.
    Put,
    /// Remove what is there.
    Delete,
    /// Read.
    Get,
}

/// How the namespace resolves conflicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The greatest stamp wins.
    Lww,
    /// Concurrent values stay, side by side.
    Siblings,
}

/// What the client was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Ok,
    /// It was not done and never will be.
    Fail,
    /// It may be done now, later, or never.
    Unknown,
}

/// Which promises an operation takes part in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Strict, and W + R > N with every other operation of this level: reads are regular.
    Quorum,
    /// Strict, but of too few replicas for reads to meet writes.
    Weak,
    /// Nodes that do not own the key may have stood in for owners.
    Sloppy,
}

/// One operation; lists are sets of values, in any order when they are recorded and sorted when
/// they are read back.
///
/// A context is told by the values that it is known to cover: those that were read with it or
/// written under it. It covers as well what the contexts of those writes covered, and so on, so
/// none of that needs to be listed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Operation<'a> {
    /// Who did it: one thread of a client.
    pub process: u32,
    /// The session of the SDK that it was part of, numbered over all processes; `None` for an
    /// operation that carries nothing from one request to the next.
    pub session: Option<NonZeroU32>,
    /// What was asked for.
    pub kind: Kind,
    /// The namespace.
    pub namespace: NamespaceId,
    /// Its policy.
    pub policy: Policy,
    /// The key's number.
    pub key: u64,
    /// Put: the value. Delete: a number that names it, from those of the values. Get from an `lww`
    /// namespace: the value found, or [`ABSENT`]. Get from a `siblings` namespace: [`ABSENT`].
    pub value: u64,
    /// Put and delete: values that the context sent with it covers. `None` if it had none.
    pub context_in: Option<&'a [u64]>,
    /// Values that the context in the answer covers; `None` if there was none or it is unknown.
    pub context_out: Option<&'a [u64]>,
    /// Entries of the context in the answer; 0 if there was none or it is unknown.
    pub context_entries: u16,
    /// Get from a `siblings` namespace: the values found.
    pub siblings: &'a [u64],
    /// Put and delete: the version that was given, if it is known. Get from an `lww` namespace: the
    /// version of the record found, a tombstone's or an expired one's too; `None` if there was no
    /// record.
    pub stamp: Option<Version>,
    /// The greatest stamp that the request told of; zero if none.
    pub seen: Hlc,
    /// Put: when the value expires, by a right clock; [`NEVER`] if it does not.
    pub expires_ns: u64,
    /// Which promises it takes part in.
    pub level: Level,
    /// Get: what was read was written back to W replicas before it was answered.
    pub blocking_repair: bool,
    /// Get: after heal, when all replicas had been found to agree and nothing was on its way.
    pub settled: bool,
    /// When it was called.
    pub call_ns: u64,
    /// When it returned; [`NEVER`] if it never did, which only an unknown outcome has.
    pub return_ns: u64,
    /// What the client was told.
    pub outcome: Outcome,
}

impl<'a> Operation<'a> {
    /// An operation at the level [`Level::Quorum`] that succeeded, of process 0 without a session,
    /// on the default namespace, with nothing else known of it.
    #[must_use]
    pub fn new(kind: Kind, policy: Policy, key: u64) -> Self {
        Self {
            process: 0,
            session: None,
            kind,
            namespace: NamespaceId::DEFAULT,
            policy,
            key,
            value: ABSENT,
            context_in: None,
            context_out: None,
            context_entries: 0,
            siblings: &[],
            stamp: None,
            seen: Hlc(0),
            expires_ns: NEVER,
            level: Level::Quorum,
            blocking_repair: false,
            settled: false,
            call_ns: 0,
            return_ns: 0,
            outcome: Outcome::Ok,
        }
    }

    /// Whether it is a put or a delete.
    #[inline]
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.kind != Kind::Get
    }

    /// Whether it is a write that was done or may be.
    #[inline]
    #[must_use]
    pub fn may_take_effect(&self) -> bool {
        self.is_write() && self.outcome != Outcome::Fail
    }

    /// Whether it is a write that the client was told is done.
    #[inline]
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.is_write() && self.outcome == Outcome::Ok
    }

    /// Whether it is a read that was answered.
    #[inline]
    #[must_use]
    pub fn is_answered_get(&self) -> bool {
        self.kind == Kind::Get && self.outcome == Outcome::Ok
    }

    /// When it had taken effect at the latest: [`NEVER`] for one whose outcome is unknown.
    #[inline]
    #[must_use]
    pub fn done_ns(&self) -> u64 {
        if self.outcome == Outcome::Unknown { NEVER } else { self.return_ns }
    }

    /// Values that its context is known to cover by themselves.
    #[inline]
    #[must_use]
    pub fn covers(&self) -> &'a [u64] {
        self.context_in.unwrap_or(&[])
    }
}

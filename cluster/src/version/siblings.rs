//! [`Siblings`]: the values of one key that stand, and all that was seen of the key.
//!
//! A dotted version vector set (Preguica et al., "Dotted Version Vectors", 2010; Almeida et al.,
//! "Scalable and Accurate Causality Tracking for Eventually Consistent Stores", DAIS 2014) whose
//! vector is a [`Context`]. What it keeps true:
//!
//! - A set stands for a history: the writes that its context covers. A value in it stands; a write
//!   that is covered and has no value in it is a delete, or was replaced.
//! - Of each write there are three states, which a join never takes back: not seen, seen and
//!   standing, seen and not standing. So sets are a lattice, and [`Siblings::join`] is its join.
//! - A join fails never and drops no value that stands.
//! - The version of a set is that of the last write in its history, whether that stands or not. It
//!   does not go back.
//!
//! What a caller owes it:
//!
//! - **Writes of a key are made one by one** on the core that gives their dots: each starts from
//!   the set that the one before it left, and bears a greater stamp than all that it has seen.
//! - **Who has seen a write has seen what its actor wrote of the key before.** A whole set is sent,
//!   so that holds as long as the actor writes from a set that has all that it wrote of the key in
//!   this life. A node that has forgotten some (it gave hints away, or a vnode) gives dots in that
//!   vnode only as another actor, after another boot, or once it has a complete copy again.

use schemas::ids::{Hlc, Version};
use thiserror::Error;

use super::context::Context;
use crate::limits::{SEEN_ACTORS_MAX, SIBLINGS_BYTES_MAX, SIBLINGS_MAX, TOKEN_ACTORS_MAX};
use crate::record::Kind;

/// A value that stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sibling<'a> {
    /// Its write.
    pub version: Version,
    /// Unix milliseconds from which it is not shown; 0 for never. It stands all the same, until a
    /// write replaces it: whether its time has come depends on whom one asks.
    pub expires_at_ms: u64,
    /// The value itself.
    pub value: &'a [u8],
}

impl Sibling<'_> {
    /// Whether it is below the purge horizon `below`, and its time was over by then.
    fn is_over(&self, below: Hlc) -> bool {
        self.version.hlc < below && self.expires_at_ms != 0 && self.expires_at_ms <= below.millis()
    }
}

/// The values of one key that stand, and all that was seen of the key. By default the set of a key
/// that was never written.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Siblings<'a> {
    context: Context,
    /// Of the last write; its stamp is the context's greatest.
    version: Option<Version>,
    /// Ascending by version; the context covers each.
    live: Vec<Sibling<'a>>,
}

/// A write that is refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WriteError {
    /// The client has to read, and to replace what it read.
    #[error("{got} siblings, at most {max}: read the key, and write with the context of that")]
    Siblings {
        /// Values that would stand.
        got: usize,
        /// [`SIBLINGS_MAX`].
        max: usize,
    },
    /// The client has to read and replace what it read, or to write less.
    #[error("siblings of {got} bytes, at most {max}")]
    Bytes {
        /// Bytes of the set, encoded.
        got: usize,
        /// [`SIBLINGS_BYTES_MAX`].
        max: usize,
    },
    /// Contexts that are read here are not refused; others are until the purge horizon moves.
    #[error("the context leaves the key with {got} actors, at most {max}")]
    Actors {
        /// Actors that there would be.
        got: usize,
        /// [`SEEN_ACTORS_MAX`], or how many there are.
        max: usize,
    },
}

impl<'a> Siblings<'a> {
    /// A set of these parts; `None` unless it is one.
    pub(super) fn new(context: Context, version: Version, live: Vec<Sibling<'a>>) -> Option<Self> {
        let is_last = |&(actor, hlc): &_| (hlc, actor) <= (version.hlc, version.dot.actor);
        let is_one = context.of(version.dot.actor) == Some(version.hlc)
            && context.seen().iter().all(is_last)
            && live.is_sorted_by(|a, b| a.version < b.version)
            && live.last().is_none_or(|it| it.version <= version)
            && live.iter().all(|it| context.covers(&it.version));
        is_one.then_some(Self { context, version: Some(version), live })
    }

    /// What was seen of the key.
    pub(super) fn history(&self) -> &Context {
        &self.context
    }

    /// The values that stand, ascending by version.
    #[must_use]
    pub fn live(&self) -> &[Sibling<'a>] {
        &self.live
    }

    /// The values that a reader is shown at `now_ms`, in Unix milliseconds; ascending by version.
    pub fn values(&self, now_ms: u64) -> impl Iterator<Item = &Sibling<'a>> {
        self.live.iter().filter(move |it| it.expires_at_ms == 0 || it.expires_at_ms > now_ms)
    }

    /// Whether no value stands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether a reader is shown nothing at `now_ms`, in Unix milliseconds.
    #[must_use]
    pub fn is_dead(&self, now_ms: u64) -> bool {
        self.values(now_ms).next().is_none()
    }

    /// That of the last write, which is that of the set's record; `None` if there was no write.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The kind of the set's record.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.is_empty() { Kind::Context } else { Kind::Siblings }
    }

    /// When the last of its values is past its time, in Unix milliseconds; 0 for never, and if none
    /// stands.
    #[must_use]
    pub fn expires_at_ms(&self) -> u64 {
        let never = self.live.iter().any(|it| it.expires_at_ms == 0);
        let last = self.live.iter().map(|it| it.expires_at_ms).max();
        last.filter(|_| !never).unwrap_or(0)
    }

    /// The least stamp of a value that stands. A node that has still to deliver the set keeps the
    /// purge horizon at or below this, not below the set's version alone.
    #[must_use]
    pub fn oldest(&self) -> Option<Hlc> {
        self.live.first().map(|it| it.version.hlc)
    }

    /// What a reader of the set has seen: who writes with it replaces all that is in the set. It
    /// has at most [`TOKEN_ACTORS_MAX`] actors.
    #[must_use]
    pub fn context(&self) -> Context {
        let has_value = |actor| self.live.iter().any(|it| it.version.dot.actor == actor);
        self.context.clone().narrowed(TOKEN_ACTORS_MAX, has_value)
    }

    /// What the client has seen that made the last write of this set, with `brought`: all of it,
    /// if there is no value but its own; otherwise what it has brought, for a context that has its
    /// own write may cover values that it was never shown.
    #[must_use]
    pub fn context_of_writer(&self, brought: &Context) -> Context {
        let is_own = |it: &Sibling<'_>| Some(it.version) == self.version;
        if self.live.iter().all(is_own) { self.context() } else { brought.clone() }
    }

    /// The set after `written` has replaced what `context` covers. `horizon` as for
    /// [`delete`](Self::delete).
    ///
    /// # Errors
    /// It would pass a limit.
    ///
    /// # Panics
    /// If the stamp is not above all that is seen here and there, or below the horizon.
    pub fn write(
        &self,
        written: Sibling<'a>,
        context: &Context,
        horizon: Hlc,
    ) -> Result<Self, WriteError> {
        let mut after = self.delete(written.version, context, horizon)?;
        after.live.push(written);
        if after.live.len() > SIBLINGS_MAX {
            return Err(WriteError::Siblings { got: after.live.len(), max: SIBLINGS_MAX });
        }
        if after.encoded_len() > SIBLINGS_BYTES_MAX {
            let got = after.encoded_len();
            return Err(WriteError::Bytes { got, max: SIBLINGS_BYTES_MAX });
        }
        Ok(after)
    }

    /// The set after a delete of what `context` covers. The delete is a write without a value: it
    /// has a dot, which others can find missing, and is remembered as every write that does not
    /// stand.
    ///
    /// Who wrote below `horizon` is forgotten: it is remembered that everything stamped below is
    /// seen. So it may be above zero only where every write of the key below it is in the set's
    /// history: at an owner whose clock dominates the vnode's purge horizon. A stand-in would claim
    /// what it has not, and drop what owners have.
    ///
    /// # Errors
    /// It would pass the limit of actors.
    ///
    /// # Panics
    /// If the stamp is not above all that is seen here and there, or below the horizon.
    pub fn delete(
        &self,
        version: Version,
        context: &Context,
        horizon: Hlc,
    ) -> Result<Self, WriteError> {
        let seen = self.context.hlc().max(context.hlc());
        assert!(version.hlc > seen, "a stamp above what was seen: {version:?}, {seen:?}");
        assert!(version.hlc >= horizon, "no stamp below the horizon: {version:?}, {horizon:?}");
        let mut after = self.context.clone();
        after.join(context);
        after.raise_floor(horizon);
        let (got, max) = (after.seen().len(), SEEN_ACTORS_MAX.max(self.context.seen().len()));
        if got > max {
            return Err(WriteError::Actors { got, max });
        }
        after.add(&version);
        let live = self.live.iter().filter(|it| !context.covers(&it.version)).copied().collect();
        Ok(Self { context: after, version: Some(version), live })
    }

    /// The set of all writes in the history of either. A value stands if it does so in both, or in
    /// one while the other has not seen it.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let stand = |ours: &Self, theirs: &Self| -> Vec<Sibling<'a>> {
            let stands = |it: &&Sibling<'_>| {
                !theirs.context.covers(&it.version) || theirs.find(&it.version).is_some()
            };
            ours.live.iter().filter(stands).copied().collect()
        };
        let mut live = stand(self, other);
        live.extend(stand(other, self));
        live.sort();
        // Two of one version are the same, unless one is damaged: then too one stands, the same
        // in every order.
        live.dedup_by_key(|it| it.version);
        let mut context = self.context.clone();
        context.join(&other.context);
        Self { context, version: self.version.max(other.version), live }
    }

    /// A copy that comes late, as it may be stored beside `here`: without the values that are
    /// stamped below `horizon` and do not stand here. Needed if [`oldest`](Self::oldest) is below
    /// the horizon, since what discards them may be purged here already.
    ///
    /// `horizon` as for [`delete`](Self::delete).
    #[must_use]
    pub fn late(mut self, here: &Siblings<'_>, horizon: Hlc) -> Self {
        self.live.retain(|it| it.version.hlc >= horizon || here.find(&it.version).is_some());
        self
    }

    /// The set as a copy keeps it that has the purge horizon `below`: without the values stamped
    /// below whose time was over by then.
    #[must_use]
    pub fn kept(mut self, below: Hlc) -> Self {
        self.live.retain(|it| !it.is_over(below));
        self
    }

    fn find(&self, version: &Version) -> Option<&Sibling<'a>> {
        let at = self.live.binary_search_by_key(version, |it| it.version).ok()?;
        Some(&self.live[at])
    }
}

#[cfg(test)]
mod tests;

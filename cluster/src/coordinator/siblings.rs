//! Writes of namespaces that keep siblings: read, modified, written, by the core that gives the
//! dot.
//!
//! - Those of one key are made one after another. Each begins with the set that the one before it
//!   left, on disk or on its way there: what an actor has written of a key, its later writes have
//!   seen.
//! - Only an owner makes them that has all of the vnode: a node that gave what it wrote away, and
//!   began with nothing, would claim to have seen it. So where no owner answers, none is made.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use schemas::ids::{Hlc, Version};
use schemas::status::Status;

use super::Coordinator;
use super::request::{Request, Wanted};
use super::write_path::{Draft, refuse};
use crate::event::{Order, StoreError, Stored};
use crate::message::OpId;
use crate::record::{Key, Record, merge};
use crate::shard::{Purpose, Turn};
use crate::time::Instant;
use crate::version::{Context, HlcClock, Sibling, Siblings, WriteError};

/// The stamp of a write, above all that it has seen: what is stored, too, may be of a node whose
/// clock was far ahead, and would take this one's along.
fn stamp_above(
    clock: &mut HlcClock,
    wall_ms: u64,
    seen: [Hlc; 4],
    ceiling: Hlc,
) -> Result<Hlc, Status> {
    let seen = seen.into_iter().fold(Hlc(0), Hlc::max);
    if !clock.admits(wall_ms, seen) {
        return Err(Status::StampAhead);
    }
    clock.stamp(wall_ms, seen, ceiling).ok_or(Status::Overloaded)
}

/// The keys that are being written.
pub(super) type Keys = BTreeMap<Key, Writing>;

/// A key that is being written.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// What the last write left that the store does not show yet.
    latest: Option<(OpId, Rc<Record>)>,
    is_reading: bool,
    queue: VecDeque<Pending>,
}

/// A write that waits for the set it changes.
#[derive(Debug)]
struct Pending {
    draft: Draft,
    context: Context,
    request: Rc<Request>,
    deadline: Instant,
}

impl Coordinator {
    /// A client's write, of which `draft` is made.
    pub(super) fn write_siblings(
        &mut self,
        turn: &mut Turn<'_>,
        key: Key,
        draft: Draft,
        request: &Rc<Request>,
    ) {
        let (client, vnode) = (draft.client(), turn.core.vnode_of(&key));
        let token = match &request.wanted {
            Wanted::Put { context, .. } | Wanted::Delete { context } => context.as_deref(),
            Wanted::Get { .. } => None,
        };
        let context = Context::decode_token(key.namespace, &key.bytes, token.unwrap_or_default());
        let Ok(context) = context else {
            turn.core.counts.unfit += 1;
            return refuse(turn.core, client, vnode, Status::MalformedBody);
        };
        if !self.clock.admits(turn.now.wall_ms, context.hlc()) {
            turn.core.counts.unfit += 1;
            return refuse(turn.core, client, vnode, Status::StampAhead);
        }
        let deadline = turn.now.at + request.waits();
        let pending = Pending { draft, context, request: Rc::clone(request), deadline };
        let writing = self.writing.entry(key.clone()).or_default();
        writing.queue.push_back(pending);
        self.waiting += 1;
        self.write_next(turn, key);
    }

    /// Makes the first write that waits, or reads what it changes.
    fn write_next(&mut self, turn: &mut Turn<'_>, key: Key) {
        let Some(writing) = self.writing.get_mut(&key) else { return };
        if writing.is_reading {
            return;
        }
        if writing.queue.is_empty() {
            if writing.latest.is_none() {
                self.writing.remove(&key);
            }
            return;
        }
        match &writing.latest {
            Some((_, latest)) => {
                let base = Rc::clone(latest);
                self.modify(turn, key, Some(base));
            }
            None => {
                writing.is_reading = true;
                turn.core.order(Purpose::Base(key.clone()), Order::Get(key));
            }
        }
    }

    /// The store has told what it has of a key.
    pub(super) fn base_read(
        &mut self,
        turn: &mut Turn<'_>,
        key: Key,
        result: Result<Stored, StoreError>,
    ) {
        let Some(writing) = self.writing.get_mut(&key) else { return };
        writing.is_reading = false;
        match result {
            Ok(Stored::Record(base)) => self.modify(turn, key, base),
            Ok(stored) => unreachable!("{stored:?} is no record"),
            Err(_) => {
                if let Some(pending) = writing.queue.pop_front() {
                    self.waiting -= 1;
                    let vnode = turn.core.vnode_of(&key);
                    refuse(turn.core, pending.draft.client(), vnode, Status::Unreadable);
                }
                self.write_next(turn, key);
            }
        }
    }

    fn modify(&mut self, turn: &mut Turn<'_>, key: Key, base: Option<Rc<Record>>) {
        let Some(writing) = self.writing.get_mut(&key) else { return };
        let base = match (base, &writing.latest) {
            (Some(base), Some((_, latest))) => Some(merge(&base, latest)),
            (None, Some((_, latest))) => Some(Rc::clone(latest)),
            (base, None) => base,
        };
        let Some(pending) = writing.queue.pop_front() else { return };
        self.waiting -= 1;
        let (client, vnode) = (pending.draft.client(), turn.core.vnode_of(&key));
        let status = if pending.deadline <= turn.now.at {
            Status::DeadlineExceeded
        } else {
            match self.modified(turn, &key, base.as_deref(), &pending) {
                Ok(record) => {
                    let op = pending.draft.with(turn, record, true);
                    return self.assign(turn, op);
                }
                Err(status) => status,
            }
        };
        refuse(turn.core, client, vnode, status);
        self.write_next(turn, key);
    }

    fn modified(
        &mut self,
        turn: &Turn<'_>,
        key: &Key,
        base: Option<&Record>,
        pending: &Pending,
    ) -> Result<Rc<Record>, Status> {
        let set = match base {
            Some(base) => Siblings::decode(base.version, &base.value),
            None => Ok(Siblings::default()),
        };
        let set = set.map_err(|_| Status::Corrupt)?;
        let base = set.version().map_or(Hlc(0), |version| version.hlc);
        // Only a whole copy writes, so its clock has all of its horizon's.
        let horizon = turn.core.below(turn.core.vnode_of(key));
        let seen = [base, pending.context.hlc(), pending.request.seen, horizon];
        let hlc = stamp_above(&mut self.clock, turn.now.wall_ms, seen, self.ceiling)?;
        let version = Version { hlc, dot: turn.core.dots.next(turn.core.vnode_of(key)) };
        let after = match &pending.request.wanted {
            Wanted::Put { value, ttl_ms, .. } => {
                let ttl_ms = if *ttl_ms == 0 { pending.draft.ttl_ms() } else { *ttl_ms };
                let expires_at_ms = if ttl_ms == 0 { 0 } else { hlc.millis() + ttl_ms };
                let sibling = Sibling { version, expires_at_ms, value };
                set.write(sibling, &pending.context, horizon)
            }
            Wanted::Delete { .. } => set.delete(version, &pending.context, horizon),
            Wanted::Get { .. } => unreachable!("a read"),
        };
        let after = after.map_err(|error| match error {
            WriteError::Siblings { .. } | WriteError::Actors { .. } => Status::TooManySiblings,
            WriteError::Bytes { .. } => Status::ValueTooLarge,
        })?;
        Ok(Rc::new(Record::of_set(key.clone(), &after)))
    }

    /// The store has taken the record of a write, or has not: the next may be made.
    pub(super) fn sibling_taken(&mut self, turn: &mut Turn<'_>, op: OpId, record: &Rc<Record>) {
        let key = record.key.clone();
        if let Some(writing) = self.writing.get_mut(&key) {
            writing.latest = Some((op, Rc::clone(record)));
        }
        self.write_next(turn, key);
    }

    /// As [`sibling_taken`](Self::sibling_taken), but it was not taken.
    pub(super) fn sibling_not_taken(&mut self, turn: &mut Turn<'_>, key: Key) {
        self.write_next(turn, key);
    }

    /// The store shows the record of a write.
    pub(super) fn sibling_shown(&mut self, op: OpId, key: &Key) {
        let Some(writing) = self.writing.get_mut(key) else { return };
        if writing.latest.as_ref().is_some_and(|(latest, _)| *latest == op) {
            writing.latest = None;
            if writing.queue.is_empty() && !writing.is_reading {
                self.writing.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SKEW_MS_MAX;

    /// A node whose clock was an hour ahead had written a key; whoever wrote it next stamped all
    /// its other keys an hour ahead, too, and so on from node to node.
    #[test]
    fn no_stamp_of_what_is_stored_or_brought_takes_the_clock_far_ahead() {
        let (wall_ms, ceiling) = (1_000_000, Hlc(u64::MAX));
        let near = Hlc::from_millis(wall_ms + SKEW_MS_MAX);
        let far = Hlc::from_millis(wall_ms + SKEW_MS_MAX + 1);
        for place in 0..4 {
            let mut clock = HlcClock::new(Hlc(0));
            let mut seen = [Hlc(0); 4];
            seen[place] = far;
            let refused = stamp_above(&mut clock, wall_ms, seen, ceiling);
            assert_eq!((refused, clock.last()), (Err(Status::StampAhead), Hlc(0)));
            seen[place] = near;
            assert!(stamp_above(&mut clock, wall_ms, seen, ceiling).is_ok_and(|it| it > near));
        }
    }
}

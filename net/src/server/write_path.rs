//! Writing one key on the core that owns it.
//!
//! ```text
//! WRITE 1 net/client/src/write_path.rs   pick the core; stamp id and deadline
//!       2 net/src/server/session.rs      frame in, admission
//!       3 net/src/server/write_path.rs   the owner's core, version, then the engine    <- here
//!       4 engine/src/write_path.rs       commit log (group commit) -> memtable -> ack
//! ```
//!
//! A write that was started is answered with what became of it, even after its deadline: the
//! client's own clock tells it that it waited too long, and the truth costs nothing.

use engine::env::Env;
use engine::record::{Key, Kind, Record};
use engine::store::{PutError, PutTicket};
use schemas::frame;
use schemas::ids::{Hlc, NamespaceId, Version};
use schemas::message::{Delete, Put, WriteReply};
use schemas::status::Status;

use super::service::{Context, Outcome, Replies, Request};
use super::shard::{PendingPut, Refusal, Shard, ShardMessage, admit};
use crate::limits::RETRY_AFTER_US;
use crate::runtime::Tick;

/// What a put or a delete asks for, besides its key.
pub(super) struct Write<'a> {
    pub(super) namespace: NamespaceId,
    kind: Kind,
    value: &'a [u8],
    ttl_ms: u64,
    seen: Hlc,
}

impl<'a> Write<'a> {
    #[inline]
    pub(super) fn put(put: &Put<'a>) -> Self {
        let &Put { namespace, value, ttl_ms, hlc_seen: seen, .. } = put;
        Self { namespace, kind: Kind::Value, value, ttl_ms, seen }
    }

    #[inline]
    pub(super) fn delete(delete: &Delete<'a>) -> Self {
        let &Delete { namespace, hlc_seen: seen, .. } = delete;
        Self { namespace, kind: Kind::Tombstone, value: &[], ttl_ms: 0, seen }
    }
}

impl<E: Env> Shard<E> {
    /// Starts a write of a key that this core owns.
    #[inline]
    pub(super) fn write(
        &mut self,
        key: &Key<'_>,
        write: &Write<'_>,
        request: &Request<'_>,
        context: &Context<'_, ShardMessage>,
    ) -> Result<Outcome, Refusal> {
        admit(request, context)?;
        let tick = context.tick;
        let &Write { kind, value, ttl_ms, seen, .. } = write;
        let version = self.version(key, seen, tick)?;
        let expires_at_ms = if ttl_ms == 0 { 0 } else { tick.wall_ms + ttl_ms };
        let record = Record { key: *key, version, kind, expires_at_ms, value };
        let ticket = self.store.put_now(&record).map_err(refusal)?;
        self.dots.advance(key.token.vnode(self.identity.vnode_bits));
        let origin = request.origin;
        self.puts.push_back(PendingPut { ticket, origin, version, kind });
        Ok(Outcome::UnderWay)
    }

    /// The version of the next write of `key`, whose writer has seen `seen`. The dot is used up
    /// only when the write is taken.
    fn version(&mut self, key: &Key<'_>, seen: Hlc, tick: Tick) -> Result<Version, Refusal> {
        // Another core may be ahead of this one, by no more than what it gave: where the wall clock
        // has jumped back, its clients bring that here.
        if !self.clock.admits(tick.wall_ms, seen) && seen > self.ceiling.used() {
            return Err(Status::StampAhead.into());
        }
        let hlc = self.clock.stamp(tick.wall_ms, seen, self.ceiling.get());
        // The ceiling is being raised, which takes a sync.
        let hlc = hlc.ok_or_else(Refusal::overloaded)?;
        Ok(Version { hlc, dot: self.dots.next(key.token.vnode(self.identity.vnode_bits)) })
    }

    /// Every write up to `upto` is acknowledged.
    pub(super) fn acknowledge(&mut self, upto: PutTicket, replies: &mut Replies<'_, ShardMessage>) {
        let own = self.identity.own;
        self.ceiling.publish(own, self.clock.last());
        while let Some(put) = self.puts.pop_front_if(|put| put.ticket <= upto) {
            let PendingPut { origin, version, kind, .. } = put;
            replies.reply(&origin, |out, _| {
                let reply = if kind.is_tombstone() {
                    WriteReply::delete(version, &[])
                } else {
                    WriteReply::put(version, &[])
                };
                frame::append(&origin.reply_header(own), &reply, out);
            });
        }
    }
}

fn refusal(error: PutError) -> Refusal {
    match error {
        PutError::KeyEmpty => Status::KeyEmpty.into(),
        PutError::KeyTooLong { .. } => Status::KeyTooLong.into(),
        PutError::ValueTooLong { .. } => Status::ValueTooLarge.into(),
        PutError::Busy { retry_after_us } => Refusal {
            status: Status::Overloaded,
            retry_after_us: retry_after_us.max(RETRY_AFTER_US),
        },
        PutError::DiskFull => Status::DiskFull.into(),
        PutError::NamespaceDropped => Status::UnknownNamespace.into(),
        PutError::Failed => Status::StorageFailed.into(),
    }
}

#[cfg(test)]
mod tests;

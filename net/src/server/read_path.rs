//! Reading one key on the core that owns it.
//!
//! ```text
//! READ 1 net/client/src/read_path.rs   pick the core; stamp id and deadline
//!      2 net/src/server/session.rs     frame in, admission
//!      3 net/src/server/read_path.rs   the owner's core, straight to the engine         <- here
//!      4 engine/src/read_path.rs       memtable -> filter -> block cache -> block
//! ```
//!
//! What is in memory is answered at once, its value copied once, from the store into the
//! connection's output. What has to be read from the disk is answered when its block has come in.

use engine::env::Env;
use engine::record::{Key, Record};
use engine::store::{Found, Get, GetTicket, ReadCause, ReadError};
use schemas::frame;
use schemas::message::{GetReply, KeyResult};
use schemas::status::Status;

use super::service::{Context, Outcome, Replies, Request};
use super::shard::{PendingGet, Refusal, Shard, ShardMessage, admit};
use crate::runtime::Tick;

/// The reply for a key that has `record`.
#[inline]
fn found<'a>(record: &Record<'a>, key_only: bool) -> GetReply<'a> {
    GetReply {
        found: true,
        version: Some(record.version),
        expires_at_ms: record.expires_at_ms,
        context: &[],
        value: if key_only { &[] } else { record.value },
    }
}

/// The result for a key of a multi-get that has `record`.
pub(super) fn found_key<'a>(record: &Record<'a>, key_only: bool) -> KeyResult<'a> {
    KeyResult {
        status: Status::Ok as u8,
        found: true,
        version: Some(record.version),
        expires_at_ms: record.expires_at_ms,
        value: if key_only { &[] } else { record.value },
    }
}

impl<E: Env> Shard<E> {
    /// Reads a key that this core owns.
    #[inline]
    pub(super) fn get(
        &mut self,
        key: &Key<'_>,
        key_only: bool,
        request: &Request<'_>,
        context: &Context<'_, ShardMessage>,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        let header = request.origin.reply_header(self.identity.own);
        let now_ms = context.tick.wall_ms;
        // What is in memory is answered whatever is under way.
        let got = match admit(request, context) {
            Ok(()) => self.store.get_now(key, now_ms),
            Err(_) => self.store.get_in_memory(key, now_ms),
        };
        match got {
            Get::Hit(record) => {
                let reply = found(&record, key_only);
                if reply.value.len() > context.value_room(&request.origin, out) {
                    return Err(Refusal::overloaded());
                }
                frame::append(&header, &reply, out);
            }
            Get::Absent => frame::append(&header, &GetReply::ABSENT, out),
            Get::Busy { retry_after_us } => {
                return Err(Refusal { status: Status::Overloaded, retry_after_us });
            }
            Get::Miss(ticket) => {
                let &Request { origin, deadline_us, .. } = request;
                let pending = PendingGet::Request { origin, key_only, deadline_us };
                self.gets.insert(ticket, pending);
                return Ok(Outcome::UnderWay);
            }
        }
        Ok(Outcome::Answered)
    }

    /// A read from the disk has ended.
    pub(super) fn read(
        &mut self,
        ticket: GetTicket,
        result: &Result<Found, ReadError>,
        tick: Tick,
        replies: &mut Replies<'_, ShardMessage>,
    ) {
        if let Err(error) = result {
            tracing::error!(shard = self.identity.own.0, %error, "a read failed");
        }
        let own = self.identity.own;
        match self.gets.remove(&ticket) {
            None => {}
            Some(PendingGet::Request { origin, key_only, deadline_us }) => {
                replies.reply(&origin, |out, room| match result {
                    _ if deadline_us <= tick.now_us => {
                        origin.refuse(own, Status::DeadlineExceeded, out);
                    }
                    Err(error) => origin.refuse(own, why(error), out),
                    Ok(got) => {
                        let record = got.record();
                        let reply =
                            record.map_or(GetReply::ABSENT, |record| found(&record, key_only));
                        if reply.value.len() > room {
                            return origin.refuse_overloaded(own, out);
                        }
                        frame::append(&origin.reply_header(own), &reply, out);
                    }
                });
            }
            Some(PendingGet::Key { gather, index, key_only }) => {
                let record = result.as_ref().ok().and_then(Found::record);
                let answer = match (&record, result) {
                    (Some(record), _) => found_key(record, key_only),
                    (None, Ok(_)) => KeyResult::ABSENT,
                    (None, Err(error)) => KeyResult::failed(why(error)),
                };
                self.gathered(gather, index, answer, tick, replies);
            }
        }
    }
}

fn why(error: &ReadError) -> Status {
    match error.cause {
        ReadCause::Io(_) => Status::Unreadable,
        ReadCause::Corrupt => Status::Corrupt,
    }
}

//! Reading several keys, which may belong to several cores.
//!
//! ```text
//! client's core    look up own keys; WantedKeys -> each other owner;   wait; join; reply
//! owner's core     look up; FoundKeys -> back, when the last is known
//! ```
//!
//! A `Gather` on either side collects answers in whatever order they come. A key that cannot be
//! read says why by itself; the others are answered.

use engine::env::Env;
use engine::store::Get;
use schemas::ids::{NamespaceId, ShardId, Version};
use schemas::message::{KeyResult, MultiGet, MultiGetReplyWriter};
use schemas::status::Status;

use super::outbox::Message;
use super::read_path::found_key;
use super::service::{Context, Origin, Outcome, Replies, Request};
use super::shard::{PendingGet, Refusal, Shard, ShardMessage, admit};
use crate::limits::GATHERED_BYTES_MAX;
use crate::runtime::Tick;

/// Keys that another core is asked for.
pub struct WantedKeys {
    /// The asker's gather.
    gather: usize,
    namespace: NamespaceId,
    key_only: bool,
    /// Their places in the client's request, and their lengths.
    keys: Vec<(u16, u16)>,
    bytes: Vec<u8>,
}

/// What is known of them.
pub struct FoundKeys {
    /// The asker's gather.
    gather: usize,
    results: Vec<FoundKey>,
    values: Vec<u8>,
}

struct FoundKey {
    index: u16,
    status: u8,
    found: bool,
    version: Option<Version>,
    expires_at_ms: u64,
    value_len: u32,
}

/// Answers to several keys, until the last is known.
pub(super) struct Gather {
    left: usize,
    bytes: usize,
    to: GatherTo,
}

enum GatherTo {
    Client { origin: Origin, writer: MultiGetReplyWriter },
    Core { core: ShardId, found: Box<FoundKeys> },
}

impl Gather {
    fn set(&mut self, index: u16, result: KeyResult<'_>) {
        self.bytes += result.value.len();
        match &mut self.to {
            GatherTo::Client { writer, .. } => writer.set(usize::from(index), result),
            GatherTo::Core { found, .. } => {
                let KeyResult { status, found: is_found, version, expires_at_ms, value } = result;
                let value_len = value.len() as u32;
                found.values.extend_from_slice(value);
                let found_key =
                    FoundKey { index, status, found: is_found, version, expires_at_ms, value_len };
                found.results.push(found_key);
            }
        }
    }
}

impl<E: Env> Shard<E> {
    /// Starts a multi-get of a client of this core, and answers it if it can.
    pub(super) fn multi_get(
        &mut self,
        wanted: &MultiGet<'_>,
        request: &Request<'_>,
        context: &mut Context<'_, ShardMessage>,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        admit(request, context)?;
        let (origin, own) = (request.origin, self.identity.own);
        let writer = MultiGetReplyWriter::new(wanted.key_count());
        let to = GatherTo::Client { origin, writer };
        let id = self.gathers.insert(Gather { left: 0, bytes: 0, to });
        let mut others: Vec<Option<Box<WantedKeys>>> = Vec::new();
        for (index, bytes) in wanted.keys().enumerate() {
            let index = index as u16;
            let key = self.key(wanted.namespace, bytes);
            let owner = self.identity.owner(key.token);
            if owner == own {
                self.start_key(id, index, wanted.namespace, bytes, wanted.key_only, context.tick);
                continue;
            }
            others.resize_with(usize::from(self.identity.shards), || None);
            let asked = others[usize::from(owner.0)].get_or_insert_with(|| {
                Box::new(WantedKeys {
                    gather: id,
                    namespace: wanted.namespace,
                    key_only: wanted.key_only,
                    keys: Vec::new(),
                    bytes: Vec::new(),
                })
            });
            asked.keys.push((index, bytes.len() as u16));
            asked.bytes.extend_from_slice(bytes);
        }
        for (core, asked) in others.into_iter().enumerate() {
            let Some(asked) = asked else { continue };
            self.ask(id, ShardId(core as u16), asked, context);
        }
        if self.gathers[id].left > 0 {
            return Ok(Outcome::UnderWay);
        }
        if let GatherTo::Client { writer, .. } = self.finish(id).to {
            writer.encode(&origin.reply_header(own), out);
        }
        Ok(Outcome::Answered)
    }

    /// Asks another core for its keys; if it does not keep up they are answered so.
    fn ask(
        &mut self,
        id: usize,
        core: ShardId,
        asked: Box<WantedKeys>,
        context: &mut Context<'_, ShardMessage>,
    ) {
        let count = asked.keys.len();
        let message = Message::Service(ShardMessage::Keys(asked));
        match context.outbox.try_send(core, message) {
            Ok(()) => self.gathers[id].left += count,
            Err(full) => {
                let Message::Service(ShardMessage::Keys(asked)) = full.0 else {
                    unreachable!("what was sent comes back");
                };
                for (index, _) in asked.keys {
                    self.gathers[id].set(index, KeyResult::failed(Status::Overloaded));
                }
            }
        }
    }

    /// Looks up one key of a gather: it is known at once, or one more is left.
    fn start_key(
        &mut self,
        id: usize,
        index: u16,
        namespace: NamespaceId,
        bytes: &[u8],
        key_only: bool,
        tick: Tick,
    ) {
        let key = self.key(namespace, bytes);
        let gather = &mut self.gathers[id];
        let before = gather.bytes;
        let full = self.gathered_bytes >= GATHERED_BYTES_MAX;
        match self.store.get_now(&key, tick.wall_ms) {
            Get::Hit(_) if full && !key_only => {
                gather.set(index, KeyResult::failed(Status::Overloaded));
            }
            Get::Hit(record) => gather.set(index, found_key(&record, key_only)),
            Get::Absent => gather.set(index, KeyResult::ABSENT),
            Get::Busy { .. } => gather.set(index, KeyResult::failed(Status::Overloaded)),
            Get::Miss(ticket) => {
                gather.left += 1;
                self.gets.insert(ticket, PendingGet::Key { gather: id, index, key_only });
            }
        }
        self.gathered_bytes += gather.bytes - before;
    }

    /// Looks up keys that core `from` wants.
    pub(super) fn look_up(
        &mut self,
        from: ShardId,
        wanted: &WantedKeys,
        tick: Tick,
        replies: &mut Replies<'_, ShardMessage>,
    ) {
        let found = Box::new(FoundKeys {
            gather: wanted.gather,
            results: Vec::with_capacity(wanted.keys.len()),
            values: Vec::new(),
        });
        let to = GatherTo::Core { core: from, found };
        let id = self.gathers.insert(Gather { left: 0, bytes: 0, to });
        let mut rest = &wanted.bytes[..];
        for &(index, len) in &wanted.keys {
            let (bytes, after) = rest.split_at(usize::from(len));
            rest = after;
            self.start_key(id, index, wanted.namespace, bytes, wanted.key_only, tick);
        }
        self.answer_if_known(id, replies);
    }

    /// One more key of a gather is known.
    pub(super) fn gathered(
        &mut self,
        id: usize,
        index: u16,
        result: KeyResult<'_>,
        replies: &mut Replies<'_, ShardMessage>,
    ) {
        let room = self.gathered_bytes < GATHERED_BYTES_MAX || result.value.is_empty();
        let result = if room { result } else { KeyResult::failed(Status::Overloaded) };
        self.gathered_bytes += result.value.len();
        let gather = &mut self.gathers[id];
        gather.set(index, result);
        gather.left -= 1;
        self.answer_if_known(id, replies);
    }

    /// Another core answers for its keys.
    pub(super) fn found(&mut self, found: &FoundKeys, replies: &mut Replies<'_, ShardMessage>) {
        let gather = &mut self.gathers[found.gather];
        let mut rest = &found.values[..];
        for key in &found.results {
            let (value, after) = rest.split_at(key.value_len as usize);
            rest = after;
            let &FoundKey { index, status, found, version, expires_at_ms, .. } = key;
            gather.set(index, KeyResult { status, found, version, expires_at_ms, value });
        }
        gather.left -= found.results.len();
        self.gathered_bytes += found.values.len();
        self.answer_if_known(found.gather, replies);
    }

    fn answer_if_known(&mut self, id: usize, replies: &mut Replies<'_, ShardMessage>) {
        if self.gathers[id].left > 0 {
            return;
        }
        let own = self.identity.own;
        let Gather { to, bytes, .. } = self.finish(id);
        match to {
            GatherTo::Client { origin, writer } => replies.reply(&origin, |out, room| {
                if bytes <= room {
                    writer.encode(&origin.reply_header(own), out);
                } else {
                    let Refusal { status, retry_after_us } = Refusal::overloaded();
                    origin.refuse_for(own, status, retry_after_us, out);
                }
            }),
            GatherTo::Core { core, found } => {
                replies.outbox.deliver(core, Message::Service(ShardMessage::Found(found)));
            }
        }
    }

    fn finish(&mut self, id: usize) -> Gather {
        let gather = self.gathers.remove(id);
        self.gathered_bytes -= gather.bytes;
        gather
    }
}

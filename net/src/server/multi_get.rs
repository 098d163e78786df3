//! Reading several keys, which may belong to several cores.
//!
//! ```text
//! client's core    look up own keys; WantedKeys -> each other owner;   wait; join; reply
//! owner's core     look up; FoundKeys -> back, when the last is known
//! ```
//!
//! A `Gather` on either side collects answers in whatever order they come. A key that cannot be
//! read says why by itself; the others are answered. Neither side keeps more values than one reply
//! has room for, and all of a core no more than its memory for them.

use engine::env::Env;
use engine::record::Key;
use engine::store::Get;
use schemas::ids::{NamespaceId, ShardId, Version};
use schemas::limits::MULTI_GET_VALUES_BYTES_MAX;
use schemas::message::{KeyResult, MultiGet, MultiGetReplyWriter};
use schemas::status::Status;
use slab::Slab;

use super::admission::Admission;
use super::outbox::{Message, Outbox, Transit};
use super::read_path::found_key;
use super::service::{Context, Origin, Outcome, Replies, Request};
use super::shard::{PendingGet, Refusal, Shard, ShardMessage, admit};
use crate::runtime::Tick;

/// Keys that another core is asked for.
pub struct WantedKeys {
    /// The asker's gather.
    gather: usize,
    /// When the client gives up.
    deadline_us: u64,
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
    /// What counts the values at the core that found them.
    transit: Option<Transit>,
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
    Client { origin: Origin, deadline_us: u64, writer: MultiGetReplyWriter },
    Core { core: ShardId, found: Box<FoundKeys> },
}

/// The multi-gets of one core that wait for some of their keys.
#[derive(Default)]
pub(super) struct Gathers {
    slab: Slab<Gather>,
    /// Bytes of the values that they hold.
    bytes: usize,
}

impl Gathers {
    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    fn add(&mut self, to: GatherTo) -> usize {
        self.slab.insert(Gather { left: 0, bytes: 0, to })
    }

    /// Sets what is known of a key of gather `id`. A value there is no `room` for, in bytes of all
    /// gathers, is answered `Overloaded`.
    fn set(&mut self, id: usize, index: u16, result: KeyResult<'_>, room: usize) {
        let fits = result.value.is_empty() || self.bytes < room;
        let result = if fits { result } else { KeyResult::failed(Status::Overloaded) };
        self.bytes += self.slab[id].set(index, result);
    }

    fn finish(&mut self, id: usize) -> Gather {
        let gather = self.slab.remove(id);
        self.bytes -= gather.bytes;
        gather
    }
}

/// Bytes of values that the multi-gets of a core may hold: as many as requests under way may have,
/// less what is on its way to other cores.
fn gather_room<M>(admission: &Admission, outbox: &Outbox<M>) -> usize {
    admission.bytes_max().saturating_sub(outbox.in_transit())
}

impl Gather {
    /// Sets what is known of a key; how many bytes of its value are kept. One that does not fit in
    /// one reply with the others is answered `ReplyFull`.
    fn set(&mut self, index: u16, result: KeyResult<'_>) -> usize {
        let fits = self.bytes + result.value.len() <= MULTI_GET_VALUES_BYTES_MAX;
        let result = if fits { result } else { KeyResult::failed(Status::ReplyFull) };
        let kept = result.value.len();
        self.bytes += kept;
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
        kept
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
        let room = gather_room(context.admission, context.outbox);
        // With room for the values of those that were begun before.
        if self.gathers.bytes > room / 2 {
            return Err(Refusal::overloaded());
        }
        let &Request { origin, deadline_us, .. } = request;
        let own = self.identity.own;
        let writer = MultiGetReplyWriter::new(wanted.key_count());
        let id = self.gathers.add(GatherTo::Client { origin, deadline_us, writer });
        let mut others: Vec<Option<Box<WantedKeys>>> = Vec::new();
        for (index, bytes) in wanted.keys().enumerate() {
            let index = index as u16;
            let key = self.key(wanted.namespace, bytes);
            let owner = self.identity.owner(key.token);
            if owner == own {
                self.start_key(id, index, &key, wanted.key_only, room, context.tick);
                continue;
            }
            others.resize_with(usize::from(self.identity.shards), || None);
            let asked = others[usize::from(owner.0)].get_or_insert_with(|| {
                Box::new(WantedKeys {
                    gather: id,
                    deadline_us,
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
        if self.gathers.slab[id].left > 0 {
            return Ok(Outcome::UnderWay);
        }
        let Gather { to, bytes, .. } = self.gathers.finish(id);
        if bytes > context.value_room(&origin, out) {
            return Err(Refusal::overloaded());
        }
        if let GatherTo::Client { writer, .. } = to {
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
            Ok(()) => self.gathers.slab[id].left += count,
            Err(full) => {
                let Message::Service(ShardMessage::Keys(asked)) = full.0 else {
                    unreachable!("what was sent comes back");
                };
                for (index, _) in asked.keys {
                    self.gathers.set(id, index, KeyResult::failed(Status::Overloaded), 0);
                }
            }
        }
    }

    /// Looks up one key of a gather: it is known at once, or one more is left.
    fn start_key(
        &mut self,
        id: usize,
        index: u16,
        key: &Key<'_>,
        key_only: bool,
        room: usize,
        tick: Tick,
    ) {
        let result = match self.store.get_now(key, tick.wall_ms) {
            Get::Hit(record) => found_key(&record, key_only),
            Get::Absent => KeyResult::ABSENT,
            Get::Busy { .. } => KeyResult::failed(Status::Overloaded),
            Get::Miss(ticket) => {
                self.gathers.slab[id].left += 1;
                self.gets.insert(ticket, PendingGet::Key { gather: id, index, key_only });
                return;
            }
        };
        self.gathers.set(id, index, result, room);
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
            transit: None,
        });
        let id = self.gathers.add(GatherTo::Core { core: from, found });
        let room = gather_room(replies.connections.admission(), replies.outbox);
        let late = wanted.deadline_us <= tick.now_us;
        let mut rest = &wanted.bytes[..];
        for &(index, len) in &wanted.keys {
            let (bytes, after) = rest.split_at(usize::from(len));
            rest = after;
            if late {
                self.gathers.set(id, index, KeyResult::failed(Status::DeadlineExceeded), room);
                continue;
            }
            let key = self.key(wanted.namespace, bytes);
            self.start_key(id, index, &key, wanted.key_only, room, tick);
        }
        self.answer_if_known(id, tick, replies);
    }

    /// One more key of a gather is known.
    pub(super) fn gathered(
        &mut self,
        id: usize,
        index: u16,
        result: KeyResult<'_>,
        tick: Tick,
        replies: &mut Replies<'_, ShardMessage>,
    ) {
        let room = gather_room(replies.connections.admission(), replies.outbox);
        self.gathers.set(id, index, result, room);
        self.gathers.slab[id].left -= 1;
        self.answer_if_known(id, tick, replies);
    }

    /// Another core answers for its keys.
    pub(super) fn found(
        &mut self,
        found: &FoundKeys,
        tick: Tick,
        replies: &mut Replies<'_, ShardMessage>,
    ) {
        let id = found.gather;
        let room = gather_room(replies.connections.admission(), replies.outbox);
        let mut rest = &found.values[..];
        for key in &found.results {
            let (value, after) = rest.split_at(key.value_len as usize);
            rest = after;
            let &FoundKey { index, status, found, version, expires_at_ms, .. } = key;
            let result = KeyResult { status, found, version, expires_at_ms, value };
            self.gathers.set(id, index, result, room);
        }
        self.gathers.slab[id].left -= found.results.len();
        self.answer_if_known(id, tick, replies);
    }

    fn answer_if_known(&mut self, id: usize, tick: Tick, replies: &mut Replies<'_, ShardMessage>) {
        if self.gathers.slab[id].left > 0 {
            return;
        }
        let own = self.identity.own;
        let Gather { to, bytes, .. } = self.gathers.finish(id);
        match to {
            GatherTo::Client { origin, deadline_us, writer } => {
                replies.reply(&origin, |out, room| {
                    if deadline_us <= tick.now_us {
                        origin.refuse(own, Status::DeadlineExceeded, out);
                    } else if bytes <= room {
                        writer.encode(&origin.reply_header(own), out);
                    } else {
                        origin.refuse_overloaded(own, out);
                    }
                })
            }
            GatherTo::Core { core, mut found } => {
                found.transit = Some(replies.outbox.transit(bytes));
                replies.outbox.deliver(core, Message::Service(ShardMessage::Found(found)));
            }
        }
    }
}

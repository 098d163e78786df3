//! Reads of several keys: each is a read of its own, and one reply has all of them.
//!
//! - It is one request: it is begun for all keys or for none, and has one deadline.
//! - Each key takes a place among the operations under way, as if it were asked for alone: whoever
//!   asks for many has no more of a core than whoever asks many times.
//! - A key that cannot be read says why by itself. Values are kept as far as one reply has room for
//!   them.

use std::rc::Rc;

use schemas::ids::Token;
use schemas::limits::{MULTI_GET_KEYS_MAX, MULTI_GET_VALUES_BYTES_MAX};
use schemas::status::Status;
use slab::Slab;

use super::operation::Client;
use super::read_path::Asking;
use super::request::{MultiGet, Refused, Reply};
use super::{Asked, Coordinator, unfit_key};
use crate::event::RequestId;
use crate::record::{Key, Record};
use crate::shard::Turn;

/// Names a request for several keys until all are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GatherId(usize);

/// Requests for several keys of which not all are answered.
#[derive(Debug, Default)]
pub(crate) struct Gathers(Slab<Gather>);

#[derive(Debug)]
struct Gather {
    client: RequestId,
    found: Vec<Result<Option<Rc<Record>>, Refused>>,
    left: usize,
    value_bytes: usize,
}

impl Gathers {
    fn add(&mut self, client: RequestId, keys: usize) -> GatherId {
        // What is not known yet is set before anybody sees it.
        let unknown = Err(Refused::untouched(Status::Internal));
        let gather = Gather { client, found: vec![unknown; keys], left: keys, value_bytes: 0 };
        GatherId(self.0.insert(gather))
    }

    /// One key is answered; all of them for the client if it was the last.
    pub(super) fn set(
        &mut self,
        GatherId(id): GatherId,
        at: u16,
        reply: Reply,
    ) -> Option<(RequestId, Reply)> {
        let gather = &mut self.0[id];
        let found = match reply {
            Reply::Found(record) => gather.fit(record),
            Reply::Refused(refused) => Err(refused),
            reply => unreachable!("{reply:?} answers no read of a key"),
        };
        gather.found[usize::from(at)] = found;
        gather.left -= 1;
        if gather.left > 0 {
            return None;
        }
        let Gather { client, found, .. } = self.0.remove(id);
        Some((client, Reply::FoundAll(found)))
    }
}

impl Gather {
    fn fit(&mut self, record: Option<Rc<Record>>) -> Result<Option<Rc<Record>>, Refused> {
        let value_bytes = self.value_bytes + record.as_ref().map_or(0, |record| record.value.len());
        if value_bytes > MULTI_GET_VALUES_BYTES_MAX {
            return Err(Refused::untouched(Status::ReplyFull));
        }
        self.value_bytes = value_bytes;
        Ok(record)
    }
}

impl Coordinator {
    /// A client of this node wants to know of several keys.
    pub(crate) fn multi_get(
        &mut self,
        turn: &mut Turn<'_>,
        client: RequestId,
        wanted: &Rc<MultiGet>,
    ) {
        let &MultiGet { namespace, level, repairs_first, seen, patience, .. } = &**wanted;
        let operations = wanted.keys.len();
        let fits = (1..=MULTI_GET_KEYS_MAX).contains(&operations);
        let of_count = if fits { None } else { Some(Status::TooManyKeys) };
        let asked = Asked { namespace, seen, patience, operations };
        let unready = of_count.or_else(|| self.unready(turn.core, turn.now.wall_ms, asked));
        if let Some(status) = unready {
            return turn.core.reply(client, Reply::Refused(Refused::untouched(status)));
        }
        let gather = turn.core.gathers.add(client, operations);
        for (at, bytes) in wanted.keys.iter().enumerate() {
            let client = Client::Part(gather, at as u16);
            let token = Token::of(bytes, turn.core.document.token_seed);
            let key = Key { token, namespace, bytes: Rc::clone(bytes) };
            if let Some(status) = unfit_key(bytes) {
                let vnode = turn.core.vnode_of(&key);
                client.reply(turn.core, vnode, Reply::Refused(Refused::untouched(status)));
                continue;
            }
            self.read(turn, client, key, Asking { level, patience, repairs_first });
        }
    }
}

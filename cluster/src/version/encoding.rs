//! A set of siblings as the value of its record.
//!
//! - Equal sets have equal bytes, and other bytes are refused.
//! - Bytes from outside may be any: what is kept of them is no more than a few times their number,
//!   and values are left where they are.
//!
//! ```text
//! set:     | floor 8 | actors 4 | values 4 | per actor | per value | the values' bytes |
//! actor:   | node 8 | boot 4 | last stamp seen 8 |
//! value:   | stamp 8 | node 8 | boot 4 | counter 8 | expires_at 8 | bytes 4 |
//! ```
//! Little-endian. Actors ascend; values ascend by version. The version of the set is its record's.

use std::num::NonZeroU64;

use schemas::ids::{Actor, Dot, Hlc, NodeId, Version};
use thiserror::Error;

use super::context::Context;
use super::siblings::{Sibling, Siblings};

const HEAD_BYTES: usize = 16;
pub(super) const ACTOR_BYTES: usize = 20;
const VALUE_HEAD_BYTES: usize = 40;

/// Bytes that are no set of siblings: damaged, or nobody of us wrote them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SetError {
    /// They are not as many as they say.
    #[error("a set of siblings of {got} bytes")]
    Length {
        /// How many there are.
        got: usize,
    },
    /// A node of number zero.
    #[error("siblings of no node")]
    NoNode,
    /// What they say contradicts itself or the record's version: an order, or a value that nobody
    /// has seen.
    #[error("siblings that contradict themselves")]
    Contradiction,
}

impl<'a> Siblings<'a> {
    /// Bytes of the encoding.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let values: usize = self.live().iter().map(|it| VALUE_HEAD_BYTES + it.value.len()).sum();
        HEAD_BYTES + self.history().seen().len() * ACTOR_BYTES + values
    }

    /// Appends the encoding to `out`. Its record bears [`version`](Self::version),
    /// [`kind`](Self::kind) and [`expires_at_ms`](Self::expires_at_ms).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        let (context, live) = (self.history(), self.live());
        out.extend_from_slice(&context.floor().0.to_le_bytes());
        out.extend_from_slice(&(context.seen().len() as u32).to_le_bytes());
        out.extend_from_slice(&(live.len() as u32).to_le_bytes());
        write_actors(context, out);
        for it in live {
            let Version { hlc, dot } = it.version;
            out.extend_from_slice(&hlc.0.to_le_bytes());
            out.extend_from_slice(&dot.actor.node.0.get().to_le_bytes());
            out.extend_from_slice(&dot.actor.boot.to_le_bytes());
            out.extend_from_slice(&dot.counter.to_le_bytes());
            out.extend_from_slice(&it.expires_at_ms.to_le_bytes());
            out.extend_from_slice(&(it.value.len() as u32).to_le_bytes());
        }
        for it in live {
            out.extend_from_slice(it.value);
        }
    }

    /// The set that `bytes` are, of a record of `version`.
    ///
    /// # Errors
    /// They are none.
    pub fn decode(version: Version, bytes: &'a [u8]) -> Result<Self, SetError> {
        let length = SetError::Length { got: bytes.len() };
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(length)?;
        let (floor, head) = head.split_first_chunk().ok_or(length)?;
        let (actors, values) = head.split_first_chunk().ok_or(length)?;
        let floor = Hlc(u64::from_le_bytes(*floor));
        let actors = u32::from_le_bytes(*actors) as usize;
        let values = u32::from_le_bytes(values.try_into().map_err(|_| length)?) as usize;
        let actors_bytes = actors.checked_mul(ACTOR_BYTES).ok_or(length)?;
        let (actors, rest) = rest.split_at_checked(actors_bytes).ok_or(length)?;
        let heads_bytes = values.checked_mul(VALUE_HEAD_BYTES).ok_or(length)?;
        let (heads, mut rest) = rest.split_at_checked(heads_bytes).ok_or(length)?;

        let seen = read_actors(actors).ok_or(SetError::NoNode)?;
        let mut live = Vec::with_capacity(values);
        for head in heads.as_chunks::<VALUE_HEAD_BYTES>().0 {
            let (version, expires_at_ms, len) = read_value_head(head).ok_or(SetError::NoNode)?;
            let (value, after) = rest.split_at_checked(len as usize).ok_or(length)?;
            live.push(Sibling { version, expires_at_ms, value });
            rest = after;
        }
        if !rest.is_empty() {
            return Err(length);
        }
        let context = Context::new(floor, seen).ok_or(SetError::Contradiction)?;
        Self::new(context, version, live).ok_or(SetError::Contradiction)
    }
}

/// Appends who was seen and up to where.
pub(super) fn write_actors(context: &Context, out: &mut Vec<u8>) {
    for (actor, hlc) in context.seen() {
        out.extend_from_slice(&actor.node.0.get().to_le_bytes());
        out.extend_from_slice(&actor.boot.to_le_bytes());
        out.extend_from_slice(&hlc.0.to_le_bytes());
    }
}

/// Reads what [`write_actors`] wrote, all of `bytes`; `None` if one is of no node.
pub(super) fn read_actors(bytes: &[u8]) -> Option<Vec<(Actor, Hlc)>> {
    let one = |bytes: &[u8; ACTOR_BYTES]| {
        let mut rest = bytes.as_slice();
        Some((read_actor(&mut rest)?, Hlc(read_u64(&mut rest)?)))
    };
    bytes.as_chunks().0.iter().map(one).collect()
}

fn read_value_head(bytes: &[u8; VALUE_HEAD_BYTES]) -> Option<(Version, u64, u32)> {
    let mut rest = bytes.as_slice();
    let hlc = Hlc(read_u64(&mut rest)?);
    let actor = read_actor(&mut rest)?;
    let counter = read_u64(&mut rest)?;
    let expires_at_ms = read_u64(&mut rest)?;
    let version = Version { hlc, dot: Dot { actor, counter } };
    Some((version, expires_at_ms, read_u32(&mut rest)?))
}

fn read_actor(rest: &mut &[u8]) -> Option<Actor> {
    let node = NodeId(NonZeroU64::new(read_u64(rest)?)?);
    Some(Actor { node, boot: read_u32(rest)? })
}

fn read_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}

fn read_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;

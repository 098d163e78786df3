//! The causal context that a client carries from what it read to what it writes: opaque to it, and
//! bound to the key.
//!
//! ```text
//! token:   | version 1 | sum 8 | key 8 | floor 8 | per actor: node 8, boot 4, last stamp seen 8 |
//! ```
//! Little-endian. `sum` is the xxh3 of what is behind it; `key` that of the key, seeded by its
//! namespace. Actors ascend. A context that has seen nothing is no bytes.
//!
//! Nothing is secret: who wants to can make a token. What it says is then checked as any other
//! client's, by its greatest stamp ([`HlcClock::admits`](super::HlcClock::admits)), and does no
//! more than one that is read a moment later (`context.rs`).

use schemas::ids::{Hlc, NamespaceId};
use schemas::limits::CONTEXT_BYTES_MAX;
use thiserror::Error;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::context::Context;
use super::encoding::{ACTOR_BYTES, read_actors, write_actors};
use crate::limits::TOKEN_ACTORS_MAX;

/// The only one there is.
const TOKEN_VERSION: u8 = 1;

const HEAD_BYTES: usize = 25;

const _: () = assert!(HEAD_BYTES + TOKEN_ACTORS_MAX * ACTOR_BYTES <= CONTEXT_BYTES_MAX);

/// Bytes that are no context of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TokenError {
    /// Longer than any, too short, or cut off.
    #[error("a context of {got} bytes, at most {CONTEXT_BYTES_MAX}")]
    Length {
        /// How many there are.
        got: usize,
    },
    /// Of another kvcore.
    #[error("a context of version {got}, not {TOKEN_VERSION}")]
    Version {
        /// What it says.
        got: u8,
    },
    /// Not the bytes that were given.
    #[error("a damaged context")]
    Damaged,
    /// Given for another key.
    #[error("a context of another key")]
    OtherKey,
    /// Given by nobody: nodes of number zero, or an order that it has not.
    #[error("a context that contradicts itself")]
    Contradiction,
}

impl Context {
    /// Appends the token of this context of a key to `out`.
    ///
    /// # Panics
    /// If there are more actors than a reader is told of
    /// ([`Siblings::context`](super::Siblings::context)).
    pub fn encode_token(&self, namespace: NamespaceId, key: &[u8], out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        assert!(self.seen().len() <= TOKEN_ACTORS_MAX, "a context for a reader");
        let mut body = Vec::with_capacity(HEAD_BYTES + self.seen().len() * ACTOR_BYTES);
        body.extend_from_slice(&hash(namespace, key).to_le_bytes());
        body.extend_from_slice(&self.floor().0.to_le_bytes());
        write_actors(self, &mut body);
        out.push(TOKEN_VERSION);
        out.extend_from_slice(&xxh3_64(&body).to_le_bytes());
        out.extend_from_slice(&body);
    }

    /// The context of a key that a client has brought.
    ///
    /// # Errors
    /// It is none.
    pub fn decode_token(
        namespace: NamespaceId,
        key: &[u8],
        bytes: &[u8],
    ) -> Result<Self, TokenError> {
        if bytes.is_empty() {
            return Ok(Self::NOTHING);
        }
        let length = TokenError::Length { got: bytes.len() };
        if bytes.len() > CONTEXT_BYTES_MAX {
            return Err(length);
        }
        let (&version, rest) = bytes.split_first().ok_or(length)?;
        if version != TOKEN_VERSION {
            return Err(TokenError::Version { got: version });
        }
        let (sum, body) = rest.split_first_chunk().ok_or(length)?;
        let (of_key, rest) = body.split_first_chunk().ok_or(length)?;
        let (floor, actors) = rest.split_first_chunk().ok_or(length)?;
        if !actors.len().is_multiple_of(ACTOR_BYTES) {
            return Err(length);
        }
        if u64::from_le_bytes(*sum) != xxh3_64(body) {
            return Err(TokenError::Damaged);
        }
        if u64::from_le_bytes(*of_key) != hash(namespace, key) {
            return Err(TokenError::OtherKey);
        }
        let seen = read_actors(actors).ok_or(TokenError::Contradiction)?;
        let context = Self::new(Hlc(u64::from_le_bytes(*floor)), seen);
        context.filter(|it| !it.is_empty()).ok_or(TokenError::Contradiction)
    }
}

fn hash(namespace: NamespaceId, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, u64::from(namespace.0))
}

#[cfg(test)]
mod tests;

//! Writing one key.

use crate::consistency::Consistency;
use crate::frame::Message;
use crate::generated::point::PutHead;
use crate::ids::{Hlc, NamespaceId};
use crate::kind::Kind;
use crate::limits::TTL_MS_MAX;
use crate::message::head;
use crate::status::Status;

const HEAD_BYTES: usize = size_of::<PutHead>();

/// Writes the value of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Put<'a> {
    /// The namespace of the key.
    pub namespace: NamespaceId,
    /// The key, 1 to `KEY_BYTES_MAX` bytes.
    pub key: &'a [u8],
    /// The causal context the value replaces; empty for none.
    pub context: &'a [u8],
    /// The value, at most `VALUE_BYTES_MAX` bytes.
    pub value: &'a [u8],
    /// Milliseconds the value lives, at most `TTL_MS_MAX`; 0 for ever.
    pub ttl_ms: u64,
    /// Replicas that must have it before the answer.
    pub consistency: Consistency,
    /// The greatest stamp the client has seen; 0 for none. The write gets a greater one.
    pub hlc_seen: Hlc,
}

impl<'a> Put<'a> {
    /// Checks key, value, context and time to live against their limits.
    ///
    /// # Errors
    /// `KeyEmpty`, `KeyTooLong`, `ValueTooLarge`, `TtlTooLong`, `MalformedBody` (the context).
    #[inline]
    pub fn check(&self) -> Result<(), Status> {
        head::check_key(self.key)?;
        head::check_value_len(self.value.len())?;
        head::check_context_len(self.context.len())?;
        if self.ttl_ms > TTL_MS_MAX { Err(Status::TtlTooLong) } else { Ok(()) }
    }

    /// Reads a put from the body of its frame.
    ///
    /// # Errors
    /// What to answer: those of [`Put::check`], `MalformedBody`, `Unsupported`.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let (head, mut rest) = head::split_head::<HEAD_BYTES>(body)?;
        let head = PutHead(*head);
        head::check_flags(head.flags(), 0)?;
        let put = Self {
            namespace: NamespaceId(head.namespace()),
            key: head::take_key(&mut rest, head.key_len())?,
            context: head::take(&mut rest, head.context_len() as usize)?,
            value: head::take(&mut rest, head.value_len() as usize)?,
            ttl_ms: head.ttl_ms(),
            consistency: head::level(head.consistency())?,
            hlc_seen: Hlc(head.hlc_seen()),
        };
        put.check()?;
        Ok(put)
    }
}

impl Message for Put<'_> {
    #[inline]
    fn kind(&self) -> Kind {
        Kind::Put
    }

    #[inline]
    fn body_len(&self) -> usize {
        HEAD_BYTES + self.key.len() + self.context.len() + self.value.len()
    }

    #[inline]
    fn write_body(&self, out: &mut [u8]) {
        let head = PutHead::new(
            self.hlc_seen.0,
            self.ttl_ms,
            self.namespace.0,
            head::len_u32(self.value),
            head::len_u32(self.context),
            head::key_len(self.key),
            self.consistency.to_byte(),
            0,
        );
        head::write_parts([&head.0, self.key, self.context, self.value], out);
    }
}

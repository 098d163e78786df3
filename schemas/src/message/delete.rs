//! Deleting one key.

use crate::consistency::Consistency;
use crate::frame::Message;
use crate::generated::point::DeleteHead;
use crate::ids::{Hlc, NamespaceId};
use crate::kind::Kind;
use crate::message::head;
use crate::status::Status;

const HEAD_BYTES: usize = size_of::<DeleteHead>();

/// Deletes a key, whether it is there or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delete<'a> {
    /// The namespace of the key.
    pub namespace: NamespaceId,
    /// The key, 1 to `KEY_BYTES_MAX` bytes.
    pub key: &'a [u8],
    /// The causal context that is deleted; empty for none.
    pub context: &'a [u8],
    /// Replicas that must know of it before the answer.
    pub consistency: Consistency,
    /// The greatest stamp the client has seen; 0 for none. The tombstone gets a greater one.
    pub hlc_seen: Hlc,
}

impl<'a> Delete<'a> {
    /// Checks key and context against their limits.
    ///
    /// # Errors
    /// `KeyEmpty`, `KeyTooLong`, `MalformedBody` (the context).
    #[inline]
    pub fn check(&self) -> Result<(), Status> {
        head::check_key(self.key)?;
        head::check_context_len(self.context.len())
    }

    /// Reads a delete from the body of its frame.
    ///
    /// # Errors
    /// What to answer: `KeyEmpty`, `KeyTooLong`, `MalformedBody`, `Unsupported`.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let (head, mut rest) = head::split_head::<HEAD_BYTES>(body)?;
        let head = DeleteHead(*head);
        head::check_flags(head.flags(), 0)?;
        head::check_context_len(head.context_len() as usize)?;
        Ok(Self {
            namespace: NamespaceId(head.namespace()),
            key: head::take_key(&mut rest, head.key_len())?,
            context: head::take(&mut rest, head.context_len() as usize)?,
            consistency: head::level(head.consistency())?,
            hlc_seen: Hlc(head.hlc_seen()),
        })
    }
}

impl Message for Delete<'_> {
    #[inline]
    fn kind(&self) -> Kind {
        Kind::Delete
    }

    #[inline]
    fn body_len(&self) -> usize {
        HEAD_BYTES + self.key.len() + self.context.len()
    }

    #[inline]
    fn write_body(&self, out: &mut [u8]) {
        let head = DeleteHead::new(
            self.hlc_seen.0,
            self.namespace.0,
            head::len_u32(self.context),
            head::key_len(self.key),
            self.consistency.to_byte(),
            0,
            0,
        );
        head::write_parts([&head.0, self.key, self.context], out);
    }
}

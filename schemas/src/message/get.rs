//! Reading one key.

use crate::consistency::Consistency;
use crate::frame::Message;
use crate::generated::point::{GetHead, GetReplyHead};
use crate::ids::{Hlc, NamespaceId, Version};
use crate::kind::Kind;
use crate::message::head;
use crate::status::Status;

/// Flag of a get: answer without the value.
const KEY_ONLY: u8 = 1;
/// Flag of a reply: there is a value.
const FOUND: u32 = 1;

const HEAD_BYTES: usize = size_of::<GetHead>();
const REPLY_HEAD_BYTES: usize = size_of::<GetReplyHead>();

/// Asks for the value of a key, or whether it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Get<'a> {
    /// The namespace of the key.
    pub namespace: NamespaceId,
    /// The key, 1 to `KEY_BYTES_MAX` bytes.
    pub key: &'a [u8],
    /// Replicas that must answer.
    pub consistency: Consistency,
    /// The greatest stamp the client has seen; 0 for none.
    pub hlc_seen: Hlc,
    /// Whether the value may stay where it is (`exists`).
    pub key_only: bool,
}

impl<'a> Get<'a> {
    /// Whether the body of a get, which was not decoded yet, asks without the value.
    #[inline]
    #[must_use]
    pub fn is_key_only(body: &[u8]) -> bool {
        body.first_chunk().is_some_and(|head| GetHead(*head).flags() & KEY_ONLY != 0)
    }

    /// Reads a get from the body of its frame.
    ///
    /// # Errors
    /// What to answer: `KeyEmpty`, `KeyTooLong`, `MalformedBody`, `Unsupported`.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let (head, mut rest) = head::split_head::<HEAD_BYTES>(body)?;
        let head = GetHead(*head);
        head::check_flags(head.flags(), KEY_ONLY)?;
        Ok(Self {
            namespace: NamespaceId(head.namespace()),
            key: head::take_key(&mut rest, head.key_len())?,
            consistency: head::level(head.consistency())?,
            hlc_seen: Hlc(head.hlc_seen()),
            key_only: head.flags() & KEY_ONLY != 0,
        })
    }
}

impl Message for Get<'_> {
    #[inline]
    fn kind(&self) -> Kind {
        Kind::Get
    }

    #[inline]
    fn body_len(&self) -> usize {
        HEAD_BYTES + self.key.len()
    }

    #[inline]
    fn write_body(&self, out: &mut [u8]) {
        let head = GetHead::new(
            self.hlc_seen.0,
            self.namespace.0,
            head::key_len(self.key),
            self.consistency.to_byte(),
            if self.key_only { KEY_ONLY } else { 0 },
        );
        head::write_parts([&head.0, self.key], out);
    }
}

/// What is known of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GetReply<'a> {
    /// Whether the key has a value.
    pub found: bool,
    /// The version that is answered, which may be a tombstone's; `None` where nothing is known.
    pub version: Option<Version>,
    /// Unix milliseconds at which the value expires; 0 for never.
    pub expires_at_ms: u64,
    /// The causal context to write with; empty in `lww` namespaces.
    pub context: &'a [u8],
    /// The value; empty if there is none, or none was asked for.
    pub value: &'a [u8],
}

impl<'a> GetReply<'a> {
    /// The answer for a key that nobody ever wrote.
    pub const ABSENT: GetReply<'static> =
        GetReply { found: false, version: None, expires_at_ms: 0, context: &[], value: &[] };

    /// Reads a reply from the body of its frame.
    ///
    /// # Errors
    /// `MalformedBody` or `ValueTooLarge`: the server broke the protocol.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let (head, mut rest) = head::split_head::<REPLY_HEAD_BYTES>(body)?;
        let head = GetReplyHead(*head);
        head::check_context_len(head.context_len() as usize)?;
        head::check_value_len(head.value_len() as usize)?;
        Ok(Self {
            found: head.flags() & FOUND != 0,
            version: head::version(head.hlc(), head.counter(), head.node(), head.boot()),
            expires_at_ms: head.expires_at_ms(),
            context: head::take(&mut rest, head.context_len() as usize)?,
            value: head::take(&mut rest, head.value_len() as usize)?,
        })
    }
}

impl Message for GetReply<'_> {
    #[inline]
    fn kind(&self) -> Kind {
        Kind::GetReply
    }

    #[inline]
    fn body_len(&self) -> usize {
        REPLY_HEAD_BYTES + self.context.len() + self.value.len()
    }

    #[inline]
    fn write_body(&self, out: &mut [u8]) {
        let (hlc, counter, node, boot) = head::version_fields(self.version);
        let head = GetReplyHead::new(
            hlc,
            counter,
            node,
            self.expires_at_ms,
            boot,
            head::len_u32(self.value),
            head::len_u32(self.context),
            if self.found { FOUND } else { 0 },
        );
        head::write_parts([&head.0, self.context, self.value], out);
    }
}

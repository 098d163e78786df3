//! The answer to a write.

use crate::frame::Message;
use crate::generated::point::WriteReplyHead;
use crate::ids::Version;
use crate::kind::Kind;
use crate::message::head;
use crate::status::Status;

const HEAD_BYTES: usize = size_of::<WriteReplyHead>();

/// The version that a put or a delete made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteReply<'a> {
    kind: Kind,
    /// Stamp and dot of the write.
    pub version: Version,
    /// The causal context after the write; empty in `lww` namespaces.
    pub context: &'a [u8],
}

impl<'a> WriteReply<'a> {
    /// Answers a put.
    #[inline]
    #[must_use]
    pub const fn put(version: Version, context: &'a [u8]) -> Self {
        Self { kind: Kind::PutReply, version, context }
    }

    /// Answers a delete.
    #[inline]
    #[must_use]
    pub const fn delete(version: Version, context: &'a [u8]) -> Self {
        Self { kind: Kind::DeleteReply, version, context }
    }

    /// Reads the reply of `kind` from the body of its frame.
    ///
    /// # Errors
    /// `MalformedBody`: the server broke the protocol; `OutOfOrder`: `kind` answers no write.
    #[inline]
    pub fn decode(kind: Kind, body: &'a [u8]) -> Result<Self, Status> {
        if !matches!(kind, Kind::PutReply | Kind::DeleteReply) {
            return Err(Status::OutOfOrder);
        }
        let (head, mut rest) = head::split_head::<HEAD_BYTES>(body)?;
        let head = WriteReplyHead(*head);
        head::check_context_len(head.context_len() as usize)?;
        Ok(Self {
            kind,
            version: head::version(head.hlc(), head.counter(), head.node(), head.boot())
                .ok_or(Status::MalformedBody)?,
            context: head::take(&mut rest, head.context_len() as usize)?,
        })
    }
}

impl Message for WriteReply<'_> {
    #[inline]
    fn kind(&self) -> Kind {
        self.kind
    }

    #[inline]
    fn body_len(&self) -> usize {
        HEAD_BYTES + self.context.len()
    }

    #[inline]
    fn write_body(&self, out: &mut [u8]) {
        let (hlc, counter, node, boot) = head::version_fields(Some(self.version));
        let head = WriteReplyHead::new(hlc, counter, node, boot, head::len_u32(self.context));
        head::write_parts([&head.0, self.context], out);
    }
}

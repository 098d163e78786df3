//! Refusals. All that a program must know is in the header; the body, if any, is for people.

use std::num::NonZeroU64;

use flatbuffers::FlatBufferBuilder;

use crate::consistency::Consistency;
use crate::frame::Frame;
use crate::generated::tables as fb;
use crate::header::Header;
use crate::ids::NodeId;
use crate::kind::Kind;
use crate::limits::{ERROR_REPLICAS_MAX, ERROR_TEXT_BYTES_MAX};
use crate::message::{head, table};
use crate::status::{Applied, Status};

/// Why one replica did not answer as it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaReason {
    /// The replica.
    pub node: NodeId,
    /// The code of [`Status`] it answered with.
    pub status: u8,
}

/// What an error says beyond its header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ErrorDetail {
    /// One sentence for a person, at most `ERROR_TEXT_BYTES_MAX` bytes; what is past is cut off.
    pub text: String,
    /// The consistency that was asked for.
    pub level: Consistency,
    /// Replicas that answered.
    pub got: u16,
    /// Replicas that had to.
    pub needed: u16,
    /// Why the others did not, at most `ERROR_REPLICAS_MAX`; the rest is left out.
    pub replicas: Vec<ReplicaReason>,
}

impl ErrorDetail {
    /// A detail that is only a sentence.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Appends the error's frame to `out`; `header` is made by [`Header::error`].
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) {
        let mut builder = FlatBufferBuilder::with_capacity(256);
        let text = &self.text[..self.text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)];
        let replicas: Vec<_> = self
            .replicas
            .iter()
            .take(ERROR_REPLICAS_MAX)
            .map(|reason| fb::ReplicaReason::new(reason.node.0.get(), reason.status))
            .collect();
        let args = fb::ErrorArgs {
            text: Some(builder.create_string(text)),
            level: self.level.to_byte(),
            got: self.got,
            needed: self.needed,
            replicas: Some(builder.create_vector(&replicas)),
        };
        let root = fb::Error::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::Error, &builder, out);
    }

    fn decode(body: &[u8]) -> Result<Self, Status> {
        let table = table::read::<fb::Error<'_>>(body)?;
        let text = table.text().unwrap_or_default();
        let replicas = table.replicas().unwrap_or_default();
        if text.len() > ERROR_TEXT_BYTES_MAX || replicas.len() > ERROR_REPLICAS_MAX {
            return Err(Status::MalformedBody);
        }
        let reason = |reason: &fb::ReplicaReason| {
            let node = NonZeroU64::new(reason.node()).ok_or(Status::MalformedBody)?;
            Ok(ReplicaReason { node: NodeId(node), status: reason.status() })
        };
        Ok(Self {
            text: text.to_owned(),
            level: head::level(table.level())?,
            got: table.got(),
            needed: table.needed(),
            replicas: replicas.iter().map(reason).collect::<Result<_, _>>()?,
        })
    }
}

/// A refusal as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorReply {
    /// The code; see [`ErrorReply::status`].
    pub code: u8,
    /// Whether the same request may succeed later or elsewhere.
    pub retryable: bool,
    /// Whether the write was applied all the same.
    pub applied: Applied,
    /// Microseconds after which to try again; 0 for at once.
    pub retry_after_us: u32,
    /// What else the server said.
    pub detail: Option<ErrorDetail>,
}

impl ErrorReply {
    /// Reads a refusal from its frame.
    ///
    /// # Errors
    /// `MalformedBody`: the server broke the protocol.
    pub fn decode(frame: &Frame<'_>) -> Result<Self, Status> {
        let header = &frame.header;
        let body = Some(frame.body).filter(|body| !body.is_empty());
        Ok(Self {
            code: header.status,
            retryable: header.is_retryable(),
            applied: header.applied(),
            retry_after_us: header.deadline_us,
            detail: body.map(ErrorDetail::decode).transpose()?,
        })
    }

    /// What the code names; `None` for one that this version does not know.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        Status::from_byte(self.code)
    }
}

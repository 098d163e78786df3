//! Codes of what went wrong: on the wire, and between the layers of a server.
//!
//! A code says four things: what happened, whether sending the same again may help, whether the
//! write may have been applied, and whether the connection ends. Numbers are never used again; the
//! middle two travel in the header's flags as well, for clients older than a code.

use std::fmt;

/// Whether a refused write was applied all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Applied {
    /// It was not and will not be.
    No = 0,
    /// It was.
    Yes = 1,
    /// Nobody can say: it may be there now, later, or never.
    Unknown = 2,
}

/// Why a request was refused, or that it was not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Status {
    /// Done.
    Ok = 0,

    // The request is wrong: fix it.
    /// Keys have at least one byte.
    KeyEmpty = 1,
    /// Past `KEY_BYTES_MAX`.
    KeyTooLong = 2,
    /// Past `VALUE_BYTES_MAX` or the namespace's cap.
    ValueTooLarge = 3,
    /// Past `TTL_MS_MAX`.
    TtlTooLong = 4,
    /// More than `MULTI_GET_KEYS_MAX`, or none.
    TooManyKeys = 5,
    /// Lengths or offsets in the body contradict each other.
    MalformedBody = 6,
    /// A kind of frame this server does not know.
    UnknownKind = 7,
    /// A flag or level this server does not know.
    Unsupported = 8,
    /// No such namespace.
    UnknownNamespace = 9,
    /// A second handshake, or a reply sent as a request.
    OutOfOrder = 10,
    /// The stamp that the client says it saw is too far ahead of the node's clock.
    StampAhead = 11,
    /// The key has as many siblings as it may: read it, and write with the context of that.
    TooManySiblings = 12,

    // The connection is of no use.
    /// Past the frame limit of the connection's state.
    FrameTooLarge = 32,
    /// Checksum or length wrong: the stream can not be trusted any more.
    FrameCorrupt = 33,
    /// No protocol version in common.
    VersionUnsupported = 34,
    /// The client looks for another cluster.
    WrongCluster = 35,
    /// A request before the handshake.
    HandshakeRequired = 36,
    /// The handshake took too long.
    HandshakeTimeout = 37,
    /// The server has all the connections it allows.
    TooManyConnections = 38,

    // Not now, or not here.
    /// A queue is full; the reply says when to try again.
    Overloaded = 64,
    /// The deadline passed before the request was started.
    DeadlineExceeded = 65,
    /// The node is going: ask another.
    Draining = 66,
    /// The node does not hold the key any more; the epoch tells that the route is old.
    NotOwner = 67,
    /// Writes are refused until there is space again; deletes are not.
    DiskFull = 68,
    /// The values of a multi-get did not fit in one reply: ask for this key again.
    ReplyFull = 69,
    /// Fewer replicas than the level needs.
    Unavailable = 70,

    // Something broke.
    /// Started, and its end not seen before the deadline.
    OutcomeUnknown = 96,
    /// The node stopped while the request was under way.
    ShuttingDown = 97,
    /// What is stored of the key is damaged; the bytes are not returned.
    Corrupt = 98,
    /// The node can not write its disk and stops.
    StorageFailed = 99,
    /// A bug of the server.
    Internal = 100,
    /// The disk does not give what is stored of the key.
    Unreadable = 101,
}

impl Status {
    /// Every code.
    pub const ALL: [Self; 33] = [
        Self::Ok,
        Self::KeyEmpty,
        Self::KeyTooLong,
        Self::ValueTooLarge,
        Self::TtlTooLong,
        Self::TooManyKeys,
        Self::MalformedBody,
        Self::UnknownKind,
        Self::Unsupported,
        Self::UnknownNamespace,
        Self::OutOfOrder,
        Self::StampAhead,
        Self::TooManySiblings,
        Self::FrameTooLarge,
        Self::FrameCorrupt,
        Self::VersionUnsupported,
        Self::WrongCluster,
        Self::HandshakeRequired,
        Self::HandshakeTimeout,
        Self::TooManyConnections,
        Self::Overloaded,
        Self::DeadlineExceeded,
        Self::Draining,
        Self::NotOwner,
        Self::DiskFull,
        Self::ReplyFull,
        Self::Unavailable,
        Self::OutcomeUnknown,
        Self::ShuttingDown,
        Self::Corrupt,
        Self::StorageFailed,
        Self::Internal,
        Self::Unreadable,
    ];

    /// The code that `byte` names; `None` for one this version does not know.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == byte)
    }

    /// Its name in metrics and reports: `deadline_exceeded`.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// Whether the same request, sent again later or to another node, may succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        use Status::{
            Corrupt, DeadlineExceeded, DiskFull, Draining, HandshakeTimeout, NotOwner,
            OutcomeUnknown, Overloaded, ReplyFull, ShuttingDown, StorageFailed, TooManyConnections,
            Unavailable, Unreadable,
        };
        matches!(
            self,
            HandshakeTimeout
                | TooManyConnections
                | Overloaded
                | DeadlineExceeded
                | Draining
                | NotOwner
                | DiskFull
                | ReplyFull
                | Unavailable
                | OutcomeUnknown
                | ShuttingDown
                | Corrupt
                | StorageFailed
                | Unreadable
        )
    }

    /// Whether a write that is answered so was applied.
    #[must_use]
    pub const fn applied(self) -> Applied {
        use Status::{FrameCorrupt, Internal, Ok, OutcomeUnknown, ShuttingDown, StorageFailed};
        match self {
            Ok => Applied::Yes,
            // A frame that cannot be trusted may have been anybody's.
            FrameCorrupt | OutcomeUnknown | ShuttingDown | StorageFailed | Internal => {
                Applied::Unknown
            }
            _ => Applied::No,
        }
    }

    /// Whether the server closes the connection after this answer.
    #[must_use]
    pub const fn closes(self) -> bool {
        matches!(self as u8, 32..64)
    }

    /// One sentence for a person.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::KeyEmpty => "the key is empty; keys have 1 to 4096 bytes",
            Self::KeyTooLong => "the key is too long; keys have 1 to 4096 bytes",
            Self::ValueTooLarge => "the value is too large; values have at most 1 MiB",
            Self::TtlTooLong => "the time to live is too long; it is at most 2^42 milliseconds",
            Self::TooManyKeys => "a multi-get takes 1 to 256 keys",
            Self::MalformedBody => "the lengths in the request contradict each other",
            Self::UnknownKind => "the server does not know this kind of request",
            Self::Unsupported => "the server does not know a flag or level of the request",
            Self::UnknownNamespace => "there is no such namespace",
            Self::OutOfOrder => "this frame was not expected here",
            Self::StampAhead => "the stamp that was seen is too far ahead of the server's clock",
            Self::TooManySiblings => "the key has too many siblings: read it, and replace them",
            Self::FrameTooLarge => "the frame is larger than the connection's limit",
            Self::FrameCorrupt => "the frame's checksum or length is wrong",
            Self::VersionUnsupported => "client and server have no protocol version in common",
            Self::WrongCluster => "this node belongs to another cluster",
            Self::HandshakeRequired => "the first frame of a connection must be a handshake",
            Self::HandshakeTimeout => "the handshake did not arrive in time",
            Self::TooManyConnections => "the server has all the connections it allows",
            Self::Overloaded => "the server is overloaded; try again after the given delay",
            Self::DeadlineExceeded => "the deadline passed before the request was started",
            Self::Draining => "the node is draining; ask another",
            Self::NotOwner => "the node does not hold this key; the client's route is old",
            Self::DiskFull => "the disk is full; writes are refused until there is space",
            Self::ReplyFull => "the values did not fit in one reply; ask for this key again",
            Self::Unavailable => "too few replicas for the consistency level",
            Self::OutcomeUnknown => "the deadline passed while the request was under way",
            Self::ShuttingDown => "the node stopped while the request was under way",
            Self::Corrupt => "what is stored of this key is damaged",
            Self::StorageFailed => "the node can not write its disk",
            Self::Unreadable => "the disk does not give what is stored of this key",
            Self::Internal => "the server made a mistake; its log says more",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_sorted() {
        assert!(Status::ALL.windows(2).all(|pair| (pair[0] as u8) < (pair[1] as u8)));
        for status in Status::ALL {
            assert_eq!(Status::from_byte(status as u8), Some(status));
        }
        assert_eq!(Status::from_byte(255), None);
    }

    #[test]
    fn names_are_the_codes_in_snake_case() {
        assert_eq!(Status::Ok.name(), "ok");
        assert_eq!(Status::DeadlineExceeded.name(), "deadline_exceeded");
    }

    #[test]
    fn texts_state_the_limits_that_hold() {
        use crate::limits;
        assert_eq!(limits::KEY_BYTES_MAX, 4096);
        assert_eq!(limits::VALUE_BYTES_MAX, 1 << 20);
        assert_eq!(limits::TTL_MS_MAX, 1 << 42);
        assert_eq!(limits::MULTI_GET_KEYS_MAX, 256);
    }
}

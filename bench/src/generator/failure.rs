//! Why a request failed, as reports count it.

use std::fmt;

use kvclient::protocol::{Applied, Status};

/// A reason for a request to have no good answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Failure {
    /// The server refused it with this code of [`Status`].
    Refused(u8),
    /// Its connection broke.
    ConnectionLost,
    /// Its connection takes no more requests: the server drains.
    ConnectionClosing,
    /// The server answered what the protocol does not allow.
    ProtocolBroken,
    /// No answer came before the run gave up waiting.
    NoReply,
}

impl Failure {
    /// Whether a write that failed so was surely not applied, and will not be.
    #[must_use]
    pub fn was_not_applied(self) -> bool {
        match self {
            Self::Refused(code) => {
                Status::from_byte(code).is_some_and(|status| status.applied() == Applied::No)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Refused(code) => match Status::from_byte(code) {
                Some(status) => f.write_str(&status.name()),
                None => write!(f, "status_{code}"),
            },
            Self::ConnectionLost => f.write_str("connection_lost"),
            Self::ConnectionClosing => f.write_str("connection_closing"),
            Self::ProtocolBroken => f.write_str("protocol_broken"),
            Self::NoReply => f.write_str("no_reply"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_failure_have_the_names_of_their_codes() {
        for (failure, name) in [
            (Failure::Refused(Status::Overloaded as u8), "overloaded"),
            (Failure::Refused(Status::DeadlineExceeded as u8), "deadline_exceeded"),
            (Failure::Refused(255), "status_255"),
            (Failure::NoReply, "no_reply"),
        ] {
            assert_eq!(failure.to_string(), name);
        }
    }

    #[test]
    fn only_a_refusal_that_says_so_means_that_nothing_was_written() {
        for (failure, none) in [
            (Failure::Refused(Status::Overloaded as u8), true),
            (Failure::Refused(Status::DeadlineExceeded as u8), true),
            (Failure::Refused(Status::OutcomeUnknown as u8), false),
            (Failure::Refused(Status::StorageFailed as u8), false),
            (Failure::Refused(255), false),
            (Failure::ConnectionLost, false),
            (Failure::ConnectionClosing, false),
            (Failure::ProtocolBroken, false),
            (Failure::NoReply, false),
        ] {
            assert_eq!(failure.was_not_applied(), none, "{failure}");
        }
    }
}

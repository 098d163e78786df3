//! What went wrong, by what the caller does about it.

use std::fmt;
use std::time::Duration;

use schemas::message::ErrorReply;
use schemas::status::{Applied, Status};

/// What kind of thing went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request, or the client's configuration, breaks a rule: fix it.
    Invalid,
    /// The deadline passed.
    Timeout,
    /// No server could be reached, or too few replicas.
    Unavailable,
    /// The server has too much to do: slow down.
    Overloaded,
    /// Writes are refused until there is space on the disk again.
    DiskFull,
    /// The servers are not those that were asked for: another cluster, another version.
    WrongServer,
    /// What is stored is damaged.
    Corrupt,
    /// The server broke, or broke the protocol.
    Server,
}

/// A failed operation.
///
/// Three questions are answered apart from the kind: may the same operation succeed if it is done
/// again ([`Error::is_retryable`]), was the write applied all the same ([`Error::applied`]), and
/// when to try again ([`Error::retry_after`]).
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    status: Option<Status>,
    retryable: bool,
    applied: Applied,
    retry_after: Option<Duration>,
    text: String,
}

impl Error {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same operation may succeed later. The client has tried what is safe already.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Whether the write was applied all the same. `Unknown` means just that: it may be there now,
    /// later, or never.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.0.applied
    }

    /// How long the server wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The server's code, if a server said it and it is one this version knows.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.0.status
    }

    /// A request or configuration that no server would take.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, false, Applied::No, text.into())
    }

    /// The deadline passed on this side.
    pub(crate) fn timeout(applied: Applied, text: &str) -> Self {
        Self::new(ErrorKind::Timeout, true, applied, text.to_owned())
    }

    /// A server could not be reached, or was lost.
    pub(crate) fn unavailable(applied: Applied, text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, true, applied, text.into())
    }

    /// A server broke the protocol.
    pub(crate) fn protocol(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Server, false, Applied::Unknown, text.into())
    }

    /// A server's refusal, by its code alone.
    pub(crate) fn refused(status: Status) -> Self {
        Self::new(kind_of(status), status.is_retryable(), status.applied(), status.text().into())
            .with_status(status)
    }

    /// A server's refusal. A code that this version does not know is told by the header's flags.
    pub(crate) fn reply(reply: &ErrorReply) -> Self {
        let status = reply.status();
        let kind = status.map_or(ErrorKind::Server, kind_of);
        let mut text = match status {
            Some(status) => status.text().to_owned(),
            None => format!("the server refused with code {}, unknown here", reply.code),
        };
        if let Some(detail) = &reply.detail {
            if !detail.text.is_empty() {
                text = format!("{text}: {}", detail.text);
            }
            if detail.needed > 0 {
                let (got, needed, level) = (detail.got, detail.needed, detail.level);
                text = format!("{text} ({got} of {needed} replicas for {level})");
            }
        }
        let mut error = Self::new(kind, reply.retryable, reply.applied, text);
        error.0.status = status;
        let delay = Duration::from_micros(u64::from(reply.retry_after_us));
        error.0.retry_after = Some(delay).filter(|delay| !delay.is_zero());
        error
    }

    /// A refusal that nothing in the request can have been applied after.
    pub(crate) fn not_applied(mut self) -> Self {
        self.0.applied = Applied::No;
        self
    }

    /// The same, said by the server at `address`.
    pub(crate) fn at(mut self, address: &str) -> Self {
        self.0.text = format!("{address}: {}", self.0.text);
        self
    }

    pub(crate) fn with_retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    fn with_status(mut self, status: Status) -> Self {
        self.0.status = Some(status);
        self
    }

    fn new(kind: ErrorKind, retryable: bool, applied: Applied, text: String) -> Self {
        Self(Box::new(Inner { kind, status: None, retryable, applied, retry_after: None, text }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        if self.0.applied == Applied::Unknown {
            f.write_str("; whether the write was applied is unknown")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

fn kind_of(status: Status) -> ErrorKind {
    match status {
        Status::DeadlineExceeded | Status::OutcomeUnknown => ErrorKind::Timeout,
        Status::Overloaded | Status::TooManyConnections => ErrorKind::Overloaded,
        Status::Draining
        | Status::NotOwner
        | Status::ReplyFull
        | Status::Unavailable
        | Status::ShuttingDown
        | Status::HandshakeTimeout => ErrorKind::Unavailable,
        Status::DiskFull => ErrorKind::DiskFull,
        Status::WrongCluster | Status::VersionUnsupported => ErrorKind::WrongServer,
        Status::Corrupt => ErrorKind::Corrupt,
        Status::KeyEmpty
        | Status::KeyTooLong
        | Status::ValueTooLarge
        | Status::TtlTooLong
        | Status::TooManyKeys
        | Status::MalformedBody
        | Status::UnknownKind
        | Status::Unsupported
        | Status::UnknownNamespace
        | Status::OutOfOrder
        | Status::StampAhead
        | Status::TooManySiblings
        | Status::FrameTooLarge
        | Status::HandshakeRequired => ErrorKind::Invalid,
        _ => ErrorKind::Server,
    }
}

#[cfg(test)]
mod tests {
    use schemas::message::ErrorDetail;

    use super::*;

    fn reply(code: u8) -> ErrorReply {
        ErrorReply {
            code,
            retryable: true,
            applied: Applied::Unknown,
            retry_after_us: 1500,
            detail: None,
        }
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let error = Error::reply(&ErrorReply {
            detail: Some(ErrorDetail { got: 1, needed: 2, ..ErrorDetail::text("rack b is down") }),
            ..reply(Status::Unavailable as u8)
        });
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.status(), Some(Status::Unavailable));
        assert_eq!(error.retry_after(), Some(Duration::from_micros(1500)));
        let text = error.to_string();
        assert!(text.contains("rack b is down (1 of 2 replicas"), "{text}");
        assert!(text.ends_with("whether the write was applied is unknown"), "{text}");
    }

    #[test]
    fn a_code_of_a_later_version_goes_by_its_flags() {
        let error = Error::reply(&reply(250));
        assert_eq!((error.kind(), error.status()), (ErrorKind::Server, None));
        assert!(error.is_retryable());
        assert_eq!(error.applied(), Applied::Unknown);
    }
}

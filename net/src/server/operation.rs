//! What a request asks for, as metrics tell requests apart.

use schemas::kind::Kind;
use schemas::message::Get;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Operation {
    /// The value of a key.
    Get = 0,
    /// Whether a key has a value.
    Exists = 1,
    /// To write a key.
    Put = 2,
    /// To delete a key.
    Delete = 3,
    /// The values of several keys.
    MultiGet = 4,
    /// A page of records.
    Scan = 5,
}

impl Operation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Get, Self::Exists, Self::Put, Self::Delete, Self::MultiGet, Self::Scan];

    /// What a request of `kind` with this body asks for; `None` if requests of that kind are not
    /// a [`Service`](super::Service)'s.
    #[inline]
    #[must_use]
    pub fn of(kind: Kind, body: &[u8]) -> Option<Self> {
        Some(match kind {
            Kind::Get if Get::is_key_only(body) => Self::Exists,
            Kind::Get => Self::Get,
            Kind::Put => Self::Put,
            Kind::Delete => Self::Delete,
            Kind::MultiGet => Self::MultiGet,
            Kind::Scan => Self::Scan,
            _ => return None,
        })
    }

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Exists => "exists",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::MultiGet => "multi_get",
            Self::Scan => "scan",
        }
    }
}

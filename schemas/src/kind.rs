//! What a frame is.
//!
//! A reply's kind is its request's with the top bit set; `0x40..0x60` are pushes, which nobody
//! asked for; `Error` answers anything. Numbers are never used again.

/// The kind of a frame, the header's byte 9.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// First frame of a client: table `Handshake`.
    Handshake = 0x01,
    /// Are you there? Empty.
    Ping = 0x02,
    /// Who holds what? Table `RouteRequest`.
    Route = 0x03,
    /// Reads a key, or asks whether it exists: `GetHead`, key.
    Get = 0x10,
    /// Writes a key: `PutHead`, key, context, value.
    Put = 0x11,
    /// Deletes a key: `DeleteHead`, key, context.
    Delete = 0x12,
    /// Reads several keys: table `MultiGet`.
    MultiGet = 0x13,
    /// Reads records in order, a page at a time: table `Scan`.
    Scan = 0x14,
    /// Push: the header's epoch is newer; ask for the route. Empty.
    RingChanged = 0x40,
    /// Push: the server is going; send new requests elsewhere. The header's `deadline_us` says
    /// when it closes. Empty.
    Draining = 0x41,
    /// First frame of a server: table `HandshakeReply`.
    HandshakeReply = 0x81,
    /// Answers `Ping`. Empty.
    Pong = 0x82,
    /// Answers `Route`: table `RouteReply`.
    RouteReply = 0x83,
    /// Answers `Get`: `GetReplyHead`, context, value.
    GetReply = 0x90,
    /// Answers `Put`: `WriteReplyHead`, context.
    PutReply = 0x91,
    /// Answers `Delete`: `WriteReplyHead`, context.
    DeleteReply = 0x92,
    /// Answers `MultiGet`: table `MultiGetReply`.
    MultiGetReply = 0x93,
    /// Answers `Scan`: table `ScanReply`.
    ScanReply = 0x94,
    /// Refuses any request; the code is in the header. Empty, or table `Error`.
    Error = 0xff,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Handshake,
        Self::Ping,
        Self::Route,
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::MultiGet,
        Self::Scan,
        Self::RingChanged,
        Self::Draining,
        Self::HandshakeReply,
        Self::Pong,
        Self::RouteReply,
        Self::GetReply,
        Self::PutReply,
        Self::DeleteReply,
        Self::MultiGetReply,
        Self::ScanReply,
        Self::Error,
    ];

    /// The kind that `byte` names; `None` for one this version does not know.
    #[inline]
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Handshake,
            0x02 => Self::Ping,
            0x03 => Self::Route,
            0x10 => Self::Get,
            0x11 => Self::Put,
            0x12 => Self::Delete,
            0x13 => Self::MultiGet,
            0x14 => Self::Scan,
            0x40 => Self::RingChanged,
            0x41 => Self::Draining,
            0x81 => Self::HandshakeReply,
            0x82 => Self::Pong,
            0x83 => Self::RouteReply,
            0x90 => Self::GetReply,
            0x91 => Self::PutReply,
            0x92 => Self::DeleteReply,
            0x93 => Self::MultiGetReply,
            0x94 => Self::ScanReply,
            0xff => Self::Error,
            _ => return None,
        })
    }

    /// The kind that answers this request when nothing goes wrong; `None` unless it is a request.
    #[inline]
    #[must_use]
    pub const fn reply(self) -> Option<Self> {
        match self as u8 {
            request @ 0x01..0x40 => Self::from_byte(request | 0x80),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_and_its_kind_name_each_other() {
        let known = (0..=u8::MAX).filter_map(Kind::from_byte).collect::<Vec<_>>();
        assert_eq!(known, Kind::ALL);
        for kind in known {
            assert_eq!(Kind::from_byte(kind as u8), Some(kind));
        }
    }

    #[test]
    fn every_request_has_a_reply_and_nothing_else_has() {
        for kind in Kind::ALL {
            assert_eq!(kind.reply().is_some(), (kind as u8) < 0x40, "{kind:?}");
        }
    }
}

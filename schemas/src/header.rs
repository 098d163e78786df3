//! The header of every frame: 32 bytes, little-endian.
//!
//! ```text
//!  0        4        8         9     10      11       12      14       16
//!  | body   | crc32c | version | kind | flags | status | shard | zero   |
//!  | len u32| u32    | u8      | u8   | u8    | u8     | u16   | u16    |
//!  16                          24             28                      32
//!  | request id u64             | epoch u32    | deadline us u32         |
//! ```
//!
//! The body length counts the body's padding, so it is a multiple of 8 and so is every frame. The
//! checksum covers bytes 8 to the end of the body. The first 9 bytes, and the place of the request
//! id, are the same in every version there will ever be.

use crate::ids::ShardId;
use crate::status::{Applied, Status};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 32;

/// The version of the protocol this code speaks, and the only one so far.
pub const PROTOCOL_VERSION: u8 = 1;

/// The shard of a request whose sender does not know the owner.
pub const ANY_SHARD: ShardId = ShardId(u16::MAX);

/// Flag of a reply: the request belongs on the shard that the header names, and was forwarded.
pub const FLAG_ROUTE_HINT: u8 = 1;
/// Flag of an error: the same request may succeed later or elsewhere.
pub const FLAG_RETRYABLE: u8 = 1 << 1;
/// Where the flags of an error hold [`Applied`], two bits.
const APPLIED_SHIFT: u8 = 2;

/// What a header says besides the frame's length, version and kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bits `FLAG_*`; their meaning depends on the kind. Unknown ones are ignored.
    pub flags: u8,
    /// [`Status`] of a reply; 0 in requests and pushes.
    pub status: u8,
    /// Request: the owner as the client sees it, or [`ANY_SHARD`]. Reply with
    /// [`FLAG_ROUTE_HINT`]: the owner.
    pub shard: ShardId,
    /// Chosen by the client, unique among its requests in flight on the connection; echoed.
    pub request_id: u64,
    /// The ring's epoch as the sender knows it; 0 if it does not.
    pub epoch: u32,
    /// Request: microseconds the client still waits, 0 for no deadline. Error: microseconds after
    /// which to try again, 0 for at once. Draining: microseconds until the server closes.
    pub deadline_us: u32,
}

impl Header {
    /// The header of a request without a deadline, for any shard.
    #[inline]
    #[must_use]
    pub const fn request(request_id: u64) -> Self {
        Self { flags: 0, status: 0, shard: ANY_SHARD, request_id, epoch: 0, deadline_us: 0 }
    }

    /// The header of a reply that went well.
    #[inline]
    #[must_use]
    pub const fn reply(request_id: u64, epoch: u32) -> Self {
        Self { flags: 0, status: 0, shard: ANY_SHARD, request_id, epoch, deadline_us: 0 }
    }

    /// The header of an error: all that a program must know of it, so the body may be empty.
    #[must_use]
    pub const fn error(request_id: u64, epoch: u32, status: Status, retry_after_us: u32) -> Self {
        let retryable = if status.is_retryable() { FLAG_RETRYABLE } else { 0 };
        Self {
            flags: retryable | (status.applied() as u8) << APPLIED_SHIFT,
            status: status as u8,
            shard: ANY_SHARD,
            request_id,
            epoch,
            deadline_us: retry_after_us,
        }
    }

    /// Names `owner` as the shard to send such requests to.
    #[inline]
    #[must_use]
    pub const fn with_route_hint(mut self, owner: ShardId) -> Self {
        self.flags |= FLAG_ROUTE_HINT;
        self.shard = owner;
        self
    }

    /// The owner that a reply names, if the request was sent to another shard.
    #[inline]
    #[must_use]
    pub const fn route_hint(&self) -> Option<ShardId> {
        if self.flags & FLAG_ROUTE_HINT != 0 { Some(self.shard) } else { None }
    }

    /// Of an error, by its flags: whether the same request may succeed later or elsewhere.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.flags & FLAG_RETRYABLE != 0
    }

    /// Of an error, by its flags: whether the write was applied.
    #[must_use]
    pub const fn applied(&self) -> Applied {
        match (self.flags >> APPLIED_SHIFT) & 3 {
            0 => Applied::No,
            1 => Applied::Yes,
            _ => Applied::Unknown,
        }
    }

    /// Fills the first 32 bytes of `frame`, whose body is in place, padding included.
    ///
    /// # Panics
    /// If `frame` is no whole frame: a multiple of 8 bytes, at least a header, at most 4 GiB.
    #[inline]
    pub(crate) fn seal(&self, kind: u8, frame: &mut [u8]) {
        assert!(frame.len() >= HEADER_BYTES && frame.len().is_multiple_of(8), "no whole frame");
        let body_len = u32::try_from(frame.len() - HEADER_BYTES).expect("a frame below 4 GiB");
        let head: &mut [u8; HEADER_BYTES] =
            frame.first_chunk_mut().expect("the length was asserted");
        head[0..4].copy_from_slice(&body_len.to_le_bytes());
        head[8..12].copy_from_slice(&[PROTOCOL_VERSION, kind, self.flags, self.status]);
        head[12..14].copy_from_slice(&self.shard.0.to_le_bytes());
        head[14..16].copy_from_slice(&[0, 0]);
        head[16..24].copy_from_slice(&self.request_id.to_le_bytes());
        head[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        head[28..32].copy_from_slice(&self.deadline_us.to_le_bytes());
        let crc = crc32c::crc32c(&frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// A header as it was received: nothing in it has been checked.
#[derive(Clone, Copy)]
pub(crate) struct RawHeader<'a>(pub(crate) &'a [u8; HEADER_BYTES]);

impl RawHeader<'_> {
    #[inline]
    fn field<const N: usize>(self, at: usize) -> [u8; N] {
        *self.0[at..].first_chunk().expect("a field lies within the header")
    }

    #[inline]
    pub(crate) fn body_len(self) -> u32 {
        u32::from_le_bytes(self.field(0))
    }

    #[inline]
    pub(crate) fn crc(self) -> u32 {
        u32::from_le_bytes(self.field(4))
    }

    #[inline]
    pub(crate) fn version(self) -> u8 {
        self.0[8]
    }

    #[inline]
    pub(crate) fn kind(self) -> u8 {
        self.0[9]
    }

    #[inline]
    pub(crate) fn status(self) -> u8 {
        self.0[11]
    }

    #[inline]
    pub(crate) fn request_id(self) -> u64 {
        u64::from_le_bytes(self.field(16))
    }

    #[inline]
    pub(crate) fn header(self) -> Header {
        Header {
            flags: self.0[10],
            status: self.status(),
            shard: ShardId(u16::from_le_bytes(self.field(12))),
            request_id: self.request_id(),
            epoch: u32::from_le_bytes(self.field(24)),
            deadline_us: u32::from_le_bytes(self.field(28)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_header_tells_what_its_status_means() {
        for status in Status::ALL {
            let header = Header::error(7, 3, status, 1500);
            assert_eq!(header.is_retryable(), status.is_retryable());
            assert_eq!(header.applied(), status.applied());
            assert_eq!(header.route_hint(), None);
            let hinted = header.with_route_hint(ShardId(4));
            assert_eq!(hinted.route_hint(), Some(ShardId(4)));
            assert_eq!(hinted.applied(), status.applied());
        }
    }
}

//! Frames: a header and a body, written in one piece and read in place.
//!
//! Reading trusts nothing: the version and the length are checked on the header alone, before any
//! of the body is waited for; the checksum is checked on every frame. What a frame's body says is
//! checked by the message that is decoded from it.

use std::iter;

use crate::header::{HEADER_BYTES, Header, PROTOCOL_VERSION, RawHeader};
use crate::kind::Kind;
use crate::status::Status;

/// A whole frame whose checksum is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// What it says it is: see [`Frame::kind`].
    pub kind_byte: u8,
    /// The rest of its header.
    pub header: Header,
    /// Its body, padding included: a multiple of 8 bytes, aligned as the input was.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// What the frame is.
    ///
    /// # Errors
    /// [`Status::UnknownKind`]: answer with it and go on, the stream is sound.
    #[inline]
    pub fn kind(&self) -> Result<Kind, Status> {
        Kind::from_byte(self.kind_byte).ok_or(Status::UnknownKind)
    }
}

/// The stream is of no further use: answer with `status` and close.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{status}")]
pub struct FrameError {
    /// `FrameTooLarge`, `FrameCorrupt` or `VersionUnsupported`.
    pub status: Status,
    /// The request to answer; 0 where the header can not be trusted.
    pub request_id: u64,
}

/// The length of the frame whose header `input` opens with; `None` while the header is not whole.
///
/// # Errors
/// `VersionUnsupported`; `FrameTooLarge` past `frame_bytes_max`; `FrameCorrupt` for a body length
/// that is no multiple of 8.
#[inline]
pub fn peek_len(input: &[u8], frame_bytes_max: usize) -> Result<Option<usize>, FrameError> {
    let Some(head) = input.first_chunk() else { return Ok(None) };
    let head = RawHeader(head);
    let body_len = head.body_len() as usize;
    if head.version() != PROTOCOL_VERSION {
        return Err(refused(Status::VersionUnsupported, head));
    }
    if body_len > frame_bytes_max.saturating_sub(HEADER_BYTES) {
        return Err(refused(Status::FrameTooLarge, head));
    }
    if !body_len.is_multiple_of(8) {
        return Err(FrameError { status: Status::FrameCorrupt, request_id: 0 });
    }
    Ok(Some(HEADER_BYTES + body_len))
}

#[cold]
fn refused(status: Status, head: RawHeader<'_>) -> FrameError {
    FrameError { status, request_id: head.request_id() }
}

/// Reads the frame that `input` opens with, in place, and its length; `None` while it is not
/// whole. The next frame starts right after it.
///
/// # Errors
/// Those of [`peek_len`], and `FrameCorrupt` for a wrong checksum.
#[inline]
pub fn read(
    input: &[u8],
    frame_bytes_max: usize,
) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(len) = peek_len(input, frame_bytes_max)? else { return Ok(None) };
    let Some(frame) = input.get(..len) else { return Ok(None) };
    let (head, body) = frame.split_first_chunk().expect("a frame holds a header");
    let head = RawHeader(head);
    if crc32c::crc32c(&frame[8..]) != head.crc() {
        return Err(FrameError { status: Status::FrameCorrupt, request_id: 0 });
    }
    Ok(Some((Frame { kind_byte: head.kind(), header: head.header(), body }, len)))
}

/// The kinds and bodies of the frames that lie whole at the front of `input`. Nothing of them is
/// checked but that they lie there: for hints, which may be wrong.
pub fn ahead(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    iter::from_fn(move || {
        let head = RawHeader(input.first_chunk()?);
        let len = HEADER_BYTES.checked_add(head.body_len() as usize)?;
        let (frame, rest) = input.split_at_checked(len)?;
        input = rest;
        Some((head.kind(), &frame[HEADER_BYTES..]))
    })
}

/// The status in the header of a frame that was written by this side.
///
/// # Panics
/// If `frame` is shorter than a header.
#[inline]
#[must_use]
pub fn status_byte(frame: &[u8]) -> u8 {
    RawHeader(frame.first_chunk().expect("a frame holds a header")).status()
}

/// Something that is the body of a frame.
pub trait Message {
    /// What its frame is.
    fn kind(&self) -> Kind;
    /// Bytes of its body, without padding.
    fn body_len(&self) -> usize;
    /// Writes its body into `out`, exactly [`Message::body_len`] bytes.
    fn write_body(&self, out: &mut [u8]);

    /// Bytes of its frame: header, body, padding.
    #[inline]
    fn frame_len(&self) -> usize {
        HEADER_BYTES + self.body_len().next_multiple_of(8)
    }
}

/// A frame without a body: `Ping`, `Pong`, pushes, an error without details.
impl Message for Kind {
    #[inline]
    fn kind(&self) -> Kind {
        *self
    }

    #[inline]
    fn body_len(&self) -> usize {
        0
    }

    #[inline]
    fn write_body(&self, _out: &mut [u8]) {}
}

/// Writes a frame to the front of `out` and returns its length, [`Message::frame_len`].
///
/// # Panics
/// If `out` is shorter than that.
#[inline]
pub fn write(header: &Header, message: &impl Message, out: &mut [u8]) -> usize {
    let body_len = message.body_len();
    let len = HEADER_BYTES + body_len.next_multiple_of(8);
    let frame = &mut out[..len];
    message.write_body(&mut frame[HEADER_BYTES..HEADER_BYTES + body_len]);
    frame[HEADER_BYTES + body_len..].fill(0);
    header.seal(message.kind() as u8, frame);
    len
}

/// Writes a frame to the end of `out`.
#[inline]
pub fn append(header: &Header, message: &impl Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + message.frame_len(), 0);
    write(header, message, &mut out[start..]);
}

//! Frames out of a stream that is cut anywhere.
//!
//! Whole frames are borrowed straight from the received bytes. Only a frame that lies across two
//! receives is copied, into a buffer that holds at most one frame and grows with the bytes that
//! arrived, never with the length that a header claims.

use crate::frame::{self, Frame, FrameError};
use crate::header::HEADER_BYTES;
use crate::limits::FRAME_BYTES_MAX;

/// Bytes of memory kept between frames: enough for small pairs, so that ten thousand connections
/// that once sent a large value hold little.
const KEPT_BYTES_MAX: usize = 512;

/// The receiving half of one connection.
///
/// ```
/// # use schemas::{decoder::Decoder, frame, header::Header, kind::Kind};
/// let mut stream = Vec::new();
/// frame::append(&Header::request(7), &Kind::Ping, &mut stream);
/// let mut decoder = Decoder::new();
/// let (mut first, mut second) = stream.split_at(11);
/// assert_eq!(decoder.next(&mut first), Ok(None));
/// let frame = decoder.next(&mut second)?.expect("the rest of the frame");
/// assert_eq!((frame.kind(), frame.header.request_id), (Ok(Kind::Ping), 7));
/// # Ok::<(), frame::FrameError>(())
/// ```
#[derive(Default, Debug)]
pub struct Decoder {
    /// A frame's beginning, or the whole frame returned last.
    partial: Vec<u8>,
    returned: bool,
}

impl Decoder {
    /// A decoder for a connection whose handshake is done: frames of the full size are allowed.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: Vec::new(), returned: false }
    }

    /// Bytes of an unfinished frame that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        if self.returned { 0 } else { self.partial.len() }
    }

    /// Bytes of memory that are held, but for the few that every connection may keep.
    #[must_use]
    pub fn memory(&self) -> usize {
        Some(self.partial.capacity()).filter(|bytes| *bytes > KEPT_BYTES_MAX).unwrap_or(0)
    }

    /// The next frame of the stream; `input` moves past what was taken. `None` once `input` is
    /// used up: the rest of the frame is in bytes not received yet.
    ///
    /// # Errors
    /// The stream is of no further use: answer and close. Calls after an error have no meaning.
    #[inline]
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'a>>, FrameError> {
        if self.returned {
            self.release();
        }
        if !self.partial.is_empty() {
            return self.next_partial(input);
        }
        if let Some((frame, len)) = frame::read(input, FRAME_BYTES_MAX)? {
            *input = &input[len..];
            return Ok(Some(frame));
        }
        self.partial.extend_from_slice(input);
        *input = &[];
        Ok(None)
    }

    #[cold]
    fn release(&mut self) {
        self.returned = false;
        self.partial.clear();
        if self.partial.capacity() > KEPT_BYTES_MAX {
            self.partial = Vec::new();
        }
    }

    /// Tops up the held frame: first its header, whose length is checked, then as much as it says.
    fn next_partial(&mut self, input: &mut &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
        self.top_up(HEADER_BYTES, input);
        let Some(len) = frame::peek_len(&self.partial, FRAME_BYTES_MAX)? else {
            return Ok(None);
        };
        self.top_up(len, input);
        let whole = frame::read(&self.partial, FRAME_BYTES_MAX)?;
        self.returned = whole.is_some();
        Ok(whole.map(|(frame, _)| frame))
    }

    fn top_up(&mut self, len: usize, input: &mut &[u8]) {
        let missing = len.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.partial.extend_from_slice(taken);
        *input = rest;
    }
}

//! Reads a segment batch by batch, or block by block where there is none.

use std::io;

use super::format::{self, HEADER_BYTES, Head, Label, Place};
use crate::env::{ALIGN, Env, File};
use crate::limits::BACKGROUND_IO_BYTES_MAX;

/// What there is at a place of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// A whole batch; [`Scanner::batch`] has its bytes.
    Batch(Label),
    /// Part of a batch of this segment, which says to have this many bytes.
    Torn(u64),
    /// Nothing this segment put there.
    Foreign,
    /// The file ends here.
    End,
}

/// Reads one segment. Holds a window of it in memory.
pub(super) struct Scanner<'a, E: Env> {
    env: &'a E,
    file: E::File,
    segment: u64,
    /// Bytes of the file, in whole blocks.
    bytes: u64,
    /// Blocks that cannot be read count as zeros.
    skip_unreadable: bool,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a, E: Env> Scanner<'a, E> {
    pub(super) fn new(
        env: &'a E,
        file: E::File,
        segment: u64,
        bytes: u64,
        skip_unreadable: bool,
    ) -> Self {
        let bytes = bytes - bytes % ALIGN as u64;
        Self { env, file, segment, bytes, skip_unreadable, window: Vec::new(), window_start: 0 }
    }

    /// Looks at `offset`, which is a multiple of [`ALIGN`].
    ///
    /// # Errors
    /// The disk's, with the offset it is about.
    pub(super) async fn look(&mut self, offset: u64) -> Result<Found, (u64, io::Error)> {
        if offset >= self.bytes {
            return Ok(Found::End);
        }
        let place = Place { segment: self.segment, offset };
        self.load(offset, ALIGN).await?;
        let length = match format::head(place, self.loaded(offset, HEADER_BYTES)) {
            Head::Foreign => return Ok(Found::Foreign),
            Head::Damaged => return Ok(Found::Torn(ALIGN as u64)),
            Head::Batch { length } if length as u64 > self.bytes - offset => {
                return Ok(Found::Torn(self.bytes - offset));
            }
            Head::Batch { length } => length,
        };
        self.load(offset, length).await?;
        let torn = Found::Torn(length.next_multiple_of(ALIGN) as u64);
        Ok(format::verify(place, self.loaded(offset, length)).map_or(torn, Found::Batch))
    }

    /// The id of the other segment that this file begins with a batch of, if it does.
    ///
    /// # Errors
    /// As [`Scanner::look`].
    pub(super) async fn other_segment(&mut self) -> Result<Option<u64>, (u64, io::Error)> {
        self.load(0, ALIGN).await?;
        let named = format::named_segment(self.loaded(0, HEADER_BYTES));
        let Some(other) = named.filter(|named| *named != self.segment) else { return Ok(None) };
        let own = std::mem::replace(&mut self.segment, other);
        let found = self.look(0).await;
        self.segment = own;
        Ok(matches!(found?, Found::Batch(_)).then_some(other))
    }

    /// The bytes of the batch that the last [`Scanner::look`] found at `offset`.
    pub(super) fn batch(&self, offset: u64, label: &Label) -> &[u8] {
        self.loaded(offset, label.length)
    }

    fn loaded(&self, offset: u64, len: usize) -> &[u8] {
        let start = (offset - self.window_start) as usize;
        &self.window[start..start + len]
    }

    /// Makes the window hold `len` bytes from `offset` on, all within the file.
    async fn load(&mut self, offset: u64, len: usize) -> Result<(), (u64, io::Error)> {
        let window_end = self.window_start + self.window.len() as u64;
        if self.window_start <= offset && offset + len as u64 <= window_end {
            return Ok(());
        }
        // What is there of it already is kept: only longer batches than a request need more.
        if (self.window_start..window_end).contains(&offset) {
            self.window.drain(..(offset - self.window_start) as usize);
        } else {
            self.window.clear();
        }
        self.window_start = offset;
        while self.window.len() < len {
            self.env.pause().await;
            let at = offset + self.window.len() as u64;
            let left = usize::try_from(self.bytes - at).unwrap_or(usize::MAX);
            self.read(at, left.min(BACKGROUND_IO_BYTES_MAX)).await?;
        }
        Ok(())
    }

    /// Reads `len` bytes at `at` to the end of the window.
    async fn read(&mut self, at: u64, len: usize) -> Result<(), (u64, io::Error)> {
        match self.file.read_at(at, len).await {
            Ok(buf) => self.take(&buf, len),
            Err(_) if self.skip_unreadable => {
                for block in (0..len).step_by(ALIGN) {
                    match self.file.read_at(at + block as u64, ALIGN).await {
                        Ok(buf) => self.take(&buf, ALIGN),
                        Err(_) => self.take(&[], ALIGN),
                    }
                }
            }
            Err(error) => return Err((at, error)),
        }
        Ok(())
    }

    /// A file that became shorter since its size was asked for ends in zeros.
    fn take(&mut self, bytes: &[u8], len: usize) {
        let end = self.window.len() + len;
        self.window.extend_from_slice(bytes);
        self.window.resize(end, 0);
    }
}

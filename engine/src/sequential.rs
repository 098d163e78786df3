//! Sequential I/O of the background: [`Sink`] writes a file from its first byte to its last in
//! large aligned requests, [`read_span`] reads part of one.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;

use futures_lite::future::poll_once;

use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, File};
use crate::limits::BACKGROUND_IO_BYTES_MAX;

/// Work that goes on while its task does something else.
pub(crate) type Begun<T> = Pin<Box<dyn Future<Output = T>>>;

/// Begins `work`.
pub(crate) async fn begin<T: 'static>(work: impl Future<Output = T> + 'static) -> Begun<T> {
    let mut work: Begun<T> = Box::pin(work);
    match poll_once(&mut work).await {
        Some(done) => Box::pin(ready(done)),
        None => work,
    }
}

/// Writes a file from its first byte to its last. One request is under way while the next one is
/// filled, so an error may be that of what was put before; it is of no more use then.
pub(crate) struct Sink<F> {
    file: F,
    buf: AlignedBuf,
    filled: usize,
    written: u64,
    crc: u32,
    writing: Option<Begun<io::Result<AlignedBuf>>>,
}

impl<F: File> Sink<F> {
    /// Writes `file` from its first byte on.
    pub(crate) fn new(file: F) -> Self {
        let buf = AlignedBuf::zeroed(BACKGROUND_IO_BYTES_MAX);
        Self { file, buf, filled: 0, written: 0, crc: 0, writing: None }
    }

    /// Bytes put so far: where the next one goes.
    pub(crate) fn position(&self) -> u64 {
        self.written + self.filled as u64
    }

    /// CRC-32C of all bytes put so far, seeded with nothing: anybody can compute it of the file.
    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    /// Adds `bytes` to the file.
    pub(crate) async fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        while !bytes.is_empty() {
            let room = (self.buf.capacity() - self.filled).min(bytes.len());
            let (now, rest) = bytes.split_at(room);
            self.buf[self.filled..self.filled + room].copy_from_slice(now);
            self.filled += room;
            bytes = rest;
            if self.filled == self.buf.capacity() {
                self.write_out().await?;
            }
        }
        Ok(())
    }

    /// Adds zeros up to byte `position`, less than a page away.
    pub(crate) async fn pad_to(&mut self, position: u64) -> io::Result<()> {
        let zeros = usize::try_from(position - self.position()).expect("less than a page");
        self.put(&[0; ALIGN][..zeros]).await
    }

    /// Writes what is left and makes the file durable. The position is a multiple of [`ALIGN`],
    /// and nothing is put afterwards.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        if self.filled > 0 {
            self.buf.set_len(self.filled);
            self.write_out().await?;
        }
        if let Some(writing) = self.writing.take() {
            writing.await?;
        }
        self.file.sync().await
    }

    async fn write_out(&mut self) -> io::Result<()> {
        let spare = match self.writing.take() {
            Some(writing) => writing.await?,
            None => AlignedBuf::zeroed(BACKGROUND_IO_BYTES_MAX),
        };
        let full = std::mem::replace(&mut self.buf, spare);
        let (file, at) = (self.file.clone(), self.written);
        self.writing = Some(begin(async move { file.write_at(at, full).await }).await);
        self.written += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

/// Reads the `len` bytes from `offset` on, which the caller has checked against the file's length.
/// Fewer come back only if the file has become shorter.
pub(crate) async fn read_span<F: File>(file: &F, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(len);
    let end = offset + len as u64;
    let mut at = offset - offset % ALIGN as u64;
    while at < end {
        let want = (end - at).next_multiple_of(ALIGN as u64).min(BACKGROUND_IO_BYTES_MAX as u64);
        let buf = file.read_at(at, want as usize).await?;
        let skip = offset.saturating_sub(at).min(buf.len() as u64) as usize;
        let take = (buf.len() - skip).min(len - out.len());
        out.extend_from_slice(&buf[skip..skip + take]);
        if buf.len() < want as usize {
            break;
        }
        at += want;
    }
    Ok(out)
}

//! A file of the real world.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use glommio::GlommioError;
use glommio::io::DmaFile;

use super::closer::Closer;
use crate::env::buf::AlignedBuf;
use crate::env::ring::Ring;
use crate::env::{ALIGN, File};

/// The largest request of background I/O, in bytes: a longer one would hold up the device queue
/// that foreground reads wait in.
const REQUEST_BYTES_MAX: usize = 128 << 10;

/// An open file: glommio's descriptor, used by glommio and by the core's ring.
#[derive(Clone)]
pub struct DirectFile {
    file: Rc<Descriptor>,
    ring: Ring,
}

/// A descriptor that the [`Closer`] closes.
struct Descriptor {
    file: Option<DmaFile>,
    closer: Closer,
}

impl Deref for Descriptor {
    type Target = DmaFile;

    fn deref(&self) -> &DmaFile {
        self.file.as_ref().expect("there until it is dropped")
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.deref().as_raw_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.closer.close(file.into());
        }
    }
}

impl DirectFile {
    pub(super) fn new(file: DmaFile, ring: Ring, closer: Closer) -> Self {
        Self { file: Rc::new(Descriptor { file: Some(file), closer }), ring }
    }

    /// The ring's share in the descriptor: it stays open until the operation has ended.
    fn for_ring(&self) -> Rc<dyn AsRawFd> {
        self.file.clone()
    }
}

impl File for DirectFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<AlignedBuf> {
        let mut buf = AlignedBuf::zeroed(len);
        let mut filled = 0;
        while filled < len {
            let want = (len - filled).min(REQUEST_BYTES_MAX).next_multiple_of(ALIGN);
            let read = self.file.read_at_aligned(offset + filled as u64, want).await;
            let read = read.map_err(system_error)?;
            let got = read.len().min(len - filled);
            buf[filled..filled + got].copy_from_slice(&read[..got]);
            filled += got;
            if read.len() < want {
                break;
            }
        }
        buf.set_len(filled);
        Ok(buf)
    }

    async fn write_at(&self, offset: u64, buf: AlignedBuf) -> io::Result<AlignedBuf> {
        let mut done = 0;
        while done < buf.len() {
            let len = (buf.len() - done).min(REQUEST_BYTES_MAX);
            let mut request = self.file.alloc_dma_buffer(len);
            request.as_bytes_mut()[..len].copy_from_slice(&buf[done..done + len]);
            request.trim_to_size(len);
            let wrote = self.file.write_at(request, offset + done as u64).await;
            let wrote = wrote.map_err(system_error)?;
            // A device that takes part of a block, or nothing, is full or gone; going on from an
            // unaligned place cannot work.
            if wrote == 0 || !wrote.is_multiple_of(ALIGN) {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += wrote;
        }
        Ok(buf)
    }

    async fn sync(&self) -> io::Result<()> {
        self.file.fdatasync().await.map_err(system_error)
    }

    async fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.pre_allocate(bytes, false).await.map_err(system_error)
    }

    async fn size(&self) -> io::Result<u64> {
        self.file.file_size().await.map_err(system_error)
    }

    fn start_read(&self, ticket: u64, offset: u64, buf: AlignedBuf) {
        self.ring.read(self.for_ring(), ticket, offset, buf);
    }

    fn start_append(&self, ticket: u64, offset: u64, buf: AlignedBuf, sync: bool) {
        self.ring.append(self.for_ring(), ticket, offset, buf, sync);
    }
}

/// The system's error inside glommio's, whose own conversion loses the number.
pub(super) fn system_error(error: GlommioError<()>) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error), io::Error::from_raw_os_error)
}

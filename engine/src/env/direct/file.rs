//! A file of the real world: glommio opens, sizes and closes it; its bytes go through the core's
//! ring.

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

impl DirectFile {
    /// Reads into `buf`, which comes back shorter at the end of the file.
    async fn read_request(&self, offset: u64, buf: AlignedBuf) -> io::Result<AlignedBuf> {
        let (mut buf, read) = self.ring.read_awaited(self.for_ring(), offset, buf).await;
        let read = read?;
        buf.set_len(read);
        Ok(buf)
    }

    /// Writes the whole of `buf`. A short write is gone on with; one that ends within a block, or
    /// wrote nothing, cannot be: the device is full or gone.
    async fn write_request(&self, offset: u64, mut buf: AlignedBuf) -> io::Result<AlignedBuf> {
        let len = buf.len();
        let mut done = 0;
        loop {
            let write = self.ring.write_awaited(self.for_ring(), offset + done as u64, buf);
            let wrote;
            (buf, wrote) = write.await;
            let wrote = wrote?;
            if wrote == 0 || !wrote.is_multiple_of(ALIGN) {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if wrote == buf.len() {
                break;
            }
            done += wrote;
            let rest = buf.len() - wrote;
            buf.copy_within(wrote.., 0);
            buf.set_len(rest);
        }
        if done > 0 {
            // Whoever gets it back fills it anew; its length is what counts.
            buf.set_len(len);
        }
        Ok(buf)
    }
}

impl File for DirectFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<AlignedBuf> {
        if len <= REQUEST_BYTES_MAX {
            return self.read_request(offset, AlignedBuf::zeroed(len)).await;
        }
        let mut buf = AlignedBuf::zeroed(len);
        let mut request = AlignedBuf::zeroed(REQUEST_BYTES_MAX);
        let mut filled = 0;
        while filled < len {
            let want = (len - filled).min(REQUEST_BYTES_MAX);
            request.set_len(want);
            request = self.read_request(offset + filled as u64, request).await?;
            let got = request.len();
            buf[filled..filled + got].copy_from_slice(&request);
            filled += got;
            if got < want {
                break;
            }
        }
        buf.set_len(filled);
        Ok(buf)
    }

    async fn write_at(&self, offset: u64, buf: AlignedBuf) -> io::Result<AlignedBuf> {
        if buf.len() <= REQUEST_BYTES_MAX {
            return self.write_request(offset, buf).await;
        }
        let mut request = AlignedBuf::zeroed(REQUEST_BYTES_MAX);
        for (number, part) in buf.chunks(REQUEST_BYTES_MAX).enumerate() {
            request.set_len(part.len());
            request.copy_from_slice(part);
            let at = offset + (number * REQUEST_BYTES_MAX) as u64;
            request = self.write_request(at, request).await?;
        }
        Ok(buf)
    }

    async fn sync(&self) -> io::Result<()> {
        self.ring.sync_awaited(self.for_ring()).await
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

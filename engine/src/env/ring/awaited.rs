//! Disk operations that tasks await.
//!
//! They are submitted when they are first polled. One that is dropped then goes on; nobody is told
//! how it went.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::disk::Owner;
use super::ring::{Core, Ring};
use crate::env::buf::AlignedBuf;

/// How an operation ended: its buffer, and the bytes read or written.
pub(crate) type Ended = (AlignedBuf, io::Result<usize>);

/// Where the ring leaves the end of an operation for the task that awaits it.
#[derive(Default)]
pub(super) struct Ending {
    ended: Cell<Option<Ended>>,
    waiting: Cell<Option<Waker>>,
}

impl Ending {
    pub(super) fn came(&self, buf: AlignedBuf, result: io::Result<usize>) {
        self.ended.set(Some((buf, result)));
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    async fn wait(self: Rc<Self>) -> Ended {
        poll_fn(|context| match self.ended.take() {
            Some(ended) => Poll::Ready(ended),
            None => {
                self.waiting.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl Ring {
    /// Reads `buf.len()` bytes at `offset` of `file` into `buf`. They are fewer only at the end of
    /// the file.
    ///
    /// # Panics
    /// If `buf` is empty.
    pub(crate) async fn read_awaited(
        &self,
        file: Rc<dyn AsRawFd>,
        offset: u64,
        buf: AlignedBuf,
    ) -> Ended {
        self.awaited(|ring, owner| ring.read(file, owner, offset, buf)).await
    }

    /// Writes the whole of `buf` at `offset` of `file`. It may be short.
    ///
    /// # Panics
    /// If `buf` is empty.
    pub(crate) async fn write_awaited(
        &self,
        file: Rc<dyn AsRawFd>,
        offset: u64,
        buf: AlignedBuf,
    ) -> Ended {
        self.awaited(|ring, owner| ring.write(file, owner, offset, buf, false)).await
    }

    /// Makes what was written to `file` durable (`fdatasync`).
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn sync_awaited(&self, file: Rc<dyn AsRawFd>) -> io::Result<()> {
        self.awaited(|ring, owner| ring.sync(file, owner)).await.1.map(drop)
    }

    /// Waits for the end of what `start` has the ring do for it.
    async fn awaited(&self, start: impl FnOnce(&mut Core, Owner)) -> Ended {
        let ending = Rc::<Ending>::default();
        {
            let mut ring = self.0.borrow_mut();
            start(&mut ring, Owner::Task(ending.clone()));
            ring.submit_for_task();
        }
        ending.wait().await
    }
}

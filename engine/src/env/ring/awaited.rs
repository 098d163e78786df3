//! Disk operations that tasks await.
//!
//! They begin when they are asked for, not when they are first polled, so a task can have several
//! under way. One that is dropped goes on; nobody is told how it went.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::disk::Owner;
use super::ring::Ring;
use crate::env::buf::AlignedBuf;

/// How an operation ended: its buffer, and the bytes read or written.
type Ended = (AlignedBuf, io::Result<usize>);

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
    /// Begins a read of `buf.len()` bytes at `offset` of `file` into `buf`. The bytes read are
    /// fewer only at the end of the file.
    ///
    /// # Panics
    /// If `buf` is empty.
    pub fn read_awaited(
        &self,
        file: Rc<dyn AsRawFd>,
        offset: u64,
        buf: AlignedBuf,
    ) -> impl Future<Output = Ended> + use<> {
        let ending = Rc::<Ending>::default();
        self.0.borrow_mut().read(file, Owner::Task(ending.clone()), offset, buf);
        self.submit_awaited();
        ending.wait()
    }

    /// Begins a write of the whole of `buf` at `offset` of `file`. It may be short.
    ///
    /// # Panics
    /// If `buf` is empty.
    pub fn write_awaited(
        &self,
        file: Rc<dyn AsRawFd>,
        offset: u64,
        buf: AlignedBuf,
    ) -> impl Future<Output = Ended> + use<> {
        let ending = Rc::<Ending>::default();
        self.0.borrow_mut().write(file, Owner::Task(ending.clone()), offset, buf, false);
        self.submit_awaited();
        ending.wait()
    }

    /// Makes what was written to `file` durable (`fdatasync`).
    ///
    /// # Errors
    /// The kernel's.
    pub async fn sync_awaited(&self, file: Rc<dyn AsRawFd>) -> io::Result<()> {
        let ending = Rc::<Ending>::default();
        self.0.borrow_mut().sync(file, Owner::Task(ending.clone()));
        self.submit_awaited();
        ending.wait().await.1.map(drop)
    }

    /// At once, as the loop that looks after the ring may be asleep.
    fn submit_awaited(&self) {
        self.0.borrow_mut().submit_or_refuse();
    }
}

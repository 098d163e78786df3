//! [`SimEnv`] and [`SimFile`]: the engine's view of the simulation.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::disk::SimDisk;
use super::executor::Core;
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Class, Done, Env, File, Open, Space};

/// Virtual microseconds that operations take: about what the development machine's disk does,
/// spread so that their order varies.
const READ_US: Range<u64> = 20..200;
const WRITE_US: Range<u64> = 20..150;
const SYNC_US: Range<u64> = 30..600;
const NAME_US: Range<u64> = 5..60;

/// Short writes in a row after which a background write gives up.
const SHORT_WRITES_MAX: usize = 8;

/// One core's environment in a simulation. Clones are the same core.
#[derive(Clone)]
pub struct SimEnv {
    core: Rc<Core>,
    disk: SimDisk,
    foreground: Rc<Foreground>,
}

#[derive(Default)]
struct Foreground {
    done: RefCell<Vec<Done>>,
    woken: Cell<bool>,
    parked: Cell<Option<Waker>>,
}

impl Foreground {
    fn wake(&self) {
        if let Some(waker) = self.parked.take() {
            waker.wake();
        }
    }
}

impl SimEnv {
    pub(super) fn new(core: &Rc<Core>, disk: &SimDisk) -> Self {
        Self { core: core.clone(), disk: disk.clone(), foreground: Rc::default() }
    }

    /// Ends when a foreground operation has ended or [`Env::wake`] was called: what a core's loop
    /// waits for when it has nothing to do.
    pub async fn parked(&self) {
        poll_fn(|context| {
            let foreground = &self.foreground;
            if foreground.woken.take() || !foreground.done.borrow().is_empty() {
                return Poll::Ready(());
            }
            foreground.parked.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    async fn take(&self, us: &Range<u64>) {
        let us = self.core.random_in(us.start, us.end);
        self.core.sleep_us(us).await;
    }

    async fn name<T>(
        &self,
        operation: impl FnOnce(&SimDisk) -> Option<io::Result<T>>,
    ) -> io::Result<T> {
        self.take(&NAME_US).await;
        answer(operation(&self.disk)).await
    }

    fn ended(&self, done: Done) {
        self.foreground.done.borrow_mut().push(done);
        self.foreground.wake();
    }
}

/// An operation's answer; none ever comes once the power is gone.
async fn answer<T>(result: Option<io::Result<T>>) -> io::Result<T> {
    match result {
        Some(result) => result,
        None => pending().await,
    }
}

impl Env for SimEnv {
    type File = SimFile;

    async fn open(&self, path: &str, how: Open) -> io::Result<SimFile> {
        let inode = self.name(|disk| disk.open(path, how == Open::Create)).await?;
        let handle = Handle { disk: self.disk.clone(), inode };
        Ok(SimFile { env: self.clone(), writable: how != Open::Read, handle: Rc::new(handle) })
    }

    async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.name(|disk| disk.list(path)).await
    }

    async fn create_dir(&self, path: &str) -> io::Result<()> {
        self.name(|disk| disk.create_dir(path)).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.name(|disk| disk.rename(from, to)).await
    }

    async fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.name(|disk| disk.exchange(a, b)).await
    }

    async fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.name(|disk| disk.link(from, to)).await
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        self.name(|disk| disk.unlink(path)).await
    }

    async fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.take(&SYNC_US).await;
        answer(self.disk.sync_dir(path)).await
    }

    fn space(&self) -> io::Result<Space> {
        Ok(self.disk.space())
    }

    fn monotonic_us(&self) -> u64 {
        self.core.now_us()
    }

    fn wall_ms(&self) -> u64 {
        self.core.wall_ms()
    }

    fn random(&self) -> u64 {
        self.core.random()
    }

    fn spawn(&self, _class: Class, task: impl Future<Output = ()> + 'static) {
        // Every class alike: an order that shares make unlikely is still one that happens.
        self.core.spawn(task);
    }

    async fn pause(&self) {
        let mut yielded = self.core.random_in(0, 2) == 0;
        poll_fn(|context| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    async fn sleep_us(&self, us: u64) {
        self.core.sleep_us(us).await;
    }

    fn poll(&self, done: &mut Vec<Done>) {
        done.append(&mut self.foreground.done.borrow_mut());
    }

    fn wake(&self) {
        self.foreground.woken.set(true);
        self.foreground.wake();
    }
}

/// An open file on a [`SimDisk`].
#[derive(Clone)]
pub struct SimFile {
    env: SimEnv,
    writable: bool,
    handle: Rc<Handle>,
}

struct Handle {
    disk: SimDisk,
    inode: u64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.disk.close(self.inode);
    }
}

impl SimFile {
    fn disk(&self) -> &SimDisk {
        &self.handle.disk
    }

    /// One read: into `buf`, up to its length.
    async fn read(&self, offset: u64, buf: &mut AlignedBuf) -> io::Result<usize> {
        check(offset, buf.len());
        self.env.take(&READ_US).await;
        answer(self.disk().read(self.handle.inode, offset, buf)).await
    }

    /// One write, which may be short.
    async fn write(&self, offset: u64, buf: &[u8]) -> io::Result<usize> {
        check(offset, buf.len());
        if !self.writable {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let write = self.disk().start_write(self.handle.inode, offset, buf);
        self.env.take(&WRITE_US).await;
        answer(self.disk().end_write(self.handle.inode, write, buf.len())).await
    }
}

/// `O_DIRECT` refuses what is not aligned; here it is our own bug at once.
fn check(offset: u64, len: usize) {
    assert!(offset.is_multiple_of(ALIGN as u64), "offset {offset} is not aligned");
    assert!(len.is_multiple_of(ALIGN), "length {len} is not aligned");
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<AlignedBuf> {
        let mut buf = AlignedBuf::zeroed(len);
        let mut read = self.read(offset, &mut buf).await?;
        if read < len {
            // The end of the file, or a short read: a second one tells.
            read = self.read(offset, &mut buf).await?;
        }
        buf.set_len(read);
        Ok(buf)
    }

    async fn write_at(&self, offset: u64, buf: AlignedBuf) -> io::Result<AlignedBuf> {
        for _ in 0..SHORT_WRITES_MAX {
            if self.write(offset, &buf).await? == buf.len() {
                return Ok(buf);
            }
        }
        Err(io::ErrorKind::WriteZero.into())
    }

    async fn sync(&self) -> io::Result<()> {
        let covered = self.disk().start_sync(self.handle.inode);
        self.env.take(&SYNC_US).await;
        answer(self.disk().end_sync(self.handle.inode, covered)).await
    }

    async fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.env.take(&NAME_US).await;
        answer(self.disk().allocate(self.handle.inode, bytes)).await
    }

    async fn size(&self) -> io::Result<u64> {
        Ok(self.disk().size(self.handle.inode))
    }

    fn start_read(&self, ticket: u64, offset: u64, mut buf: AlignedBuf) {
        let file = self.clone();
        self.env.core.spawn(async move {
            let result = file.read(offset, &mut buf).await;
            file.env.ended(Done { ticket, buf, result });
        });
    }

    fn start_append(&self, ticket: u64, offset: u64, buf: AlignedBuf, sync: bool) {
        let file = self.clone();
        self.env.core.spawn(async move {
            let mut result = file.write(offset, &buf).await;
            if sync && result.as_ref().is_ok_and(|&written| written == buf.len()) {
                result = file.sync().await.map(|()| buf.len());
            }
            file.env.ended(Done { ticket, buf, result });
        });
    }
}

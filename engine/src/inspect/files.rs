//! [`ReadOnly`]: files of a directory that are read with plain system calls, as an [`Env`].
//!
//! - It opens for reading alone, whatever is asked, and refuses every change: of a broken node
//!   nothing is made worse.
//! - It opens regular files alone: a pipe in the place of a file would be waited for for ever.
//! - No operation waits: what is made of them is done when it is first polled ([`now`]).
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is the Env of programs that have no core"
)]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::env::buf::AlignedBuf;
use crate::env::{Class, Done, Env, File, Open, Space};

/// A directory that is read and never changed. Clones are the same.
#[derive(Clone, Debug)]
pub struct ReadOnly {
    root: Rc<Path>,
}

/// A file that is read and never changed. Clones are the same.
#[derive(Clone, Debug)]
pub struct ReadOnlyFile(Rc<fs::File>);

impl ReadOnly {
    /// The directory `root`: paths are relative to it; an empty one leaves them as they are.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
    }
}

/// What `future` comes to, which waits for nothing but a [`ReadOnly`].
///
/// # Panics
/// If it waits for anything else.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a plain read does not wait"),
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Env for ReadOnly {
    type File = ReadOnlyFile;

    async fn open(&self, path: &str, how: Open) -> io::Result<ReadOnlyFile> {
        if how == Open::Create {
            return refused();
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let path = self.root.join(path);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(ReadOnlyFile(Rc::new(file)))
    }

    async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(path))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn create_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    async fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    async fn exchange(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    async fn link(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    async fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    async fn sync_dir(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space { available: 0, total: 0 })
    }

    fn monotonic_us(&self) -> u64 {
        0
    }

    fn wall_ms(&self) -> u64 {
        0
    }

    fn random(&self) -> u64 {
        0
    }

    fn spawn(&self, _: Class, _: impl Future<Output = ()> + 'static) {
        panic!("nothing runs beside a reader");
    }

    async fn pause(&self) {}

    async fn sleep_us(&self, _: u64) {}

    fn poll(&self, _: &mut Vec<Done>) {}

    fn wake(&self) {}
}

impl File for ReadOnlyFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<AlignedBuf> {
        let mut buf = AlignedBuf::zeroed(len);
        let mut filled = 0;
        while filled < len {
            match self.0.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buf.set_len(filled);
        Ok(buf)
    }

    async fn write_at(&self, _: u64, _: AlignedBuf) -> io::Result<AlignedBuf> {
        refused()
    }

    async fn sync(&self) -> io::Result<()> {
        refused()
    }

    async fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    async fn size(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn start_read(&self, _: u64, _: u64, _: AlignedBuf) {
        panic!("a reader has no foreground");
    }

    fn start_append(&self, _: u64, _: u64, _: AlignedBuf, _: bool) {
        panic!("a reader has no foreground");
    }
}

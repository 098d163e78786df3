//! Where files are closed.
//!
//! A file that was removed while it was open goes when its last descriptor does, and ext4, mounted
//! with `discard`, has the disk forget its blocks before `close` returns: cores stood still for 20
//! to 40 ms after each flush. A thread can wait for that; it is mostly waiting, so it may share the
//! core's CPU. An error of `close` ends the process, as ext4 has none but for a descriptor that is
//! not ours.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use glommio::io::OwnedDmaFile;

/// Closes files on a thread of its own, which ends with the last of these.
#[derive(Clone)]
pub(super) struct Closer(Sender<OwnedDmaFile>);

impl Closer {
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let (closer, files) = channel();
        thread::Builder::new()
            .name("closer".to_owned())
            .spawn(move || files.into_iter().for_each(drop))?;
        Ok(Self(closer))
    }

    pub(super) fn close(&self, file: OwnedDmaFile) {
        self.0.send(file).expect("the thread ends after the last file is sent");
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what the real system has open is looked at")]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use glommio::LocalExecutorBuilder;

    use super::*;
    use crate::env::direct::DirectEnv;
    use crate::env::ring::{Ring, RingConfig};
    use crate::env::{Env, Open};

    fn is_open(path: &Path) -> bool {
        let entries = fs::read_dir("/proc/self/fd").unwrap();
        entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|it| it == path))
    }

    #[test]
    fn a_file_that_is_dropped_is_closed_by_the_thread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let builder = LocalExecutorBuilder::default().io_memory(64 << 10);
        let at = path.clone();
        let executor = builder.spawn(move || async move {
            let ring = Ring::new(RingConfig::default()).unwrap();
            let env = DirectEnv::new(at.parent().unwrap(), ring, 1).await.unwrap();
            let file = env.open("file", Open::Create).await.unwrap();
            assert!(is_open(&at));
            drop(file);
            // It is not this executor that closes it: that one does nothing but look.
            let closed = (0..10_000).any(|_| {
                thread::sleep(Duration::from_millis(1));
                !is_open(&at)
            });
            assert!(closed);
        });
        executor.unwrap().join().unwrap();
        assert!(path.exists());
    }
}

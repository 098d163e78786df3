//! The disks of these tests: ext4 on a loop device, on a file in memory or on a daemon's export.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::mounts::{Loop, Mount, make_ext4};
use crate::server::scratch;

/// A directory in memory: syncs of what lies in it cost nothing.
pub(crate) struct Memory {
    _mount: Mount,
    dir: TempDir,
}

impl Memory {
    /// For at most so many bytes.
    pub(crate) fn take(bytes: u64) -> Self {
        let dir = scratch();
        Self { _mount: Mount::memory(bytes, dir.path()), dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Makes an empty ext4 file system in the new file `image`, of so many bytes.
pub(crate) fn make(image: &Path, bytes: u64) {
    File::create_new(image).unwrap().set_len(bytes).unwrap();
    // Complete at once: the kernel has nothing left to do in the background.
    let complete = "lazy_itable_init=0,lazy_journal_init=0";
    make_ext4(image, &["-b", "4096", "-E", complete]);
}

/// A mounted ext4, unmounted and let go when dropped, in this order.
pub(crate) struct Disk {
    mount: Mount,
    _device: Loop,
    root: PathBuf,
}

impl Disk {
    /// Mounts the one in `image`, at `root`, which is made if it is missing.
    pub(crate) fn mount(image: &Path, root: &Path) -> Self {
        Self::attempt(image, root).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, or why it cannot be mounted.
    pub(crate) fn attempt(image: &Path, root: &Path) -> Result<Self, String> {
        fs::create_dir_all(root).unwrap();
        let device = Loop::attach(image);
        Ok(Self { mount: Mount::ext4(&device, root)?, _device: device, root: root.to_owned() })
    }

    /// The data directory that the tests have on it.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn unmount(self) {
        self.mount.unmount();
    }
}

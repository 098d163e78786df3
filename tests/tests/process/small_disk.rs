//! A small ext4 file system in a file, mounted for one test.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use crate::mounts::{Loop, Mount, make_ext4};
use crate::server::scratch;

/// A mounted file system, unmounted and let go when dropped, in this order.
pub(crate) struct SmallDisk {
    root: PathBuf,
    _mount: Mount,
    _device: Loop,
    _dir: TempDir,
}

impl SmallDisk {
    /// Makes and mounts one of `bytes` bytes.
    ///
    /// # Panics
    /// With a sentence, if this process may not mount: the test cannot be done then, and a test
    /// that is not done must not look like one that passed.
    pub(crate) fn mount(bytes: u64) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts a small ext4 file system: run it as root, with loop devices"
        );
        let dir = scratch();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        make_ext4(&image, &[]);
        let device = Loop::attach(&image);
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let mount = Mount::ext4(&device, &root).unwrap();
        Self { root, _mount: mount, _device: device, _dir: dir }
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes that are left.
    pub(crate) fn available(&self) -> u64 {
        let figures = statvfs(&self.root).unwrap();
        figures.f_bavail * figures.f_frsize
    }

    /// Takes all but `left` bytes, in a file of this name.
    pub(crate) fn fill(&self, name: &str, left: u64) {
        let file = File::create(self.root.join(name)).unwrap();
        let taken = self.available().saturating_sub(left);
        fallocate(&file, FallocateFlags::empty(), 0, taken).unwrap();
        file.write_all_at(&[1], 0).unwrap();
        file.sync_all().unwrap();
    }
}

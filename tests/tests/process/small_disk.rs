//! A small ext4 file system in a file, mounted for one test.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use crate::server::scratch;

/// A mounted file system, unmounted and let go when dropped, also when a test panics.
pub(crate) struct SmallDisk {
    root: PathBuf,
    device: String,
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
        // Without room for root alone: kvcore may run as root here, and would get it.
        run(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&image));
        let device = device.trim().to_owned();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let disk = Self { root, device, _dir: dir };
        run(Command::new("mount").args(["-t", "ext4"]).arg(&disk.device).arg(&disk.root));
        disk
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

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that a failing test left is killed by its own handle, maybe later. What
        // is not there any more cannot be undone again.
        drop(Command::new("umount").arg("--lazy").arg(&self.root).status());
        drop(Command::new("losetup").arg("--detach").arg(&self.device).status());
    }
}

/// What `command` prints, which has to succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ends with {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

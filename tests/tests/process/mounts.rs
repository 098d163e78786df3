//! Loop devices and mounted file systems, gone with their handles, also when a test panics.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::eventually;

/// A file as a block device.
#[derive(Debug)]
pub(crate) struct Loop {
    device: String,
}

impl Loop {
    /// Of the file `image`, through the kernel's cache.
    pub(crate) fn attach(image: &Path) -> Self {
        let device = printed(Command::new("losetup").args(["--find", "--show"]).arg(image));
        Self { device: device.trim().to_owned() }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // What is not there any more cannot be undone again.
        drop(Command::new("losetup").arg("--detach").arg(&self.device).status());
    }
}

/// A mounted file system.
#[derive(Debug)]
pub(crate) struct Mount {
    root: PathBuf,
    mounted: bool,
}

impl Mount {
    /// The ext4 file system of `device` at `root`, an empty directory; or why it cannot be mounted.
    pub(crate) fn ext4(device: &Loop, root: &Path) -> Result<Self, String> {
        Self::of(Command::new("mount").args(["-t", "ext4"]).arg(&device.device).arg(root), root)
    }

    /// At `root`, one in memory that holds at most so many bytes.
    pub(crate) fn memory(bytes: u64, root: &Path) -> Self {
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(root);
        Self::of(&mut mount, root).unwrap_or_else(|error| panic!("{error}"))
    }

    fn of(mount: &mut Command, root: &Path) -> Result<Self, String> {
        outcome(mount)?;
        Ok(Self { root: root.to_owned(), mounted: true })
    }

    /// Unmounts it, once the kernel has closed the files of processes that ended.
    pub(crate) fn unmount(mut self) {
        let mut umount = Command::new("umount");
        umount.arg(&self.root);
        eventually("it is unmounted", || umount.output().unwrap().status.success());
        self.mounted = false;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a server that a failing test left is killed by its own handle, maybe later.
            drop(Command::new("umount").arg("--lazy").arg(&self.root).status());
        }
    }
}

/// Makes an ext4 file system in the file `image`, with further arguments.
pub(crate) fn make_ext4(image: &Path, further: &[&str]) {
    // Without room for root alone: kvcore may run as root here, and would get it.
    let mut mkfs = Command::new("/usr/sbin/mkfs.ext4");
    printed(mkfs.args(["-q", "-F", "-m", "0"]).args(further).arg(image));
}

/// What `command` prints, which has to succeed.
pub(crate) fn printed(command: &mut Command) -> String {
    outcome(command).unwrap_or_else(|error| panic!("{error}"))
}

/// What `command` prints, or how it failed.
fn outcome(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ends with {}: {said}", output.status))
}

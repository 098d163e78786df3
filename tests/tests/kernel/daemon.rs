//! A qemu storage daemon: a file that leads through block drivers of our choice to another file,
//! so that a loop device on it is a disk that keeps a log of what it does, or that fails.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::server::eventually;

/// A running daemon, which exports its node `top`; gone when dropped, with the export.
pub(crate) struct Daemon {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
    export: PathBuf,
}

impl Daemon {
    /// Starts one in `dir` with these block devices, written as qemu's manual does.
    pub(crate) fn start(dir: &Path, devices: &[&str]) -> Self {
        let export = dir.join("export");
        File::create(&export).unwrap();
        let mut command = Command::new("qemu-storage-daemon");
        command.current_dir(dir).args(["--chardev", "stdio,id=c", "--monitor", "chardev=c"]);
        command.args(devices.iter().flat_map(|device| ["--blockdev", device]));
        let fuse = "type=fuse,id=e,node-name=top,mountpoint=export,writable=on";
        command.args(["--export", fuse]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        let mut daemon = Self { child, commands, replies, export };
        eventually("the storage daemon exports", || {
            assert!(daemon.child.try_wait().unwrap().is_none(), "the storage daemon ends");
            fs::metadata(&daemon.export).unwrap().len() > 0
        });
        daemon.command("qmp_capabilities", &json!({}));
        daemon
    }

    /// The exported file.
    pub(crate) fn export(&self) -> &Path {
        &self.export
    }

    /// Has it carry out one command of its monitor.
    pub(crate) fn command(&mut self, name: &str, arguments: &Value) {
        let command = json!({ "execute": name, "arguments": arguments });
        writeln!(self.commands, "{command}").unwrap();
        loop {
            let mut line = String::new();
            let read = self.replies.read_line(&mut line).unwrap();
            assert!(read > 0, "the storage daemon ended before it answered {command}");
            let reply: Value = serde_json::from_str(&line).unwrap();
            assert!(reply.get("error").is_none(), "{command}: {reply}");
            if reply.get("return").is_some() {
                return;
            }
            // Its greeting, or an event.
        }
    }

    /// Ends it in order: all it was given is in its files.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the storage daemon ends with {status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; if not, its export outlives it.
        drop(self.child.kill());
        drop(self.child.wait());
        let mut umount = Command::new("umount");
        umount.arg("--lazy").arg(&self.export).stderr(Stdio::null());
        drop(umount.status());
    }
}

//! Starts the binary and reads its banner.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than any start or end takes on a loaded machine; past it the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory on a disk: the system's temporary directory may be in memory.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The binary with the flags every start here has: one core, little memory, free ports.
pub(crate) fn command(data_dir: &Path) -> Command {
    let mut command = plain();
    command.args(["--smp", "1", "--memory", "128MiB", "--listen", "127.0.0.1:0"]);
    command.args(["--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
    command
}

/// The binary without flags, and without the environment's settings.
pub(crate) fn plain() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvcore"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KVCORE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs to the end a start that is to be refused: its status and what it said on stderr.
pub(crate) fn refused(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, stdout } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    assert_eq!(stdout, "", "a refusal prints no banner");
    (status.code().unwrap_or_else(|| panic!("{status}: {stderr}")), stderr)
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    banner: String,
}

impl Server {
    /// Starts `command` and waits for its banner.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        while !banner.contains("durability") {
            let Some(line) = lines.next() else {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("it ended with {}: {said}", child.wait().unwrap());
            };
            banner.push_str(&line.unwrap());
            banner.push('\n');
        }
        Self { child, banner }
    }

    /// One whose banner is for somebody else.
    pub(crate) fn silent(child: Child) -> Self {
        Self { child, banner: String::new() }
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the start printed.
    pub(crate) fn banner(&self) -> &str {
        &self.banner
    }

    /// What the banner says behind `name`.
    pub(crate) fn said(&self, name: &str) -> &str {
        let line = self.banner.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {}", self.banner)).trim()
    }

    /// Where clients connect.
    pub(crate) fn clients(&self) -> SocketAddr {
        self.said("clients").parse().unwrap()
    }

    /// Status and body of a GET on the admin port.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let address: SocketAddr =
            self.said("admin").strip_prefix("http://").unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end: its status and all that it said on stderr.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }

    /// Ends the server in order.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let (status, said) = self.wait();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks again until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

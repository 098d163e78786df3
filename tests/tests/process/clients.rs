//! What talks to a server: kvctl and kvbench as processes with an end, and the client in this one.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kvclient::blocking::Client;

use crate::programs;
use crate::server::{PATIENCE, keep_last};

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// Its exit status.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// The last lines of it.
    pub(crate) stderr: String,
}

impl Output {
    /// Asserts that all went well: what it wrote to stdout.
    pub(crate) fn fine(self) -> Vec<u8> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// What it wrote to stdout, as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A client whose operations end soon, of the server at `address`.
pub(crate) fn client(address: SocketAddr) -> Client {
    let builder = kvclient::Client::builder().seeds([address.to_string()]);
    Client::connect(builder.deadline(Duration::from_secs(20))).unwrap()
}

/// Runs kvctl against `server` to its end.
pub(crate) fn kvctl<S: AsRef<OsStr>>(
    server: SocketAddr,
    args: impl IntoIterator<Item = S>,
) -> Output {
    run(&mut tool("kvctl", server, args), &[])
}

/// Runs kvctl with `input` on its stdin.
pub(crate) fn kvctl_with_input<S: AsRef<OsStr>>(
    server: SocketAddr,
    args: impl IntoIterator<Item = S>,
    input: &[u8],
) -> Output {
    run(&mut tool("kvctl", server, args), input)
}

/// Runs kvbench against `server` to its end.
pub(crate) fn kvbench<S: AsRef<OsStr>>(
    server: SocketAddr,
    args: impl IntoIterator<Item = S>,
) -> Output {
    run(&mut tool("kvbench", server, args), &[])
}

/// The command that runs the program `name` against `server`.
pub(crate) fn tool<S: AsRef<OsStr>>(
    name: &str,
    server: SocketAddr,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = programs::command(name);
    command.args(args).env("KVCORE_SEEDS", server.to_string());
    command
}

/// Runs `command` to its end, which has to come in time.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without having read all of it.
    let writes = thread::spawn(move || drop(stdin.write_all(&input)));
    let mut stdout = child.stdout.take().unwrap();
    let reads = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let says = keep_last(child.stderr.take().unwrap());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} does not end: {}", says.join().unwrap());
        }
        thread::sleep(Duration::from_millis(5));
    };
    writes.join().unwrap();
    let stderr = says.join().unwrap();
    let code = status.code().unwrap_or_else(|| panic!("{status}: {stderr}"));
    Output { code, stdout: reads.join().unwrap().unwrap(), stderr }
}

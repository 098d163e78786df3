//! Server processes: started on one core, stopped when their handle goes.
//!
//! A child inherits the CPUs of the thread that starts it, and so do all its threads, its kernel
//! workers included; so the thread that starts a server pins itself first.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use core_affinity::CoreId;
use kvclient::protocol::Consistency;

use crate::wire::{Terms, Wire};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 20;

/// What requests of a comparison have in common.
pub(super) const TERMS: Terms =
    Terms { consistency: Consistency::Default, ttl_ms: 0, deadline_us: 0 };

/// A server that runs.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    /// Where it tells its figures, if it does.
    admin: Option<SocketAddr>,
}

impl Server {
    /// Starts the echo example on `core`, answering with `value_bytes` bytes.
    pub(super) fn echo(program: &Path, core: usize, dir: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program);
        command.args(["--value-bytes", "100"]).arg("--cores").arg(core.to_string());
        command.arg("--listen").arg(address.to_string());
        Self::start(command, core, address, None, &dir.join("echo.log"))
    }

    /// Starts kvcore on `core`, with a new data directory in `dir`.
    pub(super) fn kvcore(program: &Path, core: usize, dir: &Path) -> anyhow::Result<Self> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = Command::new(program);
        command.arg("--cores").arg(core.to_string());
        command.arg("--listen").arg(address.to_string());
        command.arg("--admin-listen").arg(admin.to_string());
        command.arg("--data-dir").arg(dir.join("data"));
        Self::start(command, core, address, Some(admin), &dir.join("kvcore.log"))
    }

    fn start(
        mut command: Command,
        core: usize,
        address: SocketAddr,
        admin: Option<SocketAddr>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let spawned = thread::scope(|scope| {
            let spawn = || {
                if !core_affinity::set_for_current(CoreId { id: core }) {
                    bail!("cannot run on CPU {core}");
                }
                command.spawn().with_context(|| {
                    let program = Path::new(command.get_program()).display();
                    format!("cannot start {program}; build it, or say where it is")
                })
            };
            scope.spawn(spawn).join().expect("the thread that starts a server does not panic")
        });
        let mut server = Self { child: spawned?, address, admin };
        server.wait_until_it_answers(log)?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self, log: &Path) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}:\n{}", tail(log));
            }
            match Wire::connect(self.address, "", None, TERMS) {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > START_TIMEOUT => {
                    return Err(error.context(format!("the server's log ends with\n{}", tail(log))));
                }
                Err(_) => thread::sleep(START_POLL),
            }
        }
    }

    /// Where it serves.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counter `name` of its metrics, over all cores.
    pub(super) fn counter(&self, name: &str) -> anyhow::Result<u64> {
        let admin = self.admin.context("this server has no admin port")?;
        let mut stream = TcpStream::connect(admin)?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: kvbench\r\nConnection: close\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        let counts = reply.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next());
        let counts: Vec<u64> = counts.map(str::parse).collect::<Result<_, _>>()?;
        if counts.is_empty() {
            bail!("the server's metrics have no {name}");
        }
        Ok(counts.iter().sum())
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed, not asked: its data is thrown away. An error says that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that cargo built beside this one.
pub(super) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let dir = own.parent().context("this program is in no directory")?;
    Ok(dir.join(name))
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let core = core_affinity::get_core_ids().unwrap()[0].id;
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such flag >&2; exit 2"]);
        let started =
            Server::start(command, core, free_address().unwrap(), None, &dir.path().join("log"));
        let error = format!("{:#}", started.unwrap_err());
        assert!(error.contains("exit status: 2") && error.contains("no such flag"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let core = core_affinity::get_core_ids().unwrap()[0].id;
        let error = Server::kvcore(Path::new("/nowhere/kvcore"), core, dir.path()).unwrap_err();
        assert!(format!("{error:#}").contains("cannot start /nowhere/kvcore"), "{error:#}");
    }
}

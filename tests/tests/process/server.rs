//! A kvcore process: started, read, signalled by its id, and gone with its handle.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::programs;

/// Longer than any start or end takes on a loaded machine; past it the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Lines that are kept of what a server says, the last ones.
const LINES_KEPT: usize = 1_000;

/// A directory on a disk: the system's temporary directory may be in memory.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// How a server is to be started: free ports, and unless said otherwise one core and the least
/// memory.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    data_dir: PathBuf,
    cores: usize,
    /// The one it runs on; any if not said.
    cpu: Option<usize>,
    memory: String,
    flags: Vec<String>,
}

impl Start {
    pub(crate) fn on(data_dir: &Path) -> Self {
        let data_dir = data_dir.to_owned();
        Self { data_dir, cores: 1, cpu: None, memory: "64MiB".to_owned(), flags: Vec::new() }
    }

    /// On so many cores, each with the least memory.
    pub(crate) fn cores(mut self, cores: usize) -> Self {
        self.cores = cores;
        self.memory(&format!("{}MiB", 64 * cores))
    }

    /// On this CPU alone.
    pub(crate) fn cpu(mut self, cpu: usize) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// With so much memory, in all.
    pub(crate) fn memory(mut self, memory: &str) -> Self {
        self.memory = memory.to_owned();
        self
    }

    /// With further flags.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    fn command(&self) -> Command {
        let mut command = programs::command("kvcore");
        command.arg("--data-dir").arg(&self.data_dir);
        match self.cpu {
            Some(cpu) => command.args(["--cores", &cpu.to_string()]),
            None => command.args(["--smp", &self.cores.to_string()]),
        };
        command.args(["--memory", &self.memory]);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(&self.flags);
        command
    }

    /// Starts it: a server that serves, or how it ended instead.
    pub(crate) fn attempt(&self) -> Result<Server, Ended> {
        let mut command = self.command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = lines(child.stdout.take().unwrap());
        let said = keep_last(child.stderr.take().unwrap());
        let mut server = Server { child, banner: String::new(), said: Some(said), printed };
        let deadline = Instant::now() + PATIENCE;
        while !server.banner.contains("\n  durability") {
            match server.printed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => server.banner += &(line + "\n"),
                Err(RecvTimeoutError::Disconnected) => return Err(server.wait()),
                Err(RecvTimeoutError::Timeout) => panic!("no banner: {}", server.end_now().said),
            }
        }
        Ok(server)
    }

    /// Starts it, and waits until it serves.
    pub(crate) fn serve(&self) -> Server {
        self.attempt().unwrap_or_else(|ended| panic!("it does not serve: {ended:?}"))
    }

    /// Starts it, and ends it with SIGKILL after so long, whatever it does by then.
    pub(crate) fn killed_after(&self, moment: Duration) {
        let mut command = self.command();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs a start that is to be refused to its end: its status, and what it said on stderr.
    pub(crate) fn refused(&self) -> (i32, String) {
        match self.attempt() {
            Ok(server) => panic!("it serves: {}", server.banner()),
            Err(Ended { status, said }) => (status.code().expect("it ends by itself"), said),
        }
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The last of what it said on stderr.
    pub(crate) said: String,
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    banner: String,
    said: Option<JoinHandle<String>>,
    /// What it prints: held, or it could not print.
    printed: Receiver<String>,
}

impl Server {
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
        let address = self.said("admin").strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A figure of `/metrics`, summed over cores and whatever else tells its series apart.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.metric_if_told(name).unwrap_or_else(|| panic!("no core told {name}"))
    }

    /// The same; `None` where no core was free to tell in time.
    pub(crate) fn metric_if_told(&self, name: &str) -> Option<f64> {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        let of = |line: &str| {
            let value = line.strip_prefix(name)?;
            let value = match value.strip_prefix('{') {
                Some(labels) => labels.split_once("} ")?.1,
                None => value.strip_prefix(' ')?,
            };
            value.parse::<f64>().ok()
        };
        let series: Vec<f64> = text.lines().filter_map(of).collect();
        (!series.is_empty()).then(|| series.into_iter().sum())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.end_now().said);
            thread::sleep(Duration::from_millis(5));
        };
        Ended { status, said: self.said.take().unwrap().join().unwrap() }
    }

    /// SIGKILL, and the end.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// SIGTERM, and an end in order.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let Ended { status, said } = self.wait();
        assert_eq!(status.code(), Some(0), "{said}");
    }

    fn end_now(&mut self) -> Ended {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        Ended { status, said: self.said.take().unwrap().join().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines of `stream` as they come, read whether somebody takes them or not.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            drop(tell.send(line));
        }
    });
    told
}

/// The last lines of `stream`, once it has ended; a process that nobody reads would wait for ever.
pub(crate) fn keep_last(stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = VecDeque::new();
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            kept.push_back(String::from_utf8_lossy(&line).into_owned() + "\n");
            if kept.len() > LINES_KEPT {
                kept.pop_front();
            }
        }
        kept.into_iter().collect()
    })
}

/// Asks again until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

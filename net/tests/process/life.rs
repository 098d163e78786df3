//! What a server says about itself while it runs, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::kvcore::{Server, command, eventually, plain, scratch};
use crate::wire::Wire;

#[test]
fn a_start_prints_one_screen() {
    let dir = scratch();
    let server = Server::start(&mut command(dir.path()));
    let banner = server.banner();
    assert!(banner.lines().count() < 24, "{banner}");
    assert!(banner.starts_with(&format!("kvcore {}", env!("CARGO_PKG_VERSION"))), "{banner}");
    assert!(server.said("node").ends_with("(new), start 1"), "{banner}");
    assert!(server.said("data").starts_with(dir.path().to_str().unwrap()), "{banner}");
    assert!(server.said("memory").starts_with("128MiB"), "{banner}");
    server.stop();
    let again = Server::start(&mut command(dir.path()));
    assert!(again.said("node").ends_with("(known), start 2"), "{}", again.banner());
    again.stop();
}

#[test]
fn the_admin_port_tells_health_and_figures() {
    let dir = scratch();
    let server = Server::start(command(dir.path()).args(["--node-name", "n1", "--rack", "r7"]));
    assert_eq!(server.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz"), (200, "ready\n".to_owned()));
    let _client = TcpStream::connect(server.clients()).unwrap();
    eventually("the connection is counted", || {
        server.get("/metrics").1.contains("kvcore_connections{core=\"0\"} 1\n")
    });
    let (status, text) = server.get("/metrics");
    assert_eq!(status, 200);
    for line in
        ["kvcore_core_up{core=\"0\"} 1", "kvcore_ready 1", "kvcore_puts_total{core=\"0\"} 0"]
    {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    // What it is depends on the disk of whoever runs this, and has no place in a test.
    let level = text.lines().find_map(|line| line.strip_prefix("kvcore_disk_level{core=\"0\"} "));
    assert!(matches!(level, Some("0" | "1" | "2" | "3")), "{level:?} in {text}");
    assert!(text.contains("node=\"n1\",cluster=\"kvcore\""), "{text}");
    assert!(text.contains("process_cpu_seconds_total "), "{text}");
    server.stop();
}

/// A huge page is cleared at its first touch: 2 to 3 ms in the midst of somebody's request.
#[test]
fn its_memory_is_of_small_pages() {
    let dir = scratch();
    let server = Server::start(&mut command(dir.path()));
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    assert!(status.lines().any(|line| line == "THP_enabled:\t0"), "{status}");
    server.stop();
}

#[test]
fn a_drained_server_closes_its_connections_and_ends_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = scratch();
        let server = Server::start(&mut command(dir.path()));
        let mut client = TcpStream::connect(server.clients()).unwrap();
        eventually("it is accepted", || {
            server.get("/metrics").1.contains("accepted_total{core=\"0\"} 1\n")
        });
        server.signal(signal);
        assert_eq!(client.read(&mut [0; 64]).unwrap(), 0, "closed in order");
        let (status, said) = server.wait();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

#[test]
fn logs_are_json_when_asked_for() {
    let dir = scratch();
    let server = Server::start(command(dir.path()).args(["--log-format", "json"]));
    server.signal(Signal::TERM);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(said.lines().count() > 0, "it says that it drains");
    assert!(said.lines().all(|line| line.starts_with("{\"timestamp\":")), "{said}");
}

/// The lock goes with the process: nothing has to be cleaned up after a crash.
#[test]
fn a_killed_server_can_be_started_again() {
    let dir = scratch();
    let server = Server::start(&mut command(dir.path()));
    server.signal(Signal::KILL);
    server.wait();
    let again = Server::start(&mut command(dir.path()));
    assert!(again.said("node").ends_with("(known), start 2"));
    again.stop();
}

/// A server whose banner nobody read acknowledged writes and did not know its cores yet: a signal
/// ended it with 0 at once, and what was not synced was lost. It serves once a signal can drain it.
#[test]
fn a_signal_before_the_banner_is_read_drains() {
    let dir = scratch();
    // An address of no other test, so the port stays free.
    let address = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let (mut banner, stdout) = UnixStream::pair().unwrap();
    stdout.set_nonblocking(true).unwrap();
    while (&stdout).write(&[b' '; 4096]).is_ok() {}
    stdout.set_nonblocking(false).unwrap();
    let mut start = plain();
    start.args(["--smp", "1", "--memory", "128MiB", "--admin-listen", "127.0.0.1:0"]);
    start.args(["--durability", "none", "--listen", &address.to_string()]);
    start.arg("--data-dir").arg(dir.path());
    start.stdout(OwnedFd::from(stdout)).stderr(Stdio::piped());
    let server = Server::silent(start.spawn().unwrap());
    drop(start);
    let mut client = None;
    eventually("it serves", || {
        client = Wire::connect(address).ok();
        client.is_some()
    });
    let mut client = client.unwrap();
    client.put(b"k", b"v").unwrap();
    server.signal(Signal::TERM);
    client.await_end();
    banner.read_to_end(&mut Vec::new()).unwrap();
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("drained"), "{said}");
}

/// The ceiling of stamps in CLOCK of `dir`: that of the slot written last.
fn ceiling(dir: &Path) -> u64 {
    let bytes = fs::read(dir.join("CLOCK")).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    [0, 4096].map(|slot| (word(slot + 8), word(slot + 16))).into_iter().max().unwrap().1
}

/// When a core failed, the keeper of the ceiling was stopped as if all had drained, while the other
/// cores went on to acknowledge writes: it put the ceiling down to the stamps given so far, and let
/// go of the data directory.
#[test]
fn a_core_that_fails_ends_the_process_with_the_ceiling_where_it_was() {
    // How far the keeper got before the process was gone was a race.
    for _ in 0..3 {
        let dir = scratch();
        let server = Server::start(&mut without_file_size_signal(&command(dir.path())));
        let mut client = Wire::connect(server.clients()).unwrap();
        let given = client.put(b"k", b"small").unwrap();
        let limit = Rlimit { current: Some(64 << 10), maximum: None };
        let pid = Pid::from_raw(server.pid().try_into().unwrap());
        prlimit(pid, Resource::Fsize, limit).unwrap();
        client.put(b"k", &[7; 1 << 20]).unwrap_err();
        let (status, said) = server.wait();
        assert_eq!(status.code(), Some(30), "{said}");
        assert!(said.contains("nothing more is acknowledged"), "{said}");
        assert!(ceiling(dir.path()) > given.0, "it was ahead of the last stamp, and stays there");
    }
}

/// `start`, with an error instead of a signal for who writes a file beyond the limit of its size.
fn without_file_size_signal(start: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command.arg(start.get_program()).args(start.get_args());
    command
}

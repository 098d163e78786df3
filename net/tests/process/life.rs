//! What a server says about itself while it runs, and how it ends.

use std::io::Read;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::kvcore::{Server, command, eventually, scratch};

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
    for line in [
        "kvcore_core_up{core=\"0\"} 1",
        "kvcore_ready 1",
        "kvcore_puts_total{core=\"0\"} 0",
        "kvcore_disk_level{core=\"0\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains("node=\"n1\",cluster=\"kvcore\""), "{text}");
    assert!(text.contains("process_cpu_seconds_total "), "{text}");
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

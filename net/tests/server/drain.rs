//! The end of a server, and starts that cannot be.

use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::Duration;

use net::server::{Server, StartError};
use schemas::kind::Kind;
use schemas::status::Status;

use crate::client::{TestServer, config, put};

#[test]
fn a_draining_server_tells_its_clients_and_finishes_what_it_began() {
    let server = TestServer::start(2);
    let mut busy = server.connect();
    let mut idle = server.connect();
    let puts: Vec<u8> = (1..=200u64).flat_map(|id| put(id, &id.to_le_bytes(), b"v")).collect();
    busy.send(&puts);
    // At least one is there before the server is told.
    let mut replies = vec![busy.receive()];
    server.server.control().drain();
    let address = server.address();

    let pushed = idle.receive();
    assert_eq!((pushed.kind, pushed.header.request_id), (Kind::Draining, 0));
    assert!(pushed.header.deadline_us > 0, "it says how long is left");
    assert!(idle.try_receive().unwrap().is_none());

    while let Some(reply) = busy.try_receive().unwrap() {
        replies.push(reply);
    }
    let pushes = replies.iter().filter(|reply| reply.kind == Kind::Draining).count();
    assert_eq!((pushes, replies.len()), (1, 201), "each put has an answer");
    for reply in replies.iter().filter(|reply| reply.kind != Kind::Draining) {
        assert!(matches!(reply.status(), Status::Ok | Status::Draining));
    }
    drop((busy, idle));
    server.server.wait().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn clients_that_stay_are_closed_when_the_grace_is_over_at_the_latest() {
    let server = TestServer::start(1);
    let client = server.connect();
    let start = std::time::Instant::now();
    server.stop();
    assert!(start.elapsed().as_secs() < 15);
    drop(client);
}

#[test]
fn a_server_that_is_told_to_drain_before_it_serves_ends_all_the_same() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = config(dir.path(), 2);
    for shard in &config.shard_dirs {
        std::fs::create_dir_all(dir.path().join(shard)).unwrap();
    }
    let server = Server::open(&config).unwrap();
    server.control().drain();
    server.serve();
    let (tell, ended) = channel();
    std::thread::spawn(move || tell.send(server.wait()).unwrap());
    ended.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
}

#[test]
fn a_port_in_use_is_an_error_before_anything_is_opened() {
    let server = TestServer::start(1);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut second = config(dir.path(), 1);
    second.listen = server.address();
    let refused = Server::open(&second).err().unwrap();
    assert!(matches!(refused, StartError::Listen { .. }), "{refused}");
    assert!(refused.to_string().contains(&server.address().to_string()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    server.stop();
}

#[test]
fn a_core_that_cannot_be_made_is_named_and_ends_the_others() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut wrong = config(dir.path(), 2);
    for shard in &wrong.shard_dirs {
        std::fs::create_dir_all(dir.path().join(shard)).unwrap();
    }
    wrong.cpus[1] = 9999;
    let refused = Server::open(&wrong).err().unwrap();
    assert!(matches!(refused, StartError::Core { shard, cpu: 9999, .. } if shard.0 == 1));
    assert!(refused.to_string().contains("9999"), "{refused}");
}

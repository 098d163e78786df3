//! Slow readers, many connections, too many requests: bounded, and each told so.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use net::server::FrontStats;
use schemas::ids::ShardId;
use schemas::kind::Kind;
use schemas::status::Status;

use crate::client::{Client, TestServer, get, key_of, put};

fn front(server: &TestServer) -> FrontStats {
    server.scrape()[0].front
}

/// Waits until `holds` of the server's figures.
fn wait_until(server: &TestServer, holds: impl Fn(&FrontStats) -> bool) {
    let start = Instant::now();
    while !holds(&front(server)) {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {:?}", front(server));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_others_are_served() {
    let server = TestServer::start(1);
    let mut good = server.connect();
    let value = vec![3; 64 << 10];
    assert_eq!(good.put(b"key", &value).status(), Status::Ok);

    let mut slow = server.connect();
    slow.stream.set_nonblocking(true).unwrap();
    let requests = get(1, b"key").repeat(100);
    let (mut written, mut stuck) = (0, 0);
    // Until the server has stopped reading, and the kernel takes no more either.
    while stuck < 20 {
        match slow.stream.write(&requests[written % requests.len()..]) {
            Ok(count) => (written, stuck) = (written + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                stuck += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        assert!(written < 64 << 20, "the server reads on and on");
    }
    let asked = written / get(1, b"key").len();
    let sent = front(&server).bytes_out;
    assert!(sent < 16 << 20, "{sent} bytes were answered to a client that reads nothing");
    assert_eq!(good.get(b"key").value().unwrap(), value, "others are served");

    // It reads after all: nothing was lost.
    slow.stream.set_nonblocking(false).unwrap();
    for _ in 0..asked.min(2000) {
        assert_eq!(slow.receive().value().unwrap().len(), value.len());
    }
    drop(slow);
    wait_until(&server, |front| front.connections == 1);
    server.stop();
}

/// What another core found was put into the output however full it was: a client that asked for
/// many large values of that core, and read none, had them all in the server's memory. Only a read
/// may be refused so late: a write that was applied is acknowledged.
#[test]
fn values_of_another_core_do_not_pile_up_for_a_client_that_does_not_read() {
    // All of them may be on their way between the cores.
    let server = TestServer::start_with(2, |config| config.memory.in_flight_bytes = 16 << 20);
    let far = key_of(ShardId(1), 2, "far");
    let value = vec![3; 64 << 10];
    assert_eq!(server.connect_to(Some(ShardId(1))).put(&far, &value).status(), Status::Ok);

    let mut slow = server.connect_to(Some(ShardId(0)));
    let other = key_of(ShardId(1), 2, "other");
    let (count, mut requests) = (500, Vec::new());
    for id in 0..count {
        let request = if id % 2 == 0 { get(id, &far) } else { put(id, &other, b"small") };
        requests.extend(request);
    }
    slow.send(&requests);
    wait_until(&server, |front| front.bytes_in >= requests.len() as u64 && front.in_flight == 0);
    assert_eq!(server.connect_to(Some(ShardId(0))).get(&far).value().unwrap(), value);

    let replies: Vec<_> = (0..count).map(|_| slow.receive()).collect();
    let (reads, writes): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.header.request_id % 2 == 0);
    assert!(writes.len() == 250 && writes.iter().all(|reply| reply.kind == Kind::PutReply));
    let values = reads.iter().filter(|reply| reply.kind == Kind::GetReply).count();
    // What the server keeps for it, and the kernel on both sides.
    assert!((1..=96).contains(&values), "{values} values of 64 KiB were kept");
    for refused in reads.iter().filter(|reply| reply.kind != Kind::GetReply) {
        assert_eq!(refused.status(), Status::Overloaded);
        assert!(refused.header.is_retryable() && refused.header.deadline_us > 0);
        assert_eq!(refused.header.route_hint(), Some(ShardId(1)));
    }
    server.stop();
}

#[test]
fn a_thousand_connections_are_served_and_forgotten() {
    let server = TestServer::start(2);
    let mut clients: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&put(i as u64, &i.to_le_bytes(), b"value"));
    }
    for client in &mut clients {
        assert_eq!(client.receive().kind, Kind::PutReply);
    }
    let open: u64 = server.scrape().iter().map(|core| core.front.connections).sum();
    assert_eq!(open, 1000);
    drop(clients);
    let start = Instant::now();
    while server.scrape().iter().any(|core| core.front.connections > 0) {
        assert!(start.elapsed() < Duration::from_secs(20), "connections are left");
    }
    server.stop();
}

#[test]
fn connections_that_ask_for_no_core_are_spread_over_all() {
    let server = TestServer::start(2);
    let clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for core in server.scrape() {
        let here = core.front.connections;
        assert!((29..=31).contains(&here), "{here} of 60 on core {}", core.shard.0);
    }
    drop(clients);
    server.stop();
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = TestServer::start_with(1, |config| config.limits.connections_max = 3);
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    let mut fourth = Client::raw(server.address());
    fourth.refused_with(Status::TooManyConnections);
    assert_eq!(clients[0].put(b"key", b"value").status(), Status::Ok);
    drop(clients);
    wait_until(&server, |front| front.connections == 0);
    server.connect();
    server.stop();
}

#[test]
fn more_requests_than_the_core_takes_on_are_told_when_to_come_again() {
    let server = TestServer::start_with(1, |config| config.limits.in_flight_max = 10);
    let mut client = server.connect();
    let puts: Vec<u8> = (0..500u64).flat_map(|id| put(id, &id.to_le_bytes(), b"value")).collect();
    client.send(&puts);
    let replies: Vec<_> = (0..500).map(|_| client.receive()).collect();
    let overloaded: Vec<_> =
        replies.iter().filter(|reply| reply.status() == Status::Overloaded).collect();
    assert!(!overloaded.is_empty(), "500 at once are more than 10");
    for reply in &overloaded {
        assert!(reply.header.is_retryable() && reply.header.deadline_us > 0);
        let id = reply.header.request_id;
        assert_eq!(client.get(&id.to_le_bytes()).value(), None, "refused is not applied");
    }
    for reply in replies.iter().filter(|reply| reply.status() == Status::Ok) {
        let id = reply.header.request_id;
        assert!(client.get(&id.to_le_bytes()).value().is_some());
    }
    assert_eq!(front(&server).in_flight, 0);
    server.stop();
}

/// A read that was refused was begun all the same: the disk worked for nobody, the more so the more
/// was refused.
#[test]
fn a_read_that_is_refused_does_not_go_to_the_disk() {
    let server = TestServer::start_with(1, |config| config.limits.in_flight_max = 1);
    let mut client = server.connect();
    // More than memory holds: the first two can be read from the disk alone.
    let value = vec![5; 1 << 20];
    for key in 0..64u8 {
        while client.put(&[key], &value).status() != Status::Ok {}
    }
    let before = server.scrape()[0].store.clone().unwrap();
    client.send(&[get(1, &[0]), get(2, &[1])].concat());
    let mut statuses = [client.receive(), client.receive()].map(|reply| reply.status());
    statuses.sort_by_key(|status| *status as u8);
    assert_eq!(statuses, [Status::Ok, Status::Overloaded]);
    let after = server.scrape()[0].store.clone().unwrap();
    assert_eq!(after.gets_disk - before.gets_disk, 1);
    assert_eq!(after.gets_busy - before.gets_busy, 1, "and the other was not begun");
    server.stop();
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let server = TestServer::start(1);
    let start = Instant::now();
    let mut silent = Client::raw(server.address());
    silent.refused_with(Status::HandshakeTimeout);
    let waited = start.elapsed();
    assert!((4..8).contains(&waited.as_secs()), "after {waited:?}");
    server.stop();
}

#[test]
fn an_idle_server_sleeps() {
    let server = TestServer::start_with(2, |config| config.spin = Duration::from_micros(20));
    let clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    // Time limits of new connections are looked at for a while.
    std::thread::sleep(Duration::from_secs(1));
    let before = server.scrape();
    std::thread::sleep(Duration::from_secs(1));
    for (before, after) in before.iter().zip(server.scrape()) {
        let ticks = after.ticks - before.ticks;
        assert!(ticks < 20, "{ticks} rounds in a second without a request");
    }
    drop(clients);
    server.stop();
}

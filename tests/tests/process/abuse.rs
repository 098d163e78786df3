//! Hostile and unlucky clients against the real process: each is answered by name or closed, a good
//! client beside them is served throughout, and memory stays bounded.
//!
//! What single frames do is tested in `net/tests/server/wire.rs`; here they come all together, many
//! times, to one process that goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use schemas::consistency::Consistency;
use schemas::frame;
use schemas::header::{HEADER_BYTES, Header};
use schemas::ids::{ClusterId, Hlc, NamespaceId};
use schemas::kind::Kind;
use schemas::limits::{FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use schemas::message::{Get, Handshake, Put};
use schemas::status::Status;

use crate::clients::client;
use crate::server::{Server, Start, eventually, scratch};

/// A connection that says what it is told to.
struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, received: Vec::new() }
    }

    fn shaken(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address);
        raw.send(&handshake(|_| {}));
        assert_eq!(raw.next(), Some((Kind::HandshakeReply, Status::Ok)));
        raw
    }

    /// The server may have closed already: what it said before counts.
    fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// Kind and status of the next frame; `None` once the server has closed.
    fn next(&mut self) -> Option<(Kind, Status)> {
        loop {
            let read = frame::read(&self.received, FRAME_BYTES_MAX).expect("the server is sane");
            if let Some((frame, len)) = read {
                let status = Status::from_byte(frame.header.status).unwrap();
                let told = (frame.kind().unwrap(), status);
                self.received.drain(..len);
                return Some(told);
            }
            let mut chunk = [0; 64 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither an answer nor an end: {error}"),
            }
        }
    }
}

fn handshake(change: impl FnOnce(&mut Handshake<'_>)) -> Vec<u8> {
    let mut handshake = Handshake {
        version_min: 1,
        version_max: 1,
        features: 0,
        cluster_name: "",
        cluster_id: None,
        client_name: "abuse",
        wanted_shard: None,
        namespace: "",
    };
    change(&mut handshake);
    let mut bytes = Vec::new();
    handshake.encode(&Header::request(0), &mut bytes);
    bytes
}

fn put(header: &Header, key: &[u8], value: &[u8]) -> Vec<u8> {
    let (namespace, consistency) = (NamespaceId::DEFAULT, Consistency::Default);
    let put = Put { namespace, key, context: &[], value, ttl_ms: 0, consistency, hlc_seen: Hlc(0) };
    let mut bytes = Vec::new();
    frame::append(header, &put, &mut bytes);
    bytes
}

fn get(id: u64, key: &[u8]) -> Vec<u8> {
    let (namespace, consistency) = (NamespaceId::DEFAULT, Consistency::Default);
    let get = Get { namespace, key, consistency, hlc_seen: Hlc(0), key_only: false };
    let mut bytes = Vec::new();
    frame::append(&Header::request(id), &get, &mut bytes);
    bytes
}

/// Resident memory of a process, in bytes.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Runs `abuse` beside a good client, which is served throughout. Says how often it was.
fn beside_a_good_client(server: &Server, abuse: impl FnOnce()) -> usize {
    let (address, over) = (server.clients(), AtomicBool::new(false));
    thread::scope(|scope| {
        let good = scope.spawn(|| {
            let good = client(address);
            let mut served = 0;
            while !over.load(Ordering::Relaxed) || served == 0 {
                let value = format!("value {served}");
                good.put("good", value.clone()).send().unwrap();
                assert_eq!(good.get("good").send().unwrap().unwrap().value, value);
                served += 1;
            }
            served
        });
        let ends = EndGuard(&over);
        abuse();
        drop(ends);
        good.join().unwrap()
    })
}

/// Lets the good client end, also when the abuse panics.
struct EndGuard<'a>(&'a AtomicBool);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Frames after a handshake, and what they are answered with.
fn wrong_frames() -> Vec<(&'static str, Vec<u8>, Status)> {
    let fine = put(&Header::request(1), b"key", b"value");
    let changed = |at: usize, byte: u8| {
        let mut bytes = fine.clone();
        bytes[at] ^= byte;
        bytes
    };
    let long_key = vec![b'k'; KEY_BYTES_MAX + 1];
    let long_value = vec![b'v'; VALUE_BYTES_MAX + 1];
    let request = Header::request(1);
    let mut oversized = fine.clone();
    oversized[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut reply = Vec::new();
    frame::append(&request, &Kind::Pong, &mut reply);
    let mut unknown = fine.clone();
    unknown[9] = 0x3f;
    let sum = crc32c::crc32c(&unknown[8..]);
    unknown[4..8].copy_from_slice(&sum.to_le_bytes());
    vec![
        ("an empty key", put(&request, b"", b"value"), Status::KeyEmpty),
        ("a long key", put(&request, &long_key, b"value"), Status::KeyTooLong),
        ("a large value", put(&request, b"key", &long_value), Status::ValueTooLarge),
        ("an unknown kind", unknown, Status::UnknownKind),
        ("a reply", reply, Status::OutOfOrder),
        ("a second handshake", handshake(|_| {}), Status::OutOfOrder),
        ("a changed body", changed(fine.len() - 8, 1), Status::FrameCorrupt),
        ("another version", changed(8, 0x40), Status::VersionUnsupported),
        ("a length of 4 GiB", oversized, Status::FrameTooLarge),
    ]
}

/// Handshakes, and what they are answered with.
fn wrong_handshakes() -> Vec<(&'static str, Vec<u8>, Status)> {
    let mut large = handshake(|_| {});
    large[..4].copy_from_slice(&(HANDSHAKE_FRAME_BYTES_MAX as u32).to_le_bytes());
    vec![
        ("a cluster's name", handshake(|it| it.cluster_name = "bank"), Status::WrongCluster),
        ("a cluster", handshake(|it| it.cluster_id = Some(ClusterId(1))), Status::WrongCluster),
        (
            "later versions",
            handshake(|it| (it.version_min, it.version_max) = (2, 9)),
            Status::VersionUnsupported,
        ),
        ("a namespace", handshake(|it| it.namespace = "nowhere"), Status::UnknownNamespace),
        ("no handshake", get(1, b"key"), Status::HandshakeRequired),
        ("a large one", large, Status::FrameTooLarge),
    ]
}

#[test]
fn every_wrong_frame_is_answered_by_name() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    let address = server.clients();
    let expect = |raw: &mut Raw, what: &str, status: Status| {
        assert_eq!(raw.next(), Some((Kind::Error, status)), "{what}");
        if status.closes() {
            assert_eq!(raw.next(), None, "{what}: and it closes");
        } else {
            raw.send(&get(7, b"key"));
            let goes_on = raw.next().expect("it goes on");
            assert!(matches!(goes_on.0, Kind::GetReply | Kind::Error), "{what}: {goes_on:?}");
        }
    };
    let mut cases = 0;
    let served = beside_a_good_client(&server, || {
        for _ in 0..20 {
            for (what, bytes, status) in wrong_frames() {
                let mut raw = Raw::shaken(address);
                raw.send(&bytes);
                expect(&mut raw, what, status);
                cases += 1;
            }
            for (what, bytes, status) in wrong_handshakes() {
                let mut raw = Raw::connect(address);
                raw.send(&bytes);
                expect(&mut raw, what, status);
                cases += 1;
            }
        }
    });
    println!("{cases} wrong frames beside {served} good rounds");
    server.stop();
}

/// A connection that ends in the middle of a frame, at every place of it.
#[test]
fn cut_frames_leave_nothing_behind() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    let address = server.clients();
    let stream = [handshake(|_| {}), put(&Header::request(1), b"cut", b"value")].concat();
    let served = beside_a_good_client(&server, || {
        for at in 0..stream.len() {
            let mut raw = Raw::connect(address);
            raw.send(&stream[..at]);
            raw.stream.shutdown(Shutdown::Write).unwrap();
            while raw.next().is_some() {}
        }
    });
    assert!(client(address).get("cut").send().unwrap().is_none(), "no half of a put is applied");
    println!("{} cuts beside {served} good rounds", stream.len());
    server.stop();
}

/// A request that waits behind replies which its client does not read, for longer than it has.
#[test]
fn a_deadline_that_passed_is_told() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    client(server.clients()).put("large", vec![7; 512 << 10]).send().unwrap();
    let mut raw = Raw::shaken(server.clients());
    let mut burst = get(1, b"large").repeat(40);
    let hasty = Header { deadline_us: 1_000, ..Header::request(2) };
    burst.extend(put(&hasty, b"hasty", b"value"));
    let before = server.metric("kvcore_received_bytes_total");
    raw.send(&burst);
    eventually("all of it has come in", || {
        server.metric("kvcore_received_bytes_total") >= before + burst.len() as f64
    });
    thread::sleep(Duration::from_millis(2));
    let told: Vec<_> = (0..41).map(|_| raw.next().unwrap()).collect();
    assert!(told.contains(&(Kind::Error, Status::DeadlineExceeded)), "{told:?}");
    assert!(client(server.clients()).get("hasty").send().unwrap().is_none(), "and not applied");
    server.stop();
}

#[test]
fn slow_readers_idle_connections_and_floods_cost_bounded_memory() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    let address = server.clients();
    let large = vec![7; 256 << 10];
    client(address).put("large", large).send().unwrap();
    let before = resident(&server);
    let mut most = 0;
    let served = beside_a_good_client(&server, || {
        let mut idle: Vec<Raw> = (0..1000).map(|_| Raw::shaken(address)).collect();
        let mut slow: Vec<Raw> = (0..30).map(|_| Raw::shaken(address)).collect();
        for reader in &mut slow {
            reader.stream.set_nonblocking(true).unwrap();
            let requests = get(1, b"large").repeat(4000);
            // As much as the server and the kernel take: the rest is not sent.
            drop(reader.stream.write(&requests));
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            // Strangers who come and go, some in the middle of a word.
            let strangers: Vec<Raw> = (0..100).map(|_| Raw::connect(address)).collect();
            for mut stranger in strangers {
                stranger.send(&handshake(|_| {})[..HEADER_BYTES]);
            }
            most = most.max(resident(&server));
        }
        for connection in &mut idle {
            connection.send(&get(1, b"good"));
        }
        for connection in &mut idle {
            let (kind, status) = connection.next().expect("idle connections stay open");
            assert!(kind == Kind::GetReply || status == Status::Overloaded, "{kind:?} {status:?}");
        }
    });
    eventually("all are forgotten", || server.metric("kvcore_connections") < 2.0);
    let accepted = server.metric("kvcore_connections_accepted_total");
    println!(
        "{accepted} connections beside {served} good rounds; resident {} MiB before, {} at most",
        before >> 20,
        most >> 20
    );
    // What it was told to use, and as much again for the program itself.
    assert!(most < 128 << 20, "{most} bytes resident");
    server.stop();
}

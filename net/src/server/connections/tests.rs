//! Connections over real sockets and a made-up clock: what many of them hold together is bounded,
//! and time limits are kept.

use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use engine::env::ring::{Event, RingConfig};
use engine::store::{Failure, Stats};
use schemas::consistency::Consistency;
use schemas::header::HEADER_BYTES;
use schemas::ids::{ClusterId, Hlc, NamespaceId, NodeId, VnodeBits};
use schemas::limits::FRAME_BYTES_MAX;
use schemas::message::{ConnectionLimits, Get, GetReply, Handshake};

use super::*;
use crate::mesh;
use crate::server::{CoreLimits, Operation, Origin, Outcome, Replies, Request};

/// Answers each key, a number, with a value of so many bytes.
struct Sizes;

impl Service for Sizes {
    type Message = ();

    fn request(
        &mut self,
        request: &Request<'_>,
        context: &mut Context<'_, ()>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let get = Get::decode(request.body).unwrap();
        let len: usize = std::str::from_utf8(get.key).unwrap().parse().unwrap();
        let Origin { core, .. } = request.origin;
        if len > context.value_room(&request.origin, out) {
            request.origin.refuse(core, Status::Overloaded, out);
            return Outcome::Refused(Status::Overloaded);
        }
        let value = vec![1; len];
        let reply = GetReply { found: true, value: &value, ..GetReply::ABSENT };
        frame::append(&request.origin.reply_header(context.own), &reply, out);
        Outcome::Answered
    }

    fn message(&mut self, _: ShardId, (): (), _: Tick, _: &mut Replies<'_, ()>) {}

    fn tick(&mut self, _: Tick, _: &mut Replies<'_, ()>) -> Result<(), Failure> {
        Ok(())
    }

    fn idle(&self) -> bool {
        true
    }

    fn drained(&self) -> bool {
        true
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }

    fn stats(&self) -> Option<&Stats> {
        None
    }
}

const OWN: ShardId = ShardId(0);

/// The connections of a core, and all that they are given.
struct Bench {
    ring: Ring,
    connections: Connections,
    service: Sizes,
    identity: ServerIdentity,
    outbox: Outbox<()>,
    now_us: u64,
}

/// The other side of a connection.
struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    ended: bool,
    /// Whether it ended with bytes unread on the server's side.
    reset: bool,
}

impl Bench {
    fn new(limits: CoreLimits, bytes_max: usize) -> Self {
        let config = RingConfig { recv_buffers: 64, recv_buffer_bytes: 4096, ..Default::default() };
        let ring = Ring::new(config).unwrap();
        let admission = Admission::new(limits, bytes_max);
        let identity = ServerIdentity {
            node_id: NodeId(NonZeroU64::MIN),
            cluster_id: ClusterId(1),
            cluster_name: "test".to_owned(),
            server: String::new(),
            ring_seed: 0,
            vnode_bits: VnodeBits::DEFAULT,
            shards: 1,
            limits: ConnectionLimits::DEFAULT,
        };
        Self {
            connections: Connections::new(ring.clone(), admission, OWN, 1),
            ring,
            service: Sizes,
            identity,
            outbox: Outbox::new(mesh::mesh(2, 2).swap_remove(0)),
            now_us: 1_000_000,
        }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Connections, &mut Parts<'_, Sizes>) -> R) -> R {
        let mut parts = Parts {
            tick: Tick { now_us: self.now_us, wall_ms: 0 },
            own: OWN,
            identity: &self.identity,
            service: &mut self.service,
            outbox: &mut self.outbox,
        };
        act(&mut self.connections, &mut parts)
    }

    /// One round of a core.
    fn round(&mut self) {
        self.ring.enter().unwrap();
        while let Some(event) = self.ring.next_event() {
            match event {
                Event::Received(id, data) => {
                    self.with(|connections, parts| connections.received(id, &data, parts));
                }
                Event::Sent(id, buf, result) => self.connections.sent(id, buf, result),
                Event::Ended(id, result) => self.connections.ended(id, result),
                Event::Accepted(..) | Event::AcceptFailed(..) => unreachable!("nobody listens"),
            }
        }
        self.with(|connections, parts| connections.settle(parts));
    }

    /// Rounds until `holds`.
    fn until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "never: {:?}", self.held());
            self.round();
        }
    }

    /// Time passes, as it does on a core: a look at time limits at least so often.
    fn pass(&mut self, time: Duration) {
        let until_us = self.now_us + time.as_micros() as u64;
        while self.now_us < until_us {
            self.now_us = until_us.min(self.now_us + SWEEP_US);
            self.round();
        }
    }

    fn held(&self) -> Held {
        self.connections.admission.held()
    }

    /// A client that has said nothing yet.
    fn accept(&mut self) -> Client {
        let (stream, socket) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let tick = Tick { now_us: self.now_us, wall_ms: 0 };
        self.connections.accept(socket.into(), tick);
        Client { stream, received: Vec::new(), ended: false, reset: false }
    }

    /// A client whose handshake is done.
    fn connect(&mut self) -> Client {
        let mut client = self.accept();
        client.send(&handshake());
        self.receive(&mut client);
        client
    }

    /// The next frame: its status.
    fn receive(&mut self, client: &mut Client) -> Status {
        let mut status = None;
        self.until(|_| {
            status = client.next();
            status.is_some()
        });
        status.expect("it came")
    }

    /// Sends all of `bytes`.
    fn send(&mut self, client: &mut Client, bytes: &[u8]) {
        let mut sent = 0;
        self.until(|_| {
            match client.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            sent == bytes.len()
        });
    }
}

impl Client {
    /// Sends `bytes`, few enough for the socket.
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The status of the next frame, if it has come.
    fn next(&mut self) -> Option<Status> {
        loop {
            if let Some((frame, len)) = frame::read(&self.received, FRAME_BYTES_MAX).unwrap() {
                let status = Status::from_byte(frame.header.status);
                self.received.drain(..len);
                return status;
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.ended = true;
                    return None;
                }
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) => {
                    self.reset |= error.kind() == ErrorKind::ConnectionReset;
                    self.ended |= error.kind() != ErrorKind::WouldBlock;
                    return None;
                }
            }
        }
    }

    /// Whether the server has closed, and nothing is left to read.
    fn is_closed(&mut self) -> bool {
        while self.next().is_some() {}
        self.ended
    }
}

fn handshake() -> Vec<u8> {
    let mut bytes = Vec::new();
    let handshake = Handshake {
        version_min: 1,
        version_max: 1,
        features: 0,
        cluster_name: "",
        cluster_id: None,
        client_name: "test",
        wanted_shard: None,
        namespace: "",
    };
    handshake.encode(&Header::request(0), &mut bytes);
    bytes
}

/// Asks for a value of so many bytes.
fn get(len: usize) -> Vec<u8> {
    let (key, mut bytes) = (len.to_string(), Vec::new());
    let get = Get {
        namespace: NamespaceId::DEFAULT,
        key: key.as_bytes(),
        consistency: Consistency::Default,
        hlc_seen: Hlc(0),
        key_only: false,
    };
    frame::append(&Header::request(1), &get, &mut bytes);
    bytes
}

/// The beginning of a frame of two times `len` bytes.
fn half_a_frame(len: usize) -> Vec<u8> {
    let mut bytes = get(1);
    let body_len = (2 * len - HEADER_BYTES) as u32;
    bytes[..4].copy_from_slice(&body_len.to_le_bytes());
    bytes.resize(len, 0);
    bytes
}

/// Each connection could hold a frame that was not whole, for ever and beside all limits: ten
/// thousand of them were gigabytes. Together they have a bound now, and those who hold the most
/// are sent away.
#[test]
fn frames_that_are_not_whole_are_bounded_together() {
    let bytes_max = 1 << 20;
    let mut bench = Bench::new(CoreLimits::default(), bytes_max);
    let mut good = bench.connect();
    let mut others: Vec<Client> = (0..40).map(|_| bench.connect()).collect();
    let half = half_a_frame(100 << 10);
    for other in &mut others {
        bench.send(other, &half);
        bench.until(|bench| bench.connections.stats.bytes_in >= half.len() as u64);
        bench.connections.stats.bytes_in = 0;
        // One that passes the bound is gone at once; all others stay within their share.
        assert!(bench.held().input <= bytes_max, "{:?}", bench.held());
    }
    bench.until(|bench| bench.connections.is_settled());
    bench.round();
    let told = |other: &mut Client| other.next() == Some(Status::Overloaded);
    let refused = others.iter_mut().map(told).filter(|told| *told).count();
    assert!((28..40).contains(&refused), "{refused} were sent away");
    // A frame of those who hold little may come in pieces.
    for byte in get(10) {
        good.send(&[byte]);
        bench.round();
    }
    assert_eq!(bench.receive(&mut good), Status::Ok);
    drop(others);
    bench.until(|bench| bench.connections.admission.connections() == 1);
    assert_eq!(bench.held(), Held::default(), "what they held is given back");
}

/// Each connection could have one reply more than its share: ten thousand that asked for a large
/// value and read nothing were gigabytes.
#[test]
fn replies_that_are_not_read_are_bounded_together() {
    let bytes_max = 2 << 20;
    let mut bench = Bench::new(CoreLimits::default(), bytes_max);
    let mut good = bench.connect();
    let mut others: Vec<Client> = (0..40).map(|_| bench.connect()).collect();
    for other in &mut others {
        other.send(&get(1 << 20).repeat(3));
    }
    let asked = bench.connections.stats.bytes_in + 120 * get(1 << 20).len() as u64;
    bench.until(|bench| bench.connections.stats.bytes_in >= asked);
    let held = bench.held().output;
    assert!((bytes_max..bytes_max + (1 << 20) + (64 << 10)).contains(&held), "{held}");
    // One within its share does not feel it.
    good.send(&get(10 << 10));
    assert_eq!(bench.receive(&mut good), Status::Ok);
    good.send(&get(1 << 20));
    assert_eq!(bench.receive(&mut good), Status::Overloaded);
    drop(others);
    bench.until(|bench| bench.connections.admission.connections() == 1);
    assert_eq!(bench.held(), Held::default(), "what they held is given back");
    good.send(&get(1 << 20));
    assert_eq!(bench.receive(&mut good), Status::Ok);
}

#[test]
fn a_frame_that_is_never_whole_is_not_waited_for() {
    let mut bench = Bench::new(CoreLimits::default(), 1 << 20);
    let [mut busy, mut idle, mut stuck] = std::array::from_fn(|_| bench.connect());
    let cut = |at: usize| [&get(10)[at..], &get(10)[..at]].concat();
    stuck.send(&get(10)[..40]);
    busy.send(&get(10)[..40]);
    // Always in the middle of a frame, but never of the same one.
    for _ in 0..4 {
        bench.pass(limits::FRAME_TIMEOUT / 3);
        busy.send(&cut(40));
        assert_eq!(bench.receive(&mut busy), Status::Ok);
    }
    assert!(stuck.is_closed() && bench.connections.stats.stalled == 1);
    assert!(!idle.is_closed() && !busy.is_closed());
    // A byte now and then is not enough.
    for byte in &get(10)[40..44] {
        busy.send(&[*byte]);
        bench.pass(limits::FRAME_TIMEOUT / 3);
    }
    assert!(busy.is_closed() && !idle.is_closed());
    bench.pass(limits::FRAME_TIMEOUT);
    assert!(bench.connections.timer_us().is_none(), "nobody is within a time limit");
}

#[test]
fn values_wait_for_another_core_within_a_bound() {
    let bytes_max = 1 << 20;
    let mut bench = Bench::new(CoreLimits::default(), bytes_max);
    let connection = bench.ring.adopt(UnixStream::pair().unwrap().1.into());
    let (operation, arrived_us) = (Operation::Get, 0);
    let origin =
        Origin { core: ShardId(1), connection, request_id: 1, bytes: 0, operation, arrived_us };
    let Bench { connections, outbox, .. } = &mut bench;
    let on_its_way = outbox.transit(bytes_max);
    let mut replies = Replies { own: OWN, connections, outbox };
    replies.reply(&origin, |_, room| assert_eq!(room, 0));
    let tick = Tick { now_us: 0, wall_ms: 0 };
    assert_eq!(replies.context(tick).value_room(&origin, &[]), 0);
    drop(on_its_way);
    replies.reply(&origin, |_, room| assert_eq!(room, usize::MAX));
    assert_eq!(replies.context(tick).value_room(&origin, &[]), usize::MAX);
}

/// A connection that another core had accepted was served however many there were already: those
/// that all wished for one core were never too many.
#[test]
fn a_connection_that_comes_over_is_one_too_many_like_any_other() {
    let limits = CoreLimits { connections_max: 3, ..CoreLimits::default() };
    let mut bench = Bench::new(limits, 1 << 20);
    let arrive = |bench: &mut Bench| {
        let (stream, socket) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let handover = Handover { socket: socket.into(), received: handshake() };
        bench.with(|connections, parts| connections.arrive(handover, parts));
        Client { stream, received: Vec::new(), ended: false, reset: false }
    };
    let mut served: Vec<Client> = (0..3).map(|_| arrive(&mut bench)).collect();
    for client in &mut served {
        assert_eq!(bench.receive(client), Status::Ok);
    }
    let mut refused: Vec<Client> = (0..REFUSALS_MAX).map(|_| arrive(&mut bench)).collect();
    let mut closed: Vec<Client> = (0..10).map(|_| arrive(&mut bench)).collect();
    for client in &mut refused {
        assert_eq!(bench.receive(client), Status::TooManyConnections);
    }
    assert!(closed.iter_mut().all(|client| client.next().is_none() && client.ended));
    assert!(closed.iter_mut().all(|client| client.received.is_empty()), "without a word");
    assert_eq!(bench.connections.admission.connections(), 3);
    drop((served, refused));
    bench.until(|bench| bench.connections.is_empty());
    let mut last = arrive(&mut bench);
    assert_eq!(bench.receive(&mut last), Status::Ok);
}

/// The receive that waited for the handshake was the last: what was sent after its timeout was
/// there unread when the connection was closed, which resets it, and the refusal may be lost.
#[test]
fn what_is_sent_after_a_handshake_timed_out_is_heard() {
    let mut bench = Bench::new(CoreLimits::default(), 1 << 20);
    let mut late = bench.accept();
    bench.pass(limits::HANDSHAKE_TIMEOUT);
    for _ in 0..3 {
        late.send(&handshake());
        bench.round();
        bench.round();
    }
    bench.pass(limits::LINGER);
    assert!(bench.connections.is_empty());
    assert_eq!(late.next(), Some(Status::HandshakeTimeout));
    assert!(late.is_closed() && !late.reset);
}

/// A reply that took long to send was taken for one that nobody reads, however much of it went out
/// meanwhile.
#[test]
fn a_slow_reader_is_served_and_one_that_reads_nothing_is_closed() {
    let mut bench = Bench::new(CoreLimits::default(), 4 << 20);
    let [mut slow, mut stuck] = std::array::from_fn(|_| bench.connect());
    for client in [&mut slow, &mut stuck] {
        client.send(&get(1 << 20));
    }
    bench.until(|bench| bench.held().output > 2 << 20);
    for _ in 0..4 {
        bench.pass(limits::WRITE_STALL * 2 / 3);
        assert_eq!(slow.next(), None, "it read what was there, and it was not all");
    }
    assert_eq!(bench.connections.stats.stalled, 1);
    assert!(stuck.is_closed());
    assert_eq!(bench.receive(&mut slow), Status::Ok);
    assert!(!slow.is_closed());
}

//! A small server on threads: all data in one map, one shard a connection, and a list of what to do
//! to the next requests instead of answering them.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemas::decoder::Decoder;
use schemas::frame::{self, Frame};
use schemas::handshake::ServerIdentity;
use schemas::header::Header;
use schemas::ids::{Actor, ClusterId, Dot, Hlc, NodeId, ShardId, Token, Version, VnodeBits};
use schemas::kind::Kind;
use schemas::message::{
    ConnectionLimits, Delete, Get, GetReply, Handshake, KeyResult, MultiGet, MultiGetReplyWriter,
    Put, RouteNode, RouteReply, Scan, ScanPlace, ScanRecord, ScanReplyWriter, WriteReply,
};
use schemas::status::Status;

pub(crate) const BITS: VnodeBits = VnodeBits::new(4).expect("16 or less");
pub(crate) const SEED: u64 = 77;

const LOCK: &str = "no session panics";
const SOUND: &str = "the client keeps to the protocol";

/// What to do with the next request for data, instead of answering it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Refuses it, and says when to come back.
    Refuse(Status, Duration),
    /// Does it, and closes the connection without a word.
    DoAndClose,
    /// Closes the connection without doing it.
    Close,
    /// Never answers it.
    Silence,
    /// Answers something that is no frame.
    Garbage,
}

/// A request for data that came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) header: Header,
    /// The shard of the connection it came on.
    pub(crate) on: ShardId,
    pub(crate) hlc_seen: u64,
}

#[derive(Clone, Debug)]
struct Stored {
    version: Version,
    expires_at_ms: u64,
    value: Vec<u8>,
}

#[derive(Debug)]
struct State {
    identity: ServerIdentity,
    route: RouteReply,
    data: BTreeMap<(Token, Vec<u8>), Stored>,
    hlc: u64,
    faults: VecDeque<Fault>,
    seen: Vec<Seen>,
    connections: Vec<TcpStream>,
    handshakes: usize,
    /// Sent right behind the reply to the next handshake.
    greeting: Vec<u8>,
    /// Whether nothing is answered any more.
    hangs: bool,
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
}

pub(crate) fn node(id: u64) -> NodeId {
    NodeId(NonZeroU64::new(id).expect("not 0"))
}

pub(crate) fn shards(count: u16) -> Server {
    let limits = ConnectionLimits { in_flight_max: 16, ..ConnectionLimits::DEFAULT };
    Server::start("127.0.0.1:0", 1, count, limits)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

impl Server {
    pub(crate) fn start(listen: &str, id: u64, shards: u16, limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind(listen).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let identity = ServerIdentity {
            node_id: node(id),
            cluster_id: ClusterId(9),
            cluster_name: "shop".to_owned(),
            server: "a test".to_owned(),
            ring_seed: SEED,
            vnode_bits: BITS,
            shards,
            limits,
        };
        let here = RouteNode { id: node(id), address: String::new(), shards };
        let state = Arc::new(Mutex::new(State {
            identity,
            route: RouteReply::single(1, BITS, here),
            data: BTreeMap::new(),
            hlc: 1 << 20,
            faults: VecDeque::new(),
            seen: Vec::new(),
            connections: Vec::new(),
            handshakes: 0,
            greeting: Vec::new(),
            hangs: false,
        }));
        let stopped = Arc::new(AtomicBool::new(false));
        let server = Self { address, state: Arc::clone(&state), stopped: Arc::clone(&stopped) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let (stream, state) = (stream.expect("a connection"), Arc::clone(&state));
                let copy = stream.try_clone().expect("a descriptor");
                state.lock().expect(LOCK).connections.push(copy);
                thread::spawn(move || Session { stream, state, shard: ShardId(0) }.run());
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(LOCK)
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// Requests for data so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    pub(crate) fn handshakes(&self) -> usize {
        self.state().handshakes
    }

    pub(crate) fn set_route(&self, route: RouteReply) {
        self.state().route = route;
    }

    /// Connections stay open, and nothing is answered any more.
    pub(crate) fn hang(&self) {
        self.state().hangs = true;
    }

    /// Sends a push in one segment with the reply to the next handshake.
    pub(crate) fn greet(&self, header: &Header, kind: Kind) {
        frame::append(header, &kind, &mut self.state().greeting);
    }

    /// Sends a push to every connection.
    pub(crate) fn push(&self, header: &Header, kind: Kind) {
        let mut bytes = Vec::new();
        frame::append(header, &kind, &mut bytes);
        for connection in &mut self.state().connections {
            let _closed = connection.write_all(&bytes);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        for connection in self.state().connections.drain(..) {
            let _closed = connection.shutdown(Shutdown::Both);
        }
        // The listener notices with its next connection.
        let _refused = TcpStream::connect(self.address);
    }
}

struct Session {
    stream: TcpStream,
    state: Arc<Mutex<State>>,
    shard: ShardId,
}

impl Session {
    fn run(mut self) {
        let mut decoder = Decoder::new();
        let mut input = vec![0; 1 << 16];
        loop {
            let received = match self.stream.read(&mut input) {
                Ok(0) | Err(_) => return,
                Ok(received) => received,
            };
            let (mut bytes, mut out) = (&input[..received], Vec::new());
            let mut open = true;
            while let Some(frame) = decoder.next(&mut bytes).expect("the client sends frames") {
                open = open && self.answer(&frame, &mut out);
            }
            if self.stream.write_all(&out).is_err() || !open {
                let _closed = self.stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Answers one frame; false to close the connection.
    fn answer(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> bool {
        let state = Arc::clone(&self.state);
        let mut state = state.lock().expect(LOCK);
        if state.hangs {
            return true;
        }
        let kind = frame.kind().expect(SOUND);
        let header = Header::reply(frame.header.request_id, state.route.epoch);
        match kind {
            Kind::Handshake => {
                let handshake = Handshake::decode(frame.body).expect(SOUND);
                self.shard = state.identity.place(&handshake, ShardId(0));
                state.handshakes += 1;
                let epoch = state.route.epoch;
                match state.identity.answer(&handshake, self.shard, epoch, |_| None) {
                    Ok(reply) => {
                        reply.encode(&header, out);
                        out.append(&mut state.greeting);
                    }
                    Err(status) => {
                        frame::append(&Header::error(0, epoch, status, 0), &Kind::Error, out);
                        return !status.closes();
                    }
                }
                return true;
            }
            Kind::Route => {
                state.route.encode(&header, out);
                return true;
            }
            Kind::Ping => {
                frame::append(&header, &Kind::Pong, out);
                return true;
            }
            _ => {}
        }
        let fault = state.faults.pop_front();
        let mut reply = Vec::new();
        let acts = !matches!(fault, Some(Fault::Close | Fault::Refuse(..) | Fault::Silence));
        state.note(frame, kind, self.shard);
        if acts {
            state.act(frame, kind, header, &mut reply);
        }
        match fault {
            None => out.extend(reply),
            Some(Fault::Refuse(status, delay)) => {
                let delay = u32::try_from(delay.as_micros()).expect("short");
                let header = Header::error(header.request_id, header.epoch, status, delay);
                frame::append(&header, &Kind::Error, out);
            }
            Some(Fault::Garbage) => out.extend(b"HTTP/1.1 400 Bad Request\r\n\r\n0123456789"),
            Some(Fault::Silence) => {}
            Some(Fault::Close | Fault::DoAndClose) => return false,
        }
        true
    }
}

impl State {
    fn note(&mut self, frame: &Frame<'_>, kind: Kind, on: ShardId) {
        let hlc_seen = match kind {
            Kind::Get => Get::decode(frame.body).expect(SOUND).hlc_seen.0,
            Kind::Put => Put::decode(frame.body).expect(SOUND).hlc_seen.0,
            _ => 0,
        };
        self.seen.push(Seen { kind, header: frame.header, on, hlc_seen });
    }

    fn act(&mut self, frame: &Frame<'_>, kind: Kind, header: Header, out: &mut Vec<u8>) {
        let body = frame.body;
        match kind {
            Kind::Get => {
                let get = Get::decode(body).expect(SOUND);
                let found = self.live(get.key);
                let reply = found.as_ref().map_or(GetReply::ABSENT, |stored| GetReply {
                    found: true,
                    version: Some(stored.version),
                    expires_at_ms: stored.expires_at_ms,
                    context: &[],
                    value: if get.key_only { &[] } else { &stored.value },
                });
                frame::append(&header, &reply, out);
            }
            Kind::Put => {
                let put = Put::decode(body).expect(SOUND);
                let version = self.version();
                let expires_at_ms = if put.ttl_ms == 0 { 0 } else { now_ms() + put.ttl_ms };
                let stored = Stored { version, expires_at_ms, value: put.value.to_vec() };
                self.data.insert((Token::of(put.key, SEED), put.key.to_vec()), stored);
                frame::append(&header, &WriteReply::put(version, &[]), out);
            }
            Kind::Delete => {
                let key = Delete::decode(body).expect(SOUND).key;
                self.data.remove(&(Token::of(key, SEED), key.to_vec()));
                let version = self.version();
                frame::append(&header, &WriteReply::delete(version, &[]), out);
            }
            Kind::MultiGet => self.multi_get(body, &header, out),
            Kind::Scan => self.scan(body, &header, out),
            _ => panic!("{kind:?} is no request"),
        }
    }

    fn live(&self, key: &[u8]) -> Option<Stored> {
        let stored = self.data.get(&(Token::of(key, SEED), key.to_vec()))?;
        let dead = stored.expires_at_ms != 0 && stored.expires_at_ms <= now_ms();
        (!dead).then(|| stored.clone())
    }

    fn version(&mut self) -> Version {
        self.hlc += 1;
        let actor = Actor { node: self.identity.node_id, boot: 1 };
        Version { hlc: Hlc(self.hlc), dot: Dot { actor, counter: self.hlc } }
    }

    /// Keys named `damaged` fail.
    fn multi_get(&self, body: &[u8], header: &Header, out: &mut Vec<u8>) {
        let request = MultiGet::decode(body).expect(SOUND);
        let mut writer = MultiGetReplyWriter::new(request.key_count());
        for (index, key) in request.keys().enumerate() {
            match self.live(key) {
                _ if key == b"damaged" => writer.set(index, KeyResult::failed(Status::Corrupt)),
                None => writer.set(index, KeyResult::ABSENT),
                Some(stored) => writer.set(
                    index,
                    KeyResult {
                        status: 0,
                        found: true,
                        version: Some(stored.version),
                        expires_at_ms: stored.expires_at_ms,
                        value: &stored.value,
                    },
                ),
            }
        }
        writer.encode(header, out);
    }

    /// A page ends with its shard.
    fn scan(&self, body: &[u8], header: &Header, out: &mut Vec<u8>) {
        let scan = Scan::decode(body).expect(SOUND);
        let shards = self.identity.shards;
        let shard = scan.from.token.vnode(BITS).shard(BITS, shards);
        let last = shard.tokens(BITS, shards).expect("fewer shards than vnodes").1;
        let mut writer = ScanReplyWriter::default();
        let mut next = last.0.checked_add(1).map(|token| (Token(token), Vec::new()));
        let mut count = 0;
        for ((token, key), stored) in &self.data {
            if (*token, &key[..]) <= (scan.from.token, scan.from.after_key) {
                continue;
            }
            if *token > last {
                break;
            }
            if count == scan.records_max {
                break;
            }
            count += 1;
            let value = if scan.key_only { &[][..] } else { &stored.value };
            let (version, expires_at_ms) = (stored.version, stored.expires_at_ms);
            let record = ScanRecord { token: *token, key, version, expires_at_ms, value };
            assert!(writer.push(&record), "a page has room for a test's records");
            if count == scan.records_max {
                next = Some((*token, key.clone()));
            }
        }
        let next = next.as_ref().map(|(token, key)| ScanPlace { token: *token, after_key: key });
        writer.encode(header, next, out);
    }
}

//! A server to test, and a blocking client that can do everything wrong.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use engine::store::Durability;
use net::server::{Ceiling, CoreLimits, CoreMemory, CoreStats, Identity, Server, ServerConfig};
use schemas::consistency::Consistency;
use schemas::frame::{self, Frame, Message};
use schemas::header::Header;
use schemas::ids::{Actor, ClusterId, Hlc, NamespaceId, NodeId, ShardId, Token, VnodeBits};
use schemas::kind::Kind;
use schemas::limits::FRAME_BYTES_MAX;
use schemas::message::{Delete, Get, GetReply, Handshake, HandshakeReply, MultiGet, Put};
use schemas::status::Status;

pub(crate) const SEED: u64 = 7;
pub(crate) const BITS: VnodeBits = VnodeBits::DEFAULT;

/// A server of its own directory.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    _dir: tempfile::TempDir,
}

impl TestServer {
    pub(crate) fn start(cores: usize) -> Self {
        Self::start_with(cores, |_| {})
    }

    pub(crate) fn start_with(cores: usize, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut config = config(dir.path(), cores);
        change(&mut config);
        for shard in &config.shard_dirs {
            std::fs::create_dir_all(dir.path().join(shard)).unwrap();
        }
        let server = Server::open(&config).unwrap();
        server.serve();
        Self { server, _dir: dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A connection whose handshake is done, on any core.
    pub(crate) fn connect(&self) -> Client {
        self.connect_to(None)
    }

    /// A connection to `shard`.
    pub(crate) fn connect_to(&self, shard: Option<ShardId>) -> Client {
        let mut client = Client::raw(self.address());
        client.shake_hands(shard);
        client
    }

    /// What each core has done, in order. All that a client was answered before is in it.
    pub(crate) fn scrape(&self) -> Vec<CoreStats> {
        let (tell, told) = mpsc::channel();
        let asked = self.server.control().scrape(move |stats| tell.send(stats).unwrap());
        let mut cores: Vec<CoreStats> =
            (0..asked).map(|_| told.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
        cores.sort_by_key(|core| core.shard);
        cores
    }

    /// Ends the server in order.
    pub(crate) fn stop(self) {
        self.server.control().drain();
        self.server.wait().unwrap();
    }
}

pub(crate) fn config(dir: &std::path::Path, cores: usize) -> ServerConfig {
    let cpus = core_affinity::get_core_ids().unwrap();
    let ceiling = Hlc(u64::MAX >> 1);
    ServerConfig {
        cpus: (0..cores).map(|core| cpus[core % cpus.len()].id).collect(),
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.to_path_buf(),
        generation: 1,
        shard_dirs: (0..cores)
            .map(|core| engine::data_dir::shard_dir(1, ShardId(core as u16)))
            .collect(),
        durability: Durability::Sync,
        compresses: false,
        scrub_pass_s: 0,
        repair: false,
        recovered: std::sync::mpsc::channel().0,
        memory: CoreMemory::split(cores * CoreMemory::BYTES_MIN, cores).unwrap(),
        limits: CoreLimits::default(),
        spin: Duration::ZERO,
        identity: Identity {
            actor: Actor { node: NodeId(NonZeroU64::new(3).unwrap()), boot: 1 },
            cluster_id: ClusterId(5),
            cluster_name: "test".to_owned(),
            ring_seed: SEED,
            vnode_bits: BITS,
            hlc_floor: Hlc(0),
        },
        ceiling: Arc::new(Ceiling::new(ceiling, cores)),
    }
}

/// The shard, of `shards`, that owns `key`.
pub(crate) fn owner(key: &[u8], shards: usize) -> ShardId {
    Token::of(key, SEED).vnode(BITS).shard(BITS, shards as u16)
}

/// A key that `shard`, of `shards`, owns.
pub(crate) fn key_of(shard: ShardId, shards: usize, name: &str) -> Vec<u8> {
    let mut keys = (0..).map(|i: u32| format!("{name} {i}").into_bytes());
    keys.find(|key| owner(key, shards) == shard).unwrap()
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// A frame that was received.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn status(&self) -> Status {
        Status::from_byte(self.header.status).unwrap()
    }

    /// The value of a `GetReply` that found one.
    pub(crate) fn value(&self) -> Option<Vec<u8>> {
        assert_eq!((self.kind, self.status()), (Kind::GetReply, Status::Ok));
        let reply = GetReply::decode(&self.body).unwrap();
        reply.found.then(|| reply.value.to_vec())
    }
}

impl Client {
    /// A connection that has said nothing yet.
    pub(crate) fn raw(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn shake_hands(&mut self, shard: Option<ShardId>) {
        self.send(&handshake(shard));
        let reply = self.receive();
        assert_eq!(reply.kind, Kind::HandshakeReply);
        let reply = HandshakeReply::decode(&reply.body).unwrap();
        assert_eq!(reply.cluster_id, ClusterId(5));
        if let Some(shard) = shard {
            assert_eq!(reply.shard, shard, "the connection moved");
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame; `None` once the server has closed.
    pub(crate) fn try_receive(&mut self) -> io::Result<Option<Reply>> {
        loop {
            if let Some((frame, len)) = frame::read(&self.received, FRAME_BYTES_MAX).unwrap() {
                let Frame { header, body, .. } = frame;
                let reply = Reply { kind: frame.kind().unwrap(), header, body: body.to_vec() };
                self.received.drain(..len);
                return Ok(Some(reply));
            }
            let mut chunk = [0; 64 << 10];
            match self.stream.read(&mut chunk)? {
                0 => return Ok(None),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }

    pub(crate) fn receive(&mut self) -> Reply {
        self.try_receive().unwrap().expect("the server closed")
    }

    /// Sends `request` and receives its reply.
    pub(crate) fn call(&mut self, request: &[u8]) -> Reply {
        self.send(request);
        self.receive()
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Reply {
        self.call(&put(1, key, value))
    }

    pub(crate) fn get(&mut self, key: &[u8]) -> Reply {
        self.call(&get(2, key))
    }

    /// Receives one last frame, a refusal, and then the end.
    pub(crate) fn refused_with(&mut self, status: Status) {
        let reply = self.receive();
        assert_eq!((reply.kind, reply.status()), (Kind::Error, status));
        assert!(self.try_receive().unwrap().is_none(), "and then it closes");
    }
}

pub(crate) fn handshake(wanted_shard: Option<ShardId>) -> Vec<u8> {
    let handshake = Handshake {
        version_min: 1,
        version_max: 1,
        features: 0,
        cluster_name: "",
        cluster_id: None,
        client_name: "test",
        wanted_shard,
        namespace: "",
    };
    let mut bytes = Vec::new();
    handshake.encode(&Header::request(0), &mut bytes);
    bytes
}

/// The frame of request `id`.
pub(crate) fn framed(id: u64, message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&Header::request(id), message, &mut bytes);
    bytes
}

pub(crate) fn get_message(key: &[u8]) -> Get<'_> {
    Get {
        namespace: NamespaceId::DEFAULT,
        key,
        consistency: Consistency::Default,
        hlc_seen: Hlc(0),
        key_only: false,
    }
}

pub(crate) fn get(id: u64, key: &[u8]) -> Vec<u8> {
    framed(id, &get_message(key))
}

pub(crate) fn multi_get(header: &Header, keys: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MultiGet::encode(
        header,
        NamespaceId::DEFAULT,
        Consistency::Default,
        Hlc(0),
        false,
        keys.iter().map(Vec::as_slice),
        &mut bytes,
    )
    .unwrap();
    bytes
}

pub(crate) fn put_message<'a>(key: &'a [u8], value: &'a [u8]) -> Put<'a> {
    Put {
        namespace: NamespaceId::DEFAULT,
        key,
        context: &[],
        value,
        ttl_ms: 0,
        consistency: Consistency::Default,
        hlc_seen: Hlc(0),
    }
}

pub(crate) fn put(id: u64, key: &[u8], value: &[u8]) -> Vec<u8> {
    framed(id, &put_message(key, value))
}

pub(crate) fn delete(id: u64, key: &[u8]) -> Vec<u8> {
    let delete = Delete {
        namespace: NamespaceId::DEFAULT,
        key,
        context: &[],
        consistency: Consistency::Default,
        hlc_seen: Hlc(0),
    };
    framed(id, &delete)
}

//! One frame of each kind, and more where a kind has more than one shape.

use std::num::NonZeroU64;

use schemas::consistency::Consistency;
use schemas::frame::{self, Frame, Message};
use schemas::header::Header;
use schemas::ids::{
    Actor, ClusterId, Dot, Hlc, NamespaceId, NodeId, ShardId, Token, Version, VnodeBits,
};
use schemas::kind::Kind;
use schemas::message::{
    ConnectionLimits, Delete, ErrorDetail, ErrorReply, Get, GetReply, Handshake, HandshakeReply,
    KeyResult, MultiGet, MultiGetReply, MultiGetReplyWriter, Put, ReplicaReason, RouteNode,
    RouteReply, RouteRequest, Scan, ScanPlace, ScanRecord, ScanReply, ScanReplyWriter, WriteReply,
};
use schemas::status::Status;

pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn node(id: u64) -> NodeId {
    NodeId(NonZeroU64::new(id).expect("not 0"))
}

fn version() -> Version {
    let actor = Actor { node: node(0x0123_4567_89ab_cdef), boot: 7 };
    Version { hlc: Hlc(0x0199_0000_1234_0005), dot: Dot { actor, counter: 42 } }
}

fn request() -> Header {
    Header { shard: ShardId(3), epoch: 9, deadline_us: 250_000, ..Header::request(0x1_0000_0002) }
}

fn reply() -> Header {
    Header::reply(0x1_0000_0002, 9)
}

pub(crate) fn put() -> Put<'static> {
    Put {
        namespace: NamespaceId::DEFAULT,
        key: b"carts/17",
        context: b"",
        value: b"two apples",
        ttl_ms: 60_000,
        consistency: Consistency::Quorum,
        hlc_seen: Hlc(0x0199_0000_0000_0001),
    }
}

fn hot() -> Vec<Sample> {
    let get = Get {
        namespace: NamespaceId::DEFAULT,
        key: b"carts/17",
        consistency: Consistency::ONE,
        hlc_seen: Hlc(0x0199_0000_0000_0001),
        key_only: false,
    };
    let found = GetReply {
        found: true,
        version: Some(version()),
        expires_at_ms: 1_764_000_000_000,
        context: b"",
        value: b"two apples",
    };
    let delete = Delete {
        namespace: NamespaceId::DEFAULT,
        key: b"carts/17",
        context: b"ctx",
        consistency: Consistency::Default,
        hlc_seen: Hlc(0),
    };
    vec![
        one("get", &request(), &get),
        one("exists", &request(), &Get { key_only: true, ..get }),
        one("get_reply_found", &reply(), &found),
        one("get_reply_absent", &reply().with_route_hint(ShardId(1)), &GetReply::ABSENT),
        one("put", &request(), &put()),
        one("put_reply", &reply(), &WriteReply::put(version(), b"")),
        one("delete", &request(), &delete),
        one("delete_reply", &reply(), &WriteReply::delete(version(), b"ctx")),
    ]
}

fn one(name: &'static str, header: &Header, message: &impl Message) -> Sample {
    built(name, |out| frame::append(header, message, out))
}

fn built(name: &'static str, build: impl FnOnce(&mut Vec<u8>)) -> Sample {
    let mut bytes = Vec::new();
    build(&mut bytes);
    Sample { name, bytes }
}

fn handshakes() -> Vec<Sample> {
    let handshake = Handshake {
        version_min: 1,
        version_max: 1,
        features: 0,
        cluster_name: "shop",
        cluster_id: Some(ClusterId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
        client_name: "golden",
        wanted_shard: Some(ShardId(3)),
        namespace: "default",
    };
    let answer = HandshakeReply {
        version: 1,
        features: 0,
        node_id: node(0x0123_4567_89ab_cdef),
        cluster_id: ClusterId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        cluster_name: "shop",
        server: "kvcore 0.1.0",
        ring_seed: 0xfeed,
        vnode_bits: VnodeBits::DEFAULT,
        epoch: 9,
        shards: 4,
        shard: ShardId(3),
        namespace: NamespaceId::DEFAULT,
        limits: ConnectionLimits::DEFAULT,
    };
    vec![
        built("handshake", |out| handshake.encode(&Header::request(0), out)),
        built("handshake_reply", |out| answer.encode(&Header::reply(0, 9), out)),
    ]
}

fn tables() -> Vec<Sample> {
    let keys = [&b"carts/17"[..], b"carts/18", b"\x00"];
    let mut answers = MultiGetReplyWriter::new(3);
    answers.set(2, KeyResult::failed(Status::Corrupt));
    answers.set(
        0,
        KeyResult {
            status: 0,
            found: true,
            version: Some(version()),
            expires_at_ms: 0,
            value: b"two apples",
        },
    );
    answers.set(1, KeyResult::ABSENT);
    let there = RouteNode { id: node(5), address: "10.0.0.5:7400".to_owned(), shards: 3 };
    let route = RouteReply::single(9, VnodeBits::new(3).expect("16 or less"), there);
    let detail = ErrorDetail {
        text: "2 of 3 replicas answered".to_owned(),
        level: Consistency::All,
        got: 2,
        needed: 3,
        replicas: vec![ReplicaReason { node: node(5), status: Status::DiskFull as u8 }],
    };
    let refused = Header::error(0x1_0000_0002, 9, Status::Unavailable, 20_000);
    vec![
        built("multi_get", |out| {
            MultiGet::encode(
                &request(),
                NamespaceId::DEFAULT,
                Consistency::ONE,
                Hlc(0),
                false,
                keys.into_iter(),
                out,
            )
            .expect("within the limits");
        }),
        built("multi_get_reply", |out| answers.encode(&reply(), out)),
        built("route", |out| RouteRequest { epoch: 8 }.encode(&request(), out)),
        built("route_reply", |out| route.encode(&reply(), out)),
        built("error_detailed", |out| detail.encode(&refused, out)),
    ]
}

fn scans() -> Vec<Sample> {
    let from = ScanPlace { token: Token(0x1000), after_key: b"carts/17" };
    let scan = Scan {
        namespace: NamespaceId::DEFAULT,
        consistency: Consistency::ONE,
        key_only: false,
        from,
        to: Token(u64::MAX),
        records_max: 100,
    };
    let mut page = ScanReplyWriter::default();
    for (token, key, value) in [(0x1000, &b"carts/18"[..], &b"a pear"[..]), (0x2000, b"k", b"")] {
        let token = Token(token);
        let record = ScanRecord { token, key, version: version(), expires_at_ms: 0, value };
        assert!(page.push(&record));
    }
    let next = ScanPlace { token: Token(0x2000), after_key: b"k" };
    vec![
        built("scan", |out| scan.encode(&request(), out)),
        built("scan_reply", |out| page.encode(&reply(), Some(next), out)),
        built("scan_reply_last", |out| {
            ScanReplyWriter::default().encode(&reply(), None, out);
        }),
    ]
}

fn bare() -> Vec<Sample> {
    let overloaded = Header::error(0x1_0000_0002, 9, Status::Overloaded, 1_000);
    let push = Header { deadline_us: 30_000_000, ..Header::reply(0, 9) };
    vec![
        one("ping", &request(), &Kind::Ping),
        one("pong", &reply(), &Kind::Pong),
        one("error_bare", &overloaded, &Kind::Error),
        one("ring_changed", &Header::reply(0, 10), &Kind::RingChanged),
        one("draining", &push, &Kind::Draining),
    ]
}

/// All of them; every kind is there.
pub(crate) fn all() -> Vec<Sample> {
    let samples: Vec<Sample> =
        [hot(), handshakes(), tables(), scans(), bare()].into_iter().flatten().collect();
    for kind in Kind::ALL {
        assert!(samples.iter().any(|it| it.bytes[9] == kind as u8), "no sample of {kind:?}");
    }
    samples
}

/// Decodes a frame by its kind and looks at all that comes out.
pub(crate) fn decode(frame: &Frame<'_>) -> Result<String, Status> {
    let body = frame.body;
    let kind = frame.kind()?;
    Ok(match kind {
        Kind::Handshake => format!("{:?}", Handshake::decode(body)?),
        Kind::HandshakeReply => format!("{:?}", HandshakeReply::decode(body)?),
        Kind::Get => format!("{:?}", Get::decode(body)?),
        Kind::GetReply => format!("{:?}", GetReply::decode(body)?),
        Kind::Put => format!("{:?}", Put::decode(body)?),
        Kind::Delete => format!("{:?}", Delete::decode(body)?),
        Kind::PutReply | Kind::DeleteReply => format!("{:?}", WriteReply::decode(kind, body)?),
        Kind::MultiGet => {
            let request = MultiGet::decode(body)?;
            let keys: Vec<_> = request.keys().collect();
            format!("{:?} {:?} {keys:?}", request.namespace, request.consistency)
        }
        Kind::MultiGetReply => {
            format!("{:?}", MultiGetReply::decode(body)?.results().collect::<Vec<_>>())
        }
        Kind::Scan => format!("{:?}", Scan::decode(body)?),
        Kind::ScanReply => {
            let page = ScanReply::decode(body)?;
            format!("{:?} {:?}", page.records().collect::<Vec<_>>(), page.next)
        }
        Kind::Route => format!("{:?}", RouteRequest::decode(body)?),
        Kind::RouteReply => format!("{:?}", RouteReply::decode(body)?),
        Kind::Error => format!("{:?}", ErrorReply::decode(frame)?),
        Kind::Ping | Kind::Pong | Kind::RingChanged | Kind::Draining => String::new(),
    })
}

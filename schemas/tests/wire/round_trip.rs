//! Whatever is written is read back equal, for any contents within the limits.

use std::num::NonZeroU64;

use proptest::prelude::*;
use schemas::consistency::Consistency;
use schemas::frame::{self, Frame, Message};
use schemas::header::Header;
use schemas::ids::{Actor, ClusterId, Dot, Hlc, NamespaceId, NodeId, ShardId, Version, VnodeBits};
use schemas::kind::Kind;
use schemas::limits::FRAME_BYTES_MAX;
use schemas::message::{
    ConnectionLimits, Delete, ErrorDetail, ErrorReply, Get, GetReply, Handshake, HandshakeReply,
    KeyResult, MultiGet, MultiGetReply, MultiGetReplyWriter, Put, ReplicaReason, RouteNode,
    RouteReply, RouteRequest, WriteReply,
};
use schemas::status::Status;

/// The one frame that fills `bytes`.
fn only(bytes: &[u8]) -> Frame<'_> {
    let (frame, len) = frame::read(bytes, FRAME_BYTES_MAX).expect("sound").expect("whole");
    assert_eq!(len, bytes.len());
    assert!(len.is_multiple_of(8));
    frame
}

fn written(header: &Header, message: &impl Message) -> Vec<u8> {
    // Dirty memory, because a server's output buffer is.
    let mut bytes = vec![0xa5; message.frame_len()];
    assert_eq!(frame::write(header, message, &mut bytes), bytes.len());
    let mut appended = b"before".to_vec();
    frame::append(header, message, &mut appended);
    assert_eq!(&appended[6..], bytes);
    bytes
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..=300)
}

fn headers() -> impl Strategy<Value = Header> {
    any::<(u8, u8, u16, u64, u32, u32)>().prop_map(
        |(flags, status, shard, request_id, epoch, deadline_us)| Header {
            flags,
            status,
            shard: ShardId(shard),
            request_id,
            epoch,
            deadline_us,
        },
    )
}

fn levels() -> impl Strategy<Value = Consistency> {
    (0u8..=132).prop_filter_map("a level", Consistency::from_byte)
}

fn nodes() -> impl Strategy<Value = NodeId> {
    any::<NonZeroU64>().prop_map(NodeId)
}

fn versions() -> impl Strategy<Value = Version> {
    (any::<u64>(), nodes(), any::<u32>(), any::<u64>()).prop_map(|(hlc, node, boot, counter)| {
        Version { hlc: Hlc(hlc), dot: Dot { actor: Actor { node, boot }, counter } }
    })
}

proptest! {
    #[test]
    fn header(header in headers(), kind in prop::sample::select(Kind::ALL.to_vec())) {
        let bytes = written(&header, &kind);
        let frame = only(&bytes);
        prop_assert_eq!(frame.header, header);
        prop_assert_eq!(frame.kind(), Ok(kind));
        prop_assert!(frame.body.is_empty());
    }

    #[test]
    fn get(key in key(), namespace: u32, level in levels(), hlc: u64, key_only: bool) {
        let get = Get {
            namespace: NamespaceId(namespace),
            key: &key,
            consistency: level,
            hlc_seen: Hlc(hlc),
            key_only,
        };
        let bytes = written(&Header::request(1), &get);
        prop_assert_eq!(Get::decode(only(&bytes).body), Ok(get));
    }

    #[test]
    fn get_reply(
        found: bool,
        version in prop::option::of(versions()),
        expires_at_ms: u64,
        context in bytes(50),
        value in bytes(2000),
    ) {
        let reply =
            GetReply { found, version, expires_at_ms, context: &context, value: &value };
        let bytes = written(&Header::reply(1, 2), &reply);
        prop_assert_eq!(GetReply::decode(only(&bytes).body), Ok(reply));
    }

    #[test]
    fn put(
        key in key(),
        context in bytes(50),
        value in bytes(2000),
        ttl_ms in 0u64..=1 << 42,
        level in levels(),
        hlc: u64,
    ) {
        let put = Put {
            namespace: NamespaceId::DEFAULT,
            key: &key,
            context: &context,
            value: &value,
            ttl_ms,
            consistency: level,
            hlc_seen: Hlc(hlc),
        };
        let bytes = written(&Header::request(1), &put);
        prop_assert_eq!(Put::decode(only(&bytes).body), Ok(put));
    }

    #[test]
    fn delete(key in key(), context in bytes(50), level in levels(), hlc: u64) {
        let delete = Delete {
            namespace: NamespaceId::DEFAULT,
            key: &key,
            context: &context,
            consistency: level,
            hlc_seen: Hlc(hlc),
        };
        let bytes = written(&Header::request(1), &delete);
        prop_assert_eq!(Delete::decode(only(&bytes).body), Ok(delete));
    }

    #[test]
    fn write_reply(version in versions(), context in bytes(50), put: bool) {
        let reply = if put { WriteReply::put } else { WriteReply::delete };
        let reply = reply(version, &context);
        let bytes = written(&Header::reply(1, 2), &reply);
        let frame = only(&bytes);
        prop_assert_eq!(WriteReply::decode(frame.kind().expect("known"), frame.body), Ok(reply));
    }

    #[test]
    fn multi_get(keys in prop::collection::vec(key(), 1..=20), level in levels(), key_only: bool) {
        let mut out = Vec::new();
        MultiGet::encode(
            &Header::request(1),
            NamespaceId(3),
            level,
            Hlc(9),
            key_only,
            keys.iter().map(Vec::as_slice),
            &mut out,
        )
        .expect("within the limits");
        let read = MultiGet::decode(only(&out).body).expect("sound");
        prop_assert_eq!(read.key_count(), keys.len());
        prop_assert!(read.keys().eq(keys.iter().map(Vec::as_slice)));
        prop_assert_eq!((read.namespace, read.consistency), (NamespaceId(3), level));
        prop_assert_eq!((read.hlc_seen, read.key_only), (Hlc(9), key_only));
    }

    #[test]
    fn multi_get_reply(
        results in prop::collection::vec(
            (prop::option::of(versions()), bytes(200), any::<u64>(), any::<bool>()),
            1..=20,
        ),
    ) {
        let results: Vec<_> = results
            .iter()
            .map(|(version, value, expires_at_ms, found)| KeyResult {
                status: 0,
                found: *found,
                version: *version,
                expires_at_ms: *expires_at_ms,
                value,
            })
            .collect();
        let mut writer = MultiGetReplyWriter::new(results.len());
        for (index, result) in results.iter().enumerate().rev() {
            writer.set(index, *result);
        }
        let mut out = Vec::new();
        writer.encode(&Header::reply(1, 2), &mut out);
        let read = MultiGetReply::decode(only(&out).body).expect("sound");
        prop_assert!(read.results().eq(results));
    }

    #[test]
    fn handshake(
        numbers: (u8, u8, u64),
        cluster in "[a-z]{0,20}",
        id in prop::option::of(1u128..),
        client in "\\PC{0,40}",
        wanted in prop::option::of(0u16..65535),
        namespace in "[a-z]{0,20}",
    ) {
        let handshake = Handshake {
            version_min: numbers.0,
            version_max: numbers.1,
            features: numbers.2,
            cluster_name: &cluster,
            cluster_id: id.map(ClusterId),
            client_name: &client,
            wanted_shard: wanted.map(ShardId),
            namespace: &namespace,
        };
        let mut out = Vec::new();
        handshake.encode(&Header::request(0), &mut out);
        prop_assert_eq!(Handshake::decode(only(&out).body), Ok(handshake));
    }

    #[test]
    fn handshake_reply(
        node in nodes(),
        numbers: (u8, u64, u64, u32, u32),
        id in 1u128..,
        shards in 1u16..,
        bits in 0u8..=16,
        server in "\\PC{0,40}",
    ) {
        let reply = HandshakeReply {
            version: numbers.0,
            features: numbers.1,
            node_id: node,
            cluster_id: ClusterId(id),
            cluster_name: "shop",
            server: &server,
            ring_seed: numbers.2,
            vnode_bits: VnodeBits::new(bits).expect("16 or less"),
            epoch: numbers.3,
            shards,
            shard: ShardId(shards - 1),
            namespace: NamespaceId(numbers.4),
            limits: ConnectionLimits::DEFAULT,
        };
        let mut out = Vec::new();
        reply.encode(&Header::reply(0, 1), &mut out);
        prop_assert_eq!(HandshakeReply::decode(only(&out).body), Ok(reply));
    }

    #[test]
    fn route(epoch: u32, bits in 0u8..=8, shards in 1u16..=32, holes: bool) {
        let node = |id: u64| RouteNode {
            id: NodeId(NonZeroU64::new(id).expect("not 0")),
            address: format!("node{id}:7400"),
            shards,
        };
        let bits = VnodeBits::new(bits).expect("16 or less");
        let mut route = RouteReply::single(epoch, bits, node(1));
        route.nodes.push(node(2));
        if holes {
            route.owners[0] = None;
        }
        let mut out = Vec::new();
        route.encode(&Header::reply(1, epoch), &mut out);
        prop_assert_eq!(RouteReply::decode(only(&out).body), Ok(route));
        out.clear();
        RouteRequest { epoch }.encode(&Header::request(1), &mut out);
        prop_assert_eq!(RouteRequest::decode(only(&out).body), Ok(RouteRequest { epoch }));
    }

    #[test]
    fn error(
        status in prop::sample::select(Status::ALL.to_vec()),
        retry_after_us: u32,
        detail in prop::option::of(("\\PC{0,60}", levels(), any::<u16>(), nodes())),
    ) {
        let header = Header::error(5, 6, status, retry_after_us);
        let detail = detail.map(|(text, level, got, node)| ErrorDetail {
            text,
            level,
            got,
            needed: 3,
            replicas: vec![ReplicaReason { node, status: Status::DiskFull as u8 }],
        });
        let mut out = Vec::new();
        match &detail {
            Some(detail) => detail.encode(&header, &mut out),
            None => frame::append(&header, &Kind::Error, &mut out),
        }
        let read = ErrorReply::decode(&only(&out)).expect("sound");
        prop_assert_eq!(read.status(), Some(status));
        prop_assert_eq!(read.retryable, status.is_retryable());
        prop_assert_eq!(read.applied, status.applied());
        prop_assert_eq!(read.retry_after_us, retry_after_us);
        prop_assert_eq!(read.detail, detail);
    }
}

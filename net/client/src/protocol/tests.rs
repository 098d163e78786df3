//! A connection against a scripted server: bytes in, bytes out.

use std::num::NonZeroU64;

use schemas::decoder::Decoder;
use schemas::frame::{self, Message};
use schemas::handshake::ServerIdentity;
use schemas::header::Header;
use schemas::kind::Kind;
use schemas::message::Handshake;

use super::*;

/// The server's side: it answers what it is told to.
struct Script {
    decoder: Decoder,
    identity: ServerIdentity,
}

fn script() -> Script {
    Script {
        decoder: Decoder::new(),
        identity: ServerIdentity {
            node_id: NodeId(NonZeroU64::MIN),
            cluster_id: ClusterId(7),
            cluster_name: "shop".to_owned(),
            server: "script".to_owned(),
            ring_seed: 3,
            vnode_bits: VnodeBits::DEFAULT,
            shards: 2,
            limits: ConnectionLimits { in_flight_max: 4, ..ConnectionLimits::DEFAULT },
        },
    }
}

impl Script {
    /// The frames of `bytes`: kind, header, body.
    fn hear(&mut self, mut bytes: &[u8]) -> Vec<(Kind, Header, Vec<u8>)> {
        let mut heard = Vec::new();
        while let Some(frame) = self.decoder.next(&mut bytes).unwrap() {
            heard.push((frame.kind().unwrap(), frame.header, frame.body.to_vec()));
        }
        heard
    }

    fn shake_hands(&mut self, bytes: &[u8]) -> Vec<u8> {
        let heard = self.hear(bytes);
        let [(Kind::Handshake, header, body)] = &heard[..] else { panic!("{heard:?}") };
        let handshake = Handshake::decode(body).unwrap();
        let mut out = Vec::new();
        let reply = self.identity.answer(&handshake, ShardId(1), 5, |_| None).unwrap();
        reply.encode(&Header::reply(header.request_id, 5), &mut out);
        out
    }
}

fn said(header: &Header, message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(header, message, &mut bytes);
    bytes
}

/// The events of `bytes`, as text.
fn events(connection: &mut Connection, mut bytes: &[u8]) -> Result<Vec<String>, ConnectionError> {
    let mut events = Vec::new();
    while let Some(event) = connection.next(&mut bytes)? {
        events.push(format!("{event:?}"));
    }
    Ok(events)
}

fn open() -> (Connection, Script) {
    let (mut script, mut out) = (script(), Vec::new());
    let mut connection = Connection::new(Hello::default(), &mut out);
    assert!(!connection.is_open());
    let answer = script.shake_hands(&out);
    assert_eq!(events(&mut connection, &answer).unwrap(), ["Ready"]);
    assert!(connection.is_open());
    (connection, script)
}

const GET: Get<'static> = Get {
    namespace: NamespaceId::DEFAULT,
    key: b"k",
    consistency: Consistency::Default,
    hlc_seen: Hlc(0),
    key_only: false,
};

fn version() -> Version {
    let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
    Version { hlc: Hlc(9), dot: Dot { actor, counter: 2 } }
}

#[test]
fn a_handshake_comes_first_and_tells_who_is_there() {
    let mut out = Vec::new();
    let mut early = Connection::new(Hello::default(), &mut out);
    let asked = out.clone();
    let refused = early.get(RequestOptions::default(), &GET, &mut out);
    assert_eq!((refused, out == asked), (Err(SendError::NotReady), true));

    let (connection, _) = open();
    let server = connection.server().unwrap();
    assert_eq!((server.shard, server.shards, server.epoch), (ShardId(1), 2, 5));
    assert_eq!((server.ring_seed, server.namespace), (3, NamespaceId::DEFAULT));
    assert_eq!(connection.slots_max(), 4);
}

#[test]
fn a_server_of_another_cluster_is_not_talked_to() {
    let (mut script, mut out) = (script(), Vec::new());
    let _any = Connection::new(Hello::default(), &mut out);
    let answer = script.shake_hands(&out);
    let hello = Hello { cluster_id: Some(ClusterId(8)), ..Hello::default() };
    let mut connection = Connection::new(hello, &mut Vec::new());
    let error = events(&mut connection, &answer).unwrap_err();
    assert_eq!(error, ConnectionError::Handshake(Status::WrongCluster));
}

#[test]
fn requests_go_out_as_they_are_asked_and_replies_find_them_in_any_order() {
    let (mut connection, mut script) = open();
    let mut out = Vec::new();
    let options = RequestOptions { deadline_us: 250, shard: ShardId(1), epoch: 5 };
    let put = Put {
        namespace: NamespaceId::DEFAULT,
        key: b"k",
        context: b"",
        value: b"v",
        ttl_ms: 7,
        consistency: Consistency::ONE,
        hlc_seen: Hlc(1),
    };
    let get_slot = connection.get(options, &GET, &mut out).unwrap();
    let put_slot = connection.put(options, &put, &mut out).unwrap();
    assert_eq!(connection.in_flight(), 2);

    let heard = script.hear(&out);
    let [(Kind::Get, get_header, get_body), (Kind::Put, put_header, put_body)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(Get::decode(get_body), Ok(GET));
    assert_eq!(Put::decode(put_body), Ok(put));
    assert_eq!((get_header.deadline_us, get_header.shard, get_header.epoch), (250, ShardId(1), 5));

    let found = GetReply { found: true, version: Some(version()), value: b"v", ..GetReply::ABSENT };
    let mut bytes = said(
        &Header::reply(put_header.request_id, 6).with_route_hint(ShardId(0)),
        &WriteReply::put(version(), b""),
    );
    bytes.extend(said(&Header::reply(get_header.request_id, 5), &found));
    // A reply cut in two, as they come.
    let (mut first, mut second) = bytes.split_at(70);
    let Some(Event::Reply { slot, header, reply: Reply::Put(written) }) =
        connection.next(&mut first).unwrap()
    else {
        panic!("no reply to the put")
    };
    assert_eq!((slot, written.version), (put_slot, version()));
    assert_eq!(header, ReplyHeader { route_hint: Some(ShardId(0)), epoch: 6 });
    assert!(connection.next(&mut first).unwrap().is_none());
    let Some(Event::Reply { slot, reply: Reply::Get(reply), .. }) =
        connection.next(&mut second).unwrap()
    else {
        panic!("no reply to the get")
    };
    assert_eq!((slot, reply), (get_slot, found));
    assert_eq!(connection.in_flight(), 0);
}

#[test]
fn no_more_requests_are_in_flight_than_the_server_allows() {
    let (mut connection, mut script) = open();
    let mut out = Vec::new();
    for _ in 0..4 {
        connection.get(RequestOptions::default(), &GET, &mut out).unwrap();
    }
    let len = out.len();
    let refused = connection.get(RequestOptions::default(), &GET, &mut out);
    assert_eq!((refused, out.len()), (Err(SendError::Full), len));
    let id = script.hear(&out)[2].1.request_id;
    events(&mut connection, &said(&Header::reply(id, 5), &GetReply::ABSENT)).unwrap();
    connection.get(RequestOptions::default(), &GET, &mut out).unwrap();
}

#[test]
fn requests_past_a_limit_are_not_sent() {
    let (mut connection, _) = open();
    let mut out = Vec::new();
    let options = RequestOptions::default();
    let refused = connection.get(options, &Get { key: b"", ..GET }, &mut out);
    assert_eq!(refused, Err(SendError::Refused(Status::KeyEmpty)));
    let request = MultiGetRequest {
        namespace: NamespaceId::DEFAULT,
        consistency: Consistency::Default,
        hlc_seen: Hlc(0),
        key_only: false,
    };
    let refused = connection.multi_get(options, &request, [].into_iter(), &mut out);
    assert_eq!(refused, Err(SendError::Refused(Status::TooManyKeys)));
    assert_eq!((connection.in_flight(), out.len()), (0, 0));
}

#[test]
fn what_was_forgotten_is_not_told_and_frees_its_slot() {
    let (mut connection, mut script) = open();
    let mut out = Vec::new();
    let slot = connection.get(RequestOptions::default(), &GET, &mut out).unwrap();
    connection.forget(slot);
    assert_eq!(connection.in_flight(), 1);
    let id = script.hear(&out)[0].1.request_id;
    let late = said(&Header::reply(id, 5), &GetReply::ABSENT);
    assert_eq!(events(&mut connection, &late).unwrap(), ["Ignored"]);
    assert_eq!(connection.in_flight(), 0);
}

#[test]
fn errors_and_pushes_are_told() {
    let (mut connection, mut script) = open();
    let mut out = Vec::new();
    connection.get(RequestOptions::default(), &GET, &mut out).unwrap();
    let id = script.hear(&out)[0].1.request_id;
    let mut bytes = said(&Header::error(id, 5, Status::Overloaded, 80), &Kind::Error);
    bytes.extend(said(&Header::reply(0, 6), &Kind::RingChanged));
    let push = Header { deadline_us: 1000, ..Header::reply(0, 6) };
    bytes.extend(said(&push, &Kind::Draining));
    let events = events(&mut connection, &bytes).unwrap();
    assert!(events[0].contains("retry_after_us: 80"), "{events:?}");
    assert_eq!(events[1..], ["RingChanged { epoch: 6 }", "Draining { closes_in: 1ms }"]);
    let refused = connection.get(RequestOptions::default(), &GET, &mut out);
    assert_eq!(refused, Err(SendError::Closing));
}

#[test]
fn a_server_that_breaks_the_protocol_ends_the_connection() {
    type Lie = fn(u64) -> Vec<u8>;
    let lies: [(&str, Lie); 6] = [
        ("nobody", |id| said(&Header::reply(id + 1, 5), &GetReply::ABSENT)),
        ("another kind", |id| said(&Header::reply(id, 5), &WriteReply::put(version(), b""))),
        ("malformed", |id| said(&Header::reply(id, 5), &Kind::GetReply)),
        ("a request", |id| said(&Header::reply(id, 5), &GET)),
        ("no frame", |_| b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec()),
        ("a second handshake", |_| said(&Header::reply(0, 5), &Kind::HandshakeReply)),
    ];
    for (name, lie) in lies {
        let (mut connection, mut script) = open();
        let mut out = Vec::new();
        let slot = connection.get(RequestOptions::default(), &GET, &mut out).unwrap();
        let id = script.hear(&out)[0].1.request_id;
        let result = events(&mut connection, &lie(id));
        assert!(result.is_err(), "{name}");
        assert_eq!(connection.abandon(), [slot], "{name}");
    }
}

#[test]
fn a_refusal_of_the_connection_is_told() {
    let mut out = Vec::new();
    let mut connection = Connection::new(Hello::default(), &mut out);
    let bytes = said(&Header::error(0, 0, Status::TooManyConnections, 0), &Kind::Error);
    let events = events(&mut connection, &bytes).unwrap();
    assert!(events[0].starts_with("Refused(ErrorReply { code: 38"), "{events:?}");
}

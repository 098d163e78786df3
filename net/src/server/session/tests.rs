//! Sessions against bytes alone: however the stream is cut and whatever is in it, each frame has
//! one answer, and memory is bounded.

use std::num::NonZeroU64;
use std::os::unix::net::UnixStream;

use engine::env::ring::{Ring, RingConfig};
use engine::store::{Failure, Stats};
use schemas::header::HEADER_BYTES;
use schemas::ids::{ClusterId, NamespaceId, NodeId, VnodeBits};
use schemas::limits::FRAME_BYTES_MAX;
use schemas::message::{ConnectionLimits, ErrorReply, Get, GetReply, HandshakeReply};

use super::*;
use crate::mesh;
use crate::runtime::Tick;
use crate::server::{Admission, CoreLimits, Outbox, Replies};

/// Answers at once with the key as the value, or, to keys that begin with `late`, not at all.
struct Parrot {
    /// Requests it has begun and not answered.
    late: Vec<Origin>,
}

impl Service for Parrot {
    type Message = ();

    fn request(
        &mut self,
        request: &Request<'_>,
        context: &mut Context<'_, ()>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let key = match Get::decode(request.body) {
            Ok(get) => get.key,
            Err(status) => {
                request.origin.refuse(context.own, status, out);
                return Outcome::Refused(status);
            }
        };
        if key.starts_with(b"late") {
            self.late.push(request.origin);
            return Outcome::UnderWay;
        }
        let reply = GetReply { found: true, value: key, ..GetReply::ABSENT };
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
        self.late.is_empty()
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }

    fn stats(&self) -> Option<&Stats> {
        None
    }
}

/// A session and all that it is given.
struct Bench {
    session: Session,
    connection: SocketId,
    identity: ServerIdentity,
    service: Parrot,
    admission: Admission,
    answers: Answers,
    outbox: Outbox<()>,
    tick: Tick,
    unsent_bytes: usize,
    out: Vec<u8>,
    _ring: Ring,
}

const OWN: ShardId = ShardId(1);

impl Bench {
    fn new() -> Self {
        let ring = Ring::new(RingConfig::default()).unwrap();
        let connection = ring.adopt(UnixStream::pair().unwrap().0.into());
        let identity = ServerIdentity {
            node_id: NodeId(NonZeroU64::MIN),
            cluster_id: ClusterId(1),
            cluster_name: "test".to_owned(),
            server: String::new(),
            ring_seed: 0,
            vnode_bits: VnodeBits::DEFAULT,
            shards: 2,
            limits: ConnectionLimits::DEFAULT,
        };
        Self {
            session: Session::new(false),
            connection,
            identity,
            service: Parrot { late: Vec::new() },
            admission: Admission::new(CoreLimits::default(), 64 << 20),
            answers: Answers::default(),
            outbox: Outbox::new(mesh::mesh(2, 2).pop().unwrap()),
            tick: Tick { now_us: 1_000_000, wall_ms: 0 },
            unsent_bytes: 0,
            out: Vec::new(),
            _ring: ring,
        }
    }

    /// A bench whose handshake is done, and answered.
    fn open() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.give(&handshake(None)), Next::More);
        assert_eq!(bench.answers().len(), 1);
        bench
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Session, &mut Input<'_, '_, Parrot>) -> R) -> R {
        let mut input = Input {
            connection: self.connection,
            identity: &self.identity,
            default_core: OWN,
            service: &mut self.service,
            context: Context {
                tick: self.tick,
                own: OWN,
                admission: &self.admission,
                outbox: &mut self.outbox,
            },
            unsent_bytes: self.unsent_bytes,
            answers: &mut self.answers,
            out: &mut self.out,
        };
        act(&mut self.session, &mut input)
    }

    fn give(&mut self, bytes: &[u8]) -> Next {
        self.with(|session, input| session.receive(bytes, input))
    }

    /// The frames that were answered: kind, request id, status.
    fn answers(&mut self) -> Vec<(Kind, u64, u8)> {
        let mut answers = Vec::new();
        let mut rest = &self.out[..];
        while let Some((frame, len)) = frame::read(rest, FRAME_BYTES_MAX).unwrap() {
            let header = frame.header;
            answers.push((frame.kind().unwrap(), header.request_id, header.status));
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "whole frames");
        self.out.clear();
        answers
    }
}

const ANYBODY: Handshake<'static> = Handshake {
    version_min: 1,
    version_max: 1,
    features: 0,
    cluster_name: "",
    cluster_id: None,
    client_name: "test",
    wanted_shard: None,
    namespace: "",
};

fn handshake(wanted_shard: Option<ShardId>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let handshake = Handshake { wanted_shard, ..ANYBODY };
    handshake.encode(&Header::request(0), &mut bytes);
    bytes
}

fn get(request_id: u64, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let get = Get {
        namespace: NamespaceId::DEFAULT,
        key,
        consistency: schemas::consistency::Consistency::Default,
        hlc_seen: schemas::ids::Hlc(0),
        key_only: false,
    };
    frame::append(&Header::request(request_id), &get, &mut bytes);
    bytes
}

fn refused(request_id: u64, status: Status) -> (Kind, u64, u8) {
    (Kind::Error, request_id, status as u8)
}

#[test]
fn a_stream_cut_at_every_byte_has_the_same_answers() {
    let stream = [handshake(None), get(1, b"one"), get(2, b"two"), get(3, b"three")].concat();
    for at in 0..=stream.len() {
        let mut bench = Bench::new();
        for piece in [&stream[..at], &stream[at..]] {
            assert_eq!(bench.give(piece), Next::More);
        }
        let kinds: Vec<_> = bench.answers().into_iter().map(|(kind, id, _)| (kind, id)).collect();
        let get = Kind::GetReply;
        assert_eq!(kinds, [(Kind::HandshakeReply, 0), (get, 1), (get, 2), (get, 3)], "at {at}");
    }
}

#[test]
fn a_stream_given_byte_by_byte_has_the_same_answers() {
    let mut bench = Bench::new();
    for byte in [handshake(None), get(1, b"one"), get(2, b"two")].concat() {
        assert_eq!(bench.give(&[byte]), Next::More);
    }
    assert_eq!(bench.answers().len(), 3);
}

#[test]
fn a_wrong_byte_anywhere_is_refused_or_changes_nothing_else() {
    let stream = [handshake(None), get(1, b"one")].concat();
    for at in 0..stream.len() {
        let mut bytes = stream.clone();
        bytes[at] ^= 0x41;
        let mut bench = Bench::new();
        let next = bench.give(&bytes);
        let answers = bench.answers();
        let refusals = answers.iter().filter(|(kind, ..)| *kind == Kind::Error).count();
        match next {
            Next::Refused => assert_eq!(refusals, 1, "at {at}: {answers:?}"),
            // A length that grew: the rest of the frame is waited for.
            Next::More => assert!(answers.len() <= 1 && refusals == 0, "at {at}: {answers:?}"),
            other => panic!("at {at}: {other:?}"),
        }
    }
}

#[test]
fn nothing_is_served_before_the_handshake() {
    let mut bench = Bench::new();
    assert_eq!(bench.give(&get(7, b"key")), Next::Refused);
    assert_eq!(bench.answers(), [refused(7, Status::HandshakeRequired)]);
    assert_eq!(bench.give(&handshake(None)), Next::Refused, "it is over");
    assert_eq!(bench.answers(), []);
}

#[test]
fn a_stranger_holds_no_more_than_a_small_frame() {
    let mut bench = Bench::new();
    let mut large = get(1, b"key");
    large[0..4].copy_from_slice(&(HANDSHAKE_FRAME_BYTES_MAX as u32).to_le_bytes());
    assert_eq!(bench.give(&large), Next::Refused);
    assert_eq!(bench.answers(), [refused(1, Status::FrameTooLarge)]);
}

#[test]
fn a_frame_over_the_limit_is_refused_on_its_header_alone() {
    let mut bench = Bench::open();
    let mut large = get(9, b"key");
    large[0..4].copy_from_slice(&(FRAME_BYTES_MAX as u32).to_le_bytes());
    assert_eq!(bench.give(&large[..HEADER_BYTES]), Next::Refused);
    assert_eq!(bench.answers(), [refused(9, Status::FrameTooLarge)]);
}

#[test]
fn what_is_only_unknown_or_unexpected_is_refused_and_the_session_goes_on() {
    let mut bench = Bench::open();
    let mut frames = Vec::new();
    for kind in [Kind::Pong, Kind::Draining, Kind::Error] {
        frame::append(&Header::request(3), &kind, &mut frames);
    }
    frames.extend(handshake(None));
    assert_eq!(bench.give(&frames), Next::More);
    let expected: Vec<_> = [3, 3, 3, 0].map(|id| refused(id, Status::OutOfOrder)).into();
    assert_eq!(bench.answers(), expected);

    let mut unknown = Vec::new();
    frame::append(&Header::request(4), &Kind::Ping, &mut unknown);
    unknown[9] = 0x3f;
    let crc = crc32c::crc32c(&unknown[8..]);
    unknown[4..8].copy_from_slice(&crc.to_le_bytes());
    unknown.extend(get(5, b""));
    frame::append(&Header::request(6), &Kind::Ping, &mut unknown);
    assert_eq!(bench.give(&unknown), Next::More);
    let (unknown, empty) = (refused(4, Status::UnknownKind), refused(5, Status::KeyEmpty));
    assert_eq!(bench.answers(), [unknown, empty, (Kind::Pong, 6, 0)]);
}

#[test]
fn a_connection_moves_once_with_all_that_it_sent() {
    let mut bench = Bench::new();
    let sent = [handshake(Some(ShardId(0))), get(1, b"first")].concat();
    assert_eq!(bench.give(&sent), Next::Move(ShardId(0)));
    assert_eq!(bench.answers(), [], "it is answered there");
    let received = bench.session.take_received();
    assert_eq!(received, sent);
    // The other core had no room.
    let next = bench.with(|session, input| session.stay(&received, input));
    assert_eq!(next, Next::More);
    let answered = std::mem::take(&mut bench.out);
    let (reply, len) = frame::read(&answered, FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!(HandshakeReply::decode(reply.body).unwrap().shard, OWN, "and it is told so");
    bench.out = answered[len..].to_vec();
    assert_eq!(bench.answers(), [(Kind::GetReply, 1, 0)]);
}

#[test]
fn an_unknown_namespace_leaves_room_for_another_handshake() {
    let mut bench = Bench::new();
    let mut wrong = Vec::new();
    let nowhere = Handshake { namespace: "nowhere", ..ANYBODY };
    for _ in 0..20 {
        nowhere.encode(&Header::request(0), &mut wrong);
    }
    for _ in 0..5 {
        assert_eq!(bench.give(&wrong), Next::More);
        assert_eq!(bench.answers(), vec![refused(0, Status::UnknownNamespace); 20], "and read");
    }
    assert_eq!(bench.give(&handshake(None)), Next::More);
    assert_eq!(bench.answers().len(), 1);
    assert!(!bench.session.is_greeting());
}

/// Bad handshakes were answered one by one, however many came: a stranger that read nothing made
/// the server keep a byte for each that it sent. Those that may be repeated are few without being
/// read; all others are the end.
#[test]
fn handshakes_whose_refusals_nobody_reads_are_an_end() {
    let mut wrong = Vec::new();
    let nowhere = Handshake { namespace: "nowhere", ..ANYBODY };
    nowhere.encode(&Header::request(0), &mut wrong);
    let mut bench = Bench::new();
    assert_eq!(bench.give(&wrong.repeat(150)), Next::Refused);
    let unread = STRANGER_OUTPUT_BYTES_MAX + 256;
    assert!(bench.out.len() <= unread, "{} bytes of refusals", bench.out.len());

    let mut bench = Bench::new();
    bench.unsent_bytes = STRANGER_OUTPUT_BYTES_MAX + 1;
    assert_eq!(bench.give(&wrong), Next::Refused, "what is being sent was not read either");

    let mut malformed = Vec::new();
    frame::append(&Header::request(0), &Kind::Handshake, &mut malformed);
    let mut bench = Bench::new();
    assert_eq!(bench.give(&malformed.repeat(2)), Next::Refused);
    assert_eq!(bench.answers(), [refused(0, Status::MalformedBody)]);
}

#[test]
fn a_client_of_another_cluster_is_told_and_sent_away() {
    let mut bench = Bench::new();
    let mut bytes = Vec::new();
    let handshake = Handshake { cluster_name: "other", ..ANYBODY };
    handshake.encode(&Header::request(0), &mut bytes);
    assert_eq!(bench.give(&bytes), Next::Refused);
    let (frame, _) = frame::read(&bench.out, FRAME_BYTES_MAX).unwrap().unwrap();
    let error = ErrorReply::decode(&frame).unwrap();
    assert_eq!(error.status(), Some(Status::WrongCluster));
    assert_eq!(error.detail.unwrap().text, Status::WrongCluster.text());
}

#[test]
fn replies_that_nobody_reads_stop_the_input_until_they_are_read() {
    let mut bench = Bench::open();
    let key = [b'k'; 4096];
    let requests: Vec<u8> = (1..=2000).flat_map(|id| get(id, &key)).collect();
    assert_eq!(bench.give(&requests), Next::Wait);
    let share = bench.admission.output_share();
    assert!(bench.out.len() < share + 8192, "at most one reply past the bound");
    assert!(bench.session.has_backlog());
    // More may have come in before the socket was stopped.
    assert_eq!(bench.give(&get(2001, b"last")), Next::Wait);

    let mut ids = Vec::new();
    loop {
        ids.extend(bench.answers().into_iter().map(|(_, id, _)| id));
        let next = bench.with(|session, input| session.resume(input));
        if next == Next::More {
            break;
        }
    }
    ids.extend(bench.answers().into_iter().map(|(_, id, _)| id));
    assert_eq!(ids, (1..=2001).collect::<Vec<_>>(), "each once, in order");
    assert!(!bench.session.has_backlog());
}

#[test]
fn what_is_being_sent_counts_as_unread() {
    let mut bench = Bench::open();
    bench.unsent_bytes = bench.admission.output_share();
    assert_eq!(bench.give(&get(1, b"key")), Next::Wait);
    assert_eq!(bench.answers(), []);
    bench.unsent_bytes = 0;
    assert_eq!(bench.with(|session, input| session.resume(input)), Next::More);
    assert_eq!(bench.answers(), [(Kind::GetReply, 1, 0)]);
}

#[test]
fn requests_under_way_are_bounded_and_counted() {
    let mut bench = Bench::open();
    let requests: Vec<u8> =
        (1..=IN_FLIGHT_MAX as u64 + 10).flat_map(|id| get(id, b"late")).collect();
    assert_eq!(bench.give(&requests), Next::Wait);
    assert_eq!(bench.session.in_flight(), IN_FLIGHT_MAX);
    assert_eq!(bench.admission.in_flight(), IN_FLIGHT_MAX);
    assert_eq!(bench.service.late.len(), IN_FLIGHT_MAX);
    for origin in bench.service.late.drain(..) {
        bench.session.ended();
        bench.admission.end(origin.bytes);
    }
    assert!(bench.admission.has_room(u32::MAX >> 8) && bench.session.has_room());
    assert_eq!(bench.with(|session, input| session.resume(input)), Next::More);
    assert_eq!(bench.session.in_flight(), 10);
}

#[test]
fn a_backlog_past_its_bound_ends_the_session() {
    let mut bench = Bench::open();
    bench.unsent_bytes = usize::MAX >> 1;
    let chunk = vec![0; 1 << 20];
    let mut given = 0;
    while bench.give(&chunk) == Next::Wait {
        given += chunk.len();
        assert!(given <= BACKLOG_BYTES_MAX);
    }
    assert_eq!(given, BACKLOG_BYTES_MAX);
    assert_eq!(bench.answers(), [refused(0, Status::Overloaded)]);
}

#[test]
fn a_deadline_counts_from_when_the_request_came_in() {
    let mut bench = Bench::open();
    let with_deadline = |id, deadline_us| {
        let mut bytes = get(id, b"key");
        bytes[28..32].copy_from_slice(&u32::to_le_bytes(deadline_us));
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    assert_eq!(bench.give(&with_deadline(1, 1)), Next::More);
    assert_eq!(bench.answers(), [(Kind::GetReply, 1, 0)]);
    // Two wait for the output to be read, one of them too long.
    bench.unsent_bytes = usize::MAX >> 1;
    assert_eq!(bench.give(&[with_deadline(2, 500), with_deadline(3, 5000)].concat()), Next::Wait);
    bench.unsent_bytes = 0;
    bench.tick.now_us += 1000;
    assert_eq!(bench.with(|session, input| session.resume(input)), Next::More);
    assert_eq!(bench.answers(), [refused(2, Status::DeadlineExceeded), (Kind::GetReply, 3, 0)]);
}

#[test]
fn a_draining_session_refuses_requests_and_answers_those_under_way() {
    let mut bench = Bench::open();
    bench.give(&get(1, b"late"));
    assert!(bench.session.drain(), "the client is told");
    assert!(!bench.session.drain(), "once");
    assert_eq!(bench.give(&get(2, b"key")), Next::More);
    assert_eq!(bench.answers(), [refused(2, Status::Draining)]);
    assert_eq!(bench.session.in_flight(), 1);
}

#[test]
fn the_route_names_this_node_as_the_holder_of_everything() {
    let mut bench = Bench::open();
    let mut bytes = Vec::new();
    RouteRequest { epoch: 0 }.encode(&Header::request(8), &mut bytes);
    assert_eq!(bench.give(&bytes), Next::More);
    let (frame, _) = frame::read(&bench.out, FRAME_BYTES_MAX).unwrap().unwrap();
    let route = RouteReply::decode(frame.body).unwrap();
    assert_eq!((route.nodes.len(), route.nodes[0].shards), (1, 2));
    assert_eq!(route.owners.len(), VnodeBits::DEFAULT.count() as usize);
}

//! Streams that are cut, torn, wrong or hostile: an answer or an end, and others are served on.

use std::io::Write;
use std::net::Shutdown;

use schemas::header::{HEADER_BYTES, Header};
use schemas::ids::ShardId;
use schemas::kind::Kind;
use schemas::limits::FRAME_BYTES_MAX;
use schemas::status::Status;
use schemas::{frame, header};

use crate::client::{Client, TestServer, get, handshake, put};

#[test]
fn a_stream_that_arrives_in_any_two_pieces_is_answered() {
    let server = TestServer::start(2);
    let stream = [handshake(Some(ShardId(1))), put(1, b"key", b"value")].concat();
    for at in 1..stream.len() {
        let mut client = Client::raw(server.address());
        client.send(&stream[..at]);
        // Lets the first piece arrive alone, most of the time.
        std::thread::yield_now();
        client.send(&stream[at..]);
        assert_eq!(client.receive().kind, Kind::HandshakeReply, "cut at {at}");
        assert_eq!(client.receive().kind, Kind::PutReply, "cut at {at}");
    }
    server.stop();
}

#[test]
fn a_stream_that_ends_anywhere_leaves_the_server_as_it_was() {
    let server = TestServer::start(1);
    let stream = [handshake(None), put(1, b"key", b"value")].concat();
    for at in 0..stream.len() {
        let mut client = Client::raw(server.address());
        client.send(&stream[..at]);
        client.stream.shutdown(Shutdown::Write).unwrap();
        while client.try_receive().unwrap().is_some() {}
    }
    let mut client = server.connect();
    assert_eq!(client.get(b"key").value(), None, "no half of a put was applied");
    server.stop();
}

#[test]
fn garbage_is_refused_and_others_are_served() {
    let server = TestServer::start(1);
    let mut good = server.connect();
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..50 {
        let mut client = Client::raw(server.address());
        if round % 2 == 0 {
            client.shake_hands(None);
        }
        let mut garbage = vec![0; 4096];
        random.fill(&mut garbage);
        // Enough of it is a header that cannot be right.
        garbage[8] = header::PROTOCOL_VERSION + 1;
        client.send(&garbage);
        client.refused_with(Status::VersionUnsupported);
        assert_eq!(good.put(b"key", b"value").status(), Status::Ok);
    }
    server.stop();
}

#[test]
fn a_frame_that_was_changed_on_its_way_is_not_believed() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    let mut bytes = put(1, b"key", b"value");
    let last = bytes.len() - 8;
    bytes[last] ^= 1;
    client.send(&bytes);
    client.refused_with(Status::FrameCorrupt);
    assert_eq!(server.connect().get(b"key").value(), None);
    server.stop();
}

#[test]
fn lengths_at_the_edges_are_an_answer_or_an_end() {
    let server = TestServer::start(1);
    let max = (FRAME_BYTES_MAX - HEADER_BYTES) as u32;
    for len in [1, 7, max + 1, max + 8, i32::MAX as u32, u32::MAX - 7, u32::MAX] {
        let mut client = server.connect();
        let mut bytes = get(1, b"key");
        bytes[0..4].copy_from_slice(&len.to_le_bytes());
        client.send(&bytes);
        let status = if len > max { Status::FrameTooLarge } else { Status::FrameCorrupt };
        client.refused_with(status);
    }
    server.stop();
}

#[test]
fn the_greatest_frame_is_read_and_refused_by_name() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    let value = vec![1; FRAME_BYTES_MAX - HEADER_BYTES - 4096 - 100];
    assert_eq!(client.put(&[2; 4096], &value).status(), Status::ValueTooLarge);
    assert_eq!(client.put(b"key", b"value").status(), Status::Ok);
    server.stop();
}

#[test]
fn before_the_handshake_nothing_is_served() {
    let server = TestServer::start(1);
    for kind in [Kind::Ping, Kind::Route, Kind::Pong] {
        let mut client = Client::raw(server.address());
        let mut bytes = Vec::new();
        frame::append(&Header::request(5), &kind, &mut bytes);
        client.send(&bytes);
        client.refused_with(Status::HandshakeRequired);
    }
    server.stop();
}

#[test]
fn a_connection_moves_with_the_requests_that_came_with_its_handshake() {
    let server = TestServer::start(3);
    for shard in 0..3 {
        let mut client = Client::raw(server.address());
        let mut stream = handshake(Some(ShardId(shard)));
        for id in 1..=100 {
            stream.extend(put(id, &id.to_le_bytes(), b"value"));
        }
        // The last one is cut in the middle.
        let cut = stream.len() - 20;
        client.send(&stream[..cut]);
        assert_eq!(client.receive().kind, Kind::HandshakeReply);
        client.send(&stream[cut..]);
        let mut ids: Vec<_> = (0..100).map(|_| client.receive().header.request_id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=100).collect::<Vec<_>>());
    }
    server.stop();
}

#[test]
fn a_client_that_has_said_all_is_answered_before_the_end() {
    let server = TestServer::start(2);
    let mut client = server.connect();
    for id in 1..=50 {
        client.stream.write_all(&put(id, &id.to_le_bytes(), b"value")).unwrap();
    }
    client.stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..50 {
        assert_eq!(client.receive().kind, Kind::PutReply);
    }
    assert!(client.try_receive().unwrap().is_none());
    server.stop();
}

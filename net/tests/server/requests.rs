//! Reads, writes and multi-gets, on the owner's core and through another.

use std::collections::HashMap;

use schemas::consistency::Consistency;
use schemas::frame;
use schemas::header::Header;
use schemas::ids::{Hlc, NamespaceId, ShardId};
use schemas::kind::Kind;
use schemas::limits::{MULTI_GET_VALUES_BYTES_MAX, VALUE_BYTES_MAX};
use schemas::message::{GetReply, MultiGetReply, Put, WriteReply};
use schemas::status::Status;

use crate::client::{TestServer, delete, get, key_of, multi_get, owner, put, put_message};

#[test]
fn what_is_written_is_read_until_it_is_deleted() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    assert_eq!(client.get(b"key").value(), None);
    let written = client.put(b"key", b"value");
    assert_eq!((written.kind, written.status()), (Kind::PutReply, Status::Ok));
    let first = WriteReply::decode(Kind::PutReply, &written.body).unwrap().version;
    assert_eq!(first.dot.counter, 1);

    let read = client.get(b"key");
    assert_eq!(read.value().unwrap(), b"value");
    assert_eq!(GetReply::decode(&read.body).unwrap().version, Some(first));

    let deleted = client.call(&delete(3, b"key"));
    let second = WriteReply::decode(Kind::DeleteReply, &deleted.body).unwrap().version;
    assert!(second > first && second.dot.counter == 2);
    assert_eq!(client.get(b"key").value(), None);
    server.stop();
}

#[test]
fn a_value_expires() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    let mut bytes = Vec::new();
    let short = Put { ttl_ms: 30, ..put_message(b"key", b"value") };
    frame::append(&Header::request(1), &short, &mut bytes);
    assert_eq!(client.call(&bytes).status(), Status::Ok);
    let start = std::time::Instant::now();
    while client.get(b"key").value().is_some() {
        assert!(start.elapsed().as_secs() < 10, "it never expires");
    }
    server.stop();
}

#[test]
fn every_core_serves_every_key_and_names_its_owner() {
    let server = TestServer::start(3);
    let mut clients: Vec<_> = (0..3).map(|core| server.connect_to(Some(ShardId(core)))).collect();
    for i in 0..60u32 {
        let key = format!("key {i}").into_bytes();
        let owner = owner(&key, 3);
        for (core, client) in clients.iter_mut().enumerate() {
            let value = format!("value {i} by {core}").into_bytes();
            let written = client.put(&key, &value);
            let read = client.get(&key);
            assert_eq!(read.value().unwrap(), value);
            let hint = (usize::from(owner.0) != core).then_some(owner);
            for reply in [written, read] {
                assert_eq!(reply.header.route_hint(), hint, "key {i} through core {core}");
            }
        }
    }
    server.stop();
}

#[test]
fn a_pipeline_is_answered_once_each_whatever_the_order() {
    let server = TestServer::start(2);
    let mut client = server.connect();
    let mut requests = Vec::new();
    for i in 0..500u64 {
        let key = i.to_le_bytes();
        requests.extend(put(2 * i, &key, &key));
        requests.extend(get(2 * i + 1, &key));
    }
    client.send(&requests);
    let mut seen = HashMap::new();
    for _ in 0..1000 {
        let reply = client.receive();
        assert_eq!(reply.status(), Status::Ok);
        let expected =
            if reply.header.request_id.is_multiple_of(2) { Kind::PutReply } else { Kind::GetReply };
        assert_eq!(reply.kind, expected);
        assert!(seen.insert(reply.header.request_id, ()).is_none(), "answered twice");
    }
    for i in 0..500u64 {
        assert_eq!(client.get(&i.to_le_bytes()).value().unwrap(), i.to_le_bytes());
    }
    server.stop();
}

#[test]
fn a_multi_get_joins_what_several_cores_know() {
    let server = TestServer::start(3);
    let mut client = server.connect();
    let keys: Vec<Vec<u8>> = (0..200u32).map(|i| format!("many {i}").into_bytes()).collect();
    for key in keys.iter().step_by(2) {
        assert_eq!(client.put(key, key).status(), Status::Ok);
    }
    let reply = client.call(&multi_get(&Header::request(9), &keys));
    assert_eq!((reply.kind, reply.header.request_id), (Kind::MultiGetReply, 9));
    let results = MultiGetReply::decode(&reply.body).unwrap();
    for (i, result) in results.results().enumerate() {
        assert_eq!(result.status, Status::Ok as u8);
        assert_eq!(result.found, i % 2 == 0, "key {i}");
        let value = if i % 2 == 0 { &keys[i][..] } else { &[] };
        assert_eq!(result.value, value);
    }
    server.stop();
}

/// Values that did not fit in the reply counted as held, so from the 65th key of a MiB on the
/// others were answered `Overloaded`, and no client asks for those again; and the core that owned
/// the keys collected all of them, however many did not fit.
#[test]
fn keys_whose_values_do_not_fit_in_one_reply_are_to_be_asked_for_again() {
    let server = TestServer::start(2);
    let value = vec![7; VALUE_BYTES_MAX];
    for shard in [ShardId(0), ShardId(1)] {
        let key = key_of(shard, 2, "large");
        assert_eq!(server.connect_to(Some(shard)).put(&key, &value).status(), Status::Ok);
        let keys = vec![key; 200];
        for asked in [ShardId(0), ShardId(1)] {
            let reply = server.connect_to(Some(asked)).call(&multi_get(&Header::request(1), &keys));
            let reply = MultiGetReply::decode(&reply.body).unwrap();
            let results: Vec<_> = reply.results().collect();
            assert!(results[0].found && results[0].value == value, "one is always answered");
            assert!(results[0].value.len() * 2 > MULTI_GET_VALUES_BYTES_MAX);
            for result in &results[1..] {
                assert_eq!((result.status, result.found), (Status::ReplyFull as u8, false));
            }
        }
    }
    server.stop();
}

#[test]
fn a_multi_get_that_took_too_long_says_so() {
    let server = TestServer::start(2);
    let mut client = server.connect_to(Some(ShardId(0)));
    let far = key_of(ShardId(1), 2, "far");
    // Sooner than another core can answer.
    let hurried = Header { deadline_us: 1, ..Header::request(1) };
    let reply = client.call(&multi_get(&hurried, std::slice::from_ref(&far)));
    assert_eq!((reply.kind, reply.status()), (Kind::Error, Status::DeadlineExceeded));
    let patient = Header { deadline_us: 60_000_000, ..Header::request(2) };
    assert_eq!(client.call(&multi_get(&patient, &[far])).kind, Kind::MultiGetReply);
    server.stop();
}

#[test]
fn a_request_that_cannot_be_served_says_why() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    let refused = |client: &mut crate::client::Client, put: &Put<'_>| {
        let mut bytes = Vec::new();
        frame::append(&Header::request(4), put, &mut bytes);
        let reply = client.call(&bytes);
        assert_eq!((reply.kind, reply.header.request_id), (Kind::Error, 4));
        reply.status()
    };
    let large = vec![0; schemas::limits::VALUE_BYTES_MAX + 1];
    let fine = put_message(b"key", b"value");
    let cases = [
        (Put { key: b"", ..fine }, Status::KeyEmpty),
        (Put { value: &large, ..fine }, Status::ValueTooLarge),
        (Put { ttl_ms: u64::MAX, ..fine }, Status::TtlTooLong),
        (Put { namespace: NamespaceId(99), ..fine }, Status::UnknownNamespace),
        (Put { consistency: Consistency::count(2).unwrap(), ..fine }, Status::Unavailable),
        (Put { hlc_seen: Hlc(u64::MAX), ..fine }, Status::StampAhead),
    ];
    for (put, status) in cases {
        assert_eq!(refused(&mut client, &put), status);
    }
    assert_eq!(client.get(b"key").value(), None, "nothing was stored");
    assert_eq!(client.put(b"key", b"value").status(), Status::Ok, "and the connection goes on");
    server.stop();
}

#[test]
fn a_writer_overwrites_what_it_has_seen() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    let first = client.put(b"key", b"one");
    let first = WriteReply::decode(Kind::PutReply, &first.body).unwrap().version;
    // A stamp that another node gave, ahead of this one's clock.
    let seen = Hlc::from_millis(first.hlc.millis() + 300);
    let mut bytes = Vec::new();
    let put = Put { hlc_seen: seen, ..put_message(b"key", b"two") };
    frame::append(&Header::request(4), &put, &mut bytes);
    let second = client.call(&bytes);
    assert!(WriteReply::decode(Kind::PutReply, &second.body).unwrap().version.hlc > seen);
    assert_eq!(client.get(b"key").value().unwrap(), b"two");
    server.stop();
}

#[test]
fn large_values_come_back_whole() {
    let server = TestServer::start(2);
    let mut client = server.connect();
    let value: Vec<u8> = (0..schemas::limits::VALUE_BYTES_MAX).map(|i| (i / 3) as u8).collect();
    for i in 0..6u8 {
        assert_eq!(client.put(&[i; 4096], &value).status(), Status::Ok);
    }
    for i in 0..6u8 {
        assert!(client.get(&[i; 4096]).value().unwrap() == value);
    }
    server.stop();
}

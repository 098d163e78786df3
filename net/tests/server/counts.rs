//! What a server says of itself agrees with what it was asked.

use engine::latency::Latency;
use net::server::{CoreStats, Operation};
use schemas::consistency::Consistency;
use schemas::header::Header;
use schemas::ids::{NamespaceId, ShardId, Token};
use schemas::kind::Kind;
use schemas::message::{Get, Scan, ScanPlace};
use schemas::status::Status;

use crate::client::{Client, TestServer, delete, framed, get, get_message, multi_get, owner, put};

fn scan(id: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let scan = Scan {
        namespace: NamespaceId::DEFAULT,
        consistency: Consistency::Default,
        key_only: false,
        from: ScanPlace { token: Token(0), after_key: &[] },
        to: Token(u64::MAX),
        records_max: 10,
    };
    scan.encode(&Header::request(id), &mut bytes);
    bytes
}

/// What was answered to `operation`: each status that occurred, and how often.
fn answered(core: &CoreStats, operation: Operation) -> Vec<(Status, u64)> {
    core.answers.of(operation).answered.iter().filter(|(_, count)| *count > 0).collect()
}

fn latency(core: &CoreStats, operation: Operation) -> &Latency {
    &core.answers.of(operation).latency
}

#[test]
fn each_request_is_counted_once_under_its_operation_and_status() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    for id in 0..7 {
        client.send(&put(id, &[id as u8], b"value"));
    }
    for _ in 0..7 {
        assert_eq!(client.receive().status(), Status::Ok);
    }
    let elsewhere = Get { namespace: NamespaceId(99), ..get_message(&[1]) };
    let requests = [
        get(10, &[1]),
        get(11, &[1]),
        get(12, b"absent"),
        framed(13, &Get { key_only: true, ..get_message(&[1]) }),
        framed(14, &Get { key_only: true, ..get_message(b"absent") }),
        delete(15, &[1]),
        multi_get(&Header::request(16), &[vec![2], vec![3], b"absent".to_vec()]),
        scan(17),
        put(18, b"", b"an empty key"),
        framed(19, &elsewhere),
        framed(20, &elsewhere),
    ];
    client.send(&requests.concat());
    for _ in 0..requests.len() {
        client.receive();
    }
    let core = &server.scrape()[0];
    let ok = Status::Ok;
    for (operation, expected) in [
        (Operation::Get, vec![(ok, 3), (Status::UnknownNamespace, 2)]),
        (Operation::Exists, vec![(ok, 2)]),
        (Operation::Put, vec![(ok, 7), (Status::KeyEmpty, 1)]),
        (Operation::Delete, vec![(ok, 1)]),
        (Operation::MultiGet, vec![(ok, 1)]),
        (Operation::Scan, vec![(ok, 1)]),
    ] {
        assert_eq!(answered(core, operation), expected, "{operation:?}");
        let count = expected.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(latency(core, operation).count(), count, "{operation:?}");
    }
    assert!(latency(core, Operation::Put).sum_us() > 0, "a sync takes its time");
    let store = core.store.as_ref().unwrap();
    assert_eq!(store.log_latency.count(), store.log_batches);
    server.stop();
}

#[test]
fn a_pipeline_is_counted_to_the_last_request() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    client.put(b"key", b"value");
    let requests: Vec<u8> = (0..5000).flat_map(|id| get(id, b"key")).collect();
    client.send(&requests);
    for _ in 0..5000 {
        client.receive();
    }
    let core = &server.scrape()[0];
    assert_eq!(answered(core, Operation::Get), [(Status::Ok, 5000)]);
    assert_eq!(latency(core, Operation::Get).count(), 5000);
    assert!(core.busy_us > 0);
    server.stop();
}

#[test]
fn a_request_is_counted_by_the_core_that_has_its_client() {
    let server = TestServer::start(2);
    let mut clients: Vec<_> = (0..2).map(|core| server.connect_to(Some(ShardId(core)))).collect();
    let (mut own, mut others) = ([0; 2], [0; 2]);
    for i in 0..40u32 {
        let core = i as usize % 2;
        let key = i.to_le_bytes();
        assert_eq!(clients[core].put(&key, b"value").status(), Status::Ok);
        let is_own = usize::from(owner(&key, 2).0) == core;
        let counted = if is_own { &mut own[core] } else { &mut others[core] };
        *counted += 1;
    }
    for (index, core) in server.scrape().iter().enumerate() {
        assert!(others[index] > 0, "some belong to the other core");
        assert_eq!(core.answers.forwarded, others[index]);
        let all = own[index] + others[index];
        assert_eq!(answered(core, Operation::Put), [(Status::Ok, all)]);
        assert_eq!(latency(core, Operation::Put).count(), all);
    }
    server.stop();
}

#[test]
fn what_is_refused_and_is_no_request_is_counted_apart() {
    let server = TestServer::start(1);
    let mut client = server.connect();
    assert_eq!(client.call(&framed(3, &Kind::Pong)).status(), Status::OutOfOrder);
    let mut stranger = Client::raw(server.address());
    stranger.send(&get(1, b"key"));
    stranger.refused_with(Status::HandshakeRequired);
    let core = &server.scrape()[0];
    let refusals: Vec<_> = core.answers.refusals.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refusals, [(Status::OutOfOrder, 1), (Status::HandshakeRequired, 1)]);
    for operation in Operation::ALL {
        assert_eq!(answered(core, operation), [], "{operation:?}");
    }
    server.stop();
}

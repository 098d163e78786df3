//! What each operation does where nothing goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use kvclient::{Applied, Client, ErrorKind};
use schemas::ids::{ShardId, Token};
use schemas::kind::Kind;

use super::server::{self, BITS, SEED, Server};

pub(crate) async fn client(server: &Server) -> Client {
    let seed = server.address.to_string();
    let builder = Client::builder().seeds([seed]).deadline(Duration::from_secs(20));
    builder.build().await.expect("the server is there")
}

#[tokio::test]
async fn what_is_put_is_there_until_it_is_deleted() {
    let server = server::shards(1);
    let client = client(&server).await;
    assert_eq!(client.get("k").send().await.unwrap(), None);
    assert!(!client.exists("k").send().await.unwrap());
    let written = client.put("k", "value").send().await.unwrap();
    let entry = client.get("k").send().await.unwrap().unwrap();
    assert_eq!((&entry.value[..], entry.version), (&b"value"[..], written.version));
    assert_eq!(entry.expires_at_ms, None);
    assert!(client.exists("k").send().await.unwrap());
    let deleted = client.delete("k").send().await.unwrap();
    assert!(deleted.version > written.version);
    assert_eq!(client.get("k").send().await.unwrap(), None);
}

#[tokio::test]
async fn a_value_with_a_time_to_live_expires() {
    let server = server::shards(1);
    let client = client(&server).await;
    client.put("k", "v").ttl(Duration::from_millis(30)).send().await.unwrap();
    let expires = client.get("k").send().await.unwrap().unwrap().expires_at_ms;
    assert!(expires.is_some());
    while client.exists("k").send().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_client_tells_servers_the_greatest_stamp_it_has_seen() {
    let server = server::shards(1);
    let client = client(&server).await;
    let written = client.put("k", "v").send().await.unwrap();
    client.put("k", "w").send().await.unwrap();
    let seen = server.seen();
    assert_eq!((seen[0].hlc_seen, seen[1].hlc_seen), (0, written.version.hlc.0));
}

#[tokio::test]
async fn every_request_goes_to_the_core_that_owns_its_key() {
    let server = server::shards(3);
    let client = client(&server).await;
    let mut cores = BTreeSet::new();
    for i in 0..200 {
        let key = format!("key {i}");
        client.put(&key, key.clone()).send().await.unwrap();
        let owner = Token::of(key.as_bytes(), SEED).vnode(BITS).shard(BITS, 3);
        let seen = server.seen().pop().unwrap();
        assert_eq!((seen.kind, seen.on, seen.header.shard), (Kind::Put, owner, owner));
        assert_eq!(seen.header.epoch, 1);
        cores.insert(owner);
    }
    assert_eq!(cores.len(), 3);
    assert_eq!(server.handshakes(), 3, "one connection a core, that to the seed included");
}

#[tokio::test]
async fn a_multi_get_asks_each_core_for_its_own_and_answers_in_order() {
    let server = server::shards(3);
    let client = client(&server).await;
    for i in (0..1000).step_by(2) {
        client.put(format!("key {i}"), format!("value {i}")).send().await.unwrap();
    }
    let puts = server.seen().len();
    let keys: Vec<String> = (0..1000).map(|i| format!("key {i}")).collect();
    let outcomes = client.multi_get(&keys).send().await.unwrap();
    assert_eq!(outcomes.len(), keys.len());
    for (i, outcome) in outcomes.into_iter().enumerate() {
        let value = outcome.unwrap().map(|entry| entry.value);
        let expected = (i % 2 == 0).then(|| format!("value {i}").into());
        assert_eq!(value, expected, "key {i}");
    }
    let asked = server.seen().split_off(puts);
    assert!(asked.iter().all(|seen| seen.kind == Kind::MultiGet && seen.header.shard == seen.on));
    assert!(asked.len() < 10, "{} requests", asked.len());
    assert_eq!(client.multi_get(Vec::<Vec<u8>>::new()).send().await.unwrap().len(), 0);
}

#[tokio::test]
async fn values_that_do_not_fit_in_one_reply_come_in_several() {
    let server = server::shards(1);
    let client = client(&server).await;
    let keys: Vec<String> = (0..7).map(|i| format!("key {i}")).collect();
    for key in &keys {
        client.put(key, vec![key.as_bytes()[4]; 700_000]).send().await.unwrap();
    }
    let outcomes = client.multi_get(&keys).send().await.unwrap();
    for (key, outcome) in keys.iter().zip(outcomes) {
        let value = outcome.unwrap().unwrap().value;
        assert_eq!((value.len(), value[0]), (700_000, key.as_bytes()[4]));
    }
}

#[tokio::test]
async fn a_key_of_a_multi_get_fails_alone() {
    let server = server::shards(1);
    let client = client(&server).await;
    client.put("sound", "v").send().await.unwrap();
    let outcomes = client.multi_get(["sound", "damaged", "absent"]).send().await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().as_ref().unwrap().value, "v");
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(outcomes[2].as_ref().unwrap(), &None);
}

#[tokio::test]
async fn a_scan_sees_every_record_once_and_can_go_on_elsewhere() {
    let server = server::shards(3);
    let writer = client(&server).await;
    let mut expected = BTreeSet::new();
    for i in 0..50 {
        writer.put(format!("key {i}"), format!("{i}")).send().await.unwrap();
        expected.insert(format!("key {i}"));
    }
    let mut scan = writer.scan().page_records(7);
    let mut found = Vec::new();
    for _ in 0..3 {
        found.extend(scan.next_page().await.unwrap().unwrap());
    }
    let other = client(&server).await;
    let mut scan = other.scan().page_records(7).from(scan.position().unwrap().clone());
    while let Some(page) = scan.next_page().await.unwrap() {
        assert!((1..=7).contains(&page.len()));
        found.extend(page);
    }
    assert_eq!(scan.position(), None);
    assert_eq!(found.len(), 50);
    let keys: BTreeSet<String> =
        found.iter().map(|record| String::from_utf8(record.key.to_vec()).unwrap()).collect();
    assert_eq!(keys, expected);
    assert!(found.iter().all(|record| record.key.ends_with(&record.value)));
    let page = other.scan().keys_only().next_page().await.unwrap().unwrap();
    assert!(page.iter().all(|record| record.value.is_empty()));
}

#[tokio::test]
async fn more_operations_than_a_connection_takes_wait_for_their_turn() {
    let server = server::shards(1);
    let client = client(&server).await;
    let mut running = tokio::task::JoinSet::new();
    for i in 0..3000 {
        let client = client.clone();
        running.spawn(async move {
            let (key, value) = (format!("key {i}"), format!("value {i}"));
            client.put(&key, value.clone()).send().await.unwrap();
            assert_eq!(client.get(&key).send().await.unwrap().unwrap().value, value);
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    assert_eq!((server.seen().len(), server.handshakes()), (6000, 1));
}

#[tokio::test]
async fn what_no_server_would_take_is_not_sent() {
    let server = server::shards(1);
    let client = client(&server).await;
    let large = vec![0; (1 << 20) + 1];
    let long = vec![0; 4097];
    let forever = Duration::from_secs(1 << 40);
    let errors = [
        client.put("", "v").send().await.unwrap_err(),
        client.put("k", large).send().await.unwrap_err(),
        client.put("k", "v").ttl(forever).send().await.unwrap_err(),
        client.get(&long).send().await.unwrap_err(),
        client.exists("").send().await.unwrap_err(),
        client.delete(&long).send().await.unwrap_err(),
        client.multi_get(["k", ""]).send().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Invalid, Applied::No), "{error}");
        assert!(!error.is_retryable());
    }
    assert!(server.seen().is_empty());
    assert_eq!(client.route().owners(Token(0)).next().unwrap().shard, ShardId(0));
}

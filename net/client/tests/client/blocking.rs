//! The client for code that does not await.

use std::thread;
use std::time::Duration;

use kvclient::{Client, ErrorKind, blocking};

use super::server::{self, Server};

fn client(server: &Server) -> blocking::Client {
    let builder = Client::builder().seeds([server.address.to_string()]);
    blocking::Client::connect(builder).expect("the server is there")
}

#[test]
fn it_does_what_the_asynchronous_one_does() {
    let server = server::shards(2);
    let client = client(&server);
    client.put("k", "v").ttl(Duration::from_secs(60)).send().unwrap();
    assert_eq!(client.get("k").send().unwrap().unwrap().value, "v");
    let outcomes = client.multi_get(["k", "absent"]).send().unwrap();
    assert!(outcomes[0].as_ref().unwrap().is_some() && outcomes[1].as_ref().unwrap().is_none());
    let keys: usize = client.scan().keys_only().map(|page| page.unwrap().len()).sum();
    assert_eq!(keys, 1);
    client.delete("k").send().unwrap();
    assert!(!client.exists("k").send().unwrap());
    let error = client.get("").deadline(Duration::from_secs(1)).send().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn threads_share_one() {
    let server = server::shards(2);
    let shared = client(&server);
    thread::scope(|scope| {
        for worker in 0..8 {
            let client = shared.clone();
            scope.spawn(move || {
                for i in 0..50 {
                    let (key, value) = (format!("{worker}/{i}"), format!("{i}"));
                    client.put(&key, value.clone()).send().unwrap();
                    assert_eq!(client.get(&key).send().unwrap().unwrap().value, value);
                }
            });
        }
    });
    assert_eq!((server.seen().len(), server.handshakes()), (800, 2));
}

#[test]
fn it_comes_back_after_a_rest() {
    let server = server::shards(1);
    let client = client(&server);
    client.put("k", "v").send().unwrap();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(client.get("k").send().unwrap().unwrap().value, "v");
    assert_eq!(server.handshakes(), 1, "on the same connection");
}

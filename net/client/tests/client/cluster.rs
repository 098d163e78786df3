//! Several nodes, and a ring that changes.

use std::time::{Duration, Instant};

use kvclient::Client;
use schemas::header::Header;
use schemas::ids::{ShardId, Token};
use schemas::kind::Kind;
use schemas::message::{ConnectionLimits, Owner, RouteNode, RouteReply};

use super::server::{self, BITS, Server};

/// Two nodes; `first` says which one every vnode prefers.
fn route(epoch: u32, servers: [&Server; 2], first: u16) -> RouteReply {
    let nodes = (1..).zip(servers).map(|(id, server)| RouteNode {
        id: server::node(id),
        address: server.address.to_string(),
        shards: 1,
    });
    let owner = |node| Some(Owner { node, shard: ShardId(0) });
    let owners = (0..BITS.count()).flat_map(|_| [owner(first), owner(1 - first)]).collect();
    RouteReply { epoch, vnode_bits: BITS, copies: 2, nodes: nodes.collect(), owners }
}

fn two_nodes() -> [Server; 2] {
    let start = |id| Server::start("127.0.0.1:0", id, 1, ConnectionLimits::DEFAULT);
    let [a, b] = [start(1), start(2)];
    for server in [&a, &b] {
        server.set_route(route(1, [&a, &b], 0));
    }
    [a, b]
}

async fn client(server: &Server) -> Client {
    let builder = Client::builder().seeds([server.address.to_string()]);
    builder.build().await.expect("the server is there")
}

async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !met() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_push_that_the_ring_changed_moves_requests_to_the_new_owner() {
    let [a, b] = two_nodes();
    let client = client(&a).await;
    client.put("k", "v").send().await.unwrap();
    assert_eq!((a.seen().len(), b.seen().len()), (1, 0));
    for server in [&a, &b] {
        server.set_route(route(2, [&a, &b], 1));
    }
    a.push(&Header::reply(0, 2), Kind::RingChanged);
    until("the newer route", || client.route().epoch() == 2).await;
    client.put("k", "v").send().await.unwrap();
    assert_eq!((a.seen().len(), b.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_reply_of_a_newer_epoch_is_enough() {
    let [a, b] = two_nodes();
    let client = client(&a).await;
    for server in [&a, &b] {
        server.set_route(route(2, [&a, &b], 1));
    }
    client.put("k", "v").send().await.unwrap();
    until("the newer route", || client.route().epoch() == 2).await;
    assert_eq!(client.route().owners(Token(0)).next().unwrap().node, 1);
}

#[tokio::test]
async fn an_older_route_is_not_taken_back() {
    let [a, b] = two_nodes();
    for server in [&a, &b] {
        server.set_route(route(5, [&a, &b], 0));
    }
    let client = client(&a).await;
    b.set_route(route(4, [&a, &b], 1));
    a.set_route(route(4, [&a, &b], 1));
    a.push(&Header::reply(0, 6), Kind::RingChanged);
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_millis(300) {
        client.get("k").send().await.unwrap();
        assert_eq!(client.route().epoch(), 5);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_draining_node_gets_no_new_requests_where_another_holds_the_key() {
    let [a, b] = two_nodes();
    let client = client(&a).await;
    client.put("k", "v").send().await.unwrap();
    a.push(&Header { deadline_us: 1_000_000, ..Header::reply(0, 1) }, Kind::Draining);
    drop(a);
    let mut failures = 0;
    while b.seen().is_empty() {
        failures += u32::from(client.put("k", "v").send().await.is_err());
        assert!(failures < 10);
    }
    for _ in 0..20 {
        client.put("k", "v").send().await.unwrap();
    }
}

#[tokio::test]
async fn reads_go_to_another_owner_when_the_first_is_gone() {
    let [a, b] = two_nodes();
    let client = client(&b).await;
    b.set_route(route(1, [&a, &b], 0));
    client.get("k").send().await.unwrap();
    assert_eq!(a.seen().len(), 1);
    drop(a);
    for _ in 0..5 {
        client.get("k").send().await.unwrap();
    }
    assert_eq!(b.seen().len(), 5);
}

//! What an operation says when something goes wrong, and what is done about it without being told.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use kvclient::{Applied, Client, Error, ErrorKind, Status};
use schemas::header::Header;
use schemas::kind::Kind;

use super::operations::client;
use super::server::{self, Fault, Server};

fn puts(server: &Server) -> usize {
    server.seen().iter().filter(|seen| seen.kind == Kind::Put).count()
}

const OVERLOADED: Fault = Fault::Refuse(Status::Overloaded, Duration::from_millis(3));

#[tokio::test]
async fn a_refusal_that_asks_for_patience_is_tried_again() {
    let server = server::shards(1);
    let client = client(&server).await;
    server.fail([OVERLOADED, OVERLOADED]);
    client.put("k", "v").send().await.unwrap();
    assert_eq!(puts(&server), 3);
    server.fail([OVERLOADED, OVERLOADED, OVERLOADED]);
    let error = client.put("k", "v").send().await.unwrap_err();
    assert_eq!(puts(&server), 6, "three attempts");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Overloaded, Applied::No));
    assert_eq!(error.status(), Some(Status::Overloaded));
    assert_eq!(error.retry_after(), Some(Duration::from_millis(3)));
}

#[tokio::test]
async fn a_refusal_that_will_not_change_is_told_at_once() {
    let server = server::shards(1);
    let client = client(&server).await;
    server.fail([Fault::Refuse(Status::UnknownNamespace, Duration::ZERO)]);
    let error = client.get("k").send().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Invalid, false));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_write_whose_outcome_is_unknown_is_told_and_not_repeated() {
    let server = server::shards(1);
    let client = client(&server).await;
    for fault in [Fault::DoAndClose, Fault::Close, Fault::Garbage] {
        let before = puts(&server);
        server.fail([fault]);
        let error = client.put("k", "v").send().await.unwrap_err();
        assert_eq!(error.applied(), Applied::Unknown, "{fault:?}: {error}");
        assert_eq!(puts(&server), before + 1, "{fault:?}");
        assert!(error.to_string().contains("unknown"), "{error}");
    }
    client.put("k", "v").send().await.unwrap();
}

#[tokio::test]
async fn a_read_is_repeated_on_a_new_connection() {
    let server = server::shards(1);
    let client = client(&server).await;
    client.put("k", "v").send().await.unwrap();
    for fault in [Fault::DoAndClose, Fault::Close] {
        server.fail([fault]);
        assert_eq!(client.get("k").send().await.unwrap().unwrap().value, "v", "{fault:?}");
    }
}

/// What came in one segment with the reply to the handshake was thrown away: a server that drains
/// was taken for one that serves, and half a frame made all that followed unreadable.
#[tokio::test]
async fn a_server_that_drains_as_it_shakes_hands_is_sent_nothing() {
    let server = server::shards(1);
    let client = client(&server).await;
    client.put("k", "v").send().await.unwrap();
    assert_eq!(server.handshakes(), 1);
    server.greet(&Header { deadline_us: 1_000_000, ..Header::reply(0, 1) }, Kind::Draining);
    server.fail([Fault::Close]);
    assert_eq!(client.get("k").send().await.unwrap().unwrap().value, "v");
    assert!(server.handshakes() >= 3, "that of the one that drains, and another");
}

#[tokio::test]
async fn an_operation_ends_with_its_deadline() {
    let server = server::shards(1);
    let client = client(&server).await;
    server.fail([Fault::Silence, Fault::Silence]);
    let (deadline, started) = (Duration::from_millis(150), Instant::now());
    let error = client.put("k", "v").deadline(deadline).send().await.unwrap_err();
    assert!((deadline..Duration::from_secs(10)).contains(&started.elapsed()));
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    let told = Duration::from_micros(u64::from(server.seen()[0].header.deadline_us));
    assert!(told <= deadline && told > Duration::ZERO, "the server knows it: {told:?}");
    let error = client.get("k").deadline(deadline).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(client.get("k").send().await.unwrap().is_none(), "the connection is as good as before");
}

#[tokio::test]
async fn a_deadline_that_passes_before_anything_was_sent_is_not_unknown() {
    let server = server::shards(1);
    let client = client(&server).await;
    let error = client.put("k", "v").deadline(Duration::ZERO).send().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
    client.get("k").send().await.unwrap();
    assert_eq!(puts(&server), 0, "given up before it was sent");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_before_a_long_deadline() {
    let server = server::shards(1);
    let client = client(&server).await;
    client.put("k", "v").send().await.unwrap();
    server.hang();
    // From here on time is virtual: it moves on whenever nothing else does.
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let call = client.put("k", "v").deadline(Duration::from_secs(3000));
    let error = call.send().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
    let waited = started.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
}

async fn build(seeds: &[String]) -> Result<Client, Error> {
    Client::builder().seeds(seeds).deadline(Duration::from_secs(5)).build().await
}

fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

#[tokio::test]
async fn seeds_are_tried_until_one_answers() {
    let server = server::shards(1);
    let closed = closed_port();
    let client = build(&[closed.clone(), server.address.to_string()]).await.unwrap();
    client.put("k", "v").send().await.unwrap();
    let error = build(std::slice::from_ref(&closed)).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::No));
    assert!(error.to_string().contains(&closed), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_server_of_another_cluster_or_kind_is_named() {
    let server = server::shards(1);
    let builder = Client::builder().seeds([server.address.to_string()]);
    let error = builder.clone().cluster_name("bank").build().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::WrongServer, false));
    let error = builder.clone().namespace("nope").build().await.unwrap_err();
    assert_eq!(error.status(), Some(Status::UnknownNamespace));
    builder.cluster_name("shop").namespace("default").build().await.unwrap();

    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let speaks = std::thread::spawn(move || {
        let mut stream = stranger.accept().unwrap().0;
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n").unwrap();
        stream
    });
    let error = build(&[address]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    drop(speaks.join().unwrap());
}

#[tokio::test]
async fn while_a_server_is_gone_operations_fail_fast_and_come_back_with_it() {
    let server = server::shards(2);
    let address = server.address.to_string();
    let client = client(&server).await;
    client.put("k", "v").send().await.unwrap();
    drop(server);
    let started = Instant::now();
    let error = loop {
        // The first may still meet the dying connection.
        let error = client.put("k", "v").send().await.unwrap_err();
        if error.applied() == Applied::No {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(5));

    // Back on the same port, with another number of cores.
    let limits = schemas::message::ConnectionLimits::DEFAULT;
    let server = Server::start(&address, 1, 3, limits);
    while client.put("k", "v").send().await.is_err() {}
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.route().nodes()[0].shards != 3 {
        assert!(Instant::now() < deadline, "the route is never learned again");
        let _maybe = client.get("k").send().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.get("k").send().await.unwrap().unwrap().value, "v");
    drop(server);
}

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A peer that runs `serve` on the first connection.
fn peer<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (TcpStream, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = listener.accept().unwrap().0;
    (stream, thread::spawn(move || serve(accepted)))
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

/// Turns the ring until `on_event` has seen enough.
fn until(ring: &mut Ring, mut on_event: impl FnMut(Event<'_>) -> bool) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        ring.turn(Some(Duration::from_millis(100))).unwrap();
        while let Some(event) = ring.event().unwrap() {
            if on_event(event) {
                return;
            }
        }
    }
    panic!("nothing more happened");
}

#[test]
fn bytes_come_back_in_order_on_every_socket_whatever_their_number() {
    const BYTES: usize = 3 << 20;
    let mut ring = Ring::new(3).unwrap();
    let mut peers = Vec::new();
    for socket in 0..3 {
        let (stream, peer) = peer(echo);
        assert_eq!(ring.add(stream).unwrap(), socket);
        peers.push(peer);
        let bytes = (0..BYTES).map(|i| (i.wrapping_mul(31) >> 8) as u8 ^ socket as u8);
        ring.out(socket).extend(bytes);
    }
    let mut received = [0usize; 3];
    until(&mut ring, |event| {
        let Event::Received { socket, bytes } = event else { panic!("{event:?}") };
        for &byte in bytes {
            assert_eq!(byte, (received[socket].wrapping_mul(31) >> 8) as u8 ^ socket as u8);
            received[socket] += 1;
        }
        received == [BYTES; 3]
    });
    drop(ring);
    peers.into_iter().for_each(|peer| peer.join().unwrap());
}

#[test]
fn what_is_written_during_a_send_leaves_after_it() {
    let (stream, peer) = peer(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let mut ring = Ring::new(1).unwrap();
    let socket = ring.add(stream).unwrap();
    let mut wanted = Vec::new();
    for part in 0..200u32 {
        let bytes = vec![part as u8; 10_000];
        ring.out(socket).extend(&bytes);
        wanted.extend(bytes);
        ring.turn(None).unwrap();
        assert!(ring.event().unwrap().is_none(), "the peer says nothing");
    }
    let started = Instant::now();
    while ring.sockets[socket].sending && started.elapsed() < PATIENCE {
        ring.turn(Some(Duration::from_millis(100))).unwrap();
        assert!(ring.event().unwrap().is_none());
    }
    drop(ring);
    assert!(peer.join().unwrap() == wanted);
}

#[test]
fn a_peer_that_closes_is_told_of_once() {
    let (stream, peer) = peer(|mut stream| stream.write_all(b"bye").unwrap());
    let mut ring = Ring::new(1).unwrap();
    ring.add(stream).unwrap();
    peer.join().unwrap();
    let mut seen = Vec::new();
    until(&mut ring, |event| {
        seen.push(format!("{event:?}"));
        seen.len() == 2
    });
    assert_eq!(seen[0], "Received { socket: 0, bytes: [98, 121, 101] }");
    assert_eq!(seen[1], "Closed { socket: 0, error: None }");
    ring.out(0).extend(b"into the void");
    ring.turn(Some(Duration::from_millis(20))).unwrap();
    assert!(ring.event().unwrap().is_none());
}

#[test]
fn receives_go_on_after_a_shortage_of_buffers() {
    let total = BUFFERS_MIN * BUFFER_BYTES * 4;
    let (stream, peer) = peer(move |mut stream| stream.write_all(&vec![7; total]).unwrap());
    let mut ring = Ring::new(1).unwrap();
    ring.add(stream).unwrap();
    // More bytes wait in the kernel than the pool holds before the first event is looked at.
    thread::sleep(Duration::from_millis(50));
    let mut received = 0;
    until(&mut ring, |event| {
        let Event::Received { bytes, .. } = event else { panic!("{event:?}") };
        received += bytes.len();
        received == total
    });
    peer.join().unwrap();
}

#[test]
fn a_wait_ends_on_time() {
    let (stream, _peer) = peer(|stream| stream);
    let mut ring = Ring::new(1).unwrap();
    ring.add(stream).unwrap();
    ring.turn(None).unwrap();
    let started = Instant::now();
    ring.turn(Some(Duration::from_millis(20))).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_ring_can_be_dropped_with_everything_in_flight() {
    let (stream, peer) = peer(|stream| {
        thread::sleep(Duration::from_millis(100));
        drop(stream);
    });
    let mut ring = Ring::new(1).unwrap();
    let socket = ring.add(stream).unwrap();
    ring.out(socket).resize(32 << 20, 1);
    ring.turn(None).unwrap();
    assert!(ring.in_flight >= 2, "a receive, and a send that the socket cannot take");
    drop(ring);
    peer.join().unwrap();
}

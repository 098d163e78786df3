//! Real connections: what is sent arrives, what is stopped stops, what is closed is silent.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the ring is the outside: its tests talk to it through plain sockets"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::*;
use crate::env::ring::RingConfig;

const BUFFERS: u16 = 4;
const BUFFER_BYTES: u32 = 1024;

fn ring() -> Ring {
    let (recv_buffers, recv_buffer_bytes) = (BUFFERS, BUFFER_BYTES);
    Ring::new(RingConfig { recv_buffers, recv_buffer_bytes, ..RingConfig::default() }).unwrap()
}

/// The next event; panics if none comes in time.
fn event(ring: &Ring) -> Event {
    let start = Instant::now();
    loop {
        if let Some(event) = ring.next_event() {
            return event;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "nothing happened");
        ring.enter().unwrap();
    }
}

/// Runs the ring for a while; nothing may happen.
fn silence(ring: &Ring) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(10) {
        ring.enter().unwrap();
        assert!(ring.next_event().is_none());
    }
}

fn received(ring: &Ring, socket: SocketId) -> Vec<u8> {
    match event(ring) {
        Event::Received(id, data) if id == socket => data.to_vec(),
        _ => panic!("expected bytes"),
    }
}

fn pair(ring: &Ring) -> (SocketId, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    (ring.adopt(near.into()), far)
}

#[test]
fn connections_are_accepted_and_echoed_until_the_listener_stops() {
    let ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let id = ring.listen(listener.into());
    for round in 0..3u8 {
        let mut far = TcpStream::connect(address).unwrap();
        let Event::Accepted(_, fd) = event(&ring) else { panic!("expected a connection") };
        ring.accept(id);
        let socket = ring.adopt(fd);
        ring.receive(socket, Receive::Stream);
        far.write_all(&[round; 100]).unwrap();
        ring.send(socket, received(&ring, socket));
        let Event::Sent(_, buf, Ok(())) = event(&ring) else { panic!("expected a send") };
        assert_eq!(buf, [round; 100]);
        let mut back = [0; 100];
        far.read_exact(&mut back).unwrap();
        assert_eq!(back, [round; 100]);
        drop(far);
        let Event::Ended(_, Ok(())) = event(&ring) else { panic!("expected the end") };
        ring.close(socket);
    }
    ring.stop_listening(id);
    silence(&ring);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(ring.socket_count(), 0);
}

/// A flood of connections stood between a client and its answer for seconds: all of them were
/// accepted at once, and whoever was connected already came after them.
#[test]
fn a_flood_of_connections_waits_outside_while_one_is_taken() {
    let ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let id = ring.listen(listener.into());
    let strangers: Vec<_> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in &strangers {
        let Event::Accepted(listener, _) = event(&ring) else { panic!("expected a connection") };
        silence(&ring);
        ring.accept(listener);
    }
    silence(&ring);
    ring.stop_listening(id);
}

#[test]
fn a_stream_larger_than_all_buffers_arrives_whole_and_in_order() {
    let ring = ring();
    let (socket, mut far) = pair(&ring);
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || {
        far.write_all(&copy).unwrap();
        far.shutdown(Shutdown::Both).unwrap();
    });
    ring.receive(socket, Receive::Stream);
    let mut got = Vec::new();
    // Held until all are taken: the kernel runs out of buffers again and again.
    let mut held = Vec::new();
    loop {
        match event(&ring) {
            Event::Received(_, data) => {
                got.extend_from_slice(&data);
                held.push(data);
                if held.len() == usize::from(BUFFERS) {
                    held.clear();
                }
            }
            Event::Ended(..) => break,
            _ => panic!("expected bytes"),
        }
    }
    assert_eq!(got, sent);
    writer.join().unwrap();
}

#[test]
fn a_send_that_does_not_fit_is_continued_until_all_is_sent() {
    let ring = ring();
    let (socket, mut far) = pair(&ring);
    let bytes: Vec<u8> = (0..8_000_000u32).map(|i| (i / 3) as u8).collect();
    ring.send(socket, bytes.clone());
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; 8_000_000];
        far.read_exact(&mut got).unwrap();
        got
    });
    let Event::Sent(_, _, Ok(())) = event(&ring) else { panic!("expected a send") };
    assert_eq!(reader.join().unwrap(), bytes);
}

#[test]
fn a_send_to_nobody_fails_and_gives_the_buffer_back() {
    let ring = ring();
    let (socket, far) = pair(&ring);
    drop(far);
    ring.send(socket, vec![1; 10]);
    let Event::Sent(_, buf, Err(error)) = event(&ring) else { panic!("expected a failure") };
    assert_eq!((buf.len(), error.kind()), (10, io::ErrorKind::BrokenPipe));
}

#[test]
fn once_receives_once_and_the_socket_can_be_let_go_with_the_rest_unread() {
    let ring = ring();
    let (socket, mut far) = pair(&ring);
    ring.receive(socket, Receive::Once);
    assert!(ring.release(socket).is_none(), "a receive is in flight");
    far.write_all(b"hello").unwrap();
    assert_eq!(received(&ring, socket), b"hello");
    far.write_all(b"more").unwrap();
    silence(&ring);
    let mut moved = UnixStream::from(ring.release(socket).unwrap());
    let mut rest = [0; 4];
    moved.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"more");
    ring.receive(socket, Receive::Once);
    assert!(ring.release(socket).is_none(), "it is gone");
}

#[test]
fn a_stopped_stream_is_silent_and_starts_again() {
    let ring = ring();
    let (socket, mut far) = pair(&ring);
    ring.receive(socket, Receive::Stream);
    far.write_all(b"one").unwrap();
    assert_eq!(received(&ring, socket), b"one");
    ring.stop_receiving(socket);
    silence(&ring);
    far.write_all(b"two").unwrap();
    silence(&ring);
    ring.receive(socket, Receive::Stream);
    assert_eq!(received(&ring, socket), b"two");
    // Again before the cancelled one has ended.
    ring.stop_receiving(socket);
    ring.receive(socket, Receive::Stream);
    far.write_all(b"three").unwrap();
    assert_eq!(received(&ring, socket), b"three");
}

#[test]
fn nothing_of_a_closed_socket_reaches_the_one_that_takes_its_slot() {
    let ring = ring();
    for _ in 0..20 {
        let (old, mut far) = pair(&ring);
        ring.receive(old, Receive::Stream);
        ring.send(old, vec![1; 4_000_000]);
        ring.enter().unwrap();
        far.write_all(b"late").unwrap();
        ring.close(old);
        let (new, mut other) = pair(&ring);
        ring.receive(new, Receive::Stream);
        other.write_all(b"mine").unwrap();
        assert_eq!(received(&ring, new), b"mine");
        assert_ne!(old, new);
        ring.send(old, vec![2; 10]);
        ring.close(old);
        silence(&ring);
        ring.close(new);
    }
    silence(&ring);
    assert_eq!(ring.socket_count(), 0, "every slot was freed");
}

#[test]
fn a_dropped_ring_lets_go_of_connections_in_every_state() {
    let ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _ = ring.listen(listener.into());
    let (receiving, mut far) = pair(&ring);
    ring.receive(receiving, Receive::Stream);
    let (sending, _unread) = pair(&ring);
    ring.send(sending, vec![0; 4_000_000]);
    ring.set_timer(60_000_000);
    ring.enter().unwrap();
    drop(ring);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(far.read(&mut [0; 8]).unwrap(), 0, "the near end was closed");
}

#[test]
fn a_buffer_outlives_its_ring() {
    let ring = ring();
    let (socket, mut far) = pair(&ring);
    ring.receive(socket, Receive::Once);
    far.write_all(b"kept").unwrap();
    let Event::Received(_, data) = event(&ring) else { panic!("expected bytes") };
    drop(ring);
    assert_eq!(&data[..], b"kept");
}

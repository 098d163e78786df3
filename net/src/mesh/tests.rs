use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use schemas::ids::ShardId;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Arc<Count> {
    fn wake(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn pair<T>(capacity: usize) -> (Port<T>, Port<T>, Arc<Count>) {
    let mut ports = mesh(2, capacity);
    let (one, zero) = (ports.pop().unwrap(), ports.pop().unwrap());
    let woken = Arc::new(Count::default());
    one.set_waker(Box::new(Arc::clone(&woken)));
    (zero, one, woken)
}

#[test]
fn a_full_queue_hands_the_message_back() {
    let (mut zero, mut one, _) = pair(2);
    assert_eq!(zero.try_send(ShardId(1), "a"), Ok(()));
    assert_eq!(zero.try_send(ShardId(1), "b"), Ok(()));
    assert_eq!(zero.try_send(ShardId(1), "c"), Err(Full("c")));
    assert_eq!(one.try_recv(), Some((ShardId(0), "a")));
    assert_eq!(zero.try_send(ShardId(1), "c"), Ok(()));
    assert_eq!(one.try_recv(), Some((ShardId(0), "b")));
    assert_eq!(one.try_recv(), Some((ShardId(0), "c")));
    assert_eq!(one.try_recv(), None);
}

#[test]
fn only_a_parked_core_is_woken_and_only_once() {
    let (mut zero, mut one, woken) = pair(8);
    zero.try_send(ShardId(1), 1).unwrap();
    zero.publish();
    assert_eq!(woken.0.load(SeqCst), 0, "it was awake");
    assert!(!one.try_park(), "there is a message");
    assert_eq!(one.try_recv(), Some((ShardId(0), 1)));
    assert!(one.try_park());
    for message in 2..5 {
        zero.try_send(ShardId(1), message).unwrap();
        zero.publish();
    }
    assert_eq!(woken.0.load(SeqCst), 1);
    one.unpark();
    zero.try_send(ShardId(1), 5).unwrap();
    zero.publish();
    assert_eq!(woken.0.load(SeqCst), 1);
}

#[test]
fn parking_publishes_what_was_sent() {
    let (mut zero, mut one, woken) = pair(8);
    zero.set_waker(Box::new(Arc::new(Count::default())));
    assert!(one.try_park());
    zero.try_send(ShardId(1), ()).unwrap();
    assert!(zero.try_park());
    assert_eq!(woken.0.load(SeqCst), 1);
}

#[test]
fn receiving_takes_one_from_each_core_in_turn() {
    let mut ports = mesh(4, 4);
    for from in [1, 2, 3] {
        for message in 0..2 {
            ports[from].try_send(ShardId(0), message).unwrap();
        }
    }
    let seen: Vec<_> = std::iter::from_fn(|| ports[0].try_recv())
        .map(|(from, message)| (from.0, message))
        .collect();
    assert_eq!(seen, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)]);
}

#[test]
#[should_panic(expected = "can be woken")]
fn a_core_without_a_waker_may_not_park() {
    mesh::<()>(1, 2)[0].try_park();
}

struct Bell(Sender<()>, Mutex<Receiver<()>>);

impl Wake for Arc<Bell> {
    fn wake(&self) {
        self.0.send(()).unwrap();
    }
}

/// Two real threads play ping-pong and parcels: each message that is answered is a chance to park
/// at the wrong moment, and a lost wake-up hangs the test.
#[test]
fn two_threads_pass_messages_and_park() {
    const ROUNDS: u64 = 20_000;
    let mut ports = mesh::<Box<u64>>(2, 4);
    let bells: Vec<_> = ports
        .iter()
        .map(|port| {
            let (ring, rung) = channel();
            let bell = Arc::new(Bell(ring, Mutex::new(rung)));
            port.set_waker(Box::new(Arc::clone(&bell)));
            bell
        })
        .collect();
    let (mut one, mut zero) = (ports.pop().unwrap(), ports.pop().unwrap());
    let receive = |port: &mut Port<Box<u64>>, bell: &Bell| loop {
        if let Some((_, message)) = port.try_recv() {
            return message;
        }
        if port.try_park() {
            bell.1.lock().unwrap().recv().unwrap();
            port.unpark();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                let message = receive(&mut one, &bells[1]);
                assert_eq!(*message, round);
                one.try_send(ShardId(0), message).unwrap();
            }
            one.publish();
        });
        for first in (0..ROUNDS).step_by(4) {
            for round in first..first + 4 {
                zero.try_send(ShardId(1), Box::new(round)).unwrap();
            }
            for round in first..first + 4 {
                assert_eq!(*receive(&mut zero, &bells[0]), round);
            }
        }
    });
}

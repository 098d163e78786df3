//! The mesh under shuttle: random interleavings of three cores that all send to each other through
//! tiny queues, park whenever they can, and must end.

#[expect(unreachable_pub, dead_code, reason = "a model uses a part of what cores use")]
#[expect(clippy::duplicate_mod, reason = "the same code over a model checker's atomics")]
#[path = "port.rs"]
mod port;
#[expect(clippy::duplicate_mod, reason = "the same code over a model checker's atomics")]
#[path = "spsc.rs"]
mod spsc;

mod sync {
    pub(super) use shuttle::sync::Arc;
    pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicUsize, fence};

    pub(super) use super::super::sync::UnsafeCell;
}

use std::sync::Arc;

use schemas::ids::ShardId;
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use self::port::{Port, Wake, mesh};

const CORES: u16 = 3;
const MESSAGES: u32 = 6;

/// Blocks like an eventfd: a ring before the wait ends the wait at once.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Wake for Arc<Bell> {
    fn wake(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

/// Sends `MESSAGES` to each other core and receives as many from each, in order.
fn run_core(mut port: Port<u32>, bell: &Bell) {
    let cores = usize::from(CORES);
    let (mut sent, mut received) = (vec![0; cores], vec![0; cores]);
    let own = usize::from(port.own().0);
    (sent[own], received[own]) = (MESSAGES, MESSAGES);
    loop {
        let mut blocked = false;
        for to in (0..cores).filter(|&to| to != own) {
            while sent[to] < MESSAGES && port.try_send(ShardId(to as u16), sent[to]).is_ok() {
                sent[to] += 1;
            }
            blocked |= sent[to] < MESSAGES;
        }
        port.publish();
        while let Some((from, message)) = port.try_recv() {
            let next = &mut received[usize::from(from.0)];
            assert_eq!(message, *next, "in the order sent");
            *next += 1;
        }
        if received.iter().all(|&count| count == MESSAGES) && !blocked {
            return;
        }
        // A core that waits for room is not idle: room is not announced.
        if blocked {
            thread::yield_now();
        } else if port.try_park() {
            bell.wait();
            port.unpark();
        }
    }
}

#[test]
fn cores_that_park_whenever_they_can_still_hear_everything() {
    let body = || {
        let cores = mesh(CORES, 2).into_iter().map(|port| {
            let bell = Arc::new(Bell::default());
            port.set_waker(Box::new(Arc::clone(&bell)));
            thread::spawn(move || run_core(port, &bell))
        });
        for core in cores.collect::<Vec<_>>() {
            core.join().unwrap();
        }
    };
    shuttle::check_random(body, 300);
    shuttle::check_pct(body, 300, 3);
}

//! The queue and the wake protocol under loom: every interleaving of two cores, and every
//! reordering that the memory model allows. Without the fence in `publish` or in `try_park`, with
//! a relaxed store of an index, or with the flag set after the look at the queues, these fail.

#[expect(unreachable_pub, dead_code, reason = "a model uses a part of what cores use")]
#[expect(clippy::duplicate_mod, reason = "the same code over a model checker's atomics")]
#[path = "port.rs"]
mod port;
#[expect(clippy::duplicate_mod, reason = "the same code over a model checker's atomics")]
#[path = "spsc.rs"]
mod spsc;

mod sync {
    pub(super) use loom::cell::UnsafeCell;
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};
}

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use schemas::ids::ShardId;

use self::port::{Wake, mesh};

/// Blocks like an eventfd: a ring before the wait ends the wait at once.
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

/// One publish a run: loom does not know that what a swap wrote follows directly on what it read,
/// so with a second one it finds orders of the flag's values that cannot happen.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let mut ports = mesh(2, 2);
        let (mut sender, mut receiver) = (ports.pop().unwrap(), ports.pop().unwrap());
        let bell = Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() });
        receiver.set_waker(Box::new(Arc::clone(&bell)));
        let sending = thread::spawn(move || {
            for message in 0..2 {
                sender.try_send(ShardId(0), Box::new(message)).unwrap();
            }
            sender.publish();
        });
        // Hangs if the wake-up is lost, which loom reports as a deadlock.
        for expected in 0..2 {
            while receiver.try_park() {
                bell.wait();
                receiver.unpark();
            }
            assert_eq!(receiver.try_recv(), Some((ShardId(1), Box::new(expected))));
        }
        sending.join().unwrap();
    });
}

#[test]
fn slots_that_are_used_again_are_handed_over_whole() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::queue(1);
        let sending = thread::spawn(move || {
            for number in 0..3 {
                let mut message = Box::new(number);
                while let Err(full) = producer.push(message) {
                    message = full;
                    thread::yield_now();
                }
            }
        });
        for expected in 0..3 {
            let message = loop {
                match consumer.pop() {
                    Some(message) => break message,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(*message, expected);
        }
        sending.join().unwrap();
    });
}

#[test]
fn messages_left_in_a_queue_are_dropped_with_it() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::queue(2);
        let message = Arc::new(());
        let sent = Arc::clone(&message);
        let sending = thread::spawn(move || {
            producer.push(Arc::clone(&sent)).unwrap();
            producer.push(sent).unwrap();
        });
        drop(consumer.pop());
        drop(consumer);
        sending.join().unwrap();
        assert_eq!(Arc::strong_count(&message), 1);
    });
}

//! A bounded queue with one producer and one consumer (Lamport 1983; each side caches the other's
//! index, as in Rigtorp's SPSCQueue, so the cache line moves only when the cached view runs out).
//!
//! ```text
//!            head (consumer's)             tail (producer's)
//!              v                             v
//!   slots | .. | full | full | full | full | empty | ..      capacity: a power of two
//! ```
//!
//! What it keeps true: indexes only grow (wrapping); `tail - head` is the number of messages, at
//! most the capacity. A slot in `head..tail` is initialised and belongs to the consumer, any other
//! is uninitialised and belongs to the producer. A slot passes from the producer by the release
//! store of `tail` and back by the release store of `head`.

#![expect(unsafe_code, reason = "slots are handed from core to core by the two indexes")]

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::sync::{Arc, AtomicUsize, UnsafeCell};

/// The sending end.
pub(super) struct Producer<T> {
    queue: Arc<Queue<T>>,
    tail: usize,
    head_seen: usize,
}

/// The receiving end.
pub(super) struct Consumer<T> {
    queue: Arc<Queue<T>>,
    head: usize,
    tail_seen: usize,
}

/// An empty queue for `capacity` messages, a power of two.
pub(super) fn queue<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity.is_power_of_two(), "the capacity of a queue is a power of two");
    let slots = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let queue =
        Arc::new(Queue { head: Line(AtomicUsize::new(0)), tail: Line(AtomicUsize::new(0)), slots });
    (
        Producer { queue: Arc::clone(&queue), tail: 0, head_seen: 0 },
        Consumer { queue, head: 0, tail_seen: 0 },
    )
}

impl<T> Producer<T> {
    /// Adds `message` at the end, or hands it back if the queue is full.
    #[inline]
    pub(super) fn push(&mut self, message: T) -> Result<(), T> {
        let capacity = self.queue.slots.len();
        if self.tail.wrapping_sub(self.head_seen) == capacity {
            self.head_seen = self.queue.head.0.load(Acquire);
            if self.tail.wrapping_sub(self.head_seen) == capacity {
                return Err(message);
            }
        }
        let slot = &self.queue.slots[self.tail & (capacity - 1)];
        // SAFETY: `tail` is outside `head..tail`, so the slot is ours and uninitialised: the
        // consumer gave it back by the release store of `head` that we acquired.
        slot.with_mut(|slot| unsafe { (*slot).write(message) });
        self.tail = self.tail.wrapping_add(1);
        self.queue.tail.0.store(self.tail, Release);
        Ok(())
    }
}

impl<T> Consumer<T> {
    /// Takes the first message.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let slot = &self.queue.slots[self.head & (self.queue.slots.len() - 1)];
        // SAFETY: `head` is in `head..tail`, so the slot is ours and initialised: the producer
        // wrote it before the release store of `tail` that we acquired. It is read once, for
        // `head` moves past it.
        let message = slot.with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.queue.head.0.store(self.head, Release);
        Some(message)
    }

    /// Whether there is nothing to take.
    #[inline]
    pub(super) fn is_empty(&mut self) -> bool {
        if self.head == self.tail_seen {
            self.tail_seen = self.queue.tail.0.load(Acquire);
        }
        self.head == self.tail_seen
    }
}

struct Queue<T> {
    head: Line<AtomicUsize>,
    tail: Line<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is reached by one core at a time (see the module), so sharing the queue moves
// messages between cores and never shares one.
unsafe impl<T: Send> Sync for Queue<T> {}
// SAFETY: as above; whoever drops the queue drops the messages left in it.
unsafe impl<T: Send> Send for Queue<T> {}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (self.head.0.load(Relaxed), self.tail.0.load(Relaxed));
        while head != tail {
            let slot = &self.slots[head & (self.slots.len() - 1)];
            // SAFETY: both ends are gone, and slots in `head..tail` are initialised.
            slot.with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// Alone on its cache line, and on the one that the prefetcher takes with it.
#[repr(align(128))]
struct Line<T>(T);

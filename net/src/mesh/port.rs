//! One core's end of the mesh. The module's front page has the protocol.

use std::error::Error;
use std::fmt;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, OnceLock};

use schemas::ids::ShardId;

use super::spsc::{Consumer, Producer, queue};
use super::sync::{AtomicBool, fence};

/// Ends the sleep of a core. Called from other cores, only while the core is parked.
pub trait Wake: Send + Sync {
    /// Makes the block that the core is in, or is about to enter, return. Never blocks.
    fn wake(&self);
}

/// The queue to that core is full: the message comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue to that core is full")
    }
}

impl<T: fmt::Debug> Error for Full<T> {}

/// One core's end of the mesh: it sends to every other core and receives from every other core.
///
/// Once a tick the core calls [`Port::try_recv`] until it has enough and [`Port::publish`] after
/// its sends; before it sleeps, [`Port::try_park`].
pub struct Port<T> {
    own: ShardId,
    to: Vec<Option<Outbox<T>>>,
    from: Vec<Option<Consumer<T>>>,
    /// Whose queue [`Port::try_recv`] looks at first: the one after the last that had something.
    next: usize,
    /// Whether anything was sent since the last [`Port::publish`].
    sent: bool,
    sleepers: Arc<[Sleeper]>,
}

struct Outbox<T> {
    queue: Producer<T>,
    sent: bool,
}

/// What other cores need to wake one.
struct Sleeper {
    parked: AtomicBool,
    waker: OnceLock<Box<dyn Wake>>,
}

/// The ports of `cores` cores, in order, joined by queues of `capacity` messages, a power of two.
///
/// Memory is `cores * (cores - 1) * capacity` messages, from the start.
///
/// # Panics
/// If `capacity` is not a power of two or there are no cores.
#[must_use]
pub fn mesh<T>(cores: u16, capacity: usize) -> Vec<Port<T>> {
    assert!(cores > 0, "a mesh has at least one core");
    let sleeper = || Sleeper { parked: AtomicBool::new(false), waker: OnceLock::new() };
    let sleepers: Vec<_> = (0..cores).map(|_| sleeper()).collect();
    let sleepers: Arc<[Sleeper]> = Arc::from(sleepers);
    let empty = |own| Port {
        own: ShardId(own),
        to: (0..cores).map(|_| None).collect(),
        from: (0..cores).map(|_| None).collect(),
        next: 0,
        sent: false,
        sleepers: Arc::clone(&sleepers),
    };
    let mut ports: Vec<_> = (0..cores).map(empty).collect();
    for from in 0..usize::from(cores) {
        for to in (0..usize::from(cores)).filter(|&to| to != from) {
            let (producer, consumer) = queue(capacity);
            ports[from].to[to] = Some(Outbox { queue: producer, sent: false });
            ports[to].from[from] = Some(consumer);
        }
    }
    ports
}

impl<T> Port<T> {
    /// Which core this port belongs to.
    #[must_use]
    pub fn own(&self) -> ShardId {
        self.own
    }

    /// How many cores the mesh has.
    #[must_use]
    pub fn cores(&self) -> u16 {
        u16::try_from(self.to.len()).expect("made from a u16")
    }

    /// Says how this core is woken. Once, before the first [`Port::try_park`].
    ///
    /// # Panics
    /// At the second call.
    pub fn set_waker(&self, waker: Box<dyn Wake>) {
        let set = self.sleepers[usize::from(self.own.0)].waker.set(waker);
        assert!(set.is_ok(), "a core has one waker");
    }

    /// Queues `message` for core `to`; [`Port::publish`] then sees to it that `to` is awake.
    ///
    /// # Errors
    /// The message, if the queue is full.
    ///
    /// # Panics
    /// If `to` is this core or no core of the mesh.
    #[inline]
    pub fn try_send(&mut self, to: ShardId, message: T) -> Result<(), Full<T>> {
        let outbox = self.to[usize::from(to.0)].as_mut().expect("a core does not send to itself");
        outbox.queue.push(message).map_err(Full)?;
        outbox.sent = true;
        self.sent = true;
        Ok(())
    }

    /// Wakes those cores that were sent something since the last call and are parked. At the end
    /// of a tick; cheap if nothing was sent.
    #[inline]
    pub fn publish(&mut self) {
        if self.sent {
            self.sent = false;
            fence(SeqCst);
            self.wake_receivers();
        }
    }

    /// The next message, with its sender: one from each core in turn.
    #[inline]
    pub fn try_recv(&mut self) -> Option<(ShardId, T)> {
        let cores = self.from.len();
        for turn in 0..cores {
            let at = (self.next + turn) % cores;
            if let Some(message) = self.from[at].as_mut().and_then(Consumer::pop) {
                self.next = at + 1;
                return Some((ShardId(at as u16), message));
            }
        }
        None
    }

    /// Announces that this core is about to block. On `true` it may: whoever sends from now on
    /// calls its [`Wake`]. On `false` there are messages, and it is not parked.
    ///
    /// # Panics
    /// If the core has no waker yet: it would sleep for ever.
    pub fn try_park(&mut self) -> bool {
        self.publish();
        let own = &self.sleepers[usize::from(self.own.0)];
        assert!(own.waker.get().is_some(), "a core that parks can be woken");
        own.parked.store(true, Relaxed);
        fence(SeqCst);
        let empty = self.from.iter_mut().flatten().all(Consumer::is_empty);
        if !empty {
            own.parked.store(false, Relaxed);
        }
        empty
    }

    /// Takes the announcement back, when the block has ended, whatever ended it.
    pub fn unpark(&mut self) {
        self.sleepers[usize::from(self.own.0)].parked.store(false, Relaxed);
    }

    fn wake_receivers(&mut self) {
        for (outbox, sleeper) in self.to.iter_mut().zip(self.sleepers.iter()) {
            let Some(outbox) = outbox.as_mut().filter(|outbox| outbox.sent) else { continue };
            outbox.sent = false;
            // The load first: a swap would take the line from a core that is awake.
            if sleeper.parked.load(Relaxed) && sleeper.parked.swap(false, Relaxed) {
                sleeper.waker.get().expect("set before the core parked").wake();
            }
        }
    }
}

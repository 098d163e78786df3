//! What cores tell each other, and what waits until another core has room for it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemas::ids::ShardId;

use super::service::Origin;
use crate::limits::UNCOUNTED_REPLY_BYTES_MAX;
use crate::mesh::{Full, Port};

/// A message from one core to another. `M` is what their services tell each other.
pub enum Message<M> {
    /// A connection that wants to be there, before its first request.
    Connection(Box<Handover>),
    /// The reply to a request that was forwarded.
    Reply {
        /// Where the request came from.
        origin: Origin,
        /// The reply's whole frame.
        frame: Vec<u8>,
        /// What counts it at the core that sent it.
        transit: Transit,
    },
    /// Between services.
    Service(M),
}

/// A connection on its way from the core that accepted it to the one it wants.
pub struct Handover {
    /// Its socket.
    pub socket: OwnedFd,
    /// What it has sent so far: its handshake, whole, and perhaps more.
    pub received: Vec<u8>,
}

/// Bytes that are on their way to another core: counted by the one that sent them until they are
/// dropped. Few bytes are not: to count them would cost more than they weigh.
pub struct Transit(Option<(Arc<AtomicUsize>, usize)>);

impl Drop for Transit {
    fn drop(&mut self) {
        if let Some((total, bytes)) = self.0.take() {
            total.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// One core's way to the others.
pub struct Outbox<M> {
    port: Port<Message<M>>,
    /// Bytes of what was found here that others have not taken yet.
    in_transit: Arc<AtomicUsize>,
    /// What has to arrive, and found its queue full. Bounded by the requests that other cores
    /// have forwarded here.
    waiting: VecDeque<(ShardId, Message<M>)>,
}

impl<M> Outbox<M> {
    /// The outbox of a core.
    #[must_use]
    pub fn new(port: Port<Message<M>>) -> Self {
        Self { port, in_transit: Arc::default(), waiting: VecDeque::new() }
    }

    /// Bytes of what was found here that are on their way to other cores.
    #[inline]
    #[must_use]
    pub fn in_transit(&self) -> usize {
        self.in_transit.load(Ordering::Relaxed)
    }

    /// Counts `bytes` that go to another core with what is returned.
    #[must_use]
    pub fn transit(&self, bytes: usize) -> Transit {
        let counted = bytes > UNCOUNTED_REPLY_BYTES_MAX;
        Transit(counted.then(|| {
            self.in_transit.fetch_add(bytes, Ordering::Relaxed);
            (Arc::clone(&self.in_transit), bytes)
        }))
    }

    /// How many cores there are.
    #[must_use]
    pub fn cores(&self) -> u16 {
        self.port.cores()
    }

    /// Sends a message that may be refused.
    ///
    /// # Errors
    /// The message, if the other core does not keep up.
    pub fn try_send(&mut self, to: ShardId, message: Message<M>) -> Result<(), Full<Message<M>>> {
        if self.waiting.is_empty() { self.port.try_send(to, message) } else { Err(Full(message)) }
    }

    /// Sends a message that has to arrive, now or in a later tick.
    pub fn deliver(&mut self, to: ShardId, message: Message<M>) {
        if let Err(Full(message)) = self.try_send(to, message) {
            self.waiting.push_back((to, message));
        }
    }

    /// Once a tick: sends what waited, and wakes the cores that were sent something.
    pub(crate) fn publish(&mut self) {
        for _ in 0..self.waiting.len() {
            let Some((to, message)) = self.waiting.pop_front() else { break };
            if let Err(Full(message)) = self.port.try_send(to, message) {
                self.waiting.push_back((to, message));
            }
        }
        self.port.publish();
    }

    /// The next message for this core.
    pub(crate) fn try_recv(&mut self) -> Option<(ShardId, Message<M>)> {
        self.port.try_recv()
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The port, to park and be woken by.
    pub(crate) fn port(&mut self) -> &mut Port<Message<M>> {
        &mut self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::UNCOUNTED_REPLY_BYTES_MAX as SMALL;
    use crate::mesh;

    #[test]
    fn what_has_to_arrive_waits_for_room_and_what_may_be_refused_does_not_overtake_it() {
        let mut ports = mesh::mesh::<Message<u32>>(2, 2);
        let (mut far, mut near) =
            (Outbox::new(ports.pop().unwrap()), Outbox::new(ports.pop().unwrap()));
        let to = ShardId(1);
        for i in 0..5 {
            near.deliver(to, Message::Service(i));
        }
        assert!(near.try_send(to, Message::Service(9)).is_err());
        let mut got = Vec::new();
        while got.len() < 5 {
            while let Some((from, Message::Service(i))) = far.try_recv() {
                assert_eq!(from, ShardId(0));
                got.push(i);
            }
            near.publish();
        }
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4]);
        assert!(near.is_empty() && near.try_send(to, Message::Service(9)).is_ok());
    }

    #[test]
    fn what_is_on_its_way_counts_until_the_other_core_has_taken_it() {
        let mut ports = mesh::mesh::<Message<Transit>>(2, 2);
        let (mut far, mut near) =
            (Outbox::new(ports.pop().unwrap()), Outbox::new(ports.pop().unwrap()));
        for bytes in [SMALL, SMALL + 1, 1 << 20] {
            let transit = near.transit(bytes);
            near.deliver(ShardId(1), Message::Service(transit));
        }
        assert_eq!(near.in_transit(), SMALL + 1 + (1 << 20));
        while near.in_transit() > 0 {
            near.publish();
            drop(far.try_recv().expect("all of it arrives"));
        }
        assert_eq!(far.in_transit(), 0);
    }
}

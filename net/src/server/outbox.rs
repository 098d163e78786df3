//! What cores tell each other, and what waits until another core has room for it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use schemas::ids::ShardId;

use super::service::SocketId;
use crate::mesh::{Full, Port};

/// A message from one core to another. `M` is what their services tell each other.
pub enum Message<M> {
    /// A connection that wants to be there, before its first request.
    Connection(Box<Handover>),
    /// The reply to a request that was forwarded.
    Reply {
        /// The connection that it belongs to.
        connection: SocketId,
        /// What the request counted for while it was under way.
        bytes: u32,
        /// The reply's whole frame.
        frame: Vec<u8>,
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

/// One core's way to the others.
pub struct Outbox<M> {
    port: Port<Message<M>>,
    /// What has to arrive, and found its queue full. Bounded by the requests that other cores
    /// have forwarded here.
    waiting: VecDeque<(ShardId, Message<M>)>,
}

impl<M> Outbox<M> {
    /// The outbox of a core.
    #[must_use]
    pub fn new(port: Port<Message<M>>) -> Self {
        Self { port, waiting: VecDeque::new() }
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
}

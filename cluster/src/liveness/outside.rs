//! [`Outside`]: what foca does to the world, kept until the driver asks for it.

use std::collections::VecDeque;
use std::time::Duration;

use foca::{Notification, Timer};
use schemas::ids::{ClusterId, NodeId};

use super::datagram::prefix;
use super::identity::Identity;
use super::machine::Effect;
use super::timers::Timers;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Outside {
    pub(super) now: Instant,
    pub(super) timers: Timers,
    pub(super) effects: VecDeque<Effect>,
    pub(super) sent: u64,
    /// Whether this node was declared down or is alone, and has to begin a new life.
    pub(super) is_over: bool,
    /// Who was probed last.
    pub(super) probed: Option<NodeId>,
    cluster: ClusterId,
}

impl Outside {
    pub(super) fn new(now: Instant, cluster: ClusterId) -> Self {
        Self {
            now,
            timers: Timers::default(),
            effects: VecDeque::new(),
            sent: 0,
            is_over: false,
            probed: None,
            cluster,
        }
    }
}

impl foca::Runtime<Identity> for Outside {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            // From here on foca takes no timer of before.
            Notification::Idle | Notification::Defunct => {
                self.timers.clear();
                self.is_over = true;
            }
            // What members are is read from foca itself, which does not tell who is suspected.
            _ => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        let datagram = [&prefix(self.cluster)[..], data].concat().into_boxed_slice();
        self.sent += 1;
        self.effects.push_back(Effect::Send { to: to.node, address: to.address, datagram });
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        if let Timer::SendIndirectProbe { probed_id, .. } = &event {
            self.probed = Some(probed_id.node);
        }
        self.timers.add(self.now + after, event);
    }
}

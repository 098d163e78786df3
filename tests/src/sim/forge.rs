//! [`Forger`]: what was said on the network is said again: late, in the name of nobody in the
//! cluster, in the name of whom it is said to, in the name of another cluster.
//!
//! Nobody lies as a member: that is out of the fault model. What a member said is said again word
//! for word, to the same node in the same life of it: in another its connections are gone. Nodes
//! that have left, lives that have ended are among those whose words come again.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use cluster::node::NodeMessage;
use schemas::ids::{Actor, ClusterId, NodeId};

use super::world::{Happening, ToNode, World};

/// Words that are remembered.
const HEARD_MAX: usize = 512;

/// Something that was said.
#[derive(Debug)]
struct Heard {
    to: usize,
    /// The life it was said to.
    boot: u32,
    what: ToNode,
}

/// Who says things again.
#[derive(Debug, Default)]
pub(super) struct Forger {
    /// Faults of this kind that are under way.
    faults: usize,
    heard: VecDeque<Heard>,
}

impl World {
    /// Forging begins or ends.
    pub(super) fn forge(&mut self, begins: bool) {
        if begins {
            self.forger.faults += 1;
            if self.forger.faults == 1 {
                self.later(self.now_us, Happening::Forged);
            }
        } else {
            self.forger.faults -= 1;
        }
    }

    /// Nothing is forged any more.
    pub(super) fn end_forging(&mut self) {
        self.forger = Forger::default();
    }

    /// Remembers something that is sent to `to`, for it to be said again.
    pub(super) fn listen(&mut self, to: usize, mut what: impl FnMut() -> ToNode) {
        if self.forger.faults == 0 || self.rng.u32(..8) > 0 {
            return;
        }
        let heard = Heard { to, boot: self.nodes[to].boot, what: what() };
        self.forger.heard.push_back(heard);
        if self.forger.heard.len() > HEARD_MAX {
            let at = self.rng.usize(..HEARD_MAX);
            self.forger.heard.swap_remove_back(at);
        }
    }

    /// Says one thing again.
    pub(super) fn say_again(&mut self) {
        if self.forger.faults == 0 {
            return;
        }
        let next_us = self.now_us + self.rng.u64(1000..100_000);
        self.later(next_us, Happening::Forged);
        if self.forger.heard.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.forger.heard.len());
        let Some(Heard { to, boot, what }) = self.forger.heard.swap_remove_back(at) else { return };
        let what = match self.rng.u32(..4) {
            0 => in_name_of(what, self.stranger_actor()),
            1 => in_name_of(what, self.nodes[to].actor()),
            2 => of_another_cluster(what),
            _ => what,
        };
        let at_us = self.now_us + self.rng.u64(..1000);
        self.later(at_us, Happening::To(to, boot, what));
    }

    /// Nobody of the cluster.
    fn stranger_actor(&mut self) -> Actor {
        let number = NonZeroU64::MIN.saturating_add(self.rng.u64(1 << 40..));
        Actor { node: NodeId(number), boot: self.rng.u32(1..) }
    }
}

/// The same, said by another.
fn in_name_of(what: ToNode, from: Actor) -> ToNode {
    match what {
        ToNode::Message(_, vnode, message) => ToNode::Message(from, vnode, message),
        ToNode::NodeMessage(_, message) => ToNode::NodeMessage(from, message),
        other => other,
    }
}

/// The same, said in another cluster.
fn of_another_cluster(what: ToNode) -> ToNode {
    match what {
        ToNode::NodeMessage(from, NodeMessage::Topology(mut message)) => {
            message.cluster = ClusterId(message.cluster.0 ^ 1);
            ToNode::NodeMessage(from, NodeMessage::Topology(message))
        }
        other => other,
    }
}

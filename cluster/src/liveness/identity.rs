//! [`Identity`]: what foca calls a member: a node in one of its lives.
//!
//! - A node is one member whatever its lives: `addr`, foca's key, is the node id.
//! - Lives are ordered by (boot, renewal); a later one replaces an earlier one whatever its state,
//!   an earlier one is not listened to.
//! - Being declared down ends a life and not the boot, which is the actor of the node's dots and
//!   only a start may change. The life after it has the next renewal.
//! - The address is not compared: a process keeps its address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemas::ids::{Actor, NodeId};

/// A node in one of its lives, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) node: NodeId,
    /// From 1; 0 addresses a node of which only the address is known.
    pub(super) boot: u32,
    /// Times that this boot had to go on as somebody new.
    pub(super) renewal: u32,
    pub(super) address: SocketAddr,
}

impl Identity {
    /// Whoever lives at `address` as `node`: only an announcement may be sent to it.
    pub(super) fn any_life(node: NodeId, address: SocketAddr) -> Self {
        Self { node, boot: 0, renewal: 0, address }
    }

    /// What orders the lives of a node.
    pub(super) fn life(&self) -> (u32, u32) {
        (self.boot, self.renewal)
    }

    pub(super) fn actor(&self) -> Actor {
        Actor { node: self.node, boot: self.boot }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node && self.life() == other.life()
    }
}

impl Eq for Identity {}

impl foca::Identity for Identity {
    type Addr = NodeId;

    /// Never by foca itself: the machine begins the next life, without the old one's opinions.
    fn renew(&self) -> Option<Self> {
        None
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.life() > adversary.life()
    }
}

/// Where a node can be: a place that datagrams reach one node at.
///
/// One that is anywhere else is an attempt to have others' datagrams sent to many.
pub(super) fn is_reachable(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_many = ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.port() != 0 && !ip.is_unspecified() && !is_many
}

//! [`Document::check`]: what has to be true of a document, whoever it comes from.
//!
//! Lists first, in time that their bounds bound; the ring after them, which they give its shape.

use std::net::{IpAddr, SocketAddr};

use schemas::ids::{NamespaceId, NodeId, Vnode};
use schemas::limits::{NAME_BYTES_MAX, TTL_MS_MAX};

use super::document::{DataCentre, Document, Epoch, Member, Namespace};
use super::ring::{MemberIndex, Phase};
use crate::limits::{
    COPIES_MAX, MEMBERS_MAX, NAMESPACES_MAX, PLACE_BYTES_MAX, VOTERS_MAX, WEIGHT_MAX,
};

/// What is wrong with a document.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DocumentError {
    /// Epochs begin at 1.
    #[error("a document has an epoch of at least 1")]
    NoEpoch,
    /// Too few or too many of something.
    #[error("{got} {what}, at least {min} and at most {max}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there must be.
        min: usize,
        /// How many there may be.
        max: usize,
    },
    /// A list is not in its order, or has something twice.
    #[error("{0} do not ascend, or one is there twice")]
    Order(&'static str),
    /// A name is empty, too long, or has control characters.
    #[error("{what} has a name of {bytes} bytes: 1 to {max} without control characters")]
    Name {
        /// Whose name.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The length it may have.
        max: usize,
    },
    /// A weight past [`WEIGHT_MAX`].
    #[error("node {node} has a weight of {weight}, at most {WEIGHT_MAX}")]
    Weight {
        /// Whose.
        node: NodeId,
        /// Which.
        weight: u32,
    },
    /// An address that nobody can be reached at, or that two members have that stay.
    #[error("node {node} has the address {address}: it is none, or another node's")]
    Address {
        /// Whose.
        node: NodeId,
        /// Which.
        address: SocketAddr,
    },
    /// All members are leaving or lost.
    #[error("no member stays")]
    Deserted,
    /// A voter is no member.
    #[error("voter {0} is no member")]
    Voter(NodeId),
    /// A namespace's id is 0 or above the greatest that was given.
    #[error("namespace {0:?} has an id that was not given")]
    NamespaceId(NamespaceId),
    /// Two namespaces have one name.
    #[error("two namespaces have the name {0:?}")]
    NameTwice(Box<str>),
    /// A time to live past [`TTL_MS_MAX`].
    #[error("namespace {0:?} has a time to live of {1} ms, at most {TTL_MS_MAX}")]
    Ttl(NamespaceId, u64),
    /// Two namespaces are being altered, or one is and no vnode is, or the other way round.
    #[error("one namespace at a time is altered, as long as vnodes are")]
    Alteration,
    /// The ring has not one slot a copy and one vnode for each that the document names.
    #[error("the ring has not the shape that members and namespaces give it")]
    Shape,
    /// A slot names no member, a member of another data centre, or one that another slot has.
    #[error("a slot of vnode {0:?} is not one of its data centre's members, or is there twice")]
    Slot(Vnode),
    /// A phase that the slots do not have.
    #[error("vnode {0:?} is not in the phase its slots are in")]
    Phase(Vnode),
    /// A vnode changed at an epoch that there was not.
    #[error("vnode {0:?} changed at {1:?}")]
    VnodeEpoch(Vnode, Epoch),
    /// Autoscaling is not of the data centres that have copies, or of no epoch that was.
    #[error("autoscaling is not of the data centres that there are, or of an epoch to come")]
    Scaling,
    /// It is not of the cluster whose earlier document is known.
    #[error("it does not come after the document of {0:?}")]
    Stranger(Epoch),
}

impl Document {
    /// Whether all is as the types say.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn check(&self) -> Result<(), DocumentError> {
        self.check_lists()?;
        self.check_ring()?;
        self.check_scaling()
    }

    /// Whether it can be a later document of the cluster that has `earlier`: what never changes is
    /// the same, and no namespace's number is given twice.
    ///
    /// # Errors
    /// [`DocumentError::Stranger`].
    pub fn check_after(&self, earlier: &Self) -> Result<(), DocumentError> {
        let fixed = |it: &Self| (it.cluster, it.token_seed, it.bits);
        let is_same = |it: &Namespace| {
            let later = self.namespace(it.id);
            later.is_none_or(|later| later.policy == it.policy && later.name == it.name)
        };
        let is_new =
            |it: &Namespace| it.id > earlier.last_namespace || earlier.namespace(it.id).is_some();
        let follows = fixed(self) == fixed(earlier)
            && self.epoch > earlier.epoch
            && self.last_namespace >= earlier.last_namespace
            && earlier.namespaces.iter().all(is_same)
            && self.namespaces.iter().all(is_new);
        if follows { Ok(()) } else { Err(DocumentError::Stranger(earlier.epoch)) }
    }

    /// All but the ring.
    pub(super) fn check_lists(&self) -> Result<(), DocumentError> {
        if self.epoch == Epoch(0) {
            return Err(DocumentError::NoEpoch);
        }
        self.check_members()?;
        count("voters", self.voters.len(), 1, VOTERS_MAX)?;
        ascend("voters", self.voters.iter())?;
        if let Some(voter) = self.voters.iter().find(|it| self.index_of(**it).is_none()) {
            return Err(DocumentError::Voter(*voter));
        }
        self.check_namespaces()
    }

    fn check_members(&self) -> Result<(), DocumentError> {
        count("members", self.members.len(), 1, MEMBERS_MAX)?;
        ascend("members", self.members.iter().map(|it| it.id))?;
        for member in &self.members {
            member.check()?;
        }
        let staying = || self.members.iter().filter(|it| it.standing.stays());
        if staying().next().is_none() {
            return Err(DocumentError::Deserted);
        }
        let mut addresses: Vec<_> = staying().map(|it| (it.address, it.id)).collect();
        addresses.sort_unstable();
        match addresses.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(DocumentError::Address { node: pair[1].1, address: pair[1].0 }),
            None => Ok(()),
        }
    }

    fn check_namespaces(&self) -> Result<(), DocumentError> {
        count("namespaces", self.namespaces.len(), 0, NAMESPACES_MAX)?;
        ascend("namespaces", self.namespaces.iter().map(|it| it.id))?;
        for namespace in &self.namespaces {
            if namespace.id == NamespaceId(0) || namespace.id > self.last_namespace {
                return Err(DocumentError::NamespaceId(namespace.id));
            }
            namespace.check()?;
        }
        let mut names: Vec<_> = self.namespaces.iter().map(|it| &it.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(DocumentError::NameTwice(pair[1].clone()));
        }
        if self.namespaces.iter().filter(|it| it.former.is_some()).count() > 1 {
            return Err(DocumentError::Alteration);
        }
        let copies = self.layout().iter().map(|dc| usize::from(dc.copies)).sum();
        count("copies of a vnode", copies, 0, COPIES_MAX)
    }

    fn check_ring(&self) -> Result<(), DocumentError> {
        let ring = &self.ring;
        if ring.vnodes() != self.bits.count() as usize || ring.layout() != self.layout() {
            return Err(DocumentError::Shape);
        }
        let places = self.places();
        let mut any_altering = false;
        for vnode in ring.all() {
            for slots in [ring.readers(vnode), ring.successors(vnode)] {
                self.check_slots(vnode, slots, &places)?;
            }
            let (state, is_moving) =
                (ring.state(vnode), ring.slots(vnode).any(|it| it.is_moving()));
            if (state.phase == Phase::Stable) == (is_moving || state.is_altering) {
                return Err(DocumentError::Phase(vnode));
            }
            if state.epoch == Epoch(0) || state.epoch > self.epoch {
                return Err(DocumentError::VnodeEpoch(vnode, state.epoch));
            }
            any_altering |= state.is_altering;
        }
        if any_altering == self.namespaces.iter().any(|it| it.former.is_some()) {
            Ok(())
        } else {
            Err(DocumentError::Alteration)
        }
    }

    /// The number of each member's data centre in the ring's layout; past its end for others.
    fn places(&self) -> Vec<usize> {
        let layout = self.ring.layout();
        let place = |it: &Member| layout.iter().position(|dc| dc.name == it.dc);
        self.members.iter().map(|it| place(it).unwrap_or(layout.len())).collect()
    }

    fn check_slots(
        &self,
        vnode: Vnode,
        slots: &[MemberIndex],
        places: &[usize],
    ) -> Result<(), DocumentError> {
        let dcs = self.ring.layout().iter().enumerate();
        let dcs = dcs.flat_map(|(at, dc)| (0..dc.copies).map(move |_| at));
        for (at, (slot, dc)) in slots.iter().zip(dcs).enumerate() {
            let Some(member) = slot.get() else { continue };
            let is_here = places.get(usize::from(member.0)) == Some(&dc);
            if !is_here || slots[..at].contains(slot) {
                return Err(DocumentError::Slot(vnode));
            }
        }
        Ok(())
    }
}

impl Member {
    fn check(&self) -> Result<(), DocumentError> {
        name("a data centre", &self.dc, PLACE_BYTES_MAX)?;
        name("a rack", &self.rack, PLACE_BYTES_MAX)?;
        if self.weight > WEIGHT_MAX {
            return Err(DocumentError::Weight { node: self.id, weight: self.weight });
        }
        let (ip, address) = (self.address.ip(), self.address);
        // Flows and scopes mean nothing to another machine.
        let is_plain = match address {
            SocketAddr::V4(_) => true,
            SocketAddr::V6(it) => it.flowinfo() == 0 && it.scope_id() == 0,
        };
        let is_one = !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::from([255; 4]);
        if is_one && is_plain && address.port() != 0 {
            Ok(())
        } else {
            Err(DocumentError::Address { node: self.id, address })
        }
    }
}

impl Namespace {
    fn check(&self) -> Result<(), DocumentError> {
        name("a namespace", &self.name, NAME_BYTES_MAX)?;
        if self.ttl_ms > TTL_MS_MAX {
            return Err(DocumentError::Ttl(self.id, self.ttl_ms));
        }
        if self.former.as_ref() == Some(&self.replication) {
            return Err(DocumentError::Alteration);
        }
        for replication in std::iter::once(&self.replication).chain(&self.former) {
            check_replication(replication)?;
        }
        Ok(())
    }
}

fn check_replication(replication: &[DataCentre]) -> Result<(), DocumentError> {
    count("data centres of a namespace", replication.len(), 1, COPIES_MAX)?;
    ascend("data centres of a namespace", replication.iter().map(|it| &it.name))?;
    for dc in replication {
        name("a data centre", &dc.name, PLACE_BYTES_MAX)?;
        count("copies in a data centre", dc.copies.into(), 1, COPIES_MAX)?;
    }
    Ok(())
}

fn count(what: &'static str, got: usize, min: usize, max: usize) -> Result<(), DocumentError> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(DocumentError::Count { what, got, min, max })
    }
}

fn ascend<T: Ord>(what: &'static str, list: impl Iterator<Item = T>) -> Result<(), DocumentError> {
    if list.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(DocumentError::Order(what)) }
}

fn name(what: &'static str, name: &str, max: usize) -> Result<(), DocumentError> {
    if (1..=max).contains(&name.len()) && !name.contains(char::is_control) {
        Ok(())
    } else {
        Err(DocumentError::Name { what, bytes: name.len(), max })
    }
}

#[cfg(test)]
mod tests;

//! [`Document`]: the topology at one epoch, whole. Epoch e + 1 is decided by a majority of the
//! voters that epoch e names; nothing else ever changes it.
//!
//! - Members, namespaces and data centres ascend by what names them; each occurs once.
//! - The ring names members by their place in the list.
//! - Liveness is no part of it: a member that is down stays what it is until a change is decided.
//! - All of that, and the bounds of `limits.rs`, is what [`Document::check`] checks.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemas::ids::{ClusterId, NamespaceId, NodeId, Vnode, VnodeBits};

use super::check::DocumentError;
use super::ring::{MemberIndex, Phase, Ring, Slot};
use super::scaling::Scaling;

/// How many times the topology has changed: 1 is the document that a cluster is created with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u32);

/// The topology at one epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Which cluster's it is.
    pub cluster: ClusterId,
    /// How many changes made it.
    pub epoch: Epoch,
    /// What keys are hashed with; never changes.
    pub token_seed: u64,
    /// How many vnodes the ring has; never changes.
    pub bits: VnodeBits,
    /// Ascending by id.
    pub members: Vec<Member>,
    /// Who decides the next epoch: members, ascending, 1 to
    /// [`VOTERS_MAX`](crate::limits::VOTERS_MAX).
    pub voters: Vec<NodeId>,
    /// Ascending by id; those that were dropped are not in it.
    pub namespaces: Vec<Namespace>,
    /// The greatest id that any namespace has or had.
    pub last_namespace: NamespaceId,
    /// How data centres follow their load; `None` if they do not.
    pub scaling: Option<Box<Scaling>>,
    /// Who owns what.
    pub ring: Ring,
    /// Whether vnodes that are moving wait: nothing is streamed, nothing is promoted.
    pub is_paused: bool,
}

/// A node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who it is.
    pub id: NodeId,
    /// Its data centre's name.
    pub dc: Box<str>,
    /// Its rack's name; racks of two data centres are different ones whatever their names.
    pub rack: Box<str>,
    /// Its share of its data centre's vnodes, in proportion to others' weights; 0 to own none.
    pub weight: u32,
    /// What is to become of it.
    pub standing: Standing,
    /// Where other nodes reach it.
    pub address: SocketAddr,
    /// Whether it may be a voter: not one that has been down for long.
    pub may_vote: bool,
}

/// What is to become of a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// It stays.
    Member,
    /// It goes once others own its vnodes, and streams them to their new owners.
    Leaving,
    /// It was lost: the other owners stream its vnodes to the new ones.
    Lost,
}

impl Standing {
    /// Whether it is to own vnodes when all moves are done.
    #[must_use]
    pub fn stays(self) -> bool {
        self == Self::Member
    }
}

/// A data centre and how many copies it keeps, at least 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DataCentre {
    /// Its name.
    pub name: Box<str>,
    /// Copies of each key.
    pub copies: u8,
}

/// How two versions of a key that did not know of each other are resolved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Policy {
    /// The greatest (stamp, dot) stands.
    LastWriterWins,
    /// Both stand until a writer that saw both replaces them.
    Siblings,
}

/// A space of keys with settings of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Never used again once dropped.
    pub id: NamespaceId,
    /// Its name, unique.
    pub name: Box<str>,
    /// How conflicts are resolved; never changes.
    pub policy: Policy,
    /// Copies in each data centre, ascending by name; none where one is not listed.
    pub replication: Vec<DataCentre>,
    /// While it is being altered, `replication` as it was before: what readers still keep to of
    /// the vnodes that [`Ring::is_altering`] says.
    pub former: Option<Vec<DataCentre>>,
    /// Whether acknowledgements by stand-ins of owners that are down are refused.
    pub is_strict: bool,
    /// Time to live of values that name none, in milliseconds; 0 for ever.
    pub ttl_ms: u64,
}

impl Document {
    /// The document that a cluster is created with: `first` is all there is of it, and has every
    /// vnode of a namespace `default` with `copies` copies in its data centre.
    ///
    /// # Errors
    /// What is given is not within the bounds of a document.
    pub fn create(
        cluster: ClusterId,
        token_seed: u64,
        bits: VnodeBits,
        first: Member,
        copies: u8,
    ) -> Result<Self, DocumentError> {
        let replication = vec![DataCentre { name: first.dc.clone(), copies }];
        let default = Namespace {
            id: NamespaceId::DEFAULT,
            name: "default".into(),
            policy: Policy::LastWriterWins,
            replication,
            former: None,
            is_strict: false,
            ttl_ms: 0,
        };
        let mut document = Self {
            cluster,
            epoch: Epoch(1),
            token_seed,
            bits,
            voters: vec![first.id],
            members: vec![first],
            namespaces: vec![default],
            last_namespace: NamespaceId::DEFAULT,
            scaling: None,
            ring: Ring::new(bits.count(), Vec::new(), Epoch(1)),
            is_paused: false,
        };
        document.check_lists()?;
        document.ring = Ring::new(bits.count(), document.layout(), Epoch(1));
        let nobody = Slot { reader: None, successor: None };
        let mut slots = vec![nobody; document.ring.stride()];
        let first = Some(MemberIndex(0));
        slots[0] = Slot { reader: first, successor: first };
        for vnode in document.ring.all() {
            document.ring.set(vnode, &slots, Phase::Stable, Epoch(1));
        }
        document.check()?;
        Ok(document)
    }

    /// The member `index`.
    ///
    /// # Panics
    /// If there is none: the index is of another document.
    #[must_use]
    pub fn member(&self, index: MemberIndex) -> &Member {
        &self.members[usize::from(index.0)]
    }

    /// Which member `node` is.
    #[must_use]
    pub fn index_of(&self, node: NodeId) -> Option<MemberIndex> {
        let at = self.members.binary_search_by(|it| it.id.cmp(&node)).ok()?;
        u16::try_from(at).ok().map(MemberIndex)
    }

    /// The namespace `id`.
    #[must_use]
    pub fn namespace(&self, id: NamespaceId) -> Option<&Namespace> {
        let at = self.namespaces.binary_search_by(|it| it.id.cmp(&id)).ok()?;
        Some(&self.namespaces[at])
    }

    /// Whether there was a namespace `id` and is none: what comes of it is nobody's. Of one that
    /// this document has not heard of yet that is not said.
    #[must_use]
    pub fn is_dropped(&self, id: NamespaceId) -> bool {
        id <= self.last_namespace && self.namespace(id).is_none()
    }

    /// The copies of `namespace` that the readers of `vnode` keep, and those that its successors
    /// will; the same but where the namespace is being altered.
    ///
    /// # Panics
    /// If there is no such vnode.
    #[must_use]
    pub fn replication<'a>(
        &self,
        namespace: &'a Namespace,
        vnode: Vnode,
    ) -> (&'a [DataCentre], &'a [DataCentre]) {
        let former = namespace.former.as_ref().filter(|_| self.ring.is_altering(vnode));
        (former.unwrap_or(&namespace.replication), &namespace.replication)
    }

    /// How many slots the ring has in each data centre: for each the most copies that any namespace
    /// has or had before it was altered.
    #[must_use]
    pub fn layout(&self) -> Vec<DataCentre> {
        let mut layout = BTreeMap::<&str, u8>::new();
        for namespace in &self.namespaces {
            for dc in namespace.replication.iter().chain(namespace.former.iter().flatten()) {
                let copies = layout.entry(&dc.name).or_default();
                *copies = dc.copies.max(*copies);
            }
        }
        let dc = |(name, copies): (&str, u8)| DataCentre { name: name.into(), copies };
        layout.into_iter().map(dc).collect()
    }

    /// How many answers of voters decide the next epoch.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }
}

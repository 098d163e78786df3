//! [`Change`] and [`apply`]: which change makes which next document.
//!
//! - Pure: a document and a change give one next document, or a refusal that says why.
//! - The next document checks ([`Document::check`]) and is of the next epoch. One that would differ
//!   in nothing else is refused.
//! - Readers change only where a vnode that settled is stable again, or with the last copy that
//!   any namespace has of a slot. So no change takes data from a namespace that stays.
//! - A change names what it expects. Made from an older epoch, it does the same to a newer document
//!   or is refused.
//!
//! Every change ends alike (`closing.rs`): the ring gets the slots that namespaces need,
//! vnodes get the successors that members are to have (not while moves are paused), members that
//! are going and own nothing are gone, voters are chosen.

mod closing;
mod members;
mod moves;
mod namespaces;
mod scaling;

use std::net::SocketAddr;

use schemas::ids::{NamespaceId, NodeId, Vnode};

pub use self::scaling::ScaleStep;
use super::check::DocumentError;
use super::document::{DataCentre, Document, Epoch, Member, Policy};
use crate::autoscale;

/// What can be done to a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A node becomes a member that stays, whatever is said of its standing.
    Join(Member),
    /// A member is to go once others own what it has.
    Leave(NodeId),
    /// A member is lost: others are to own what it had, and stream it from one another.
    Lost {
        /// Who.
        node: NodeId,
        /// Whether it may be the last that has some vnode of some namespace, which is lost, too.
        with_last_copies: bool,
    },
    /// A node becomes a member and takes over, slot by slot, from one that goes.
    Replace {
        /// Who goes.
        old: NodeId,
        /// Who comes, in the same data centre.
        new: Member,
        /// Whether the old one is lost, and not the last that has some vnode; else it leaves.
        is_lost: bool,
    },
    /// A member is to own another share.
    Weight {
        /// Who.
        node: NodeId,
        /// Its new weight.
        weight: u32,
    },
    /// A member is reached elsewhere.
    Address {
        /// Who.
        node: NodeId,
        /// Its new address.
        address: SocketAddr,
    },
    /// Other voters take the place of those that are down, which stay members.
    ReplaceVoters {
        /// Members that are down, and not to vote.
        absent: Vec<NodeId>,
        /// Members that are back, and may.
        back: Vec<NodeId>,
    },
    /// A new namespace.
    CreateNamespace {
        /// Its name, which none has.
        name: Box<str>,
        /// How conflicts are resolved, for ever.
        policy: Policy,
        /// The rest.
        settings: Settings,
    },
    /// A namespace gets other settings. Copies change vnode by vnode, as vnodes move.
    AlterNamespace {
        /// Which.
        id: NamespaceId,
        /// All of its settings.
        settings: Settings,
    },
    /// A namespace is gone, and its number is never given again.
    DropNamespace(NamespaceId),
    /// The successors of these vnodes have caught up, if they are still what they were at these
    /// epochs; others are left alone.
    Settle(Vec<(Vnode, Epoch)>),
    /// Nobody answers as if these vnodes were moving, if they are still what they were at these
    /// epochs; others are left alone.
    Finish(Vec<(Vnode, Epoch)>),
    /// Vnodes that move wait, and no other starts to.
    Pause,
    /// They go on.
    Resume,
    /// Pauses, and takes back what has not come far: members that are leaving stay, and vnodes that
    /// move stay with their readers. Slots of lost readers keep their successors; vnodes that are
    /// settling, or being altered with their namespace, go on.
    Abort,
    /// Data centres follow their load by this policy, or do not.
    Autoscale(Option<autoscale::Policy>),
    /// A data centre follows its load, if it is still what it was since that epoch.
    Scale {
        /// Which.
        dc: Box<str>,
        /// The epoch that had changed it last ([`ScaledDataCentre`](super::ScaledDataCentre)).
        since: Epoch,
        /// What is done.
        step: ScaleStep,
    },
}

/// What can be altered of a namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Copies in each data centre, ascending by name.
    pub replication: Vec<DataCentre>,
    /// Whether acknowledgements by stand-ins of owners that are down are refused.
    pub is_strict: bool,
    /// Time to live of values that name none, in milliseconds; 0 for ever.
    pub ttl_ms: u64,
}

/// Why a change is refused. All but [`ChangeRefused::Settling`] and [`ChangeRefused::Altering`],
/// which pass, need another change first.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeRefused {
    /// There is no such member.
    #[error("node {0} is no member")]
    UnknownMember(NodeId),
    /// The node is one already, maybe one that is going: with a new data directory it is new.
    #[error("node {0} is a member already")]
    AlreadyMember(NodeId),
    /// A data centre would have fewer nodes for vnodes than copies of them.
    #[error("{dc} would have {nodes} nodes for {copies} copies: lower its copies or add a node")]
    TooFewNodes {
        /// Which.
        dc: Box<str>,
        /// Nodes it would have that stay and have a weight.
        nodes: usize,
        /// Copies of each vnode there.
        copies: u8,
    },
    /// Some namespace has nothing left of a vnode.
    #[error("node {node} has the last copy of vnode {vnode:?} of some namespace")]
    LastCopy {
        /// Who has it.
        node: NodeId,
        /// Of which vnode.
        vnode: Vnode,
    },
    /// It takes over from a member of another data centre.
    #[error("the new node is in {new}, the old one in {old}")]
    OtherDataCentre {
        /// Where the old node is.
        old: Box<str>,
        /// Where the new one is.
        new: Box<str>,
    },
    /// There is no such namespace.
    #[error("there is no namespace {0:?}")]
    UnknownNamespace(NamespaceId),
    /// A namespace is to have copies where no member that stays is.
    #[error("no member that stays is in data centre {0:?}")]
    UnknownDataCentre(Box<str>),
    /// All numbers of namespaces were given.
    #[error("no number is left for a namespace")]
    NoNamespaceId,
    /// All epochs are used up.
    #[error("no epoch is left")]
    NoEpoch,
    /// Copies are not altered while another namespace's are.
    #[error("namespace {0:?} is being altered: copies are altered one namespace at a time")]
    Altering(NamespaceId),
    /// Copies are not altered while vnodes settle, which takes moments.
    #[error("vnode {0:?} is settling: copies are altered when none is")]
    Settling(Vnode),
    /// Nothing is promoted while moves are paused.
    #[error("moves are paused")]
    Paused,
    /// There are not so many vnodes, or more are named than there are.
    #[error("vnodes that are not there are named")]
    NoSuchVnode,
    /// It follows no load.
    #[error("data centre {0:?} is not autoscaled")]
    NotScaled(Box<str>),
    /// A data centre has changed since this was decided.
    #[error("the data centre was changed in {changed:?}, after {since:?}")]
    Stale {
        /// What was known.
        since: Epoch,
        /// When it was changed last.
        changed: Epoch,
    },
    /// A data centre would have more or fewer nodes than the policy says.
    #[error("there would be {nodes} nodes, machines that start counted: {min} to {max} may be")]
    Bounds {
        /// Members that stay, and machines on their way.
        nodes: u32,
        /// The fewest there may be.
        min: u32,
        /// The most there may be.
        max: u32,
    },
    /// All is that way already.
    #[error("nothing would change")]
    NothingChanges,
    /// The next document would be none.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// What `change` makes of `document`: the document of the next epoch.
///
/// # Errors
/// Why it is refused.
pub fn apply(document: &Document, change: &Change) -> Result<Document, ChangeRefused> {
    let mut next = document.clone();
    next.epoch = Epoch(document.epoch.0.checked_add(1).ok_or(ChangeRefused::NoEpoch)?);
    match change {
        Change::Join(member) => {
            next.join(member.clone())?;
            next.arrive(&member.dc);
        }
        Change::Leave(node) => next.leave(*node)?,
        Change::Lost { node, with_last_copies } => next.lose(*node, *with_last_copies)?,
        Change::Replace { old, new, is_lost } => next.replace(*old, new.clone(), *is_lost)?,
        Change::Weight { node, weight } => next.weigh(*node, *weight)?,
        Change::Address { node, address } => next.known(*node)?.address = *address,
        Change::ReplaceVoters { absent, back } => next.replace_voters(absent, back)?,
        Change::CreateNamespace { name, policy, settings } => {
            next.create_namespace(name.clone(), *policy, settings.clone())?;
        }
        Change::AlterNamespace { id, settings } => next.alter_namespace(*id, settings.clone())?,
        Change::DropNamespace(id) => next.drop_namespace(*id)?,
        Change::Settle(vnodes) => next.settle(vnodes)?,
        Change::Finish(vnodes) => next.finish(vnodes)?,
        Change::Pause => next.is_paused = true,
        Change::Resume => next.is_paused = false,
        Change::Abort => next.abort(),
        Change::Autoscale(policy) => next.set_policy(*policy),
        Change::Scale { dc, since, step } => next.scale(dc, *since, *step)?,
    }
    next.check_lists()?;
    next.close();
    next.note_scaling(document);
    // Whatever differs, the epoch is not what makes it another document.
    let epoch = std::mem::replace(&mut next.epoch, document.epoch);
    if next == *document {
        return Err(ChangeRefused::NothingChanges);
    }
    next.epoch = epoch;
    Ok(next)
}

#[cfg(test)]
mod tests;

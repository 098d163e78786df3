//! Whether this node may take part in an operation on a vnode. Pure.
//!
//! Operations of two epochs of a vnode never meet at a replica: it refuses those of an older one
//! than its own, which is on its disk, and asks for the topology before it takes part in a newer.

use schemas::ids::{NodeId, Vnode};

use crate::coordinator::Access;
use crate::message::Refusal;
use crate::mutation::Mutation;
use crate::shard::Core;
use crate::topology::{Document, Epoch, MemberIndex, Phase};

/// Whether `member` may answer a message about `vnode` that was sent in `epoch` of it.
///
/// # Errors
/// The refusal to answer.
fn pass(
    document: &Document,
    member: Option<MemberIndex>,
    vnode: Vnode,
    epoch: Epoch,
    access: Access,
) -> Result<(), Refusal> {
    let ring = &document.ring;
    if usize::from(vnode.0) >= ring.vnodes() {
        return Err(Refusal::Malformed);
    }
    if epoch < ring.epoch(vnode) {
        return Err(Refusal::Stale(document.epoch));
    }
    if epoch > ring.epoch(vnode) {
        return Err(Refusal::Behind);
    }
    let phase = ring.phase(vnode);
    let is_owner = member.is_some_and(|member| {
        ring.slots(vnode).any(|slot| {
            let is_reader = slot.reader == Some(member);
            let is_successor = slot.successor == Some(member);
            match (access, phase) {
                (_, Phase::Stable) | (Access::Read, Phase::Moving) => is_reader,
                (Access::Read, Phase::Settling) => is_successor,
                (Access::Write, _) => is_reader || is_successor,
            }
        })
    });
    if is_owner { Ok(()) } else { Err(Refusal::NotOwner) }
}

/// As [`pass`], for this node.
fn fence(core: &Core, vnode: Vnode, epoch: Epoch, access: Access) -> Result<(), Refusal> {
    match pass(&core.document, core.index, vnode, epoch, access) {
        Err(Refusal::Stale(_)) if core.is_wrong(Mutation::ServeOldEpoch) => Ok(()),
        result => result,
    }
}

/// Whether this node may say what it has of keys of `vnode`, in `epoch` of it: whoever takes a
/// vnode anew has some of it, and nothing to say.
///
/// # Errors
/// The refusal to.
pub(super) fn fence_read(core: &Core, vnode: Vnode, epoch: Epoch) -> Result<(), Refusal> {
    fence(core, vnode, epoch, Access::Read)?;
    let is_whole = core.is_held(vnode) || core.is_wrong(Mutation::ServeNotHeld);
    if is_whole { Ok(()) } else { Err(Refusal::NotHeld) }
}

/// Whether this node may store a record of `vnode`, in `epoch` of it.
///
/// # Errors
/// The refusal to.
pub(super) fn fence_write(core: &Core, vnode: Vnode, epoch: Epoch) -> Result<(), Refusal> {
    fence_own(core, vnode, epoch)?;
    if core.dropping.contains(&vnode) { Err(Refusal::Busy) } else { Ok(()) }
}

/// Whether this node may keep a record of `vnode` for `target`, in `epoch` of it: hints are for
/// members. What owns the vnode meanwhile is looked up when they are handed over.
///
/// # Errors
/// The refusal to.
pub(super) fn fence_stand_in(
    core: &Core,
    vnode: Vnode,
    epoch: Epoch,
    target: NodeId,
) -> Result<(), Refusal> {
    let document = &core.document;
    let own = document.ring.epoch(vnode);
    if core.index.is_none() {
        Err(Refusal::NotOwner)
    } else if document.index_of(target).is_some() {
        Ok(())
    } else if epoch > own {
        Err(Refusal::Behind)
    } else if epoch < own {
        Err(Refusal::Stale(document.epoch))
    } else {
        Err(Refusal::Malformed)
    }
}

/// Whether this node has a copy of `vnode`, in `epoch` of it.
///
/// # Errors
/// The refusal to answer.
pub(crate) fn fence_own(core: &Core, vnode: Vnode, epoch: Epoch) -> Result<(), Refusal> {
    fence(core, vnode, epoch, Access::Write)
}

/// Whether `from` has a copy of `vnode` in `epoch` of it, this node's own. Whether this node has
/// one does not matter: it says what it has.
///
/// # Errors
/// The refusal to answer.
pub(crate) fn fence_peer(
    core: &Core,
    from: NodeId,
    vnode: Vnode,
    epoch: Epoch,
) -> Result<(), Refusal> {
    let document = &core.document;
    pass(document, document.index_of(from), vnode, epoch, Access::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{DataCentre, Ring, Slot, fixture};

    #[test]
    fn a_replica_answers_in_its_own_epoch_for_what_it_owns() {
        let mut document = fixture::document(4, 3, 1);
        let layout = vec![DataCentre { name: "dc".into(), copies: 1 }];
        document.ring = Ring::new(1, layout, Epoch(1));
        let slot = Slot { reader: Some(MemberIndex(0)), successor: Some(MemberIndex(1)) };
        document.ring.set(Vnode(0), &[slot], Phase::Moving, Epoch(5));
        document.epoch = Epoch(7);
        let (read, write) = (Access::Read, Access::Write);
        let pass = |document: &Document, member, epoch, access| {
            pass(document, Some(MemberIndex(member)), Vnode(0), Epoch(epoch), access)
        };
        assert_eq!(pass(&document, 0, 4, read), Err(Refusal::Stale(Epoch(7))));
        assert_eq!(pass(&document, 0, 6, read), Err(Refusal::Behind));
        for (member, access, phase, expected) in [
            (0, read, Phase::Moving, Ok(())),
            (1, read, Phase::Moving, Err(Refusal::NotOwner)),
            (0, write, Phase::Moving, Ok(())),
            (1, write, Phase::Moving, Ok(())),
            (2, write, Phase::Moving, Err(Refusal::NotOwner)),
            (0, read, Phase::Settling, Err(Refusal::NotOwner)),
            (1, read, Phase::Settling, Ok(())),
            (0, write, Phase::Settling, Ok(())),
        ] {
            document.ring.set(Vnode(0), &[slot], phase, Epoch(5));
            assert_eq!(pass(&document, member, 5, access), expected, "{member} {phase:?}");
        }
    }
}

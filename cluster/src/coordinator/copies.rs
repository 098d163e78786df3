//! Who has copies of a vnode, and who stands in for one that does not answer. Pure.

use schemas::ids::{NodeId, Vnode};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::quorum::{Access, configurations, used_slots};
use crate::topology::{Document, Namespace};

/// The nodes that have copies of a vnode.
pub type Nodes = SmallVec<[NodeId; 6]>;

/// The nodes that `access` to `vnode` concerns, each once, in the order of slots; of those that
/// `namespace` uses, if one is given.
pub(crate) fn copies(
    document: &Document,
    vnode: Vnode,
    namespace: Option<&Namespace>,
    access: Access,
) -> Nodes {
    let ring = &document.ring;
    let mut nodes = Nodes::new();
    for &side in configurations(access, ring.phase(vnode)) {
        let used = used_slots(document, vnode, namespace, side);
        for (at, slot) in ring.slots(vnode).enumerate() {
            let member = side.of(slot).filter(|_| used >> at & 1 == 1);
            let node = member.map(|member| document.member(member).id);
            nodes.extend(node.filter(|node| !nodes.contains(node)));
        }
    }
    nodes
}

/// Whether `node` is to be asked or told when `vnode` is accessed.
pub(super) fn has_copy(document: &Document, vnode: Vnode, node: NodeId, access: Access) -> bool {
    let ring = &document.ring;
    document.index_of(node).is_some_and(|index| {
        configurations(access, ring.phase(vnode))
            .iter()
            .any(|side| ring.slots(vnode).any(|slot| side.of(slot) == Some(index)))
    })
}

/// Who keeps a record for `absent`, an owner of `vnode`: of the nodes of its data centre that are
/// not owners and that `is_fit` says yes to, the first in an order that each vnode has of its own,
/// so that the work is spread and all coordinators agree.
pub(super) fn stand_in(
    document: &Document,
    vnode: Vnode,
    absent: NodeId,
    is_fit: impl Fn(NodeId) -> bool,
) -> Option<NodeId> {
    let dc = &document.member(document.index_of(absent)?).dc;
    let members = document.members.iter().filter(|it| it.dc == *dc && it.standing.stays());
    let fit = members.map(|it| it.id).filter(|&node| {
        is_fit(node)
            && !has_copy(document, vnode, node, Access::Read)
            && !has_copy(document, vnode, node, Access::Write)
    });
    fit.min_by_key(|node| {
        (xxh3_64_with_seed(&node.0.get().to_le_bytes(), u64::from(vnode.0)), *node)
    })
}

//! Whether all owners of a vnode have the same, once everything was mended (promise P4), and
//! whether all vnodes came to rest.

use std::collections::BTreeSet;

use cluster::topology::Phase;

use super::world::World;

/// What is not as it must be: a sentence each.
pub(super) fn differences(world: &World) -> Vec<String> {
    let Some(document) = world.document().cloned() else { return vec!["no topology".to_owned()] };
    let mut found = Vec::new();
    for node in world.nodes.iter().filter(|node| node.is_running) {
        let has = node.document().map(|document| document.epoch);
        if document.index_of(node.id).is_some() && has != Some(document.epoch) {
            found.push(format!("node {} is at {has:?}, others at {:?}", node.id, document.epoch));
        }
    }
    let moving = document.ring.all().filter(|&vnode| document.ring.phase(vnode) != Phase::Stable);
    let moving: Vec<_> = moving.collect();
    if let Some(&vnode) = moving.first() {
        let (count, phase) = (moving.len(), document.ring.phase(vnode));
        let slots: Vec<_> = document.ring.slots(vnode).collect();
        let members: Vec<_> =
            document.members.iter().map(|it| (it.id.0.get(), it.standing, it.weight)).collect();
        found.push(format!(
            "{count} vnodes move, the first is {vnode:?}, {phase:?}: {slots:?} of {members:?}"
        ));
    }
    let keys: BTreeSet<_> = world.nodes.iter().flat_map(|node| node.keys()).collect();
    for key in keys {
        let vnode = key.token.vnode(document.bits);
        let owners = document.ring.slots(vnode).filter_map(|slot| slot.reader);
        let has: Vec<_> = owners
            .map(|owner| {
                let id = document.member(owner).id;
                let node = world.nodes.iter().find(|it| it.id == id).expect("a node of the run");
                let core = &node.cores[node.core_of(vnode)];
                (id, core.store.get(&key).map(|record| record.digest()))
            })
            .collect();
        if has.iter().any(|it| it.1 != has[0].1) {
            found.push(format!("owners of key {:?} differ: {has:?}", key.bytes));
        }
    }
    found
}

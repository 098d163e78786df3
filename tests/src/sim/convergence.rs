//! Whether all owners of a vnode have the same, once everything was mended (promise P4).

use super::world::World;

/// What owners have differently: one sentence a key.
pub(super) fn differences(world: &World) -> Vec<String> {
    let document = world.document();
    let mut found = Vec::new();
    let keys = world.nodes.iter().flat_map(|node| node.keys());
    let keys: std::collections::BTreeSet<_> = keys.collect();
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

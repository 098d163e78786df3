//! Whether all owners of a vnode have the same, once everything was mended (promise P4), and
//! whether all vnodes came to rest.

use std::collections::BTreeSet;

use cluster::horizon::{Horizon, may_purge};
use cluster::topology::{Document, Phase};
use schemas::ids::{Hlc, Vnode};

use super::world::World;

/// Vnodes whose horizon has not come up to `since` at some reader, though every member answers: a
/// sentence for the first.
pub(super) fn stuck_horizon(world: &World, since: Hlc) -> Option<String> {
    let document = world.document()?;
    document.ring.all().find_map(|vnode| {
        let readers = document.ring.slots(vnode).filter_map(|slot| slot.reader);
        let nodes = readers.map(|reader| document.member(reader).id);
        let below = nodes.map(|id| {
            let node = world.nodes.iter().find(|it| it.id == id).expect("a node of the run");
            (id, node.cores[node.core_of(vnode)].store.below(vnode))
        });
        let late: Vec<_> = below.filter(|it| it.1 < since).collect();
        let why = || format!("the horizon of {vnode:?} is at {late:?}, not yet at {since:?}");
        (!late.is_empty()).then(why)
    })
}

impl World {
    /// A node takes a horizon: every other reader that has all of the vnode has all of it.
    pub(super) fn check_horizon(&self, node: usize, vnode: Vnode, horizon: &Horizon) {
        let Some(document) = self.nodes[node].document() else { return };
        let readers = document.ring.slots(vnode).filter_map(|slot| slot.reader);
        for id in readers.map(|reader| document.member(reader).id) {
            let reader = self.nodes.iter().find(|it| it.id == id).expect("a node of the run");
            let is_so = |it: &Document| it.ring.epoch(vnode) == document.ring.epoch(vnode);
            let store = &reader.cores[reader.core_of(vnode)].store;
            if store.held.contains(&vnode) && reader.document().is_some_and(|it| is_so(it)) {
                let below = horizon.below;
                let has_all = store.clock(vnode).dominates(&horizon.clock);
                assert!(has_all, "{id} has not all of {vnode:?} that is below {below:?}");
            }
        }
    }
}

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
        // Who has not heard of the last horizon has what others have purged.
        let below =
            world.nodes.iter().map(|node| node.cores[node.core_of(vnode)].store.below(vnode));
        let below = below.max().unwrap_or_default();
        let has: Vec<_> = owners
            .map(|owner| {
                let id = document.member(owner).id;
                let node = world.nodes.iter().find(|it| it.id == id).expect("a node of the run");
                let core = &node.cores[node.core_of(vnode)];
                let record = core.store.get(&key).filter(|it| !may_purge(it, below));
                (id, record.map(|record| record.digest()))
            })
            .collect();
        if has.iter().any(|it| it.1 != has[0].1) {
            found.push(format!("owners of key {:?} differ: {has:?}", key.bytes));
        }
    }
    found
}

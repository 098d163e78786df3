//! Whether all is as it must be two repair periods after the last request (promise P4), once
//! everything was mended.
//!
//! - All members go by one topology, in which no vnode moves.
//! - All owners of a vnode have the same records and the same clock, and hold it.
//! - No node keeps anything for another.

use std::collections::BTreeSet;

use cluster::topology::{Document, Phase};
use schemas::ids::Vnode;

use super::node::{Core, Node};
use super::world::World;

/// What is not as it must be: a sentence each.
pub(super) fn differences(world: &World) -> Vec<String> {
    let Some(document) = world.document().cloned() else { return vec!["no topology".to_owned()] };
    let mut found = Vec::new();
    topologies(world, &document, &mut found);
    owners(world, &document, &mut found);
    records(world, &document, &mut found);
    hints(world, &mut found);
    found
}

fn topologies(world: &World, document: &Document, found: &mut Vec<String>) {
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
}

/// The nodes that own a vnode, each with the core that has it.
fn owners_of<'w>(
    world: &'w World,
    document: &Document,
    vnode: Vnode,
) -> impl Iterator<Item = (&'w Node, &'w Core)> {
    let readers = document.ring.slots(vnode).filter_map(|slot| slot.reader);
    let ids: Vec<_> = readers.map(|reader| document.member(reader).id).collect();
    ids.into_iter().map(move |id| {
        let node = world.nodes.iter().find(|it| it.id == id).expect("a node of the run");
        (node, &node.cores[node.core_of(vnode)])
    })
}

fn owners(world: &World, document: &Document, found: &mut Vec<String>) {
    for vnode in document.ring.all() {
        let mut owners = owners_of(world, document, vnode);
        let Some((first, core)) = owners.next() else { continue };
        let clock = core.store.clock(vnode);
        let held = |core: &Core| core.store.held.contains(&vnode);
        if !held(core) {
            found.push(format!("node {} does not hold {vnode:?}", first.id));
        }
        for (node, core) in owners {
            if !held(core) {
                found.push(format!("node {} does not hold {vnode:?}", node.id));
            }
            if core.store.clock(vnode) != clock {
                let (one, other) = (first.id, node.id);
                let clocks = (&clock, core.store.clock(vnode));
                found.push(format!("clocks of {vnode:?} differ, {one} and {other}: {clocks:?}"));
            }
        }
    }
}

fn records(world: &World, document: &Document, found: &mut Vec<String>) {
    let keys: BTreeSet<_> = world.nodes.iter().flat_map(|node| node.keys()).collect();
    for key in keys {
        let owners = owners_of(world, document, key.token.vnode(document.bits));
        let has: Vec<_> = owners
            .map(|(node, core)| (node.id, core.store.get(&key).map(|record| record.digest())))
            .collect();
        if has.iter().any(|it| it.1 != has[0].1) {
            found.push(format!("owners of key {:?} differ: {has:?}", key.bytes));
        }
    }
}

fn hints(world: &World, found: &mut Vec<String>) {
    for node in world.nodes.iter().filter(|node| node.is_running) {
        let kept = node.cores.iter().flat_map(|core| core.store.hints.keys());
        if let Some((target, key)) = kept.clone().next() {
            let (id, count) = (node.id, kept.count());
            found.push(format!(
                "node {id} keeps {count} records, the first for {target}: {:?}",
                key.bytes
            ));
        }
    }
}

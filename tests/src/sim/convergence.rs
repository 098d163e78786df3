//! Whether all owners of a vnode have the same, once everything was mended (promise P4), and
//! whether all vnodes came to rest; and whether clocks tell what is there.

use std::collections::BTreeSet;

use cluster::record::{Kind, merge};
use cluster::topology::{Document, Phase, Standing};
use schemas::clock::VnodeClock;
use schemas::ids::{Actor, NodeId, Vnode};

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
    found.extend(clocks(world, &document));
    found
}

/// Clocks of owners that differ, or lack what nobody has of a life that is over.
fn clocks(world: &World, document: &Document) -> Vec<String> {
    let boot_of = |id: NodeId| world.nodes.iter().find(|it| it.id == id).map_or(0, |it| it.boot);
    let is_over =
        |actor: Actor| document.index_of(actor.node).is_none() || actor.boot < boot_of(actor.node);
    if document.members.iter().any(|member| member.standing == Standing::Lost) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for vnode in document.ring.all() {
        let of_owners: Vec<(NodeId, VnodeClock)> = owners(document, vnode)
            .map(|id| (id, clock_of(world, id, vnode).expect("a node of the run")))
            .collect();
        if of_owners.iter().any(|it| it.1 != of_owners[0].1) {
            found.push(format!("owners' clocks of {vnode:?} differ: {of_owners:?}"));
        }
        for (id, clock) in &of_owners {
            let gaps = clock.actors().iter().filter(|it| !it.runs().is_empty());
            let gaps: Vec<_> = gaps.filter(|it| is_over(it.actor())).collect();
            if !gaps.is_empty() {
                found.push(format!("{id} waits in {vnode:?} for what is void: {gaps:?}"));
            }
        }
    }
    found
}

/// An owner whose clock says that it has what somebody keeps for it, and that has not got it.
pub(super) fn false_claim(world: &World) -> Option<String> {
    let document = world.document()?;
    let cores = || world.nodes.iter().flat_map(|node| &node.cores);
    for ((_, key), hint) in cores().flat_map(|core| &core.store.hints) {
        if !matches!(hint.record.kind, Kind::Value | Kind::Tombstone) {
            continue;
        }
        let vnode = key.token.vnode(document.bits);
        for id in owners(document, vnode) {
            let Some(node) = world.nodes.iter().find(|it| it.id == id) else { continue };
            let store = &node.cores[node.core_of(vnode)].store;
            let has = store.get(key).is_some_and(|own| merge(&own, &hint.record) == own);
            if !has && store.clock(vnode).contains(hint.record.version.dot) {
                let version = hint.record.version;
                return Some(format!("{id} says that it has {version:?} of {:?}", key.bytes));
            }
        }
    }
    None
}

fn owners(document: &Document, vnode: Vnode) -> impl Iterator<Item = NodeId> {
    let readers = document.ring.slots(vnode).filter_map(|slot| slot.reader);
    readers.map(|index| document.member(index).id)
}

fn clock_of(world: &World, id: NodeId, vnode: Vnode) -> Option<VnodeClock> {
    let node = world.nodes.iter().find(|it| it.id == id)?;
    Some(node.cores[node.core_of(vnode)].store.clock(vnode))
}

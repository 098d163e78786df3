//! Whether all is as it must be two repair periods after the last request (promise P4), once
//! everything was mended.
//!
//! - All members go by one topology, in which no vnode moves.
//! - All owners of a vnode have the same records and the same clock, and hold it.
//! - No clock waits for what a crash took of a life that is over.
//! - No member keeps anything for another.

use std::collections::BTreeSet;

use cluster::horizon::{Horizon, kept};
use cluster::record::{Kind, merge};
use cluster::topology::{Document, Phase, Standing};
use schemas::ids::{Actor, Hlc, NodeId, Vnode};

use super::node::{Core, Node};
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
    topologies(world, &document, &mut found);
    owners(world, &document, &mut found);
    records(world, &document, &mut found);
    hints(world, &document, &mut found);
    gaps(world, &document, &mut found);
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
        let vnode = key.token.vnode(document.bits);
        // Who has not heard of the last horizon has what others have purged.
        let below =
            world.nodes.iter().map(|node| node.cores[node.core_of(vnode)].store.below(vnode));
        let below = below.max().unwrap_or_default();
        let has: Vec<_> = owners_of(world, document, vnode)
            .map(|(node, core)| {
                let record = core.store.get(&key).and_then(|it| kept(&it, below));
                (node.id, record.map(|record| record.digest()))
            })
            .collect();
        if has.iter().any(|it| it.1 != has[0].1) {
            found.push(format!("owners of key {:?} differ: {has:?}", key.bytes));
        }
    }
}

/// Who has left keeps what others have long got from each other: it only was to save them work.
fn hints(world: &World, document: &Document, found: &mut Vec<String>) {
    let is_member = |node: &&Node| node.is_running && document.index_of(node.id).is_some();
    for node in world.nodes.iter().filter(is_member) {
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

/// Owners that lack what nobody has of a life that is over.
fn gaps(world: &World, document: &Document, found: &mut Vec<String>) {
    let boot_of = |id: NodeId| world.nodes.iter().find(|it| it.id == id).map_or(0, |it| it.boot);
    let is_over =
        |actor: Actor| document.index_of(actor.node).is_none() || actor.boot < boot_of(actor.node);
    if document.members.iter().any(|member| member.standing == Standing::Lost) {
        return;
    }
    for vnode in document.ring.all() {
        for (node, core) in owners_of(world, document, vnode) {
            let clock = core.store.clock(vnode);
            let gaps = clock.actors().iter().filter(|it| !it.runs().is_empty());
            let gaps: Vec<_> = gaps.filter(|it| is_over(it.actor())).collect();
            if !gaps.is_empty() {
                let id = node.id;
                found.push(format!("{id} waits in {vnode:?} for what is void: {gaps:?}"));
            }
        }
    }
}

/// An owner whose clock says that it has what somebody keeps for it, and that has not got it.
pub(super) fn false_claim(world: &World) -> Option<String> {
    let document = world.document()?;
    let cores = || world.nodes.iter().flat_map(|node| &node.cores);
    for ((_, key), hint) in cores().flat_map(|core| &core.store.hints) {
        let is_set = !matches!(hint.record.kind, Kind::Value | Kind::Tombstone);
        if is_set || document.is_dropped(key.namespace) {
            continue;
        }
        let vnode = key.token.vnode(document.bits);
        for (node, core) in owners_of(world, document, vnode) {
            let (id, store) = (node.id, &core.store);
            // What was lost is known when the node starts.
            let is_out =
                hint.record.version.hlc < store.below(vnode) || store.lost.contains(&vnode);
            let has = is_out || store.get(key).is_some_and(|own| merge(&own, &hint.record) == own);
            if !has && store.clock(vnode).contains(hint.record.version.dot) {
                let version = hint.record.version;
                return Some(format!("{id} says that it has {version:?} of {:?}", key.bytes));
            }
        }
    }
    None
}

//! What plans say.

use std::num::NonZeroU64;
use std::time::Duration;

use super::support::{document, equals, finish_all, joined, member, node, settle};
use crate::placement::{Facts, Plan, Reduced, Volume, plan, rebalance};
use crate::topology::{Document, Epoch, MemberIndex, Phase, Slot, Standing};
use schemas::ids::{NodeId, Vnode};

const BYTES: u64 = 1_000;

/// Two vnodes of two copies on nodes 1, 2 and 3: (1, 2) and (2, 3).
fn small() -> Document {
    let mut document = document(1, equals(3, 1), &[("dc", 2)]);
    name(&mut document, 0, [(1, 1), (2, 2)]);
    name(&mut document, 1, [(2, 2), (3, 3)]);
    document
}

/// Names readers and successors of a vnode, 0 for nobody.
fn name(document: &mut Document, vnode: u16, slots: [(u64, u64); 2]) {
    let index = |id: u64| (id > 0).then(|| document.index_of(node(id)).expect("a member"));
    let slots = slots.map(|(from, to)| Slot { reader: index(from), successor: index(to) });
    let moves = slots.iter().any(|slot| slot.is_moving());
    let phase = if moves { Phase::Moving } else { Phase::Stable };
    document.ring.set(Vnode(vnode), &slots, phase, Epoch(9));
}

fn planned(before: &Document, after: &Document, up: &[u64]) -> Plan {
    let up: Vec<NodeId> = up.iter().map(|&id| node(id)).collect();
    let bytes = vec![BYTES; after.ring.vnodes()];
    let speed = NonZeroU64::new(100).expect("not 0");
    plan(before, after, &Facts { bytes: &bytes, up: &up, link_bytes_per_second: speed })
}

fn volume(copies: u64) -> Volume {
    Volume { copies, bytes: copies * BYTES }
}

fn links(plan: &Plan) -> Vec<(u64, u64, u64, bool)> {
    let link =
        |it: &super::super::Link| (it.from.0.get(), it.to.0.get(), it.volume.copies, it.is_up);
    plan.links.iter().map(link).collect()
}

#[test]
fn a_copy_comes_from_whom_it_replaces_and_is_held_beside_what_was_there() {
    let before = small();
    let mut after = before.clone();
    name(&mut after, 0, [(1, 3), (2, 2)]);
    let plan = planned(&before, &after, &[1, 2, 3]);
    assert_eq!(links(&plan), [(1, 3, 1, true)]);
    assert_eq!((plan.streamed, plan.eta), (volume(1), Duration::from_secs(10)));
    assert_eq!((plan.under_way, plan.abandoned), (volume(0), volume(0)));
    assert!(plan.reduced.is_empty());
    let shares: Vec<_> = plan.nodes.iter().map(|it| (it.before.copies, it.after.copies)).collect();
    assert_eq!(shares, [(1, 0), (2, 2), (1, 2)]);
    assert_eq!((plan.nodes[0].outgoing, plan.nodes[2].incoming), (volume(1), volume(1)));
    assert_eq!(plan.nodes[2].bytes_peak, 2 * BYTES);
}

#[test]
fn what_replaces_a_lost_reader_or_nobody_comes_from_all_other_readers() {
    let mut before = small();
    before.members[1].standing = Standing::Lost;
    let mut after = before.clone();
    name(&mut after, 0, [(1, 1), (2, 3)]);
    name(&mut after, 1, [(2, 1), (3, 3)]);
    let plan = planned(&before, &after, &[1, 3]);
    assert_eq!(links(&plan), [(1, 3, 1, true), (3, 1, 1, true)]);
    let reduced = |vnode| Reduced { vnode: Vnode(vnode), dc: 0, copies: 2, live: 1 };
    assert_eq!(plan.reduced, [reduced(0), reduced(1)]);
    assert!(!plan.reduced[0].has_quorum());
    assert_eq!(plan.nodes[1].outgoing, volume(0), "the lost node gives nothing");

    let mut added = small();
    name(&mut added, 0, [(1, 1), (0, 3)]);
    let waits = planned(&small(), &added, &[1, 2]);
    assert_eq!(links(&waits), [(1, 3, 1, false)]);
    assert_eq!((waits.links[0].eta, waits.eta), (Duration::from_secs(10), Duration::ZERO));
}

#[test]
fn what_nobody_has_is_not_streamed() {
    let mut before = small();
    before.members[0].standing = Standing::Lost;
    before.members[1].standing = Standing::Lost;
    let mut after = before.clone();
    name(&mut after, 0, [(1, 3), (2, 0)]);
    let plan = planned(&before, &after, &[3]);
    assert_eq!((plan.without_source, plan.streamed), (volume(1), volume(0)));
    assert!(plan.links.is_empty());
    name(&mut after, 0, [(0, 3), (0, 0)]);
    let plan = planned(&before, &after, &[3]);
    assert_eq!(plan.without_source, volume(0), "there never was anything");
}

#[test]
fn what_was_on_its_way_is_told_from_what_is_new() {
    let mut before = small();
    name(&mut before, 0, [(1, 3), (2, 2)]);
    name(&mut before, 1, [(2, 1), (3, 3)]);
    let mut after = joined(&before, member(4, "dc", "rack00", 100));
    name(&mut after, 1, [(2, 4), (3, 3)]);
    let plan = planned(&before, &after, &[1, 2, 3, 4]);
    assert_eq!((plan.streamed, plan.under_way), (volume(2), volume(1)));
    assert_eq!(plan.abandoned, volume(1));
    let back = planned(&before, &small(), &[1, 2, 3]);
    assert_eq!((back.streamed, back.abandoned), (volume(0), volume(2)));
    let mut ended = before.clone();
    name(&mut ended, 0, [(1, 3), (2, 0)]);
    assert_eq!(planned(&before, &ended, &[1]).abandoned, volume(0), "a reader had arrived");
}

#[test]
fn a_reader_that_takes_another_slot_has_its_data() {
    let before = small();
    let mut after = before.clone();
    name(&mut after, 0, [(1, 2), (2, 0)]);
    let plan = planned(&before, &after, &[1, 2, 3]);
    assert_eq!((plan.streamed, links(&plan)), (volume(0), vec![]));
    assert_eq!(plan.nodes[1].bytes_peak, 2 * BYTES);
}

#[test]
fn of_a_vnode_that_settles_successors_are_read_and_nothing_is_streamed() {
    let mut document = small();
    name(&mut document, 0, [(1, 3), (2, 2)]);
    settle(&mut document, Vnode(0));
    let plan = planned(&document, &document, &[1, 2]);
    assert_eq!(plan.streamed, volume(0));
    let reduced = Reduced { vnode: Vnode(0), dc: 0, copies: 2, live: 1 };
    assert_eq!(plan.reduced[0], reduced, "node 3 is down");
    let held: Vec<Volume> = plan.nodes.iter().map(|it| it.before).collect();
    assert_eq!(held, [volume(1), volume(2), volume(2)], "node 3 has caught up");
}

/// Sums agree, whatever moves.
#[test]
fn what_goes_out_comes_in() {
    let mut before = document(8, equals(12, 4), &[("dc", 3)]);
    rebalance(&mut before);
    finish_all(&mut before);
    let mut after = joined(&before, member(50, "dc", "rack00", 100));
    after.members[2].standing = Standing::Leaving;
    after.epoch = Epoch(2);
    rebalance(&mut after);
    let up: Vec<u64> = after.members.iter().map(|it| it.id.0.get()).collect();
    let plan = planned(&before, &after, &up);
    let moved = after.ring.all().flat_map(|it| after.ring.slots(it));
    let moved = moved.filter(|slot| slot.is_moving()).count() as u64;
    assert_eq!(plan.streamed, volume(moved));
    let sum = |of: &dyn Fn(&super::super::Share) -> Volume| -> u64 {
        plan.nodes.iter().map(|it| of(it).copies).sum()
    };
    assert_eq!((sum(&|it| it.incoming), sum(&|it| it.outgoing)), (moved, moved));
    assert_eq!((sum(&|it| it.before), sum(&|it| it.after)), (3 * 256, 3 * 256));
    assert_eq!(plan.links.iter().map(|it| it.volume.copies).sum::<u64>(), moved);
    let leaving = plan.nodes.iter().find(|it| it.node == node(3)).expect("it streams");
    assert_eq!((leaving.after, leaving.outgoing), (volume(0), leaving.before));
    assert_eq!(after.member(MemberIndex(2)).id, node(3));
}

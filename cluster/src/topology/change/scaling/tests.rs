//! Of decisions of one state only the first is done; what starts and goes stays within bounds.

use super::*;
use crate::autoscale::Settings;
use crate::topology::sample::{cluster, done, member, node, replication, settings, settled};
use crate::topology::{Change, Policy as Conflicts, Standing, apply};

fn between(nodes_min: u32, nodes_max: u32) -> Change {
    let policy = Policy::new(Settings::between(nodes_min, nodes_max));
    Change::Autoscale(Some(policy.expect("settings in their ranges")))
}

/// Of so many nodes, three copies, and 3 to 8 nodes.
fn scaled(nodes: u64) -> Document {
    done(&cluster(nodes), &between(3, 8))
}

fn scale(document: &Document, step: ScaleStep) -> Change {
    let since = document.scaled("a").expect("it is scaled").changed;
    Change::Scale { dc: "a".into(), since, step }
}

fn starting(document: &Document) -> u32 {
    document.scaled("a").expect("it is scaled").starting
}

fn changed(document: &Document) -> Epoch {
    document.scaled("a").expect("it is scaled").changed
}

#[test]
fn machines_that_start_are_counted_until_they_join_or_are_given_up() {
    let scaled = scaled(4);
    assert_eq!((starting(&scaled), changed(&scaled)), (0, scaled.epoch));
    let two = done(&scaled, &scale(&scaled, ScaleStep::Start(2)));
    assert_eq!((starting(&two), changed(&two)), (2, two.epoch));
    let one = done(&two, &Change::Join(member(9, "a", "r1")));
    assert_eq!((starting(&one), changed(&one)), (1, one.epoch), "whoever it is that joins");
    let elsewhere = done(&one, &Change::Join(member(10, "b", "r1")));
    assert_eq!((starting(&elsewhere), changed(&elsewhere)), (1, one.epoch));
    let given_up = done(&elsewhere, &scale(&elsewhere, ScaleStep::GiveUp));
    assert_eq!((starting(&given_up), changed(&given_up)), (0, given_up.epoch));
    let late = done(&given_up, &Change::Join(member(11, "a", "r1")));
    assert_eq!(starting(&late), 0);
}

#[test]
fn of_decisions_of_one_state_only_the_first_is_done() {
    let scaled = scaled(5);
    let steps = [ScaleStep::Start(1), ScaleStep::Remove(node(2)), ScaleStep::Remove(node(3))];
    for first in steps {
        let next = done(&scaled, &scale(&scaled, first));
        let stale = ChangeRefused::Stale { since: changed(&scaled), changed: next.epoch };
        for second in steps {
            assert_eq!(apply(&next, &scale(&scaled, second)), Err(stale.clone()));
        }
    }
    let unrelated = done(&scaled, &Change::Pause);
    done(&unrelated, &scale(&scaled, ScaleStep::Start(1)));
}

/// A decision that was made of other members, weights or rules is not done.
#[test]
fn each_change_that_matters_is_noted() {
    let scaled = scaled(5);
    let matter = [
        Change::Join(member(9, "a", "r1")),
        Change::Leave(node(2)),
        Change::Lost { node: node(2), with_last_copies: false },
        Change::Weight { node: node(2), weight: 50 },
        between(3, 9),
    ];
    for change in matter {
        let next = done(&scaled, &change);
        assert_eq!(changed(&next), next.epoch, "{change:?}");
    }
    let address = crate::topology::sample::address(77);
    for change in [Change::Pause, Change::Address { node: node(2), address }] {
        assert_eq!(changed(&done(&scaled, &change)), changed(&scaled), "{change:?}");
    }
    let leaving = done(&scaled, &Change::Leave(node(2)));
    let gone = settled(leaving.clone());
    assert!(changed(&gone) > changed(&leaving), "when it is gone, too");
}

#[test]
fn no_more_start_and_no_more_go_than_the_policy_lets() {
    let scaled = scaled(4);
    let refused = |change: &Change| apply(&scaled, change);
    let bounds = |nodes| Err(ChangeRefused::Bounds { nodes, min: 3, max: 8 });
    assert_eq!(refused(&scale(&scaled, ScaleStep::Start(5))), bounds(9));
    assert_eq!(refused(&scale(&scaled, ScaleStep::Start(u32::MAX))), bounds(u32::MAX));
    done(&scaled, &scale(&scaled, ScaleStep::Start(4)));
    let three = settled(done(&scaled, &scale(&scaled, ScaleStep::Remove(node(4)))));
    let fewer = apply(&three, &scale(&three, ScaleStep::Remove(node(3))));
    assert!(matches!(fewer, Err(ChangeRefused::TooFewNodes { .. })), "never fewer than copies");
    let four = done(&scaled, &between(4, 8));
    let fewer = apply(&four, &scale(&four, ScaleStep::Remove(node(3))));
    assert_eq!(fewer, Err(ChangeRefused::Bounds { nodes: 3, min: 4, max: 8 }));
}

#[test]
fn a_node_that_is_removed_leaves() {
    let scaled = scaled(5);
    let leaving = done(&scaled, &scale(&scaled, ScaleStep::Remove(node(2))));
    assert_eq!(leaving.members[1].standing, Standing::Leaving);
    let elsewhere = done(&scaled, &Change::Join(member(9, "b", "r1")));
    let refused = apply(&elsewhere, &scale(&elsewhere, ScaleStep::Remove(node(9))));
    assert_eq!(refused, Err(ChangeRefused::NotScaled("a".into())));
}

#[test]
fn data_centres_are_scaled_where_they_have_copies_and_a_policy_is_set() {
    let plain = cluster(3);
    let start =
        |dc: &str| Change::Scale { dc: dc.into(), since: plain.epoch, step: ScaleStep::Start(1) };
    assert_eq!(apply(&plain, &start("a")), Err(ChangeRefused::NotScaled("a".into())));
    let scaled = done(&plain, &between(3, 8));
    assert_eq!(apply(&scaled, &start("b")), Err(ChangeRefused::NotScaled("b".into())));
    let other = done(&scaled, &Change::Join(member(9, "b", "r1")));
    assert!(other.scaled("b").is_none(), "it has no copies");
    let (name, policy) = ("n".into(), Conflicts::Siblings);
    let settings = settings(&[("b", 1)]);
    assert_eq!(settings.replication, replication(&[("b", 1)]));
    let both = done(&other, &Change::CreateNamespace { name, policy, settings });
    assert_eq!(both.scaled("b").map(|dc| (dc.starting, dc.changed)), Some((0, both.epoch)));
    let off = done(&both, &Change::Autoscale(None));
    assert_eq!(off.scaling, None);
    assert_eq!(apply(&off, &Change::Autoscale(None)), Err(ChangeRefused::NothingChanges));
}

/// The machines that the former policy asked for come all the same.
#[test]
fn another_policy_waits_for_the_machines_that_start() {
    let scaled = scaled(4);
    let two = done(&scaled, &scale(&scaled, ScaleStep::Start(2)));
    let other = done(&two, &between(3, 9));
    assert_eq!((starting(&other), changed(&other)), (2, other.epoch));
}

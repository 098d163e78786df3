//! Placement's promises, one by one.

use super::support::{
    changes, document, equals, finish_all, joined, member, namespace, node, owners, replicate,
    settle, with_members,
};
use crate::placement::rebalance;
use crate::topology::{DataCentre, Document, Epoch, Phase, Standing};

/// A cluster in balance, all of whose vnodes are stable.
fn settled(bits: u8, nodes: u64, racks: u64, copies: u8) -> Document {
    let mut document = document(bits, equals(nodes, racks), &[("dc", copies)]);
    rebalance(&mut document);
    finish_all(&mut document);
    document.epoch = Epoch(2);
    document
}

fn rebalanced(document: &Document) -> Document {
    let mut document = document.clone();
    document.epoch.0 += 1;
    rebalance(&mut document);
    document
}

fn load(document: &Document, id: u64) -> usize {
    owners(document).concat().iter().filter(|it| **it == Some(node(id))).count()
}

fn is_stable(document: &Document) -> bool {
    let ring = &document.ring;
    ring.all().all(|vnode| ring.phase(vnode) == Phase::Stable)
}

#[test]
fn who_joins_takes_its_share_from_all_and_nobody_else_gets_anything() {
    for (nodes, racks) in [(3, 1), (5, 2), (20, 4), (50, 50)] {
        let before = joined(&settled(10, nodes, racks, 3), member(100, "dc", "rack00", 100));
        let after = rebalanced(&before);
        let changes = changes(&before, &after);
        assert!(changes.iter().all(|(_, to)| *to == Some(node(100))), "{nodes} nodes");
        let ideal = 3 * 1024 / (nodes as usize + 1);
        assert!((ideal..=ideal + 1).contains(&changes.len()), "{} for {ideal}", changes.len());
        for id in 1..=nodes {
            let given = changes.iter().filter(|(from, _)| *from == Some(node(id))).count();
            assert!(given.abs_diff(ideal / nodes as usize) <= 1, "{given} from one node");
        }
    }
}

#[test]
fn of_who_leaves_or_is_lost_others_take_what_it_had_and_nothing_else_moves() {
    for standing in [Standing::Leaving, Standing::Lost] {
        for (nodes, racks) in [(4, 1), (6, 2), (20, 4), (50, 50)] {
            let mut before = settled(10, nodes, racks, 3);
            before.members[1].standing = standing;
            let after = rebalanced(&before);
            let changes = changes(&before, &after);
            assert!(changes.iter().all(|(from, _)| *from == Some(node(2))), "{nodes} nodes");
            assert_eq!(load(&after, 2), 0);
        }
    }
}

#[test]
fn a_change_that_is_taken_back_moves_nothing_whatever_had_arrived() {
    for (nodes, racks) in [(5, 1), (20, 4), (21, 3)] {
        let start = settled(10, nodes, racks, 3);
        let changed = |change: &dyn Fn(&mut Document)| {
            let mut before = start.clone();
            change(&mut before);
            rebalanced(&before)
        };
        let newcomer = member(100, "dc", "rack01", 100);
        let mut join = rebalanced(&joined(&start, newcomer));
        join.members.last_mut().expect("it joined").standing = Standing::Leaving;
        let mut leave = changed(&|it| it.members[0].standing = Standing::Leaving);
        leave.members[0].standing = Standing::Member;
        let mut weight = changed(&|it| it.members[0].weight = 300);
        weight.members[0].weight = 100;
        for (what, undone) in [("join", join), ("leave", leave), ("weight", weight)] {
            assert!(!is_stable(&undone), "{what}: something moves");
            let after = rebalanced(&undone);
            assert!(is_stable(&after), "{what}: readers are successors again");
            assert_eq!(owners(&after), owners(&start), "{what}");
        }
    }
}

#[test]
fn a_node_that_takes_the_slots_of_another_of_its_weight_and_rack_keeps_them() {
    let start = settled(8, 10, 5, 3);
    let mut before = joined(&start, member(100, "dc", "rack01", 100));
    before.members[0].standing = Standing::Lost;
    let (old, new) = (before.index_of(node(1)), before.index_of(node(100)));
    for vnode in before.ring.all() {
        let mut slots: Vec<_> = before.ring.slots(vnode).collect();
        slots.iter_mut().filter(|it| it.successor == old).for_each(|it| it.successor = new);
        before.ring.set(vnode, &slots, Phase::Moving, before.epoch);
    }
    let mut expected = before.clone();
    for vnode in before.ring.all() {
        let slots: Vec<_> = before.ring.slots(vnode).collect();
        if slots.iter().all(|it| !it.is_moving()) {
            expected.ring.set(vnode, &slots, Phase::Stable, Epoch(3));
        }
    }
    assert_eq!(rebalanced(&before).ring, expected.ring);
}

#[test]
fn a_change_in_one_data_centre_leaves_the_others_alone() {
    let mut members = equals(12, 3);
    members.extend((21..40).map(|id| member(id, "other", &format!("rack{}", id % 4), 100)));
    let mut start = document(9, members, &[("dc", 3), ("other", 2)]);
    rebalance(&mut start);
    let mut before = joined(&start, member(50, "dc", "rack07", 250));
    before.members[3].standing = Standing::Lost;
    let after = rebalanced(&before);
    let of_other = |document: &Document| -> Vec<_> {
        owners(document).into_iter().map(|slots| slots[3..].to_vec()).collect()
    };
    assert!(!changes(&before, &after).is_empty());
    assert_eq!(of_other(&after), of_other(&start));
    let alone = document(9, start.members[12..].to_vec(), &[("other", 2)]);
    assert_eq!(owners(&rebalanced(&alone)), of_other(&start), "as if it was the only one");
}

#[test]
fn where_there_are_fewer_nodes_than_copies_the_last_slots_are_empty() {
    let mut document = settled(6, 3, 1, 3);
    document.members[0].standing = Standing::Lost;
    let two = rebalanced(&document);
    for owners in owners(&two) {
        assert!(owners[0].is_some() && owners[1].is_some() && owners[2].is_none());
        assert!(!owners.contains(&Some(node(1))));
    }
    let mut three = joined(&two, member(9, "dc", "rack00", 100));
    finish_all(&mut three);
    let after = rebalanced(&three);
    assert!(owners(&after).iter().all(|it| it.contains(&Some(node(9)))));
}

/// Nobody else is there to have it, so it is not given up.
#[test]
fn who_is_to_go_keeps_what_nobody_else_can_take() {
    for standing in [Standing::Leaving, Standing::Member] {
        let mut document = settled(6, 4, 4, 3);
        document.members[0].standing = standing;
        document.members[0].weight = 0;
        document.members[1].standing = Standing::Lost;
        let after = rebalanced(&document);
        for (before, after) in owners(&document).iter().zip(owners(&after)) {
            let place = |owners: &[_]| owners.iter().position(|it| *it == Some(node(1)));
            assert_eq!(place(&after), place(before), "where it was");
            assert!(after.contains(&Some(node(3))) && after.contains(&Some(node(4))));
        }
        document.members[2].standing = Standing::Lost;
        document.members[3].standing = Standing::Lost;
        let last = rebalanced(&document);
        assert_eq!(load(&last, 1), load(&document, 1), "nobody else is left");
        let mut enough = joined(&after, member(9, "dc", "rack09", 100));
        finish_all(&mut enough);
        assert_eq!(load(&rebalanced(&enough), 1), 0, "it goes when it can");
    }
}

#[test]
fn nobody_left_is_nobody_named() {
    let mut document = settled(4, 3, 1, 3);
    document.members.iter_mut().for_each(|it| it.standing = Standing::Lost);
    let after = rebalanced(&document);
    assert!(owners(&after).concat().iter().all(Option::is_none));
    assert!(!is_stable(&after));
    let empty = with_members(&document, Vec::new());
    assert!(owners(&rebalanced(&empty)).concat().iter().all(Option::is_none));
}

#[test]
fn one_copy_more_fills_the_last_slot_and_one_less_ends_it() {
    for (nodes, racks) in [(10, 1), (10, 10), (12, 2), (12, 3)] {
        let start = settled(9, nodes, racks, 2);
        let mut more = start.clone();
        replicate(&mut more, &[3]);
        let mut three = rebalanced(&more);
        for (before, after) in owners(&more).iter().zip(owners(&three)) {
            assert!(before[..2] == after[..2] && before[2].is_none() && after[2].is_some());
        }
        finish_all(&mut three);
        replicate(&mut three, &[2]);
        let two = rebalanced(&three);
        assert_eq!(two.ring.stride(), 3, "slots end when they have");
        let kept = owners(&two).iter().map(|it| it[..2].to_vec()).collect::<Vec<_>>();
        assert_eq!(kept, owners(&start), "{nodes} nodes in {racks} racks");
        assert!(owners(&two).iter().all(|it| it[2].is_none()));
    }
}

/// What all namespaces keep in a data centre is as many copies as any keeps.
#[test]
fn the_namespace_with_the_most_copies_decides() {
    let mut document = document(5, equals(5, 5), &[("dc", 3)]);
    let two = vec![DataCentre { name: "dc".into(), copies: 2 }];
    document.namespaces.push(namespace(2, two.clone()));
    let copies = |document: &Document| owners(document)[0].iter().flatten().count();
    assert_eq!(copies(&rebalanced(&document)), 3);
    document.namespaces[0].replication = two;
    assert_eq!(copies(&rebalanced(&document)), 2);
    document.namespaces.clear();
    assert_eq!(copies(&rebalanced(&document)), 0);
}

#[test]
fn vnodes_that_settle_wait_and_count() {
    let start = settled(8, 8, 8, 3);
    let mut joining = rebalanced(&joined(&start, member(100, "dc", "rack99", 100)));
    let moving: Vec<_> = joining.ring.all().collect();
    let moving = moving.iter().filter(|&&it| joining.ring.phase(it) == Phase::Moving);
    let settling: Vec<_> = moving.copied().take(40).collect();
    settling.iter().for_each(|&it| settle(&mut joining, it));
    let mut before = joining.clone();
    before.members[8].standing = Standing::Lost;
    let after = rebalanced(&before);
    assert_eq!(load(&after, 100), 40, "those that settle still name it");
    for &vnode in &settling {
        assert!(after.ring.slots(vnode).eq(before.ring.slots(vnode)));
        assert_eq!(after.ring.epoch(vnode), before.ring.epoch(vnode));
    }
    let mut later = after.clone();
    finish_all(&mut later);
    let done = rebalanced(&later);
    assert_eq!((load(&done, 100), changes(&later, &done).len()), (0, 40));
}

#[test]
fn successors_that_are_catching_up_stay_while_others_join() {
    let first = rebalanced(&joined(&settled(9, 10, 5, 3), member(100, "dc", "rack01", 100)));
    let had = load(&first, 100);
    let second = joined(&first, member(101, "dc", "rack02", 100));
    let after = rebalanced(&second);
    assert!(changes(&second, &after).iter().all(|(_, to)| *to == Some(node(101))));
    assert!(had - load(&after, 100) <= had / 10 + 1, "it gives no more than its part");
}

/// The reader of one slot is hardly ever named for another one of its vnode: only where nobody else
/// is short of copies.
#[test]
fn a_reader_that_is_replaced_is_rarely_put_into_another_slot() {
    for racks in [1, 4, 12] {
        let joining = joined(&settled(10, 24, racks, 3), member(100, "dc", "rack00", 900));
        let mut moving = rebalanced(&joining);
        moving.members[3].standing = Standing::Lost;
        let after = rebalanced(&moving);
        let mut exchanged = 0;
        for vnode in after.ring.all() {
            let readers = || after.ring.slots(vnode).map(|slot| slot.reader);
            let pairs = after.ring.slots(vnode).zip(moving.ring.slots(vnode));
            for (slot, before) in pairs.filter(|(slot, before)| slot != before) {
                let gets_back = slot.successor == before.reader;
                exchanged += u32::from(!gets_back && readers().any(|it| it == slot.successor));
            }
        }
        let changed = changes(&moving, &after).len() as u32;
        assert!(exchanged * 100 <= changed, "{exchanged} of {changed} in {racks} racks");
    }
}

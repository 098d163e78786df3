//! What each change does, what is refused, and what no history of changes does.

use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::limits::{COPIES_MAX, WEIGHT_MAX};
use crate::topology::sample::{
    address, change, cluster, done, first, member, node, replication, settings, settled, vnodes_in,
};
use crate::topology::{MemberIndex, Phase, Slot, Standing};

fn refused(document: &Document, change: &Change) -> ChangeRefused {
    apply(document, change).expect_err("it is refused")
}

fn join(number: u64, dc: &str) -> Change {
    Change::Join(member(number, dc, "r1"))
}

fn lost(number: u64) -> Change {
    Change::Lost { node: node(number), with_last_copies: false }
}

fn ids(document: &Document, slots: impl Iterator<Item = Option<MemberIndex>>) -> Vec<u64> {
    slots.map(|it| it.map_or(0, |it| document.member(it).id.0.get())).collect()
}

/// Who reads each vnode, by id, 0 for nobody.
fn readers(document: &Document) -> Vec<Vec<u64>> {
    let of = |vnode| ids(document, document.ring.slots(vnode).map(|it| it.reader));
    document.ring.all().map(of).collect()
}

fn successors(document: &Document) -> Vec<Vec<u64>> {
    let of = |vnode| ids(document, document.ring.slots(vnode).map(|it| it.successor));
    document.ring.all().map(of).collect()
}

fn owned_by(document: &Document, number: u64) -> usize {
    successors(document).iter().flatten().filter(|it| **it == number).count()
}

#[test]
fn a_node_that_joins_takes_over_in_three_steps() {
    let three = cluster(3);
    let joined = done(&three, &join(4, "a"));
    assert_eq!(joined.epoch, Epoch(three.epoch.0 + 1));
    assert_eq!(readers(&joined), readers(&three), "readers are as they were");
    assert_eq!(owned_by(&joined, 4), 5, "a third of the 16 slots of its rack");
    let moving = vnodes_in(&joined, Phase::Moving);
    assert!(!moving.is_empty() && moving.iter().all(|it| it.1 == joined.epoch));

    let (first, rest) = moving.split_at(2);
    let settling = done(&joined, &Change::Settle(first.to_vec()));
    assert_eq!(readers(&settling), readers(&three));
    let now: Vec<_> = first.iter().map(|it| (it.0, settling.epoch)).collect();
    assert_eq!(vnodes_in(&settling, Phase::Settling), now);
    assert_eq!(vnodes_in(&settling, Phase::Moving), rest, "others are as they were");

    let finished = done(&settling, &Change::Finish(now.clone()));
    for (vnode, _) in now {
        let at = usize::from(vnode.0);
        assert_eq!(readers(&finished)[at], successors(&settling)[at]);
        assert_eq!(finished.ring.phase(vnode), Phase::Stable);
        assert_eq!(finished.ring.epoch(vnode), finished.epoch);
    }
}

#[test]
fn a_step_of_another_epoch_is_not_taken() {
    let joined = done(&cluster(3), &join(4, "a"));
    let moving = vnodes_in(&joined, Phase::Moving);
    let stale: Vec<_> = moving.iter().map(|it| (it.0, Epoch(it.1.0 - 1))).collect();
    assert_eq!(refused(&joined, &Change::Settle(stale.clone())), ChangeRefused::NothingChanges);
    assert_eq!(refused(&joined, &Change::Finish(moving.clone())), ChangeRefused::NothingChanges);
    let mixed = [&stale[1..], &moving[..1]].concat();
    let settling = done(&joined, &Change::Settle(mixed));
    assert_eq!(vnodes_in(&settling, Phase::Settling), [(moving[0].0, settling.epoch)]);
    let outside = vec![(Vnode(8), joined.epoch)];
    assert_eq!(refused(&joined, &Change::Settle(outside)), ChangeRefused::NoSuchVnode);
    let long = vec![moving[0]; 9];
    assert_eq!(refused(&joined, &Change::Finish(long)), ChangeRefused::NoSuchVnode);
}

#[test]
fn a_member_that_leaves_is_gone_when_it_owns_nothing() {
    let leaving = done(&cluster(4), &Change::Leave(node(2)));
    assert_eq!(leaving.members[1].standing, Standing::Leaving);
    assert_eq!(owned_by(&leaving, 2), 0);
    assert!(!leaving.voters.contains(&node(2)));
    assert_eq!(refused(&leaving, &Change::Leave(node(2))), ChangeRefused::NothingChanges);
    assert_eq!(refused(&leaving, &join(2, "a")), ChangeRefused::AlreadyMember(node(2)));
    let gone = settled(leaving);
    assert_eq!(gone.index_of(node(2)), None);
    assert_eq!(refused(&gone, &Change::Leave(node(2))), ChangeRefused::UnknownMember(node(2)));
    let owners: Vec<_> = readers(&gone).concat();
    assert!(owners.iter().all(|it| [1, 3, 4].contains(it)));
}

#[test]
fn a_data_centre_keeps_a_node_for_each_copy() {
    let three = cluster(3);
    let too_few = ChangeRefused::TooFewNodes { dc: "a".into(), nodes: 2, copies: 3 };
    let to_none = Change::Weight { node: node(1), weight: 0 };
    let swap = |weight| {
        let new = Member { weight, ..member(9, "a", "r1") };
        Change::Replace { old: node(1), new, is_lost: false }
    };
    for change in [Change::Leave(node(1)), to_none, swap(0)] {
        assert_eq!(refused(&three, &change), too_few);
    }
    done(&three, &swap(100));
    // A node that is lost is lost, whatever is left.
    let lost = done(&three, &lost(1));
    assert!(successors(&lost).iter().all(|it| it.contains(&0)));
    let gone = settled(lost);
    assert_eq!(gone.members.len(), 2);
    assert!(readers(&gone).iter().all(|it| it.iter().filter(|it| **it == 0).count() == 1));
}

#[test]
fn the_last_copy_is_given_up_only_in_so_many_words() {
    let lone = done(
        &cluster(3),
        &Change::CreateNamespace {
            name: "lone".into(),
            policy: Policy::LastWriterWins,
            settings: settings(&[("a", 1)]),
        },
    );
    let refusal = refused(&lone, &lost(1));
    assert!(matches!(refusal, ChangeRefused::LastCopy { node: it, .. } if it == node(1)));
    let new = member(9, "a", "r1");
    let replace = Change::Replace { old: node(1), new, is_lost: true };
    assert!(matches!(refused(&lone, &replace), ChangeRefused::LastCopy { .. }));
    done(&lone, &Change::Lost { node: node(1), with_last_copies: true });

    // With three copies the third loss is the last.
    let two_lost = done(&done(&cluster(4), &lost(1)), &lost(2));
    let third = [3, 4].map(|it| apply(&two_lost, &lost(it)));
    assert!(third.iter().any(|it| matches!(it, Err(ChangeRefused::LastCopy { .. }))), "{third:?}");
}

/// A copy counts where it is read, and where a vnode has settled.
#[test]
fn copies_count_where_they_are() {
    let with = |copies| Change::CreateNamespace {
        name: "b".into(),
        policy: Policy::LastWriterWins,
        settings: settings(&[("a", copies)]),
    };
    let alter = |copies| Change::AlterNamespace {
        id: NamespaceId(2),
        settings: settings(&[("a", copies)]),
    };
    let reader = |document: &Document| readers(document)[0][0];
    let grows = done(&done(&cluster(3), &with(1)), &alter(2));
    assert!(matches!(apply(&grows, &lost(reader(&grows))), Err(ChangeRefused::LastCopy { .. })));
    let shrinks = done(&done(&cluster(3), &with(2)), &alter(1));
    done(&shrinks, &lost(reader(&shrinks)));

    let one_copy = done(&done(&cluster(3), &with(1)), &Change::DropNamespace(NamespaceId(1)));
    let owner = reader(&one_copy);
    let new = member(9, "a", "r1");
    let moving = done(&one_copy, &Change::Replace { old: node(owner), new, is_lost: false });
    assert!(matches!(apply(&moving, &lost(owner)), Err(ChangeRefused::LastCopy { .. })));
    let settling = done(&moving, &Change::Settle(vnodes_in(&moving, Phase::Moving)));
    done(&settling, &lost(owner));
}

#[test]
fn somebody_stays() {
    let deserted = ChangeRefused::Document(DocumentError::Deserted);
    let one = first();
    let lost = Change::Lost { node: node(1), with_last_copies: true };
    assert_eq!(refused(&one, &lost), deserted);
    let empty = done(&one, &Change::DropNamespace(NamespaceId::DEFAULT));
    assert_eq!(refused(&empty, &Change::Leave(node(1))), deserted);
}

#[test]
fn a_replacement_takes_exactly_the_places_of_the_old_node() {
    let before = cluster(5);
    for is_lost in [false, true] {
        let new = member(9, "a", "r3");
        let replaced = done(&before, &Change::Replace { old: node(2), new, is_lost });
        let expected: Vec<Vec<u64>> = readers(&before)
            .into_iter()
            .map(|it| it.into_iter().map(|it| if it == 2 { 9 } else { it }).collect())
            .collect();
        assert_eq!(successors(&replaced), expected);
        assert_eq!(readers(&settled(replaced)), expected);
    }
    // What others were about to take over from it, the replacement takes over.
    let leaving = done(&before, &Change::Leave(node(2)));
    let new = Change::Replace { old: node(2), new: member(9, "a", "r3"), is_lost: true };
    let taken_over = successors(&done(&leaving, &new)).concat();
    assert_eq!(taken_over.iter().filter(|it| **it == 9).count(), owned_by(&before, 2));

    let other = Change::Replace { old: node(2), new: member(9, "b", "r3"), is_lost: true };
    let refusal = ChangeRefused::OtherDataCentre { old: "a".into(), new: "b".into() };
    assert_eq!(refused(&before, &other), refusal);
    let known = Change::Replace { old: node(2), new: member(3, "a", "r3"), is_lost: true };
    assert_eq!(refused(&before, &known), ChangeRefused::AlreadyMember(node(3)));
    let unknown = Change::Replace { old: node(8), new: member(9, "a", "r3"), is_lost: true };
    assert_eq!(refused(&before, &unknown), ChangeRefused::UnknownMember(node(8)));
}

#[test]
fn what_is_said_of_members_is_checked() {
    let three = cluster(3);
    for change in [
        Change::Join(Member { weight: WEIGHT_MAX + 1, ..member(9, "a", "r") }),
        Change::Join(member(9, "", "r")),
        Change::Join(Member { address: address(1), ..member(9, "a", "r") }),
        Change::Address { node: node(1), address: address(2) },
        Change::Weight { node: node(1), weight: WEIGHT_MAX + 1 },
    ] {
        assert!(matches!(refused(&three, &change), ChangeRefused::Document(_)), "{change:?}");
    }
    // A machine whose disk was lost comes back with its address and another identity.
    let gone = done(&three, &lost(1));
    done(&gone, &Change::Join(Member { address: address(1), ..member(9, "a", "r") }));
    let moved = done(&three, &Change::Address { node: node(1), address: address(77) });
    assert_eq!(moved.members[0].address, address(77));
    let unknown = Change::ReplaceVoters { absent: vec![node(9)], back: vec![] };
    assert_eq!(refused(&three, &unknown), ChangeRefused::UnknownMember(node(9)));
}

#[test]
fn voters_that_are_down_are_replaced_and_come_back() {
    let ten = cluster(10);
    let down = ten.voters[2];
    let absent = Change::ReplaceVoters { absent: vec![down], back: vec![] };
    let replaced = done(&ten, &absent);
    assert!(!replaced.voters.contains(&down) && replaced.voters.len() == 7);
    let kept = replaced.voters.iter().filter(|it| ten.voters.contains(it)).count();
    assert_eq!(kept, 6);
    assert_eq!(refused(&replaced, &absent), ChangeRefused::NothingChanges);
    let later = done(&replaced, &join(11, "a"));
    assert!(!later.voters.contains(&down), "it stays out");
    done(&later, &Change::ReplaceVoters { absent: vec![], back: vec![down] });
}

#[test]
fn a_namespace_gets_slots_of_its_own_number() {
    let three = cluster(3);
    let create = |name: &str, dcs: &[(&str, u8)]| Change::CreateNamespace {
        name: name.into(),
        policy: Policy::Siblings,
        settings: settings(dcs),
    };
    let small = done(&three, &create("small", &[("a", 1)]));
    assert_eq!(small.namespaces[1].id, NamespaceId(2));
    assert_eq!(small.ring, three.ring, "the slots that it has are there");
    let wide = done(&small, &create("wide", &[("a", 4)]));
    assert_eq!(wide.ring.stride(), 4);
    let dropped = done(&wide, &Change::DropNamespace(NamespaceId(3)));
    assert_eq!(dropped.ring.layout(), three.ring.layout());
    assert_eq!(readers(&dropped), readers(&three));
    let again = done(&dropped, &create("wide", &[("a", 2)]));
    assert_eq!(again.namespaces[2].id, NamespaceId(4), "numbers are not given twice");

    let copies = COPIES_MAX as u8 + 1;
    for change in [
        create("default", &[("a", 1)]),
        create("", &[("a", 1)]),
        create("none", &[]),
        create("none", &[("a", 0)]),
        create("many", &[("a", copies)]),
    ] {
        assert!(matches!(refused(&three, &change), ChangeRefused::Document(_)), "{change:?}");
    }
    let nowhere = refused(&three, &create("elsewhere", &[("b", 1)]));
    assert_eq!(nowhere, ChangeRefused::UnknownDataCentre("b".into()));
    let unknown = ChangeRefused::UnknownNamespace(NamespaceId(2));
    assert_eq!(refused(&three, &Change::DropNamespace(NamespaceId(2))), unknown);
    let alter = Change::AlterNamespace { id: NamespaceId(2), settings: settings(&[("a", 1)]) };
    assert_eq!(refused(&three, &alter), unknown);
}

/// The first two copies of "b" have a namespace; the third slot is another's, and its reader has
/// nothing of "b": it must not be read before it has caught up.
#[test]
fn copies_of_a_namespace_change_as_vnodes_move() {
    let three = cluster(3);
    let create = Change::CreateNamespace {
        name: "b".into(),
        policy: Policy::LastWriterWins,
        settings: settings(&[("a", 2)]),
    };
    let id = NamespaceId(2);
    let alter = |copies| Change::AlterNamespace { id, settings: settings(&[("a", copies)]) };
    let altering = done(&done(&three, &create), &alter(3));
    let (two, three_copies) = (replication(&[("a", 2)]), replication(&[("a", 3)]));
    let of = |document: &Document, vnode| {
        let (old, new) = document.replication(document.namespace(id).expect("it"), vnode);
        (old.to_vec(), new.to_vec())
    };
    let moving = vnodes_in(&altering, Phase::Moving);
    assert_eq!(moving.len(), 8, "every vnode has something to catch up with");
    assert_eq!(readers(&altering), readers(&three));
    assert_eq!(of(&altering, Vnode(0)), (two.clone(), three_copies.clone()));
    assert_eq!(refused(&altering, &alter(2)), ChangeRefused::Altering(id));

    let settling = done(&altering, &Change::Settle(moving[..4].to_vec()));
    assert_eq!(of(&settling, Vnode(0)), (two.clone(), three_copies.clone()));
    let finished = done(&settling, &Change::Finish(vnodes_in(&settling, Phase::Settling)));
    assert_eq!(of(&finished, Vnode(0)), (three_copies.clone(), three_copies.clone()));
    assert_eq!(of(&finished, Vnode(7)), (two, three_copies.clone()));
    // A vnode that has its new copies and moves for another reason keeps them.
    let more = done(&finished, &join(4, "a"));
    let moved = Vnode(vnodes_in(&more, Phase::Moving)[0].0.0);
    assert!(moved.0 < 4 && !more.ring.is_altering(moved));
    assert_eq!(of(&more, moved), (three_copies.clone(), three_copies));

    let altered = settled(more);
    assert_eq!(altered.namespace(id).expect("it").former, None);
    let back = settled(done(&altered, &alter(1)));
    assert_eq!(back.namespace(id).expect("it").replication, replication(&[("a", 1)]));
    let dropped = done(&done(&altered, &alter(1)), &Change::DropNamespace(id));
    assert_eq!(vnodes_in(&dropped, Phase::Stable).len(), 8, "nothing is left to alter");
}

#[test]
fn copies_are_not_altered_while_a_vnode_settles() {
    let joined = done(&cluster(3), &join(4, "a"));
    let moving = vnodes_in(&joined, Phase::Moving);
    let settling = done(&joined, &Change::Settle(moving[..1].to_vec()));
    let alter = |copies, is_strict| Change::AlterNamespace {
        id: NamespaceId::DEFAULT,
        settings: Settings { is_strict, ..settings(&[("a", copies)]) },
    };
    assert_eq!(refused(&settling, &alter(2, true)), ChangeRefused::Settling(moving[0].0));
    assert!(done(&settling, &alter(3, true)).namespaces[0].is_strict, "the rest is");
}

#[test]
fn a_pause_holds_what_moves_and_what_would() {
    let joined = done(&cluster(3), &join(4, "a"));
    let paused = done(&joined, &Change::Pause);
    assert_eq!(paused.ring, joined.ring);
    let moving = vnodes_in(&paused, Phase::Moving);
    assert_eq!(refused(&paused, &Change::Settle(moving)), ChangeRefused::Paused);
    let more = done(&done(&paused, &join(5, "a")), &Change::Leave(node(1)));
    assert_eq!((owned_by(&more, 5), owned_by(&more, 1)), (0, owned_by(&joined, 1)));
    let resumed = done(&more, &Change::Resume);
    assert!(owned_by(&resumed, 5) > 0 && owned_by(&resumed, 1) == 0);

    let settling = done(&joined, &Change::Settle(vnodes_in(&joined, Phase::Moving)));
    let paused = done(&settling, &Change::Pause);
    let finished = done(&paused, &Change::Finish(vnodes_in(&paused, Phase::Settling)));
    assert_eq!(readers(&finished), successors(&settling), "what settles is finished");
}

#[test]
fn an_abort_takes_back_what_has_not_settled() {
    let four = cluster(4);
    let joined = done(&done(&four, &join(5, "a")), &Change::Leave(node(1)));
    let settling = done(&joined, &Change::Settle(vnodes_in(&joined, Phase::Moving)[..1].to_vec()));
    let aborted = done(&settling, &Change::Abort);
    let kept = vnodes_in(&aborted, Phase::Settling);
    assert_eq!(kept, vnodes_in(&settling, Phase::Settling));
    assert_eq!(vnodes_in(&aborted, Phase::Stable).len(), 7);
    assert!(aborted.is_paused && aborted.members.iter().all(|it| it.standing.stays()));
    assert_eq!(readers(&aborted), readers(&four));

    let lost = done(&four, &lost(1));
    let aborted = done(&lost, &Change::Abort);
    assert_eq!(owned_by(&aborted, 1), 0, "nothing goes back to a node that is lost");
    assert_eq!(successors(&aborted), successors(&lost));
}

/// A lost reader's slot had gone to a node whose own slot is now taken back.
#[test]
fn an_abort_gives_nobody_two_slots() {
    let mut four = done(&cluster(4), &lost(1));
    let at = |number| four.index_of(node(number));
    let (one, two, three, four_th) = (at(1), at(2), at(3), at(4));
    let slot = |reader, successor| Slot { reader, successor };
    let slots = [slot(one, two), slot(two, four_th), slot(three, three)];
    four.ring.set(Vnode(0), &slots, Phase::Moving, four.epoch);
    let aborted = done(&four, &Change::Abort);
    let taken_back = [slot(one, None), slot(two, two), slot(three, three)];
    assert!(aborted.ring.slots(Vnode(0)).eq(taken_back));
}

#[test]
fn epochs_and_numbers_of_namespaces_end() {
    let mut last = first();
    last.last_namespace = NamespaceId(u32::MAX);
    let create = Change::CreateNamespace {
        name: "one".into(),
        policy: Policy::Siblings,
        settings: settings(&[("a", 1)]),
    };
    assert_eq!(refused(&last, &create), ChangeRefused::NoNamespaceId);
    last.epoch = Epoch(u32::MAX);
    assert_eq!(refused(&last, &Change::Pause), ChangeRefused::NoEpoch);
}

/// What a vnode may become within one epoch, so that two neighbouring epochs have quorums in
/// common.
fn check_step(before: &Document, after: &Document, vnode: Vnode) {
    let of = |document: &Document, side: fn(Slot) -> Option<MemberIndex>| {
        let mut ids = ids(document, document.ring.slots(vnode).map(side));
        ids.retain(|it| *it != 0);
        ids
    };
    let (old, new) = (before.ring.state(vnode), after.ring.state(vnode));
    let (read, reads) = (of(before, |it| it.reader), of(after, |it| it.reader));
    let (aimed, aims) = (of(before, |it| it.successor), of(after, |it| it.successor));
    let same = |a: &[u64], b: &[u64]| a.iter().all(|it| b.contains(it));
    // With a namespace the last slots may go.
    let fewer_slots = after.ring.stride() < before.ring.stride();
    match (old.phase, new.phase) {
        (Phase::Settling, Phase::Settling) => {
            assert!(same(&reads, &read) && same(&aims, &aimed));
            assert!(fewer_slots || (read, aimed) == (reads, aims));
        }
        (Phase::Moving, Phase::Settling) => assert_eq!((read, aimed), (reads, aims)),
        (Phase::Settling, _) => {
            assert!(same(&reads, &aimed) && (fewer_slots || reads == aimed));
            assert!(!new.is_altering);
        }
        (Phase::Stable, Phase::Settling) => panic!("nobody has caught up"),
        (Phase::Stable | Phase::Moving, Phase::Stable | Phase::Moving) => {
            assert!(same(&reads, &read) && (fewer_slots || reads == read));
            assert!(
                old.is_altering <= new.is_altering
                    || after.namespaces.len() < before.namespaces.len()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_history_of_changes_is_sound(seed in any::<u64>()) {
        let mut rng = Rng::with_seed(seed);
        let mut document = first();
        for _ in 0..80 {
            let change = change(&document, &mut rng);
            let Ok(next) = apply(&document, &change) else { continue };
            prop_assert_eq!(next.check(), Ok(()), "{:?}", change);
            prop_assert_eq!(next.check_after(&document), Ok(()));
            prop_assert_eq!(&apply(&document, &change), &Ok(next.clone()));
            for vnode in next.ring.all() {
                check_step(&document, &next, vnode);
                let is_same = next.ring.epoch(vnode) < next.epoch;
                if is_same && next.ring.layout() == document.ring.layout() {
                    let at = usize::from(vnode.0);
                    prop_assert_eq!(&readers(&next)[at], &readers(&document)[at]);
                    prop_assert_eq!(&successors(&next)[at], &successors(&document)[at]);
                    prop_assert_eq!(next.ring.phase(vnode), document.ring.phase(vnode));
                }
            }
            document = next;
        }
        let calm = apply(&document, &Change::Resume).unwrap_or(document);
        let calm = settled(calm);
        let named = calm.members.iter().all(|it| it.standing != Standing::Lost);
        prop_assert!(named, "members that are lost are gone when all moves are done");
    }
}

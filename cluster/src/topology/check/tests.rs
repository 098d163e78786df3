//! Documents with one thing wrong each.

use schemas::ids::VnodeBits;

use super::*;
use crate::topology::ring::{Slot, State};
use crate::topology::sample::{address, cluster, first, member, node, replication};
use crate::topology::{Phase, Ring, Standing};

/// What is said of a cluster of four nodes after `damage`.
fn checked(damage: impl FnOnce(&mut Document)) -> Option<DocumentError> {
    let mut document = cluster(4);
    document.check().expect("it is sound before");
    damage(&mut document);
    document.check().err()
}

fn stays(member: u16) -> Slot {
    Slot { reader: Some(MemberIndex(member)), successor: Some(MemberIndex(member)) }
}

fn put(document: &mut Document, slots: &[Slot], phase: Phase) {
    let state = State { phase, ..document.ring.state(Vnode(3)) };
    document.ring.restore(Vnode(3), slots, state);
}

#[test]
fn lists_are_in_order_and_within_bounds() {
    type Damage = fn(&mut Document);
    let cases: &[(Damage, &str)] = &[
        (|it| it.epoch = Epoch(0), "an epoch"),
        (|it| it.members.swap(0, 1), "members do not ascend"),
        (|it| it.members[1] = it.members[0].clone(), "members do not ascend"),
        (|it| it.members.clear(), "0 members"),
        (|it| it.voters.clear(), "0 voters"),
        (|it| it.voters.swap(0, 1), "voters do not ascend"),
        (|it| it.voters[2] = node(99), "is no member"),
        (|it| it.members[0].weight = WEIGHT_MAX + 1, "weight"),
        (|it| it.members[0].dc = "".into(), "a data centre has a name"),
        (|it| it.members[0].rack = "x".repeat(65).into(), "a rack has a name"),
        (|it| it.members[0].rack = "a\n".into(), "a rack has a name"),
        (|it| it.members[1].address = it.members[0].address, "another node's"),
        (|it| it.members[1].address.set_port(0), "address"),
        (|it| it.members[1].address = ([0, 0, 0, 0], 7).into(), "address"),
        (|it| it.members[1].address = "[fe80::1%3]:7".parse().expect("one"), "address"),
        (|it| it.members.iter_mut().for_each(|it| it.standing = Standing::Lost), "stays"),
        (|it| it.namespaces[0].id = NamespaceId(0), "not given"),
        (|it| it.last_namespace = NamespaceId(0), "not given"),
        (|it| it.namespaces[0].name = "".into(), "a namespace has a name"),
        (|it| it.namespaces[0].ttl_ms = TTL_MS_MAX + 1, "time to live"),
        (|it| it.namespaces[0].replication.clear(), "0 data centres of a namespace"),
        (|it| it.namespaces[0].replication[0].copies = 0, "0 copies"),
        (|it| it.namespaces[0].replication = replication(&[("a", 30), ("b", 3)]), "33 copies"),
        (|it| it.namespaces[0].replication = replication(&[("b", 3), ("a", 3)]), "ascend"),
        (|it| it.namespaces[0].former = Some(replication(&[("a", 3)])), "altered"),
        (|it| it.namespaces[0].former = Some(replication(&[("a", 2)])), "altered"),
        (|it| it.namespaces.push(it.namespaces[0].clone()), "namespaces do not ascend"),
    ];
    for (damage, says) in cases {
        let error = checked(damage).map(|it| it.to_string());
        assert!(error.as_ref().is_some_and(|it| it.contains(says)), "{error:?}, not {says}");
    }
}

#[test]
fn bounds_are_what_they_say() {
    let many = |count: usize| (1..=count as u64).map(|it| member(it, "a", "r")).collect::<Vec<_>>();
    let unplaced = |it: &mut Document| it.members.iter_mut().for_each(|it| it.address = address(1));
    assert_eq!(
        checked(|it| {
            it.members = many(MEMBERS_MAX + 1);
            unplaced(it);
        }),
        Some(DocumentError::Count {
            what: "members",
            got: MEMBERS_MAX + 1,
            min: 1,
            max: MEMBERS_MAX
        })
    );
    let error = checked(|it| {
        it.members = many(9);
        it.voters = it.members[..8].iter().map(|it| it.id).collect();
    });
    assert_eq!(
        error,
        Some(DocumentError::Count { what: "voters", got: 8, min: 1, max: VOTERS_MAX })
    );
    let error = checked(|it| {
        let one = it.namespaces[0].clone();
        let named = |id: u32| Namespace { id: NamespaceId(id), ..one.clone() };
        it.namespaces = (1..=NAMESPACES_MAX as u32 + 1).map(named).collect();
    });
    assert!(matches!(error, Some(DocumentError::Count { what: "namespaces", .. })));
    let error = checked(|it| {
        let two = Namespace { id: NamespaceId(2), ..it.namespaces[0].clone() };
        it.namespaces.push(two);
        it.last_namespace = NamespaceId(2);
    });
    assert_eq!(error, Some(DocumentError::NameTwice("default".into())));
}

#[test]
fn a_ring_has_the_shape_of_its_document() {
    assert_eq!(checked(|it| it.bits = VnodeBits::DEFAULT), Some(DocumentError::Shape));
    let two = |it: &mut Document| it.namespaces[0].replication = replication(&[("a", 2)]);
    assert_eq!(checked(two), Some(DocumentError::Shape));
    let empty = |it: &mut Document| it.ring = Ring::new(8, it.layout(), Epoch(1));
    assert_eq!(checked(empty), None, "vnodes may be without owners");
}

#[test]
fn slots_name_members_of_their_data_centre_once() {
    let [a, b, c] = [stays(0), stays(1), stays(2)];
    let nobody = Slot { reader: None, successor: None };
    let twice = Slot { reader: None, successor: Some(MemberIndex(0)) };
    for (slots, is_sound) in [
        ([a, b, c], true),
        ([c, nobody, b], true),
        ([a, b, a], false),
        ([a, b, twice], false),
        ([a, b, stays(4)], false),
    ] {
        let moves = slots.iter().any(|slot| slot.is_moving());
        let phase = if moves { Phase::Moving } else { Phase::Stable };
        let error = checked(|it| put(it, &slots, phase));
        assert_eq!(error, (!is_sound).then_some(DocumentError::Slot(Vnode(3))), "{slots:?}");
    }
    let elsewhere = checked(|it| it.members[0].dc = "b".into());
    assert!(matches!(elsewhere, Some(DocumentError::Slot(_))), "{elsewhere:?}");
}

#[test]
fn phases_fit_slots_and_epochs_the_document() {
    let moving = Slot { reader: Some(MemberIndex(2)), successor: Some(MemberIndex(3)) };
    let (still, moving) = ([stays(0), stays(1), stays(2)], [stays(0), stays(1), moving]);
    for (slots, phase, is_sound) in [
        (still, Phase::Stable, true),
        (still, Phase::Moving, false),
        (still, Phase::Settling, false),
        (moving, Phase::Stable, false),
        (moving, Phase::Moving, true),
        (moving, Phase::Settling, true),
    ] {
        let error = checked(|it| put(it, &slots, phase));
        assert_eq!(error, (!is_sound).then_some(DocumentError::Phase(Vnode(3))), "{phase:?}");
    }
    for epoch in [Epoch(0), Epoch(1000)] {
        let error = checked(|it| {
            let (slots, state) =
                (it.ring.slots(Vnode(3)).collect::<Vec<_>>(), it.ring.state(Vnode(3)));
            it.ring.restore(Vnode(3), &slots, State { epoch, ..state });
        });
        assert_eq!(error, Some(DocumentError::VnodeEpoch(Vnode(3), epoch)));
    }
    let altering = checked(|it| {
        let slots: Vec<_> = it.ring.slots(Vnode(3)).collect();
        let state = it.ring.state(Vnode(3));
        let state = State { phase: Phase::Moving, is_altering: true, ..state };
        it.ring.restore(Vnode(3), &slots, state);
    });
    assert_eq!(altering, Some(DocumentError::Alteration));
}

#[test]
fn a_later_document_is_of_the_same_cluster() {
    let (earlier, later) = (first(), cluster(3));
    assert_eq!(later.check_after(&earlier), Ok(()));
    let stranger = Err(DocumentError::Stranger(later.epoch));
    assert_eq!(earlier.check_after(&later), stranger);
    assert_eq!(later.check_after(&later), stranger, "the same one is not later");
    type Damage = fn(&mut Document);
    let cases: &[Damage] = &[
        |it| it.cluster.0 += 1,
        |it| it.token_seed += 1,
        |it| it.bits = VnodeBits::DEFAULT,
        |it| it.last_namespace = NamespaceId(0),
        |it| it.namespaces[0].name = "other".into(),
        |it| it.namespaces[0].policy = crate::topology::Policy::Siblings,
    ];
    for damage in cases {
        let mut other = later.clone();
        damage(&mut other);
        assert!(other.check_after(&earlier).is_err());
    }
}

//! Levels over data centres, and the two configurations of a vnode that moves.

use super::*;
use crate::topology::{DataCentre, Epoch, Ring, Slot, fixture};

const VNODE: Vnode = Vnode(0);

fn dc(name: &str, copies: u8) -> DataCentre {
    DataCentre { name: name.into(), copies }
}

/// A document of one vnode: per data centre, who reads and who will; 0 is nobody.
fn ring(dcs: &[(&str, &[(u16, u16)])], phase: Phase) -> Document {
    let layout: Vec<DataCentre> =
        dcs.iter().map(|(name, slots)| dc(name, slots.len() as u8)).collect();
    let mut document = fixture::document(8, 1, 1);
    document.namespaces[0].replication = layout.clone();
    document.ring = Ring::new(1, layout, Epoch(1));
    let member = |number: u16| (number > 0).then_some(MemberIndex(number));
    let slots: Vec<Slot> = dcs
        .iter()
        .flat_map(|(_, slots)| slots.iter())
        .map(|&(reader, successor)| Slot { reader: member(reader), successor: member(successor) })
        .collect();
    document.ring.set(VNODE, &slots, phase, Epoch(2));
    document
}

fn is_met(document: &Document, level: &str, access: Access, answers: &[u16]) -> bool {
    let level = level.parse().expect("a level");
    let mut quorum = Quorum::new(document, VNODE, &document.namespaces[0], level, access, "a")
        .expect("it can be met");
    let ring = &document.ring;
    let members = answers.iter().map(|&member| MemberIndex(member));
    assert_eq!(quorum.could_be_met(ring, VNODE, members.clone()), {
        members.for_each(|member| quorum.count(ring, VNODE, member));
        quorum.is_met()
    });
    quorum.is_met()
}

const STABLE: &[(u16, u16)] = &[(1, 1), (2, 2), (3, 3)];
const STABLE_B: &[(u16, u16)] = &[(4, 4), (5, 5), (6, 6)];

#[test]
fn a_level_counts_in_the_data_centres_it_names() {
    let two = ring(&[("a", STABLE), ("b", STABLE_B)], Phase::Stable);
    for (level, met, not_met) in [
        ("ONE", &[6u16][..], &[][..]),
        ("TWO", &[1, 6], &[6]),
        ("THREE", &[1, 4, 6], &[1, 4]),
        ("5", &[1, 2, 4, 5, 6], &[1, 4, 5, 6]),
        ("QUORUM", &[1, 4, 5, 6], &[4, 5, 6]),
        ("DEFAULT", &[1, 2, 3, 4], &[1, 2, 3]),
        ("ALL", &[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5]),
        ("LOCAL_ONE", &[3], &[4, 5, 6]),
        ("LOCAL_QUORUM", &[1, 3], &[1, 4, 5, 6]),
        ("EACH_QUORUM", &[1, 2, 5, 6], &[1, 2, 3, 4]),
    ] {
        for access in [Access::Read, Access::Write] {
            assert!(is_met(&two, level, access, met), "{level}");
            assert!(!is_met(&two, level, access, not_met), "{level}");
        }
    }
}

#[test]
fn an_answer_counts_once_and_strangers_do_not() {
    let one = ring(&[("a", STABLE)], Phase::Stable);
    assert!(!is_met(&one, "QUORUM", Access::Write, &[2, 2, 2, 7, 8]));
    assert!(is_met(&one, "QUORUM", Access::Write, &[2, 7, 1]));
}

/// Two slots move; an acknowledgement must have a majority of both configurations, whatever it
/// has of their mixtures.
#[test]
fn a_write_of_a_moving_vnode_needs_both_configurations() {
    let slots: &[(u16, u16)] = &[(1, 4), (2, 5), (3, 3)];
    for phase in [Phase::Moving, Phase::Settling] {
        let ring = ring(&[("a", slots)], phase);
        for (answers, met) in [
            (&[1u16, 2, 3][..], false),
            (&[3, 4, 5], false),
            (&[1, 2, 4, 5], true),
            (&[1, 3, 5], true),
            (&[3, 4], false),
        ] {
            assert_eq!(is_met(&ring, "QUORUM", Access::Write, answers), met, "{answers:?}");
        }
    }
    let moving = ring(&[("a", slots)], Phase::Moving);
    assert!(is_met(&moving, "QUORUM", Access::Read, &[1, 2]));
    assert!(!is_met(&moving, "QUORUM", Access::Read, &[4, 5]));
    let settling = ring(&[("a", slots)], Phase::Settling);
    assert!(is_met(&settling, "QUORUM", Access::Read, &[4, 5]));
    assert!(!is_met(&settling, "QUORUM", Access::Read, &[1, 2]));
}

#[test]
fn slots_without_a_node_and_slots_of_other_namespaces_do_not_count() {
    let few = ring(&[("a", &[(1, 1), (2, 2), (0, 0)])], Phase::Stable);
    assert!(is_met(&few, "ALL", Access::Write, &[1, 2]));
    let three = ring(&[("a", STABLE)], Phase::Stable);
    let quorum = |replication: &[DataCentre], level: &str| {
        let level = level.parse().expect("a level");
        let mut namespace = three.namespaces[0].clone();
        namespace.replication = replication.to_vec();
        Quorum::new(&three, VNODE, &namespace, level, Access::Write, "a")
    };
    let mut first = quorum(&[dc("a", 1)], "ALL").expect("one copy");
    first.count(&three.ring, VNODE, MemberIndex(3));
    assert!(!first.is_met());
    first.count(&three.ring, VNODE, MemberIndex(1));
    assert!(first.is_met());
    let refused = quorum(&[dc("a", 2)], "THREE").expect_err("two copies");
    assert_eq!(refused, Unmeetable { needed: 3, copies: 2 });
    let elsewhere = quorum(&[dc("b", 2)], "LOCAL_QUORUM").expect_err("none here");
    assert_eq!(elsewhere, Unmeetable { needed: 1, copies: 0 });
}

#[test]
fn progress_is_of_what_lacks_most() {
    let ring = ring(&[("a", STABLE), ("b", STABLE_B)], Phase::Stable);
    let level = Consistency::EachQuorum;
    let mut quorum =
        Quorum::new(&ring, VNODE, &ring.namespaces[0], level, Access::Write, "a").expect("met");
    let ring = &ring.ring;
    assert_eq!(quorum.progress(), (0, 2));
    quorum.count(ring, VNODE, MemberIndex(1));
    quorum.count(ring, VNODE, MemberIndex(2));
    assert_eq!(quorum.progress(), (0, 2));
    quorum.count(ring, VNODE, MemberIndex(4));
    assert_eq!(quorum.progress(), (1, 2));
}

/// The argument of `DESIGN.md`, "Moving a vnode", on every pair of acknowledged writes and reads
/// of neighbouring epochs: one slot has both.
#[test]
fn what_a_write_reached_a_later_read_meets() {
    // Slots (reader, successor): two move, one stays.
    let slots: &[(u16, u16)] = &[(1, 4), (2, 5), (3, 3)];
    let old: &[(u16, u16)] = &[(1, 1), (2, 2), (3, 3)];
    let new: &[(u16, u16)] = &[(4, 4), (5, 5), (3, 3)];
    let epochs = [
        ring(&[("a", old)], Phase::Stable),
        ring(&[("a", slots)], Phase::Moving),
        ring(&[("a", slots)], Phase::Settling),
        ring(&[("a", new)], Phase::Stable),
    ];
    let sets = || 0u32..1 << 5;
    let members = |set: u32| (1..=5u16).filter(move |it| set >> (it - 1) & 1 == 1);
    let list = |set: u32| members(set).collect::<Vec<_>>();
    let mut pairs = 0;
    for (write_at, write_ring) in epochs.iter().enumerate() {
        for write in sets().filter(|&it| is_met(write_ring, "QUORUM", Access::Write, &list(it))) {
            for (read_at, read_ring) in epochs.iter().enumerate() {
                for read in
                    sets().filter(|&it| is_met(read_ring, "QUORUM", Access::Read, &list(it)))
                {
                    // Successors catch up with what their readers had before Moving.
                    let caught_up = write_at == 0 && read_at >= 2;
                    let has = |it: u16| {
                        let source = slots.iter().find(|slot| slot.1 == it).map(|slot| slot.0);
                        write >> (it - 1) & 1 == 1
                            || (caught_up && source.is_some_and(|it| write >> (it - 1) & 1 == 1))
                    };
                    // Replaced readers have acknowledged Settling before anybody is Stable again.
                    let refuses = |it: u16| read_at <= 1 && write_at == 3 && [1, 2].contains(&it);
                    if members(read).any(refuses) {
                        continue;
                    }
                    pairs += 1;
                    assert!(members(read).any(has), "{write_at} {write:b} {read_at} {read:b}");
                }
            }
        }
    }
    assert!(pairs > 1000, "{pairs}");
}

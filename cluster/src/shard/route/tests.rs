//! Each condition under which an operation goes straight at the engine.

use schemas::ids::{Actor, Vnode};

use super::*;
use crate::topology::fixture::{self, node};
use crate::topology::{DataCentre, Document, Epoch, MemberIndex, Ring, Slot};
use crate::tunables::Tunables;

const NAMESPACE: NamespaceId = NamespaceId::DEFAULT;

/// A core of node 1, which holds the only vnode, of these copies: node 1's data centre is "dc",
/// nodes 5 and above are in "far".
fn core(slots: &[(&str, &[u16])]) -> Core {
    let mut document = fixture::document(6, 1, 1);
    for member in document.members.iter_mut().filter(|it| it.id >= node(5)) {
        member.dc = "far".into();
    }
    let copies = |nodes: &[u16]| nodes.len() as u8;
    let dcs = slots
        .iter()
        .map(|(name, nodes)| DataCentre { name: (*name).into(), copies: copies(nodes) });
    let layout: Vec<DataCentre> = dcs.collect();
    document.namespaces[0].replication = layout.clone();
    document.ring = Ring::new(1, layout, Epoch(1));
    let member = |number: &u16| Some(MemberIndex(number - 1));
    let slot = |number| Slot { reader: member(number), successor: member(number) };
    let slots: Vec<Slot> = slots.iter().flat_map(|it| it.1.iter()).map(slot).collect();
    document.ring.set(Vnode(0), &slots, Phase::Stable, Epoch(1));
    core_of(document)
}

fn core_of(document: Document) -> Core {
    let me = Actor { node: node(1), boot: 1 };
    let mut core =
        Core::new(me, Vnode(0)..=Vnode(u16::MAX), Arc::new(document), Tunables::default());
    core.held.insert(Vnode(0));
    core
}

fn with(core: Core, alter: impl FnOnce(&mut Document)) -> Core {
    let mut document = (*core.document).clone();
    alter(&mut document);
    core_of(document)
}

fn way(core: &Core, access: Access, level: &str) -> Route {
    let level = level.parse().expect("a level");
    route(core, Token(7), RouteOp { namespace: NAMESPACE, access, level })
}

fn is_local(core: &Core, access: Access, level: &str) -> bool {
    way(core, access, level) == Route::Local
}

#[test]
fn the_only_copy_is_read_and_written_at_the_engine_at_any_level_that_it_meets() {
    let one = core(&[("dc", &[1])]);
    for access in [Access::Read, Access::Write] {
        for level in ["ONE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM"] {
            assert!(is_local(&one, access, level), "{level}");
        }
        assert_eq!(way(&one, access, "TWO"), Route::Coordinate, "it is refused there");
    }
}

#[test]
fn what_others_have_copies_of_is_coordinated() {
    let three = core(&[("dc", &[1, 2, 3])]);
    for access in [Access::Read, Access::Write] {
        for level in ["ONE", "QUORUM", "LOCAL_ONE", "ALL"] {
            assert_eq!(way(&three, access, level), Route::Coordinate, "{level}");
        }
    }
    // The other data centre's copy has to have what is written, and need not be read.
    let two_dcs = core(&[("dc", &[1]), ("far", &[5])]);
    for (level, is_read_here) in
        [("ONE", true), ("LOCAL_ONE", true), ("LOCAL_QUORUM", true), ("QUORUM", false)]
    {
        assert_eq!(is_local(&two_dcs, Access::Read, level), is_read_here, "{level}");
        assert!(!is_local(&two_dcs, Access::Write, level), "{level}");
    }
    assert!(!is_local(&two_dcs, Access::Read, "EACH_QUORUM"));
}

#[test]
fn who_has_no_copy_names_those_who_have() {
    let others = core(&[("dc", &[3, 2]), ("far", &[5])]);
    let owners: Vec<_> = [2, 3, 5].map(node).into();
    for access in [Access::Read, Access::Write] {
        assert_eq!(way(&others, access, "ONE"), Route::Elsewhere(owners.clone().into()));
    }
    let mut others = others;
    others.peers.set_up(node(2), false);
    let owners: Vec<_> = [3, 2, 5].map(node).into();
    assert_eq!(way(&others, Access::Read, "ONE"), Route::Elsewhere(owners.into()));
}

#[test]
fn a_vnode_that_moves_is_not_held_or_is_being_forgotten_is_coordinated() {
    let moving = |phase| {
        with(core(&[("dc", &[1])]), |document| {
            let slot = Slot { reader: Some(MemberIndex(0)), successor: Some(MemberIndex(1)) };
            document.ring.set(Vnode(0), &[slot], phase, Epoch(2));
        })
    };
    let mut not_held = core(&[("dc", &[1])]);
    not_held.held.clear();
    let mut dropping = core(&[("dc", &[1])]);
    dropping.dropping.insert(Vnode(0));
    for access in [Access::Read, Access::Write] {
        assert_eq!(way(&moving(Phase::Moving), access, "ONE"), Route::Coordinate);
        assert_eq!(way(&not_held, access, "ONE"), Route::Coordinate);
        assert_eq!(way(&dropping, access, "ONE"), Route::Coordinate);
    }
    // While it settles the successor is read.
    let settling = way(&moving(Phase::Settling), Access::Read, "ONE");
    assert_eq!(settling, Route::Elsewhere([node(2)].into_iter().collect()));
}

#[test]
fn siblings_are_written_by_the_coordinator_alone() {
    let siblings = with(core(&[("dc", &[1])]), |document| {
        document.namespaces[0].policy = Policy::Siblings;
    });
    assert!(is_local(&siblings, Access::Read, "ONE"));
    assert_eq!(way(&siblings, Access::Write, "ONE"), Route::Coordinate);
}

#[test]
fn what_nobody_knows_is_refused_by_the_coordinator() {
    let one = core(&[("dc", &[1])]);
    let level = Consistency::ONE;
    let unknown = RouteOp { namespace: NamespaceId(9), access: Access::Read, level };
    assert_eq!(route(&one, Token(7), unknown), Route::Coordinate);
    let stranger = with(core(&[("dc", &[2])]), |document| {
        document.members.remove(0);
        let slot = Slot { reader: Some(MemberIndex(0)), successor: Some(MemberIndex(0)) };
        document.ring.set(Vnode(0), &[slot], Phase::Stable, Epoch(1));
    });
    assert_eq!(way(&stranger, Access::Read, "ONE"), Route::Coordinate);
}

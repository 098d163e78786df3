//! What placement decides, kept: another version that decides otherwise would have nodes of one
//! cluster disagree.

use schemas::ids::Token;

use super::support::{
    document, equals, finish, finish_all, joined, member, owners, replicate, settle,
};
use crate::placement::rebalance;
use crate::topology::{Document, Epoch, Standing};

/// One line a data centre's vnodes: who is to own each slot, as a letter, node 1 as `A`.
fn letters(document: &Document) -> String {
    let letter = |id: &Option<schemas::ids::NodeId>| {
        id.map_or('-', |id| (b'A' + id.0.get() as u8 - 1) as char)
    };
    let vnode = |slots: &Vec<_>| slots.iter().map(letter).collect::<String>();
    owners(document).iter().map(vnode).collect::<Vec<_>>().join(" ")
}

fn step(document: &mut Document) -> String {
    document.epoch.0 += 1;
    rebalance(document);
    letters(document)
}

#[test]
fn a_small_cluster_through_its_life() {
    let mut small = document(3, equals(4, 2), &[("dc", 3)]);
    assert_eq!(step(&mut small), "ABC BCD DAC DAB CDA ADB CBD BCA");
    finish_all(&mut small);
    small = joined(&small, member(5, "dc", "rack00", 100));
    assert_eq!(step(&mut small), "ABE ECD DAC DAB CEA ADB CBD BCE");
    small.members[1].standing = Standing::Lost;
    assert_eq!(step(&mut small), "ACE ECD DAC DAE CEA ADE CAD DCE");
    finish_all(&mut small);
    small.members[0].weight = 50;
    assert_eq!(step(&mut small), "ACE ECD DAC DCE CEA ADE CED DCE");
    replicate(&mut small, &[2]);
    assert_eq!(step(&mut small), "AE- EC- DA- DC- CE- AD- CE- DC-");
    small.members[2].standing = Standing::Leaving;
    small.members[3].standing = Standing::Leaving;
    assert_eq!(step(&mut small), "AE- EA- EA- EA- AE- AE- AE- EA-");
    small.members[4].standing = Standing::Leaving;
    assert_eq!(step(&mut small), "AC- EA- DA- DA- AE- AD- A-- DA-");
}

/// xxh3 of all successors, two bytes each, slot by slot.
fn hash(document: &Document) -> u64 {
    let ring = &document.ring;
    let slots = ring.all().flat_map(|vnode| ring.slots(vnode));
    let index = |slot: crate::topology::Slot| slot.successor.map_or(u16::MAX, |it| it.0);
    let bytes: Vec<u8> = slots.flat_map(|slot| index(slot).to_le_bytes()).collect();
    Token::of(&bytes, 0).0
}

#[test]
fn larger_clusters_have_their_hashes() {
    let weighted = |nodes: u64, racks: u64| {
        (1..=nodes).map(move |id| {
            let id_spread = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let dc = if id % 3 == 0 { "a" } else { "b" };
            member(id_spread, dc, &format!("rack{}", id % racks), 50 + id as u32 * 37 % 200)
        })
    };
    let mut hashes = Vec::new();
    for (bits, nodes, racks, copies) in
        [(8, 10, 1, [3, 3]), (10, 30, 4, [3, 2]), (12, 200, 7, [5, 1]), (14, 500, 40, [2, 6])]
    {
        let copies = [("a", copies[0]), ("b", copies[1])];
        let mut document = document(bits, weighted(nodes, racks).collect(), &copies);
        rebalance(&mut document);
        hashes.push(hash(&document));
        for vnode in document.ring.all() {
            match vnode.0 % 3 {
                0 => finish(&mut document, vnode),
                1 => settle(&mut document, vnode),
                _ => (),
            }
        }
        document = joined(&document, member(7, "a", "rack0", 120));
        document.members[3].standing = Standing::Lost;
        document.members[5].weight *= 2;
        document.epoch = Epoch(2);
        rebalance(&mut document);
        hashes.push(hash(&document));
    }
    let hashes: Vec<String> = hashes.iter().map(|hash| format!("{hash:016x}")).collect();
    assert_eq!(
        hashes,
        [
            "f6d85b4901927e0e",
            "35f028bb4ab74431",
            "ca75c51164ee9a54",
            "c5ea9ec6159ba1c7",
            "e7f6773db2fa0ac1",
            "3f29a5bd1ae258d2",
            "d7adb18b6a1cc4f4",
            "fb7069875263a308"
        ]
    );
}

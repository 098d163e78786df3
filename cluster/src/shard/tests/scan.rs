//! Pages of a vnode.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use schemas::consistency::Consistency;
use schemas::ids::{Hlc, NamespaceId, Token, Vnode};
use schemas::status::Status;

use super::network::{NAMESPACE, Network};
use crate::coordinator::{Page, Reply, Scan, Wanted};
use crate::event::{Event, RequestId};
use crate::limits::SCANS_MAX;
use crate::message::{Attempt, Message, OpId, Scanned};
use crate::record::{Key, Record};
use crate::topology::fixture;
use crate::topology::{Epoch, MemberIndex, Phase, Slot};
use crate::tunables::Tunables;

/// Three nodes that have copies of the only vnode, and a fourth that has none.
fn network() -> Network {
    let mut document = fixture::document(4, 3, 1);
    document.namespaces.push(crate::topology::Namespace {
        id: NamespaceId(2),
        name: "other".into(),
        ..document.namespaces[0].clone()
    });
    document.last_namespace = NamespaceId(2);
    Network::new(document, &Tunables::default())
}

fn scan() -> Scan {
    Scan {
        namespace: NAMESPACE,
        tokens: (Token(0), Token(u64::MAX)),
        after: None,
        level: Consistency::Quorum,
        count_max: 1000,
        bytes_max: 1 << 16,
        seen: Hlc(0),
        patience: Duration::from_secs(1),
    }
}

fn ask(network: &mut Network, number: usize, scan: Scan) -> RequestId {
    network.ask(number, |id| Event::Scan(id, Rc::new(scan)))
}

fn page(network: &mut Network, number: usize, scan: Scan) -> Page {
    let id = ask(network, number, scan);
    match network.replies.remove(&id) {
        Some(Reply::Page(page)) => page,
        reply => panic!("{reply:?}"),
    }
}

fn refused(network: &mut Network, scan: Scan) -> Status {
    let id = ask(network, 1, scan);
    match network.replies.get(&id) {
        Some(Reply::Refused(refused)) => refused.status,
        reply => panic!("{reply:?}"),
    }
}

/// All pages of a scan.
fn pages(network: &mut Network, number: usize, scan: &Scan) -> Vec<Page> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let next = page(network, number, Scan { after: after.clone(), ..scan.clone() });
        assert!(next.next.is_none() || next.next > after, "it goes on");
        after.clone_from(&next.next);
        all.push(next);
        if after.is_none() {
            return all;
        }
    }
}

fn records(pages: &[Page]) -> Vec<&Rc<Record>> {
    pages.iter().flat_map(|page| &page.records).collect()
}

/// A record that one node alone has.
fn give(network: &mut Network, number: usize, key: Key, counter: u64, value: &[u8]) {
    // Of one that is gone: nobody believes a dot of its own that it has not given.
    let actor = schemas::ids::Actor { node: fixture::node(9), boot: 1 };
    let dot = schemas::ids::Dot { actor, counter };
    let version = schemas::ids::Version { hlc: Hlc(counter), dot };
    let (kind, value) = match value {
        [] => (crate::record::Kind::Tombstone, [].into()),
        value => (crate::record::Kind::Value, value.into()),
    };
    let record = Record { key, version, kind, expires_at_ms: 0, value };
    network.node(number).put(Rc::new(record));
}

#[test]
fn pages_have_every_key_once_in_the_order_of_keys() {
    let mut network = network();
    for byte in 0..100u8 {
        network.put(1, &[byte], &[byte; 9], Consistency::Quorum);
    }
    network.write(1, &[7], Wanted::Delete { context: None }, Consistency::All);
    for (count_max, bytes_max) in [(1000, 1 << 16), (7, 1 << 16), (1000, 25), (1, 1)] {
        for number in [1, 4] {
            let pages = pages(&mut network, number, &Scan { count_max, bytes_max, ..scan() });
            assert!(pages.iter().all(|page| page.records.len() <= count_max));
            let records = records(&pages);
            assert!(records.is_sorted_by(|a, b| a.key < b.key));
            let mut bytes: Vec<u8> = records.iter().map(|it| it.key.bytes[0]).collect();
            bytes.sort_unstable();
            assert!(bytes.into_iter().eq(0..100));
            let dead = records.iter().filter(|it| it.is_dead(0));
            assert!(dead.map(|it| it.key.bytes[0]).eq([7]), "a tombstone is told, too");
        }
    }
}

/// Copies that have different keys, and pages of different lengths: as a read of each key would.
#[test]
fn any_page_is_a_read_of_each_key_that_it_covers() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let mut network = network();
        let mut newest: BTreeMap<Key, u64> = BTreeMap::new();
        for counter in 1..rng.u64(2..60) {
            let mut key = network.key(&[rng.u8(..20)]);
            key.namespace = NamespaceId(rng.u32(1..=2));
            let value: &[u8] = if rng.bool() { b"" } else { &[3; 40][..rng.usize(1..40)] };
            // A majority has it, which is enough for any majority to tell.
            let left_out = rng.usize(1..=3);
            (1..=3).filter(|it| *it != left_out).for_each(|number| {
                give(&mut network, number, key.clone(), counter, value);
            });
            if key.namespace == NAMESPACE {
                newest.insert(key, counter);
            }
        }
        let (count_max, bytes_max) = (rng.usize(1..9), rng.usize(1..120));
        let pages = pages(&mut network, rng.usize(1..=4), &Scan { count_max, bytes_max, ..scan() });
        let told = records(&pages).into_iter().map(|it| (it.key.clone(), it.version.hlc.0));
        assert!(told.eq(newest.clone()), "seed {seed}: {newest:?} {pages:?}");
        // What was told is on all that were asked: a majority at least.
        for (key, counter) in newest {
            let has = |number: &usize| {
                let record = network.nodes[*number].records.get(&key);
                record.is_some_and(|it| it.version.hlc.0 == counter)
            };
            assert!((0..3).filter(has).count() >= 2);
        }
    }
}

#[test]
fn a_page_may_be_empty_and_say_that_there_is_more() {
    let mut network = network();
    for byte in 0..30 {
        let key = Key { namespace: NamespaceId(2), ..network.key(&[byte]) };
        (1..=3).for_each(|number| give(&mut network, number, key.clone(), 1, &[1; 50]));
    }
    let pages = pages(&mut network, 1, &Scan { bytes_max: 100, ..scan() });
    assert!(pages.len() > 5 && records(&pages).is_empty());
    let names = |it: &Page| it.next.as_ref().is_none_or(|key| key.bytes.is_empty());
    assert!(pages.iter().all(names), "nothing is told of another namespace");
}

#[test]
fn what_differs_is_mended() {
    let mut network = network();
    let key = network.key(b"k");
    give(&mut network, 1, key.clone(), 5, b"old");
    (2..=3).for_each(|number| give(&mut network, number, key.clone(), 6, b""));
    let page = page(&mut network, 4, Scan { level: Consistency::All, ..scan() });
    assert_eq!(page.records[0].version.hlc, Hlc(6));
    let has = |number: usize| network.nodes[number - 1].records[&key].version.hlc.0;
    assert_eq!((has(1), has(2), has(3)), (6, 6, 6));
    assert_eq!(network.nodes[3].shard.counts().read_repairs, 1);
}

#[test]
fn a_copy_that_does_not_answer_is_waited_for_no_longer_than_others_take() {
    let mut network = network();
    network.put(1, b"k", b"1", Consistency::All);
    network.node(2).is_cut_off = true;
    let id = ask(&mut network, 1, scan());
    network.pass(Duration::from_millis(100));
    let Some(Reply::Page(page)) = network.replies.get(&id) else { panic!("no page") };
    assert_eq!(page.records.len(), 1);
    network.node(3).is_cut_off = true;
    let id = ask(&mut network, 1, scan());
    network.pass(Duration::from_secs(2));
    let Some(Reply::Refused(refused)) = network.replies.get(&id) else { panic!("a page") };
    assert_eq!((refused.status, refused.got, refused.needed), (Status::Unavailable, 1, 2));
    assert_eq!(network.nodes[0].shard.sizes().operations, 0);
}

#[test]
fn a_scan_that_makes_no_sense_or_is_one_too_many_is_refused() {
    let mut network = network();
    let elsewhere = Key { namespace: NamespaceId(2), ..network.key(b"k") };
    for (wanted, status) in [
        (Scan { tokens: (Token(2), Token(1)), ..scan() }, Status::MalformedBody),
        (Scan { after: Some(elsewhere), ..scan() }, Status::MalformedBody),
        (Scan { namespace: NamespaceId(9), ..scan() }, Status::UnknownNamespace),
        (Scan { patience: Duration::ZERO, ..scan() }, Status::DeadlineExceeded),
        (Scan { level: Consistency::count(4).expect("four"), ..scan() }, Status::Unavailable),
    ] {
        assert_eq!(refused(&mut network, wanted), status);
    }
    (2..=4).for_each(|number| network.node(number).is_cut_off = true);
    for _ in 0..SCANS_MAX {
        ask(&mut network, 1, scan());
    }
    assert_eq!(refused(&mut network, scan()), Status::Overloaded);
    network.pass(Duration::from_secs(2));
    ask(&mut network, 1, scan());
    assert_eq!(network.nodes[0].shard.sizes().operations, 1);
}

/// Pages that no copy can have sent in good faith count as refusals.
#[test]
fn a_page_that_is_not_what_was_asked_for_does_not_count() {
    let sound = || network().key(b"k");
    let bad = [
        Key { namespace: NamespaceId(2), ..sound() },
        Key { token: Token(0), ..sound() },
        Key { token: Token(u64::MAX), ..sound() },
    ];
    for key in bad {
        let mut network = network();
        (2..=3).for_each(|number| network.node(number).is_cut_off = true);
        let (first, last) = (Token(sound().token.0 - 9), Token(sound().token.0 + 9));
        ask(&mut network, 1, Scan { tokens: (first, last), ..scan() });
        give(&mut network, 2, key.clone(), 1, b"v");
        let records = vec![Rc::clone(&network.nodes[1].records[&key])];
        let result = Ok(Scanned { records, upto: None });
        let from = schemas::ids::Actor { node: fixture::node(2), boot: 1 };
        // Numbers of operations begin with the boot.
        let message =
            Message::Scanned { attempt: Attempt { op: OpId(1 << 40), epoch: Epoch(1) }, result };
        network.tell(1, Event::Received { from, vnode: Vnode(0), message });
        assert_eq!(network.nodes[0].shard.counts().malformed, 1, "{key:?}");
        assert!(network.replies.is_empty());
    }
}

#[test]
fn a_replica_tells_nothing_of_another_epoch_or_of_what_it_has_not() {
    let mut network = network();
    network.put(1, b"k", b"1", Consistency::All);
    let mut document = (*network.document).clone();
    let slot = |at| Slot { reader: Some(MemberIndex(at)), successor: Some(MemberIndex(at)) };
    let moving = Slot { reader: Some(MemberIndex(2)), successor: Some(MemberIndex(3)) };
    document.ring.set(Vnode(0), &[slot(0), slot(1), moving], Phase::Settling, Epoch(2));
    document.epoch = Epoch(2);
    // Nodes 2 and 3 have heard of it, node 4 has nothing, node 1 asks as before.
    let document = std::sync::Arc::new(document);
    for number in [2, 3, 4] {
        network.tell(number, Event::Topology(std::sync::Arc::clone(&document)));
    }
    let id = ask(&mut network, 1, scan());
    network.pass(Duration::from_millis(100));
    let Some(Reply::Refused(refused)) = network.replies.get(&id) else {
        panic!("{:?}", network.replies.get(&id))
    };
    assert_eq!((refused.got, refused.needed), (1, 2));
    // With the document of all, the successor that holds nothing yet is not counted.
    network.tell(1, Event::Topology(document));
    network.node(2).is_cut_off = true;
    let id = ask(&mut network, 1, scan());
    network.pass(Duration::from_secs(2));
    let Some(Reply::Refused(_)) = network.replies.get(&id) else { panic!("a page") };
}

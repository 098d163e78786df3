//! How long placement takes in a large cluster: 1,000 nodes in 20 racks, 65,536 vnodes, three
//! copies in one data centre and in each of two. From nothing, and for one change.

use std::hint::black_box;
use std::num::NonZeroU64;

use cluster::placement::rebalance;
use cluster::topology::{
    DataCentre, Document, Epoch, Member, MemberIndex, Namespace, Phase, Policy, Ring, Slot,
    Standing,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use schemas::ids::{ClusterId, NamespaceId, NodeId, VnodeBits};

const NODES: u64 = 1_000;
const RACKS: u64 = 20;

fn member(nth: u64, dcs: u64) -> Member {
    Member {
        id: NodeId(NonZeroU64::new(nth + 1).expect("not 0")),
        dc: format!("dc{}", nth % dcs).into(),
        rack: format!("rack{:02}", nth / dcs % RACKS).into(),
        weight: 100,
        standing: Standing::Member,
        address: ([127, 0, 0, 1], 7400).into(),
        may_vote: true,
    }
}

/// A cluster whose vnodes nobody owns yet.
fn empty(dcs: u64) -> Document {
    let dc = |dc: u64| DataCentre { name: format!("dc{dc}").into(), copies: 3 };
    let layout: Vec<DataCentre> = (0..dcs).map(dc).collect();
    let bits = VnodeBits::new(16).expect("16 bits");
    Document {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        token_seed: 0,
        bits,
        members: (0..NODES).map(|nth| member(nth, dcs)).collect(),
        voters: Vec::new(),
        namespaces: vec![Namespace {
            id: NamespaceId::DEFAULT,
            name: "default".into(),
            policy: Policy::LastWriterWins,
            replication: layout.clone(),
            former: None,
            is_strict: false,
            ttl_ms: 0,
        }],
        last_namespace: NamespaceId::DEFAULT,
        ring: Ring::new(bits.count(), layout, Epoch(0)),
        scaling: None,
        is_paused: false,
    }
}

/// The same once all have what they own.
fn settled(dcs: u64) -> Document {
    let mut document = empty(dcs);
    rebalance(&mut document);
    for vnode in document.ring.all() {
        let done = |slot: Slot| Slot { reader: slot.successor, ..slot };
        let slots: Vec<Slot> = document.ring.slots(vnode).map(done).collect();
        document.ring.set(vnode, &slots, Phase::Stable, Epoch(2));
    }
    document.epoch = Epoch(3);
    document
}

fn measure(c: &mut Criterion, name: &str, document: &Document) {
    c.bench_function(name, |b| {
        let run = |mut document: Document| {
            rebalance(black_box(&mut document));
            document
        };
        b.iter_batched(|| document.clone(), run, BatchSize::LargeInput);
    });
}

fn placement(c: &mut Criterion) {
    for dcs in [1, 2] {
        measure(c, &format!("from_nothing/{dcs}dc"), &empty(dcs));
        let document = settled(dcs);
        let changed = |change: &dyn Fn(&mut Document)| {
            let mut document = document.clone();
            change(&mut document);
            document
        };
        measure(c, &format!("no_change/{dcs}dc"), &document);
        // Its id is the greatest, so nobody's index changes.
        let join = changed(&|it| it.members.push(member(NODES, dcs)));
        measure(c, &format!("join/{dcs}dc"), &join);
        let at = usize::from(MemberIndex(500).0);
        let leave = changed(&|it| it.members[at].standing = Standing::Leaving);
        measure(c, &format!("leave/{dcs}dc"), &leave);
        let lost = changed(&|it| it.members[at].standing = Standing::Lost);
        measure(c, &format!("lost/{dcs}dc"), &lost);
        let weight = changed(&|it| it.members[at].weight = 250);
        measure(c, &format!("weight/{dcs}dc"), &weight);
    }
}

criterion_group!(benches, placement);
criterion_main!(benches);

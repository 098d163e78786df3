//! What a row costs beside the memtable: its dot in the clock of its vnode. Rows of 4096 vnodes
//! come at random, as they do in service, each vnode's counters in order.

use std::hint::black_box;
use std::num::NonZeroU64;

use criterion::{Criterion, criterion_group, criterion_main};
use engine::limits::RECENT_DOTS_MAX;
use engine::record::{Key, Kind, Record};
use engine::vnode::{ClocksFile, Vnodes};
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version, VnodeBits};

const ALL: (Token, Token) = (Token(0), Token(u64::MAX));

fn benches(c: &mut Criterion) {
    let bits = VnodeBits::DEFAULT;
    let mut rng = fastrand::Rng::with_seed(7);
    for (actors, recent) in [(1u64, RECENT_DOTS_MAX), (5, RECENT_DOTS_MAX), (1, 0)] {
        let mut vnodes = Vnodes::new(bits, ALL, recent, &ClocksFile::default());
        let mut counters = vec![0u64; bits.count() as usize * actors as usize];
        let mut next = move |rng: &mut fastrand::Rng| {
            let (token, node) = (Token(rng.u64(..)), rng.u64(..actors));
            let vnode = usize::from(token.vnode(bits).0);
            let counter = &mut counters[vnode * actors as usize + node as usize];
            *counter += 1;
            let node = NodeId(NonZeroU64::new(node + 1).expect("not 0"));
            let dot = Dot { actor: Actor { node, boot: 1 }, counter: *counter };
            Record {
                key: Key { token, namespace: NamespaceId::DEFAULT, bytes: b"k" },
                version: Version { hlc: Hlc(1), dot },
                kind: Kind::Value,
                expires_at_ms: 0,
                value: b"",
            }
        };
        let name = format!("{actors} actors, {recent} recent dots");
        c.bench_function(&format!("row made, {name}"), |b| b.iter(|| black_box(next(&mut rng))));
        c.bench_function(&format!("row made and seen, {name}"), |b| {
            b.iter(|| vnodes.applied(black_box(&next(&mut rng))));
        });
        c.bench_function(&format!("snapshot, {name}"), |b| {
            b.iter(|| black_box(vnodes.snapshot()));
        });
    }
}

criterion_group!(vnode, benches);
criterion_main!(vnode);

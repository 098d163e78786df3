//! What a row costs beside the memtable: its dot in the clock of its vnode, in the ring of recent
//! dots, and the bit of its leaf. Rows of 4096 vnodes come at random, as they do in service, each
//! vnode's counters in order.

#![expect(clippy::disallowed_methods, reason = "what is measured is time")]

use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Instant;

use engine::limits::RECENT_DOTS_MAX;
use engine::record::{Key, Kind, Record};
use engine::vnode::{ClocksFile, Vnodes};
use fastrand::Rng;
use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version, Vnode, VnodeBits};

const ALL: (Token, Token) = (Token(0), Token(u64::MAX));
const BITS: VnodeBits = VnodeBits::DEFAULT;

/// Rows without a gap.
struct Rows {
    rng: Rng,
    actors: u64,
    counters: Vec<u64>,
}

impl Rows {
    fn new(actors: u64) -> Self {
        let counters = vec![0; BITS.count() as usize * actors as usize];
        Self { rng: Rng::with_seed(7), actors, counters }
    }

    fn next(&mut self) -> Record<'static> {
        let (token, node) = (Token(self.rng.u64(..)), self.rng.u64(..self.actors));
        let at = u64::from(token.vnode(BITS).0) * self.actors + node;
        let counter = &mut self.counters[at as usize];
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
    }
}

/// Rounds of a measurement. The least tells what the work costs: others had the core meanwhile.
const ROUNDS: usize = 400;

fn least_ns(per_round: usize, mut run: impl FnMut()) -> f64 {
    let round = || {
        let begun = Instant::now();
        (0..per_round).for_each(|_| run());
        begun.elapsed().as_nanos() as f64 / per_round as f64
    };
    std::iter::repeat_with(round).take(ROUNDS).fold(f64::MAX, f64::min)
}

fn main() {
    for (actors, recent) in
        [(1, RECENT_DOTS_MAX), (3, RECENT_DOTS_MAX), (5, RECENT_DOTS_MAX), (3, 0)]
    {
        let mut rows = Rows::new(actors);
        let made = least_ns(20_000, || _ = black_box(rows.next()));
        let mut vnodes = Vnodes::new(BITS, ALL, recent, &ClocksFile::default());
        let mut rows = Rows::new(actors);
        let seen = least_ns(20_000, || vnodes.applied(black_box(&rows.next())));
        let snapshot = least_ns(1, || _ = black_box(vnodes.snapshot()));
        // All that a vnode has is more than the ring has; the last of each actor is not.
        let vnode = Vnode(7);
        let mut behind = VnodeClock::default();
        for it in vnodes.clock(vnode).expect("all are here").actors() {
            behind.insert_upto(it.actor(), it.upto().saturating_sub(1));
        }
        let since = least_ns(1, || _ = black_box(vnodes.dots_since(vnode, black_box(&behind))));
        println!(
            "{actors} actors, {recent} recent dots: row made {made:.1} ns, and seen {seen:.1} ns; \
             snapshot {snapshot:.0} ns, dots since {since:.0} ns"
        );
    }
}

//! Seeded runs with every fault there is.

use std::time::Duration;

use fastrand::Rng;
use schemas::ids::{ClusterId, NodeId, VnodeBits};

use super::super::*;
use super::network::{Faults, Network, UNIQUE};
use crate::topology::sample::{address, change, done, member, node, settled};
use crate::topology::{Change, Document, apply};

/// A small cluster of `members` nodes: the fewer vnodes, the more runs.
fn small(members: u64, rng: &mut Rng) -> Document {
    let bits = VnodeBits::new(1).expect("few bits");
    let first = member(1, "a", "r1");
    let copies = rng.u8(1..=2);
    let first = Document::create(ClusterId(7), 9, bits, first, copies).expect("a document");
    let joined = (2..=members).fold(first, |document, number| {
        let rack = ["r1", "r2", "r3"][number as usize % 3];
        done(&document, &Change::Join(member(number, "a", rack)))
    });
    settled(joined)
}

/// What happened in some runs.
#[derive(Debug, Default)]
struct Seen {
    decided: usize,
    made: usize,
    refused: usize,
    undecided: usize,
    unknown: usize,
}

struct Run {
    network: Network,
    rng: Rng,
    hosts: u64,
    addresses: u64,
    /// Few voters that are at odds and restart all the time, rather than everything at once.
    is_duel: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let is_duel = seed % 2 == 1;
        let hosts = rng.u64(3..=if is_duel { 4 } else { 9 });
        let members = if is_duel { hosts } else { rng.u64(1..=hosts) };
        let document = small(members, &mut rng);
        let mut network = Network::new(document, members + 1..=hosts, rng.u64(..));
        let ms = |rng: &mut Rng, most: u64| Duration::from_millis(rng.u64(most / 10..=most));
        network.faults = Faults {
            lost: [0, 5, 30][rng.usize(..3)],
            doubled: [0, 10, 40][rng.usize(..3)],
            delay: ms(&mut rng, 400),
            write: ms(&mut rng, 100),
        };
        network.timing = Timing {
            resend: ms(&mut rng, 500),
            back_off: ms(&mut rng, 300),
            finish: ms(&mut rng, 4_000),
            pull: ms(&mut rng, 4_000),
            ask: ms(&mut rng, 2_000),
            offer: ms(&mut rng, 1_000),
        };
        Self { network, rng, hosts, addresses: UNIQUE, is_duel }
    }

    fn any(&mut self) -> NodeId {
        node(self.rng.u64(1..=self.hosts))
    }

    /// A change that `by` may want: mostly one that can be told from all others.
    fn change(&mut self, by: NodeId) -> Option<Change> {
        let document = self.network.document(by)?;
        if self.is_duel || self.rng.u8(..5) < 3 {
            self.addresses += 1;
            let node = document.members[self.rng.usize(..document.members.len())].id;
            return Some(Change::Address { node, address: address(self.addresses) });
        }
        let change = change(&document, &mut self.rng);
        let joins = match &change {
            Change::Join(new) | Change::Replace { new, .. } => new.id.0.get(),
            _ => 1,
        };
        (joins <= self.hosts).then_some(change)
    }

    fn step(&mut self) {
        let id = self.any();
        let actions = if self.is_duel { 13 } else { 22 };
        match self.rng.u8(..actions) {
            0..=5 => {
                let within = Duration::from_millis(self.rng.u64(1..8_000));
                // The same moment at several nodes: they duel.
                for by in [id, self.any(), self.any()].into_iter().take(self.rng.usize(1..=3)) {
                    if let Some(change) = self.change(by) {
                        self.network.propose(by, change, within);
                    }
                }
            }
            6..=9 => {
                self.network.crash(id);
                self.network.start(id);
            }
            10..=12 => (0..self.rng.usize(1..20)).for_each(|_| self.network.replay()),
            13 | 14 => self.network.crash(id),
            15..=17 => self.network.start(id),
            18 => {
                let apart: Vec<NodeId> =
                    self.network.nodes().into_iter().filter(|_| self.rng.bool()).collect();
                self.network.part(&apart);
            }
            19 => {
                let other = self.any();
                self.network.cut.insert((id, other));
            }
            20 => self.network.cut.clear(),
            _ => {
                let other = self.any();
                let epoch = self.network.document(other).map(|it| it.epoch).unwrap_or_default();
                self.network.handle(id, Event::Heard { node: other, epoch });
            }
        }
        let pause = if self.is_duel { 200 } else { [10, 200, 2_000][self.rng.usize(..3)] };
        self.network.run(Duration::from_millis(self.rng.u64(..pause)));
    }

    fn run(mut self, seen: &mut Seen) {
        for _ in 0..self.rng.usize(20..100) {
            self.step();
        }
        self.network.heal();
        let proposed = &self.network.proposed;
        let count = |is: fn(&ProposalError) -> bool| {
            let errors = proposed.iter().filter_map(|it| it.outcome.as_ref()?.as_ref().err());
            errors.filter(|it| is(it)).count()
        };
        seen.decided += self.network.decided.len() - 1;
        seen.made += proposed.iter().filter(|it| matches!(it.outcome, Some(Ok(_)))).count();
        seen.refused += count(|it| matches!(it, ProposalError::Refused { .. }));
        seen.undecided += count(|it| matches!(it, ProposalError::Undecided { .. }));
        seen.unknown += count(|it| matches!(it, ProposalError::Unknown { .. }));
        self.goes_on();
    }

    /// With every node there, the next change is decided.
    fn goes_on(&mut self) {
        let last = self.network.decided.values().next_back().expect("the first").clone();
        let by = last.members[0].id;
        let change = Change::Address { node: by, address: address(99) };
        if apply(&last, &change).is_ok() {
            let at = self.network.propose(by, change, Duration::from_secs(30));
            self.network.run(Duration::from_secs(30));
            let outcome = &self.network.proposed[at].outcome;
            assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
        }
    }
}

fn runs(seeds: std::ops::Range<u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| Run::new(seed).run(&mut seen));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    seen
}

/// Two thousand seeds, or as many as the build is told: `KVCORE_TEST_SEEDS=100000 cargo test`.
#[test]
fn nothing_goes_wrong_whatever_happens() {
    let told = option_env!("KVCORE_TEST_SEEDS").and_then(|it| it.parse().ok());
    let seeds: u64 = told.unwrap_or(2_000);
    let seen = runs(0..seeds);
    let each = |count: usize| count as u64 * 10 / seeds;
    assert!(each(seen.decided) > 50 && each(seen.made) > 50, "{seen:?}");
    assert!(each(seen.refused) > 5 && each(seen.undecided) > 5, "{seen:?}");
    assert!(seen.unknown as u64 > seeds / 10, "{seen:?}");
}

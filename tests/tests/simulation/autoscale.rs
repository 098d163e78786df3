//! A data centre that follows its load, with the machines of whole nodes: machines come late or
//! never, nodes crash and are cut off, and whoever decides changes.
//!
//! Held at every topology that anybody has on disk: never fewer nodes than copies or than the
//! policy says, never more than it says; between two changes lies a cool-down, whoever proposed
//! them. At the end there are as many nodes as the load takes, and it stays so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::autoscale::{Policy, Settings};
use cluster::liveness::Load;
use cluster::node::{NodeTunables, Scaled};
use cluster::topology::{Change, Document, Epoch, Standing};
use fastrand::Rng;
use tests::scale::{Links, Nodes, NodesOptions, Told, document, member};

const SECOND_US: u64 = 1_000_000;
const COOLDOWN: Duration = Duration::from_secs(40);
const LEAST: usize = 3;
const MOST: usize = 9;
/// Machines that a run may start.
const MACHINES: usize = 60;
const PATIENCE: Duration = Duration::from_secs(20);

fn policy() -> Policy {
    let seconds = Duration::from_secs;
    Policy::new(Settings {
        add_after: seconds(15),
        remove_after: seconds(40),
        cooldown: COOLDOWN,
        give_up_after: seconds(90),
        stale_after: seconds(20),
        ..Settings::between(LEAST as u32, MOST as u32)
    })
    .expect("settings in their ranges")
}

/// A data centre under load.
struct Site {
    nodes: Nodes,
    rng: Rng,
    /// Permille of one node, that each rack has to do.
    work: u32,
    /// Machines that start: when each is there, and in which rack.
    starting: Vec<(u64, Box<str>)>,
    /// Nodes that are there and to join, each with the rack it is in.
    joining: BTreeMap<usize, Box<str>>,
    started: usize,
    /// Machines that never come, permille.
    lost_permille: u32,
    /// The newest topology that was seen, and when it was.
    newest: Arc<Document>,
    decided: Vec<Decided>,
}

/// A decision, as the topology has it.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Decided {
    at_us: u64,
    is_more: bool,
}

impl Site {
    fn new(seed: u64, lost_permille: u32) -> Self {
        let document = document(LEAST, 32, 1, seed);
        let tunables = NodeTunables::default();
        let options = NodesOptions {
            seed,
            most: LEAST + MACHINES,
            links: Links { loss_permille: 20, ..Links::lan() },
            sync: Duration::from_millis(5),
            catch_up: Duration::from_secs(3),
            tunables,
        };
        let mut nodes = Nodes::new(options, &document);
        nodes.run(5 * SECOND_US);
        nodes.propose(0, Change::Autoscale(Some(policy())), PATIENCE);
        Self {
            nodes,
            rng: Rng::with_seed(seed ^ 0x5ca1e),
            work: 400,
            starting: Vec::new(),
            joining: BTreeMap::new(),
            started: LEAST,
            lost_permille,
            newest: document.into(),
            decided: Vec::new(),
        }
    }

    fn go(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let until_us = self.nodes.now_us() + SECOND_US;
            self.nodes.run(until_us);
            self.look();
            self.tell_loads();
            self.bring_machines();
        }
    }

    /// Holds each new topology against the one before, and does what nodes want done.
    fn look(&mut self) {
        for (at_us, _, told) in std::mem::take(&mut self.nodes.told) {
            match told {
                Told::Topology(document) if document.epoch > self.newest.epoch => {
                    self.hold(at_us, &document);
                    self.newest = document;
                }
                Told::Scaled(Scaled::Start { racks, .. }) => {
                    for rack in racks {
                        if self.rng.u32(..1_000) >= self.lost_permille {
                            let at_us = at_us + self.rng.u64(5..30) * SECOND_US;
                            self.starting.push((at_us, rack));
                        }
                    }
                }
                _ => {}
            }
        }
        let members = self.newest.members.len();
        for node in 0..self.started {
            let is_member = self.newest.index_of(member(node).id).is_some();
            if !is_member && !self.joining.contains_key(&node) && members >= LEAST {
                self.nodes.stop(node);
            }
        }
    }

    fn hold(&mut self, at_us: u64, document: &Document) {
        assert_eq!(document.epoch, Epoch(self.newest.epoch.0 + 1), "each is seen");
        let staying = document.staying("dc").count();
        assert!((LEAST..=MOST).contains(&staying), "{staying} nodes");
        let (Some(before), Some(after)) = (self.newest.scaled("dc"), document.scaled("dc")) else {
            return;
        };
        assert!(staying + after.starting as usize <= MOST);
        let leaving = |document: &Document| {
            let leaves = |it: &&_| it_leaves(it);
            document.members.iter().filter(leaves).count()
        };
        let is_more = after.starting > before.starting;
        let is_less = leaving(document) > leaving(&self.newest);
        if !is_more && !is_less {
            return;
        }
        if let Some(last) = self.decided.last() {
            let apart = Duration::from_micros(at_us - last.at_us);
            assert!(apart >= COOLDOWN, "{:?} after {apart:?}", document.epoch);
        }
        self.decided.push(Decided { at_us, is_more });
    }

    /// The work of a rack is done by those of it that read.
    fn tell_loads(&mut self) {
        let document = Arc::clone(&self.newest);
        let mut racks = BTreeMap::<&str, u32>::new();
        let reads = reading(&document);
        for (at, it) in document.members.iter().enumerate() {
            *racks.entry(&it.rack).or_default() += u32::from(reads[at]);
        }
        for (at, it) in document.members.iter().enumerate() {
            let node = it.id.0.get() as usize - 1;
            let share = self.work / racks[&*it.rack].max(1);
            let noise = self.rng.u32(..30);
            let cpu_permille = if reads[at] { (share + noise).min(1_000) } else { 10 };
            let load = Load {
                cpu_permille,
                disk_used_bytes: 100 << 30,
                disk_total_bytes: 1 << 40,
                p99_us: 1_000,
                ops_per_s: 1_000,
            };
            self.nodes.load(node, load);
        }
    }

    fn bring_machines(&mut self) {
        let now_us = self.nodes.now_us();
        let there = self.starting.extract_if(.., |(at_us, _)| *at_us <= now_us);
        let there: Vec<Box<str>> = there.map(|(_, rack)| rack).collect();
        for rack in there {
            assert!(self.started < LEAST + MACHINES, "far fewer are asked for");
            let node = self.started;
            self.started += 1;
            let seeds = self.newest.members.iter().map(|it| it.id).take(3).collect();
            self.nodes.start_new(node, seeds);
            self.joining.insert(node, rack);
        }
        // Each asks again until it is one.
        let members = Arc::clone(&self.newest);
        self.joining.retain(|node, _| members.index_of(member(*node).id).is_none());
        for (node, rack) in self.joining.clone() {
            let asked = self.rng.usize(..self.started);
            if self.rng.u8(..5) == 0 && self.nodes.document(asked).is_some() {
                let member = cluster::topology::Member { rack, ..member(node) };
                self.nodes.propose(asked, Change::Join(member), PATIENCE);
            }
        }
    }

    fn staying(&self) -> usize {
        self.newest.staying("dc").count()
    }

    /// How often what was decided turned from more to fewer or back, since then.
    fn turns_since(&self, at_us: u64) -> usize {
        let decided: Vec<_> = self.decided.iter().filter(|it| it.at_us >= at_us).collect();
        decided.windows(2).filter(|two| two[0].is_more != two[1].is_more).count()
    }
}

fn it_leaves(member: &cluster::topology::Member) -> bool {
    member.standing == Standing::Leaving
}

/// Which members read some vnode.
fn reading(document: &Document) -> Vec<bool> {
    let mut reads = vec![false; document.members.len()];
    let slots = document.ring.all().flat_map(|vnode| document.ring.slots(vnode));
    slots.filter_map(|slot| slot.reader).for_each(|it| reads[usize::from(it.0)] = true);
    reads
}

#[test]
fn nodes_come_and_go_with_the_load() {
    let mut site = Site::new(1, 0);
    site.go(200);
    assert_eq!(site.staying(), 3, "the load is low");
    assert_eq!(site.decided, []);
    site.work = 1_500;
    site.go(900);
    assert_eq!(site.staying(), 9, "1.5 nodes of work in each rack, each to be busy for 0.6");
    let risen_us = site.nodes.now_us();
    site.go(300);
    site.work = 900;
    site.go(900);
    assert_eq!(site.staying(), 6, "with one less in a rack it would be busy for 0.9");
    site.work = 400;
    site.go(900);
    assert_eq!(site.staying(), 3);
    assert_eq!(site.turns_since(risen_us), 0);
    let quiet_us = site.nodes.now_us();
    site.go(600);
    assert!(site.decided.iter().all(|it| it.at_us < quiet_us), "a steady load changes nothing");
    let running = (0..site.started).filter(|&node| site.nodes.is_running(node)).count();
    assert_eq!(running, 3, "machines of nodes that left are stopped");
}

#[test]
fn machines_that_never_come_are_given_up_and_asked_for_again() {
    let mut site = Site::new(2, 700);
    site.work = 1_500;
    site.go(3_000);
    assert_eq!(site.staying(), 9);
    assert!(site.decided.len() > 3, "some of them did not come: {:?}", site.decided);
}

/// Those who decide crash and are cut off, and loads change at any moment: what is asserted of each
/// topology holds, and once all is whole the number is that of the load.
#[test]
fn whoever_decides_one_change_is_decided_between_cool_downs() {
    let mut changes = 0;
    for seed in 0..12 {
        let mut site = Site::new(100 + seed, 100);
        site.go(20);
        for _ in 0..12 {
            site.work = *site.rng.choice([300, 600, 900, 1_200, 1_500].iter()).expect("five");
            let members: Vec<usize> =
                site.newest.members.iter().map(|it| it.id.0.get() as usize - 1).collect();
            // The first voters decide.
            let few = members.len().div_ceil(2);
            let victim = members[site.rng.usize(..few)];
            let seconds = site.rng.u64(5..150);
            match site.rng.u8(..3) {
                0 => {
                    site.nodes.stop(victim);
                    site.go(seconds);
                    site.nodes.restart(victim);
                }
                1 => {
                    site.nodes.set_side(victim, 1);
                    site.go(seconds);
                    site.nodes.set_side(victim, 0);
                }
                _ => {
                    let sides: Vec<u8> = members.iter().map(|_| site.rng.u8(..2)).collect();
                    members
                        .iter()
                        .zip(&sides)
                        .for_each(|(it, side)| site.nodes.set_side(*it, *side));
                    site.go(seconds);
                    members.iter().for_each(|it| site.nodes.set_side(*it, 0));
                }
            }
            let rest = site.rng.u64(5..120);
            site.go(rest);
        }
        site.work = 1_500;
        site.go(1_800);
        assert_eq!(site.staying(), 9, "seed {seed}: {:?}", site.newest.scaled("dc"));
        changes += site.decided.len();
    }
    assert!(changes > 100, "{changes} changes");
}

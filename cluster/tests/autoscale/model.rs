//! A plain model of one data centre, to close the loop: machines take minutes to start, moves take
//! minutes and cost CPU, work and data spread by weight. What must hold in every run is asserted as
//! it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

use cluster::NodeId;
use cluster::autoscale::{AutoscaleState, Decision, Load, Member, MemberState, Policy, View};
use cluster::time::Instant;

/// Copies of everything.
pub(crate) const COPIES: u32 = 3;

/// Copies of all vnodes.
const VNODES: u64 = 3 * 4_096;

/// Bytes of the disk of a node of weight 100; others have more in proportion.
const DISK_BYTES: u64 = 1_000_000_000_000;

/// Seconds between two evaluations.
pub(crate) const STEP: u64 = 30;

const RACKS: [&str; 4] = ["r0", "r1", "r2", "r3"];

const START_SECONDS: u64 = 180;
const MOVE_SECONDS: u64 = 240;
const MOVE_CPU_PERMILLE: u64 = 30;

/// What clients ask of the data centre at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    /// CPU: permille of one node of weight 100.
    pub(crate) cpu: u64,
    /// All copies of all data: permille of the disk of one node of weight 100.
    pub(crate) disk: u64,
}

/// Work for this much CPU, and little data.
pub(crate) fn cpu(cpu: u64) -> Offered {
    Offered { cpu, disk: 300 }
}

/// A data centre.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) changed_epoch: u32,
    machines: Vec<Machine>,
    /// When each machine that was asked for is there.
    starting: Vec<u64>,
    racks: u16,
    weights: u64,
    next_id: u64,
}

#[derive(Clone, Copy)]
struct Machine {
    id: u64,
    rack: u16,
    weight: u32,
    state: MemberState,
    until: u64,
}

impl Site {
    /// `nodes` that serve, in turn in `racks` and of weight 100 to 100 times `weights`.
    pub(crate) fn new(nodes: u64, racks: u16, weights: u64) -> Self {
        let (machines, starting) = (Vec::new(), Vec::new());
        let mut site = Self { changed_epoch: 1, machines, starting, racks, weights, next_id: 1 };
        for _ in 0..nodes {
            site.start(MemberState::Up, 0);
        }
        site
    }

    fn start(&mut self, state: MemberState, until: u64) {
        let weight = |rack: &u16| {
            let there = self.machines.iter().filter(|it| it.rack == *rack);
            there.map(|it| it.weight).sum::<u32>()
        };
        let rack = (0..self.racks).min_by_key(weight).expect("a rack");
        let (id, weight) = (self.next_id, 100 * (1 + self.next_id % self.weights) as u32);
        self.machines.push(Machine { id, rack, weight, state, until });
        self.next_id += 1;
    }

    fn serving(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.state != MemberState::Joining)
    }

    /// Mean CPU of those that serve, over 1,000 for work that is not done: permille.
    pub(crate) fn cpu(&self, offered: Offered) -> u64 {
        let weight: u64 = self.serving().map(|machine| u64::from(machine.weight)).sum();
        offered.cpu * 100 / weight
    }

    /// Nodes that serve.
    pub(crate) fn nodes(&self) -> u64 {
        self.serving().count() as u64
    }

    /// Machines there are or will be.
    fn machines(&self) -> u64 {
        (self.machines.len() + self.starting.len()) as u64
    }

    fn is_moving(&self) -> bool {
        self.machines.iter().any(|it| it.state != MemberState::Up)
    }

    /// Lets machines start, join and leave.
    pub(crate) fn pass(&mut self, second: u64) {
        let before = (self.starting.len(), self.is_moving());
        let there = self.starting.iter().filter(|&&at| at <= second).count();
        self.starting.retain(|&at| at > second);
        for _ in 0..there {
            self.start(MemberState::Joining, second + MOVE_SECONDS);
        }
        self.machines.retain(|it| it.state != MemberState::Leaving || it.until > second);
        for machine in &mut self.machines {
            if machine.state == MemberState::Joining && machine.until <= second {
                machine.state = MemberState::Up;
            }
        }
        if before != (self.starting.len(), self.is_moving()) {
            self.change();
        }
    }

    fn change(&mut self) {
        self.changed_epoch += 1;
    }

    /// Decides a proposal, unless it is stale.
    pub(crate) fn decide(&mut self, decision: &Decision, second: u64) -> bool {
        let (Decision::Add { since, .. }
        | Decision::GiveUp { since, .. }
        | Decision::Remove { since, .. }) = *decision
        else {
            return false;
        };
        if since != self.changed_epoch {
            return false;
        }
        match *decision {
            Decision::Add { count, .. } => {
                self.starting.extend((0..count).map(|_| second + START_SECONDS));
            }
            Decision::Remove { node, .. } => {
                let leaver = self.machines.iter_mut().find(|it| it.id == node.0.get());
                let leaver = leaver.expect("a member is removed");
                assert_eq!(leaver.state, MemberState::Up);
                (leaver.state, leaver.until) = (MemberState::Leaving, second + MOVE_SECONDS);
            }
            Decision::GiveUp { .. } => self.starting.clear(),
            Decision::Hold(_) => unreachable!("a hold proposes nothing"),
        }
        self.change();
        true
    }

    /// The members with what they tell of themselves. Each rack has a copy where there are as many
    /// racks as copies; otherwise all share alike.
    pub(crate) fn members(&self, offered: Offered, second: u64) -> Vec<Member<'static>> {
        let group = |machine: &Machine| if self.racks == 3 { machine.rack } else { 0 };
        let mut weights: BTreeMap<u16, u64> = BTreeMap::new();
        for machine in self.serving() {
            *weights.entry(group(machine)).or_default() += u64::from(machine.weight);
        }
        let groups = weights.len() as u64;
        let moving = if self.is_moving() { MOVE_CPU_PERMILLE } else { 0 };
        let member = |machine: &Machine| {
            let serves = machine.state != MemberState::Joining;
            let part = |of: u64| {
                if serves { of * 100 / (groups * weights[&group(machine)]) } else { 0 }
            };
            let cpu = (part(offered.cpu) + moving).min(1000);
            let disk_total_bytes = DISK_BYTES / 100 * u64::from(machine.weight);
            let load = Load {
                cpu_permille: cpu as u32,
                disk_used_bytes: disk_total_bytes / 1000 * part(offered.disk).min(1000),
                disk_total_bytes,
                // One queue: the time of a request grows as idle time shrinks.
                p99_us: 2_000_000 / (1001 - cpu),
                ops_per_s: offered.cpu,
                received_at: at(second),
            };
            Member {
                node: NodeId(NonZeroU64::new(machine.id).expect("ids begin at 1")),
                rack: RACKS[usize::from(machine.rack)],
                weight: machine.weight,
                vnodes: part(VNODES * u64::from(machine.weight) / 100) as u32,
                state: machine.state,
                voter: machine.id <= 5,
                load: Some(load),
            }
        };
        self.machines.iter().map(member).collect()
    }

    /// What a node that evaluates sees.
    pub(crate) fn view<'a>(&self, members: &'a [Member<'a>]) -> View<'a> {
        let changed_epoch = self.changed_epoch;
        let (starting, pending_moves) = (self.starting.len() as u32, self.is_moving().into());
        let replication = COPIES;
        View { changed_epoch, dc: "dc1", replication, members, starting, pending_moves }
    }
}

/// The moment of a second of a run. Clocks do not start at 0.
pub(crate) fn at(second: u64) -> Instant {
    Instant(1 << 44) + Duration::from_secs(second)
}

/// A change that was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) second: u64,
    /// Nodes more, or -1.
    pub(crate) nodes: i64,
}

/// A data centre under a policy, checked at each step.
pub(crate) struct Run {
    pub(crate) policy: Policy,
    pub(crate) site: Site,
    /// The memory of each node that believes it has to evaluate.
    pub(crate) states: Vec<AutoscaleState>,
    pub(crate) second: u64,
    pub(crate) changes: Vec<Change>,
    /// Proposals that came from an epoch that was over.
    pub(crate) refused: u64,
    /// Mean CPU of those that serve, each step: permille of what they have, over 1,000 for work
    /// that is not done.
    pub(crate) cpu: Vec<u64>,
}

impl Run {
    pub(crate) fn new(policy: Policy, site: Site) -> Self {
        let states = vec![AutoscaleState::new(at(0))];
        Self { policy, site, states, second: 0, changes: Vec::new(), refused: 0, cpu: Vec::new() }
    }

    /// Goes on for `seconds` under `offered`; `spoil` does to the records what gossip and liars do.
    pub(crate) fn go(
        &mut self,
        seconds: u64,
        offered: impl Fn(u64) -> Offered,
        mut spoil: impl FnMut(u64, &mut Vec<Member<'static>>),
    ) {
        let end = self.second + seconds;
        while self.second < end {
            self.site.pass(self.second);
            let asked = offered(self.second);
            let mut members = self.site.members(asked, self.second);
            self.cpu.push(self.site.cpu(asked));
            let told = members.clone();
            spoil(self.second, &mut members);
            // All see the same moment: what they propose comes from one epoch.
            let view = self.site.view(&members);
            let (policy, now) = (&self.policy, at(self.second));
            let mut decisions = Vec::new();
            for state in &mut self.states {
                let decision;
                (*state, decision) = cluster::autoscale::decide(policy, state, &view, now);
                decisions.push(decision);
            }
            for decision in decisions {
                let was_moving = self.site.is_moving();
                if self.site.decide(&decision, self.second) {
                    assert!(!was_moving, "{decision}: while the topology moves");
                    self.check(&decision);
                    if told == members {
                        self.check_load(asked, &decision);
                    }
                } else if !matches!(decision, Decision::Hold(_)) {
                    self.refused += 1;
                }
            }
            self.second += STEP;
        }
    }

    /// What holds of each change that is decided, whatever was told.
    fn check(&mut self, decision: &Decision) {
        let settings = self.policy.settings();
        let nodes = match *decision {
            Decision::Add { count, .. } => {
                assert!(self.site.machines() <= settings.nodes_max.into(), "{decision}");
                assert!(count <= settings.add_nodes_max, "{decision}");
                i64::from(count)
            }
            _ => {
                let least = u64::from(settings.nodes_min.max(COPIES));
                assert!(self.site.nodes() > least, "{decision}: {}", self.site.nodes());
                let racks = |all: bool| {
                    let stay = |it: &&Machine| all || it.state != MemberState::Leaving;
                    self.site.machines.iter().filter(stay).map(|it| it.rack).collect()
                };
                let (before, after): (BTreeSet<u16>, BTreeSet<u16>) = (racks(true), racks(false));
                assert!(after.len() >= before.len().min(COPIES as usize), "{decision}");
                -1
            }
        };
        if let Some(last) = self.changes.last() {
            let gap = Duration::from_secs(self.second - last.second);
            assert!(gap >= settings.cooldown, "{decision}: {gap:?} after {last:?}");
        }
        self.changes.push(Change { second: self.second, nodes });
    }

    /// What holds where nobody lied: what a removal leads to is no reason to add.
    fn check_load(&self, offered: Offered, decision: &Decision) {
        if !matches!(decision, Decision::Remove { .. }) {
            return;
        }
        let mut after = self.site.clone();
        after.pass(self.second + MOVE_SECONDS);
        let settings = self.policy.settings();
        for member in after.members(offered, self.second) {
            let load = member.load.expect("all tell their load");
            let limit = settings.cpu_target_permille * (1000 + settings.band_permille) / 1000;
            assert!(load.cpu_permille <= limit, "{decision}: {load:?}");
            let limit_bytes =
                load.disk_total_bytes / 1000 * u64::from(settings.disk_target_permille);
            assert!(load.disk_used_bytes <= limit_bytes, "{decision}: {load:?}");
        }
    }

    /// Changes of more nodes, and of fewer, since `second`.
    pub(crate) fn changes_since(&self, second: u64) -> (usize, usize) {
        let since = self.changes.iter().filter(|it| it.second >= second);
        let (more, fewer): (Vec<&Change>, Vec<&Change>) = since.partition(|it| it.nodes > 0);
        (more.len(), fewer.len())
    }
}

/// Leaves the records as they are.
pub(crate) fn honest(_: u64, _: &mut Vec<Member<'static>>) {}

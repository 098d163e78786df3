//! The nodes that serve, with the loads that can be believed, and what they add up to.
//!
//! Work is CPU times weight. Work and data are spread by weight within a **group**: a rack, where
//! there are no more racks than copies, so that each rack has to hold everything; otherwise all
//! nodes are one group. A node that is not heard adds its weight and no work, as a dead one does:
//! the others carry its work and say so.

use std::collections::{BTreeMap, BTreeSet};

use super::policy::Settings;
use super::view::{Load, Member, MemberState, View};
use crate::time::Instant;

/// A node that serves and holds data.
#[derive(Clone, Copy)]
pub(super) struct Serving<'a> {
    pub(super) member: &'a Member<'a>,
    /// Its load, if one that can be believed was received lately.
    pub(super) load: Option<&'a Load>,
    /// The name of its group: its rack's, or none.
    pub(super) group: &'a str,
}

impl Serving<'_> {
    pub(super) fn weight(&self) -> u128 {
        self.member.weight.into()
    }

    /// CPU permille times weight; 0 if it is not heard.
    fn work(&self) -> u128 {
        self.load.map_or(0, |load| u128::from(load.cpu_permille)) * self.weight()
    }
}

/// What some nodes add up to.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) nodes: u32,
    pub(super) weight: u128,
    pub(super) work: u128,
}

impl Sum {
    fn add(&mut self, node: &Serving) {
        self.nodes = self.nodes.saturating_add(1);
        self.weight += node.weight();
        self.work += node.work();
    }

    /// The mean CPU by weight, rounded up: permille.
    pub(super) fn cpu_permille(&self) -> u32 {
        permille(self.work.div_ceil(self.weight.max(1)))
    }

    /// Whether the mean CPU is over a limit in millionths.
    pub(super) fn is_over(&self, limit_ppm: u128) -> bool {
        self.work * 1000 > limit_ppm * self.weight
    }

    /// The same work on less weight.
    pub(super) fn without(&self, weight: u128) -> Self {
        Self { weight: self.weight - weight, ..*self }
    }
}

/// All nodes that serve; at least one, and none without weight.
pub(super) struct Fleet<'a> {
    pub(super) nodes: Vec<Serving<'a>>,
    pub(super) all: Sum,
    pub(super) groups: BTreeMap<&'a str, Sum>,
    /// How many are heard.
    pub(super) heard: u32,
}

impl<'a> Fleet<'a> {
    /// `None` if nobody serves.
    pub(super) fn of(settings: &Settings, view: &View<'a>, now: Instant) -> Option<Self> {
        let serves = |member: &&Member| member.state == MemberState::Up && member.weight > 0;
        let members = || view.members.iter().filter(serves);
        let racks: BTreeSet<&str> = members().map(|member| member.rack).collect();
        let racks_hold_all = count(racks.iter()) <= view.replication;
        let mut fleet =
            Self { nodes: Vec::new(), all: Sum::default(), groups: BTreeMap::new(), heard: 0 };
        for member in members() {
            let load = member.load.as_ref();
            let load = load.filter(|load| load.counts(now, settings.stale_after));
            let group = if racks_hold_all { member.rack } else { "" };
            let node = Serving { member, load, group };
            fleet.all.add(&node);
            fleet.groups.entry(group).or_default().add(&node);
            fleet.heard += u32::from(load.is_some());
            fleet.nodes.push(node);
        }
        (fleet.all.nodes > 0).then_some(fleet)
    }

    /// What the group of `node` adds up to.
    pub(super) fn group(&self, node: &Serving) -> Sum {
        self.groups.get(node.group).copied().unwrap_or_default()
    }

    /// How many are not heard.
    pub(super) fn silent(&self) -> u32 {
        self.all.nodes - self.heard
    }

    /// Whether the silent ones are few enough to decide without them.
    pub(super) fn is_heard(&self, settings: &Settings) -> bool {
        let most = u64::from(settings.stale_permille_max) * u64::from(self.all.nodes);
        u64::from(self.silent()) * 1000 <= most
    }

    /// The mean CPU of the group where it is greatest.
    pub(super) fn cpu_permille(&self) -> u32 {
        self.groups.values().map(Sum::cpu_permille).max().unwrap_or(0)
    }

    /// The used part of the fullest disk of each group, rounded up: permille.
    ///
    /// Vnodes are alike, so all nodes should hold about the same a vnode. What one has beyond twice
    /// the median of that is not counted: it is something that more nodes do not cure, or a lie.
    pub(super) fn disks(&self) -> BTreeMap<&'a str, u32> {
        let per_vnode = |node: &Serving, load: &Load| {
            u128::from(load.disk_used_bytes).checked_div(node.member.vnodes.into())
        };
        // One byte more, for what the division lost.
        let twice = 2 * (self.median(per_vnode).flatten().unwrap_or(0) + 1);
        let mut disks: BTreeMap<&str, u32> = BTreeMap::new();
        for node in &self.nodes {
            let Some(load) = node.load else { continue };
            let placed = twice.saturating_mul(node.member.vnodes.into());
            let part = disk_permille(placed.min(load.disk_used_bytes.into()), load);
            let fullest = disks.entry(node.group).or_default();
            *fullest = part.max(*fullest);
        }
        disks
    }

    /// The used part of the fullest disk of all.
    pub(super) fn disk_permille(&self) -> u32 {
        self.disks().into_values().max().unwrap_or(0)
    }

    /// The median latency, in microseconds; a node without requests counts as quick.
    pub(super) fn p99_us(&self) -> u64 {
        self.median(|_, load| if load.ops_per_s == 0 { 0 } else { load.p99_us }).unwrap_or(0)
    }

    /// The lower median of what `value` is for those that are heard: lies of fewer than half cannot
    /// move it beyond what others say.
    fn median<T: Ord>(&self, value: impl Fn(&Serving, &Load) -> T) -> Option<T> {
        let told = |node: &Serving| node.load.map(|load| value(node, load));
        let mut values: Vec<T> = self.nodes.iter().filter_map(told).collect();
        values.sort_unstable();
        let middle = values.len().saturating_sub(1) / 2;
        values.into_iter().nth(middle)
    }
}

/// `used_bytes` of the disks that `load` is of, rounded up: permille, which may be over 1,000 for
/// bytes that are not there yet.
pub(super) fn disk_permille(used_bytes: u128, load: &Load) -> u32 {
    permille(used_bytes.saturating_mul(1000).div_ceil(load.disk_total_bytes.into()))
}

/// Stops at the most that can be told.
pub(super) fn permille(value: u128) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

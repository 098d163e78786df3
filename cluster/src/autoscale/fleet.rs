//! The nodes that serve, with the loads that can be believed, and what they add up to.
//!
//! Work is CPU times weight: what the topology spreads over nodes by their weights. A node that is
//! not heard adds its weight and no work, as a dead one does: the others carry its work and say so.

use super::policy::Settings;
use super::view::{Load, Member, MemberState, View};
use crate::time::Instant;

/// A node that serves and holds data.
#[derive(Clone, Copy)]
pub(super) struct Serving<'a> {
    pub(super) member: &'a Member,
    /// Its load, if one that can be believed was received lately.
    pub(super) load: Option<&'a Load>,
}

impl Serving<'_> {
    pub(super) fn weight(&self) -> u128 {
        self.member.weight.into()
    }

    /// CPU permille times weight; 0 if it is not heard.
    pub(super) fn work(&self) -> u128 {
        self.load.map_or(0, |load| u128::from(load.cpu_permille)) * self.weight()
    }
}

/// All nodes that serve. Never without weight.
pub(super) struct Fleet<'a> {
    pub(super) nodes: Vec<Serving<'a>>,
    /// Sum of the weights.
    pub(super) weight: u128,
    /// Sum of the work.
    pub(super) work: u128,
    /// How many are heard.
    pub(super) heard: u32,
}

impl<'a> Fleet<'a> {
    /// `None` if nobody serves.
    pub(super) fn of(settings: &Settings, view: &View<'a>, now: Instant) -> Option<Self> {
        let serves = |member: &&Member| member.state == MemberState::Up && member.weight > 0;
        let hear = |member: &'a Member| {
            let load = member.load.as_ref();
            let load = load.filter(|load| load.counts(now, settings.stale_after));
            Serving { member, load }
        };
        let nodes: Vec<Serving> = view.members.iter().filter(serves).map(hear).collect();
        let weight = nodes.iter().map(Serving::weight).sum();
        let work = nodes.iter().map(Serving::work).sum();
        let heard = count(nodes.iter().filter(|node| node.load.is_some()));
        (weight > 0).then_some(Self { nodes, weight, work, heard })
    }

    /// How many nodes serve.
    pub(super) fn len(&self) -> u32 {
        count(self.nodes.iter())
    }

    /// How many of them are not heard.
    pub(super) fn silent(&self) -> u32 {
        self.len() - self.heard
    }

    /// Whether the silent ones are few enough to decide without them.
    pub(super) fn is_heard(&self, settings: &Settings) -> bool {
        let most = u64::from(settings.stale_permille_max) * u64::from(self.len());
        u64::from(self.silent()) * 1000 <= most
    }

    /// The mean CPU by weight, rounded up: permille.
    pub(super) fn cpu_permille(&self) -> u32 {
        permille(self.work.div_ceil(self.weight))
    }

    /// The used part of the fullest disk, rounded up: permille.
    ///
    /// Data is spread by weight, so all nodes should hold about the same a unit of weight. What
    /// one has beyond twice the median of that is not counted: it is something that more nodes do
    /// not cure, or a lie.
    pub(super) fn disk_permille(&self) -> u32 {
        // Bytes a unit of weight, with 32 bits of fraction.
        let density =
            |node: &Serving, load: &Load| (u128::from(load.disk_used_bytes) << 32) / node.weight();
        let twice = self.median(density).saturating_mul(2);
        let part = |node: &Serving| {
            let load = node.load?;
            let placed = twice.saturating_mul(node.weight()) >> 32;
            let used = u128::from(load.disk_used_bytes).min(placed);
            Some(disk_permille(used, load))
        };
        self.nodes.iter().filter_map(part).max().unwrap_or(0)
    }

    /// The median latency, in microseconds; a node without requests counts as quick.
    pub(super) fn p99_us(&self) -> u64 {
        self.median(|_, load| if load.ops_per_s == 0 { 0 } else { load.p99_us })
    }

    /// The lower median of what `value` is for those that are heard: what a lie of fewer than half
    /// cannot move beyond what others say.
    fn median<T: Ord + Default>(&self, value: impl Fn(&Serving, &Load) -> T) -> T {
        let told = |node: &Serving| node.load.map(|load| value(node, load));
        let mut values: Vec<T> = self.nodes.iter().filter_map(told).collect();
        values.sort_unstable();
        let middle = values.len().saturating_sub(1) / 2;
        values.into_iter().nth(middle).unwrap_or_default()
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

fn count(nodes: impl Iterator) -> u32 {
    u32::try_from(nodes.count()).unwrap_or(u32::MAX)
}

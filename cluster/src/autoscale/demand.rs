//! How many nodes the load needs: each target on its own, the greatest wins.
//!
//! CPU and disk are proportional: all in all the nodes there are, times load over target, rounded
//! up, as the horizontal pod autoscaler of Kubernetes has it; in each group of nodes on its own, as
//! work and data stay within it. Latency is not proportional to anything, so it asks for one node
//! more, for as long as the CPU says that there is work to be spread.

use super::fleet::{Fleet, Sum};
use super::policy::Settings;
use super::reason::Shortage;
use super::view::View;

/// Kinds of shortage.
pub(super) const KINDS: usize = 4;

/// A shortage and how many more nodes would end it, at least 1.
#[derive(Clone, Copy)]
pub(super) struct Demand {
    pub(super) shortage: Shortage,
    pub(super) more: u32,
}

/// The fewest nodes there may be, whatever the load.
pub(super) fn nodes_min(settings: &Settings, view: &View) -> u32 {
    settings.nodes_min.max(view.replication).max(1)
}

/// What is short, each kind at its own place.
pub(super) fn demands(settings: &Settings, view: &View, fleet: &Fleet) -> [Option<Demand>; KINDS] {
    [
        nodes(settings, view, fleet),
        disk(settings, fleet),
        cpu(settings, fleet),
        latency(settings, fleet),
    ]
}

fn nodes(settings: &Settings, view: &View, fleet: &Fleet) -> Option<Demand> {
    let (nodes, minimum) = (fleet.all.nodes, nodes_min(settings, view));
    let shortage = Shortage::Nodes { nodes, minimum };
    (nodes < minimum).then(|| Demand { shortage, more: minimum - nodes })
}

fn disk(settings: &Settings, fleet: &Fleet) -> Option<Demand> {
    let target = settings.disk_target_permille;
    let shortage = Shortage::Disk { permille: fleet.disk_permille(), target_permille: target };
    let nodes = |group| fleet.groups.get(group).map_or(0, |sum| sum.nodes);
    let disks = fleet.disks();
    let short = disks.iter().map(|(group, &used)| more(nodes(group), used.into(), target.into()));
    let more = short.fold(0, u32::saturating_add);
    (more > 0).then_some(Demand { shortage, more })
}

fn cpu(settings: &Settings, fleet: &Fleet) -> Option<Demand> {
    let target = settings.cpu_target_permille;
    let shortage = Shortage::Cpu { permille: fleet.cpu_permille(), target_permille: target };
    let is_over = |group: &&Sum| group.is_over(settings.upper_ppm(target));
    let short = |group: &Sum| more(group.nodes, group.work, u128::from(target) * group.weight);
    let over = fleet.groups.values().filter(is_over);
    let more = over.map(short).fold(0, u32::saturating_add);
    (more > 0).then_some(Demand { shortage, more })
}

fn latency(settings: &Settings, fleet: &Fleet) -> Option<Demand> {
    let target = settings.p99?;
    let p99_us = fleet.p99_us();
    let is_busy = fleet.all.work >= u128::from(target.cpu_floor_permille) * fleet.all.weight;
    let shortage = Shortage::P99 { p99_us, target_us: target.p99_us };
    (is_busy && p99_us > target.p99_us).then_some(Demand { shortage, more: 1 })
}

/// `nodes` times what `load` is over `target`, over `target`, rounded up: at least 1 if it is over.
/// A node that is added has the mean weight of those there are.
fn more(nodes: u32, load: u128, target: u128) -> u32 {
    let over = load.saturating_sub(target);
    let more = u128::from(nodes).saturating_mul(over).div_ceil(target);
    u32::try_from(more).unwrap_or(u32::MAX)
}

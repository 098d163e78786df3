//! Which node can go, and what the rest would carry then.
//!
//! The choice is the same for whoever makes it: a node of the rack with the most weight, so that
//! racks even out; no voter if that can be helped, as its seat would have to be given to another;
//! then the one of least weight, which moves least; then the least id.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemas::ids::NodeId;

use super::demand::nodes_min;
use super::fleet::{Fleet, Serving, disk_permille, permille};
use super::policy::Settings;
use super::reason::{Hold, Kept};
use super::view::View;
use crate::limits::AUTOSCALE_CANDIDATES_MAX;

/// A node that can go, and what the rest would carry without it.
#[derive(Clone, Copy)]
pub(super) struct Spare {
    pub(super) node: NodeId,
    /// Mean CPU.
    pub(super) cpu_permille: u32,
    /// The fullest of the disks that take over its data.
    pub(super) disk_permille: u32,
}

/// The node to remove.
///
/// # Errors
/// Why none can be.
pub(super) fn spare(settings: &Settings, view: &View, fleet: &Fleet) -> Result<Spare, Hold> {
    let limit_ppm = settings.lower_ppm(settings.cpu_target_permille);
    let lightest = fleet.nodes.iter().map(Serving::weight).min().unwrap_or(0);
    if fleet.work * 1000 > limit_ppm * (fleet.weight - lightest) {
        let (cpu_permille, disk_permille) = (fleet.cpu_permille(), fleet.disk_permille());
        return Err(Hold::Steady { cpu_permille, disk_permille });
    }
    let (nodes, minimum) = (fleet.len(), nodes_min(settings, view));
    if nodes <= minimum {
        return Err(Hold::AtMinimum { nodes, minimum });
    }
    if fleet.silent() > 0 {
        return Err(Hold::Kept(Kept::Silent { nodes: fleet.silent() }));
    }
    let racks = Racks::of(view, fleet);
    let mut kept = None;
    for node in racks.candidates(fleet) {
        match without(settings, fleet, &racks, &node) {
            Ok(spare) => return Ok(spare),
            Err(reason) => kept = kept.or(Some(reason)),
        }
    }
    Err(Hold::Kept(kept.unwrap_or(Kept::Racks)))
}

/// Weight and number of nodes of each rack.
struct Racks {
    racks: BTreeMap<u16, (u128, u32)>,
    /// Whether each rack holds a copy, or more, of everything: what one of its nodes gives up
    /// stays in the rack.
    each_holds_all: bool,
}

impl Racks {
    fn of(view: &View, fleet: &Fleet) -> Self {
        let mut racks: BTreeMap<u16, (u128, u32)> = BTreeMap::new();
        for node in &fleet.nodes {
            let (weight, nodes) = racks.entry(node.member.rack).or_default();
            *weight += node.weight();
            *nodes += 1;
        }
        let copies = usize::try_from(view.replication).unwrap_or(usize::MAX);
        Self { each_holds_all: racks.len() <= copies, racks }
    }

    fn rack(&self, node: &Serving) -> (u128, u32) {
        self.racks.get(&node.member.rack).copied().unwrap_or_default()
    }

    /// Those that leave the racks as they have to be, best first.
    fn candidates<'a>(&self, fleet: &Fleet<'a>) -> Vec<Serving<'a>> {
        let may_go = |node: &&Serving| !self.each_holds_all || self.rack(node).1 > 1;
        let mut candidates: Vec<Serving> = fleet.nodes.iter().filter(may_go).copied().collect();
        candidates.sort_by_key(|node| {
            let Serving { member, .. } = node;
            (Reverse(self.rack(node).0), member.voter, member.weight, member.node)
        });
        candidates.truncate(AUTOSCALE_CANDIDATES_MAX);
        candidates
    }
}

/// What the rest carries without `node`.
///
/// # Errors
/// What would be too much.
fn without(
    settings: &Settings,
    fleet: &Fleet,
    racks: &Racks,
    node: &Serving,
) -> Result<Spare, Kept> {
    let stays = |other: &&Serving| other.member.node != node.member.node;
    let takes = |other: &&Serving| !racks.each_holds_all || other.member.rack == node.member.rack;
    let heirs: Vec<&Serving> = fleet.nodes.iter().filter(stays).filter(takes).collect();
    let weight: u128 = heirs.iter().map(|heir| heir.weight()).sum();
    let work: u128 = heirs.iter().map(|heir| heir.work()).sum();

    let rest = fleet.weight - node.weight();
    let limit_ppm = settings.lower_ppm(settings.cpu_target_permille);
    let groups = [(fleet.work, rest), (work + node.work(), weight)];
    if let Some((work, weight)) = groups.into_iter().find(|(w, of)| w * 1000 > limit_ppm * of) {
        let limit_permille = permille(limit_ppm / 1000);
        return Err(Kept::Cpu { permille: permille(work.div_ceil(weight)), limit_permille });
    }
    let cpu_permille = permille(fleet.work.div_ceil(rest));
    latency(settings, fleet, cpu_permille)?;

    let given = node.load.map_or(0, |load| u128::from(load.disk_used_bytes));
    let filled = |heir: &&Serving| {
        let load = heir.load?;
        let share = given.saturating_mul(heir.weight()).div_ceil(weight);
        Some(disk_permille(share.saturating_add(load.disk_used_bytes.into()), load))
    };
    let disk_permille = heirs.iter().filter_map(filled).max().unwrap_or(0);
    let limit_permille = permille(settings.lower_ppm(settings.disk_target_permille) / 1000);
    if disk_permille > limit_permille {
        return Err(Kept::Disk { permille: disk_permille, limit_permille });
    }
    Ok(Spare { node: node.member.node, cpu_permille, disk_permille })
}

/// Latency grows faster than load, so a removal needs half of the target free; where the CPU
/// afterwards is below the floor it would not be a reason to add either.
fn latency(settings: &Settings, fleet: &Fleet, cpu_permille: u32) -> Result<(), Kept> {
    let Some(target) = settings.p99 else { return Ok(()) };
    let (p99_us, limit_us) = (fleet.p99_us(), target.p99_us / 2);
    if cpu_permille >= target.cpu_floor_permille && p99_us > limit_us {
        return Err(Kept::P99 { p99_us, limit_us });
    }
    Ok(())
}

//! Which node can go and what the rest would carry then; and where one that comes should be.
//!
//! The choice is the same for whoever makes it: a node of the rack with the most weight, so that
//! racks even out; no voter if that can be helped, as its seat would have to be given to another;
//! then the one of least weight, which moves least; then the least id. What comes goes to the rack
//! with the least weight.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemas::ids::NodeId;

use super::demand::nodes_min;
use super::fleet::{Fleet, Serving, disk_permille, permille};
use super::policy::Settings;
use super::reason::{Hold, Kept};
use super::view::{Member, MemberState, View};
use crate::limits::{AUTOSCALE_CANDIDATES_MAX, AUTOSCALE_NODES_MAX};

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
    if fleet.all.without(lightest).is_over(limit_ppm) {
        let (cpu_permille, disk_permille) = (fleet.cpu_permille(), fleet.disk_permille());
        return Err(Hold::Steady { cpu_permille, disk_permille });
    }
    let (nodes, minimum) = (fleet.all.nodes, nodes_min(settings, view));
    if nodes <= minimum {
        return Err(Hold::AtMinimum { nodes, minimum });
    }
    if fleet.silent() > 0 {
        return Err(Hold::Kept(Kept::Silent { nodes: fleet.silent() }));
    }
    let mut kept = None;
    for node in candidates(fleet) {
        match without(settings, fleet, &node) {
            Ok(spare) => return Ok(spare),
            Err(reason) => kept = kept.or(Some(reason)),
        }
    }
    let kept = kept.expect("more nodes than N: more racks than that, or a rack of several");
    Err(Hold::Kept(kept))
}

/// Those that are not the last of their group, best first: the last one would take a rack with it
/// that the copies need.
fn candidates<'a>(fleet: &Fleet<'a>) -> Vec<Serving<'a>> {
    let racks = rack_weights(fleet.nodes.iter().map(|node| node.member));
    let may_go = |node: &&Serving| fleet.group(node).nodes > 1;
    let mut candidates: Vec<Serving> = fleet.nodes.iter().filter(may_go).copied().collect();
    candidates.sort_by_key(|Serving { member, .. }| {
        let rack_weight = racks.get(member.rack).copied();
        (Reverse(rack_weight), member.voter, member.weight, member.node)
    });
    candidates.truncate(AUTOSCALE_CANDIDATES_MAX);
    candidates
}

fn rack_weights<'a>(members: impl Iterator<Item = &'a Member<'a>>) -> BTreeMap<&'a str, u64> {
    let mut racks = BTreeMap::new();
    for member in members {
        *racks.entry(member.rack).or_default() += u64::from(member.weight);
    }
    racks
}

/// The racks in which to start `count` machines, one after the other: each goes where there is
/// least weight then. Empty if there is no member to tell the racks.
#[must_use]
pub fn racks_to_start_in<'a>(view: &View<'a>, count: u32) -> Vec<&'a str> {
    let stays = |member: &&Member| member.state != MemberState::Leaving;
    let mut racks = rack_weights(view.members.iter().filter(stays));
    let weight: u64 = racks.values().sum();
    let mean = weight.div_ceil(view.members.len().max(1) as u64).max(1);
    let next = |_| {
        let lightest = racks.iter_mut().min_by_key(|(_, weight)| **weight)?;
        *lightest.1 += mean;
        Some(*lightest.0)
    };
    (0..count.min(AUTOSCALE_NODES_MAX)).map_while(next).collect()
}

/// What the rest carries without `node`.
///
/// # Errors
/// What would be too much.
fn without(settings: &Settings, fleet: &Fleet, node: &Serving) -> Result<Spare, Kept> {
    let limit_ppm = settings.lower_ppm(settings.cpu_target_permille);
    let (all, group) = (fleet.all, fleet.group(node));
    let rests = [all.without(node.weight()), group.without(node.weight())];
    if let Some(rest) = rests.into_iter().find(|rest| rest.is_over(limit_ppm)) {
        let limit_permille = permille(limit_ppm / 1000);
        return Err(Kept::Cpu { permille: rest.cpu_permille(), limit_permille });
    }
    let [rest, heirs] = rests;
    latency(settings, fleet, rest.cpu_permille())?;

    let given = node.load.map_or(0, |load| u128::from(load.disk_used_bytes));
    let takes =
        |other: &&Serving| other.group == node.group && !std::ptr::eq(other.member, node.member);
    let filled = |heir: &Serving| {
        let load = heir.load?;
        let share = given.saturating_mul(heir.weight()).div_ceil(heirs.weight);
        Some(disk_permille(share.saturating_add(load.disk_used_bytes.into()), load))
    };
    let disk_permille = fleet.nodes.iter().filter(takes).filter_map(filled).max().unwrap_or(0);
    let limit_permille = permille(settings.lower_ppm(settings.disk_target_permille) / 1000);
    if disk_permille > limit_permille {
        return Err(Kept::Disk { permille: disk_permille, limit_permille });
    }
    Ok(Spare { node: node.member.node, cpu_permille: rest.cpu_permille(), disk_permille })
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

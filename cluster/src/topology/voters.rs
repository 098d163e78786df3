//! [`choose`]: who decides the next epoch.
//!
//! - An odd number, up to [`VOTERS_MAX`]: one voter more than an odd number outlives no loss more.
//! - Members that stay. Those that are not to vote only where fewer than three others are there:
//!   one that is down comes back more often than the last voter's disk.
//! - Data centres have them in equal numbers as far as their members go, and so have racks.
//! - Of the choices that spread alike, one that keeps the voters there are: choosing again changes
//!   nothing.

use std::collections::BTreeMap;

use schemas::ids::NodeId;

use super::document::Member;
use crate::limits::VOTERS_MAX;

/// Members that are worth having as voters though they are down: with fewer, one more loss would
/// freeze the topology for good.
const VOTERS_MIN: usize = 3;

/// The voters of `members`, ascending; `voters` are those before.
#[must_use]
pub(crate) fn choose(members: &[Member], voters: &[NodeId]) -> Vec<NodeId> {
    let mut candidates: Vec<_> = members.iter().filter(|it| it.standing.stays()).collect();
    let willing = candidates.iter().filter(|it| it.may_vote).count();
    let count = willing.max(VOTERS_MIN.min(candidates.len())).min(VOTERS_MAX);
    let count = count - usize::from(count.is_multiple_of(2) && count > 0);
    let mut dcs = BTreeMap::<&str, usize>::new();
    let mut racks = BTreeMap::<(&str, &str), usize>::new();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        // One after the other where there are the fewest yet.
        let rank = |it: &Member| {
            let in_dc = dcs.get(&*it.dc).copied().unwrap_or(0);
            let in_rack = racks.get(&(&*it.dc, &*it.rack)).copied().unwrap_or(0);
            (!it.may_vote, in_dc, in_rack, voters.binary_search(&it.id).is_err(), it.id)
        };
        let best = (0..candidates.len()).min_by_key(|at| rank(candidates[*at]));
        let it = candidates.swap_remove(best.expect("more candidates than are chosen"));
        *dcs.entry(&it.dc).or_default() += 1;
        *racks.entry((&it.dc, &it.rack)).or_default() += 1;
        chosen.push(it.id);
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests;

//! How many copies each node of a data centre is to own: in proportion to weights, as far as racks
//! and the number of nodes let it.
//!
//! - Copies of a vnode are spread over racks evenly: each rack has [`Rack::least`] to
//!   [`Rack::most`] of each vnode, which differ by 1 at most.
//! - A node's ideal share is `min(vnodes, level * weight)`. The level is one for all racks but
//!   those that it would take out of their bounds: these have levels of their own, with which they
//!   keep to them. Of all shares that fit the bounds these are the ones that minimise the sum of
//!   `share^2 / weight`, so no copy could move to a node that has less for its weight.
//! - A quota is the ideal share rounded down or up, and so is the sum of a rack's quotas.
//! - Integers only: shares have 32 fractional bits, levels 64.

use std::ops::Range;

use super::racks::Rack;
use crate::limits::MEMBERS_MAX;

/// The fractional bits of a share.
pub(super) const SHARE_BITS: u32 = 32;

/// The fractional bits of a level: a node of the greatest weight still gets its share to the last
/// bit.
const LEVEL_BITS: u32 = 64;

/// Greater than any level: a node of weight 1 gets more than all vnodes, twice.
const LEVEL_MAX: u128 = 1 << (LEVEL_BITS + 18);

/// How far from a whole number a share may be computed that is one: a bit for each node, and one
/// for the level's last. That the sum of shares rounded down is not above the whole, nor of those
/// rounded up below it, is sure as long as the slack of all nodes together is less than a copy.
const SLACK: u64 = 1 << 16;

const _: () = assert!(2 * (MEMBERS_MAX as u64) < SLACK, "what is lost computing shares");
const _: () = assert!((MEMBERS_MAX as u64) * SLACK < 1 << SHARE_BITS, "less than a copy");

/// A node, as far as shares go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    /// At least 1.
    pub(super) weight: u32,
    /// Copies it owns of vnodes that do not take part.
    pub(super) settling: u32,
    /// Copies it is to own as it is.
    pub(super) load: u32,
    /// Copies it reads.
    pub(super) held: u32,
    /// Anything that differs from node to node: decides between equals.
    pub(super) chance: u64,
}

/// Ideal shares, in copies with [`SHARE_BITS`] fractional bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ideal {
    pub(super) nodes: Vec<u64>,
    pub(super) racks: Vec<u64>,
}

/// The ideal shares when each of `vnodes` has `copies`.
pub(super) fn ideal(nodes: &[Holder], racks: &[Rack], vnodes: u32, copies: u32) -> Ideal {
    let units = |copies: u32| (u128::from(vnodes) * u128::from(copies)) << SHARE_BITS;
    let share = |node: &Holder, level: u128| {
        let whole = (level * u128::from(node.weight)) >> (LEVEL_BITS - SHARE_BITS);
        whole.saturating_sub(u128::from(node.settling) << SHARE_BITS).min(units(1))
    };
    let wanted = |rack: &Rack, level: u128| -> u128 {
        nodes[rack.nodes.clone()].iter().map(|node| share(node, level)).sum()
    };
    let bounded =
        |rack: &Rack, level| wanted(rack, level).clamp(units(rack.least), units(rack.most));
    let common =
        greatest_level(units(copies), |level| racks.iter().map(|rack| bounded(rack, level)).sum());
    let mut ideal = Ideal { nodes: Vec::with_capacity(nodes.len()), racks: Vec::new() };
    for rack in racks {
        let gets = bounded(rack, common);
        let own = || greatest_level(gets, |level| wanted(rack, level));
        let level = if wanted(rack, common) == gets { common } else { own() };
        ideal.nodes.extend(nodes[rack.nodes.clone()].iter().map(|it| share(it, level) as u64));
        ideal.racks.push(gets as u64);
    }
    ideal
}

/// The greatest level at which `total`, which grows with it, is no more than `target`.
fn greatest_level(target: u128, total: impl Fn(u128) -> u128) -> u128 {
    let (mut fits, mut above) = (0, LEVEL_MAX + 1);
    while above - fits > 1 {
        let middle = fits.midpoint(above);
        if total(middle) <= target {
            fits = middle;
        } else {
            above = middle;
        }
    }
    fits
}

/// How many copies each node is to own when each of `vnodes` has `copies`: its ideal share rounded
/// down or up. Which of them: what it is to own already, or else what it holds; where that does not
/// add up, a copy more or less, first for those that come closer to what they hold by it. While
/// other vnodes settle, `settling` of them, nothing changes that will be level once they have.
pub(super) fn quotas(
    nodes: &[Holder],
    racks: &[Rack],
    (vnodes, settling): (u32, u32),
    copies: u32,
) -> Vec<u32> {
    if settling > 0 && will_be_level(nodes, racks, (vnodes, settling), copies) {
        return nodes.iter().map(|it| it.load).collect();
    }
    let ideal = ideal(nodes, racks, vnodes, copies);
    let mut rounding = Rounding::new(nodes, ideal.nodes);
    let mut sums = Vec::with_capacity(racks.len());
    for (rack, &share) in racks.iter().zip(&ideal.racks) {
        let sum = rounding.quotas[rack.nodes.clone()].iter().sum::<u32>();
        let (least, most) = rounding.bounds(rack.nodes.clone());
        let goal = sum.clamp(floor(share), ceil(share)).clamp(least, most);
        rounding.nudge(rack.nodes.clone(), (sum, goal), |_| true);
        sums.push(goal);
    }
    let (total, goal) = (sums.iter().sum(), vnodes * copies);
    rounding.nudge(0..nodes.len(), (total, goal), |node| {
        let at = racks.partition_point(|rack| rack.nodes.end <= node);
        let to = if total < goal { ceil(ideal.racks[at]) } else { floor(ideal.racks[at]) };
        let has_room = sums[at] != to;
        sums[at] = if has_room { to } else { sums[at] };
        has_room
    });
    rounding.quotas
}

/// Whether each node has its ideal share of all vnodes, together with those that are settling.
fn will_be_level(
    nodes: &[Holder],
    racks: &[Rack],
    (vnodes, settling): (u32, u32),
    copies: u32,
) -> bool {
    let all: Vec<Holder> = nodes.iter().map(|&it| Holder { settling: 0, ..it }).collect();
    let ideal = ideal(&all, racks, vnodes + settling, copies);
    let fits = |(node, &share): (&Holder, &u64)| {
        (floor(share)..=ceil(share)).contains(&(node.load + node.settling))
    };
    let sum = |rack: &Rack| nodes[rack.nodes.clone()].iter().map(|it| it.load).sum::<u32>();
    let in_bounds = |rack: &Rack| (vnodes * rack.least..=vnodes * rack.most).contains(&sum(rack));
    nodes.iter().zip(&ideal.nodes).all(fits)
        && racks.iter().all(in_bounds)
        && racks.iter().map(sum).sum::<u32>() == vnodes * copies
}

/// A share rounded down.
fn floor(share: u64) -> u32 {
    ((share + SLACK) >> SHARE_BITS) as u32
}

/// A share rounded up.
fn ceil(share: u64) -> u32 {
    share.saturating_sub(SLACK).div_ceil(1 << SHARE_BITS) as u32
}

/// Ideal shares on their way to quotas.
struct Rounding<'a> {
    nodes: &'a [Holder],
    shares: Vec<u64>,
    quotas: Vec<u32>,
}

impl<'a> Rounding<'a> {
    fn new(nodes: &'a [Holder], shares: Vec<u64>) -> Self {
        let nearest = |(node, &share): (&Holder, &u64)| {
            let fits = |copies: &u32| (floor(share)..=ceil(share)).contains(copies);
            let of = if fits(&node.held) && !fits(&node.load) { node.held } else { node.load };
            of.clamp(floor(share), ceil(share))
        };
        let quotas = nodes.iter().zip(&shares).map(nearest).collect();
        Self { nodes, shares, quotas }
    }

    /// The sums of the shares of `places` rounded down and up.
    fn bounds(&self, places: Range<usize>) -> (u32, u32) {
        let shares = self.shares[places].iter();
        (shares.clone().map(|&it| floor(it)).sum(), shares.map(|&it| ceil(it)).sum())
    }

    /// Gives as many of `places` a copy more or less as the sum is to change by, `from` and `to`;
    /// `has_room` is asked and told.
    fn nudge(
        &mut self,
        places: Range<usize>,
        (from, to): (u32, u32),
        mut has_room: impl FnMut(usize) -> bool,
    ) {
        let grows = to > from;
        let mut left = from.abs_diff(to);
        for at in self.order(places, grows) {
            if left > 0 && has_room(at) {
                self.quotas[at] = if grows { self.quotas[at] + 1 } else { self.quotas[at] - 1 };
                left -= 1;
            }
        }
    }

    /// Which of `places` can have a copy more, or less: first those that hold more than their
    /// quota, or less; then those that rounding had served worse.
    fn order(&self, places: Range<usize>, grows: bool) -> Vec<usize> {
        let can = |&at: &usize| {
            let share = self.shares[at];
            if grows { self.quotas[at] < ceil(share) } else { self.quotas[at] > floor(share) }
        };
        let key = |&at: &usize| {
            let beyond = i64::from(self.quotas[at]) - i64::from(self.nodes[at].held);
            let fraction = (self.shares[at] & ((1 << SHARE_BITS) - 1)) as i64;
            let (beyond, fraction) = if grows { (beyond, -fraction) } else { (-beyond, fraction) };
            (beyond, fraction, self.nodes[at].chance, at)
        };
        let mut order: Vec<usize> = places.filter(can).collect();
        order.sort_by_key(key);
        order
    }
}

#[cfg(test)]
mod tests;

//! The least that must move, by minimum-cost flow: cheapest augmenting paths (Busacker and Gowen,
//! 1960), one copy at a time.

use std::collections::VecDeque;

use super::check::{Centre, open_vnodes, rounded};
use crate::topology::Document;

struct Edge {
    to: usize,
    room: i64,
    cost: i64,
}

#[derive(Default)]
struct Flow {
    /// Each followed by its reverse.
    edges: Vec<Edge>,
    of: Vec<Vec<usize>>,
}

impl Flow {
    fn node(&mut self) -> usize {
        self.of.push(Vec::new());
        self.of.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        let back = Edge { to: from, room: 0, cost: -cost };
        for (from, edge) in [(from, Edge { to, room, cost }), (to, back)] {
            self.of[from].push(self.edges.len());
            self.edges.push(edge);
        }
    }

    /// Sends one unit along the cheapest path; its cost.
    fn augment(&mut self, source: usize, sink: usize) -> i64 {
        let mut cost = vec![i64::MAX; self.of.len()];
        let mut by = vec![usize::MAX; self.of.len()];
        let mut is_queued = vec![false; self.of.len()];
        let mut queue = VecDeque::from([source]);
        cost[source] = 0;
        while let Some(at) = queue.pop_front() {
            is_queued[at] = false;
            for &edge in &self.of[at] {
                let Edge { to, room, cost: more } = self.edges[edge];
                if room > 0 && cost[at] + more < cost[to] {
                    (cost[to], by[to]) = (cost[at] + more, edge);
                    if !std::mem::replace(&mut is_queued[to], true) {
                        queue.push_back(to);
                    }
                }
            }
        }
        let mut at = sink;
        while at != source {
            self.edges[by[at]].room -= 1;
            self.edges[by[at] ^ 1].room += 1;
            at = self.edges[by[at] ^ 1].to;
        }
        cost[sink]
    }
}

/// What it costs to leave a lower bound unmet.
const UNMET: i64 = 1 << 20;

/// The fewest copies that can move if each node is to have its ideal share rounded down or up, and
/// each vnode all its copies, evenly spread over racks.
pub(super) fn least_moves(centre: &Centre, before: &Document) -> u32 {
    let mut flow = Flow::default();
    let (source, sink) = (flow.node(), flow.node());
    let (mut copies, mut lower) = (0, 0);
    let mut bounded = |flow: &mut Flow, from: usize, to: usize, (least, most): (u32, u32)| {
        flow.edge(from, to, i64::from(least), -UNMET);
        flow.edge(from, to, i64::from(most - least), 0);
        lower += i64::from(least);
    };
    let ideal = centre.ideal(before);
    let mut nodes = vec![0; before.members.len()];
    for at in centre.nodes().map(|it| usize::from(it.0)) {
        nodes[at] = flow.node();
        bounded(&mut flow, nodes[at], sink, rounded(ideal[at]));
    }
    let bounds = centre.bounds();
    for vnode in open_vnodes(before) {
        let owners = centre.successors(before, vnode);
        let of_vnode = flow.node();
        flow.edge(source, of_vnode, centre.copies as i64, 0);
        copies += centre.copies;
        for (rack, &(least, most)) in centre.racks.iter().zip(&bounds) {
            let of_rack = flow.node();
            bounded(&mut flow, of_vnode, of_rack, (least as u32, most as u32));
            for &member in rack {
                let moves = !owners[..centre.copies].contains(&Some(member));
                flow.edge(of_rack, nodes[usize::from(member.0)], 1, i64::from(moves));
            }
        }
    }
    let cost: i64 = (0..copies).map(|_| flow.augment(source, sink)).sum();
    u32::try_from(cost + lower * UNMET).expect("lower bounds are met")
}

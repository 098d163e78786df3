//! [`Survey`]: everything that is measured, for clusters of these sizes.

use super::detection::{Spread, Watch, Watched, spread, watch};
use super::rebalance::{JoinOptions, Joined, join};
use super::topology::{ChangeOptions, Changed, change};

/// Seconds of quiet that all nodes together are watched for, so that small clusters are for longer.
const NODE_SECONDS: u64 = 36_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct SurveyOptions {
    /// All chance comes from it.
    pub seed: u64,
    /// The most nodes.
    pub nodes: usize,
    /// The most nodes of gossip alone.
    pub gossip_nodes: usize,
    /// Only so much that all of it takes a few seconds.
    pub quick: bool,
}

/// What was measured: each with what it was measured for.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Crashes, and what was none.
    pub watched: Vec<(Watch, Watched)>,
    /// Records and claims. `None` where not all had it in time.
    pub spread: Vec<(usize, Option<Spread>)>,
    /// Changes of the topology. `None` where it was not decided in time.
    pub changed: Vec<(ChangeOptions, Option<Changed>)>,
    /// A node more.
    pub joined: Vec<(JoinOptions, Joined)>,
}

impl SurveyOptions {
    /// Of these numbers those that are not too many, and the most there may be.
    fn sizes(&self, most: usize) -> Vec<usize> {
        let mut sizes: Vec<usize> = [10, 30, 100, 300, 1_000, 3_000, 10_000]
            .into_iter()
            .filter(|nodes| *nodes < most)
            .chain([most])
            .collect();
        if self.quick {
            sizes.retain(|nodes| [10, most].contains(nodes));
        }
        sizes
    }

    fn watches(&self) -> Vec<Watch> {
        let losses: &[u32] = if self.quick { &[0, 100] } else { &[0, 50, 100, 200, 300] };
        // A suspicion costs what all nodes together say of it, and their number grows with that of
        // the nodes: with 1,000 and a third lost, a second takes minutes.
        let most_lost = |nodes: usize| if nodes > 300 { 100 } else { 300 };
        let of = |nodes: usize| {
            let losses = losses.iter().filter(move |it| **it <= most_lost(nodes));
            losses.map(move |&loss_permille| Watch {
                nodes,
                loss_permille,
                quiet_s: (NODE_SECONDS / nodes as u64).max(if self.quick { 20 } else { 60 }),
                crashes: if nodes > 300 || self.quick { 1 } else { 5 },
                with_records: false,
            })
        };
        let mut watches: Vec<Watch> = self.sizes(self.nodes).into_iter().flat_map(of).collect();
        if self.quick {
            watches.iter_mut().for_each(|it| it.quiet_s = it.quiet_s.min(120));
        }
        watches
    }

    fn changes(&self) -> Vec<ChangeOptions> {
        let of = |nodes: usize| ChangeOptions {
            nodes,
            vnodes: vnodes(nodes),
            bytes_per_s: 125_000_000,
            loss_permille: 0,
        };
        self.sizes(self.nodes).into_iter().map(of).collect()
    }

    fn joins(&self) -> Vec<JoinOptions> {
        let of = |nodes: usize| JoinOptions {
            nodes,
            vnodes: vnodes(nodes),
            bytes_per_node: 1_000_000_000_000,
            bytes_per_s: 62_500_000,
        };
        self.sizes(self.nodes).into_iter().map(of).collect()
    }

    /// Measures all, and calls `done` after each step with its number, how many there are, and what
    /// is next.
    #[must_use]
    pub fn measure(&self, done: &mut dyn FnMut(usize, usize, &str)) -> Survey {
        let (watches, changes, joins) = (self.watches(), self.changes(), self.joins());
        let spreads = self.sizes(self.gossip_nodes);
        let steps = watches.len() + changes.len() + joins.len() + spreads.len();
        let mut step = 0;
        let mut next = |what: &str, nodes: usize| {
            done(step, steps, &format!("{what}, {nodes} nodes"));
            step += 1;
        };
        let mut survey = Survey::default();
        for it in joins {
            next("a join", it.nodes);
            survey.joined.push((it, join(&it, self.seed)));
        }
        for it in watches {
            next("crashes", it.nodes);
            survey.watched.push((it, watch(&it, self.seed)));
        }
        for nodes in spreads {
            next("gossip alone", nodes);
            survey.spread.push((nodes, spread(nodes, self.seed)));
        }
        for it in changes {
            next("a change", it.nodes);
            survey.changed.push((it, change(&it, self.seed)));
        }
        survey
    }
}

/// About 64 vnodes a node, as many as a ring may have.
fn vnodes(nodes: usize) -> u32 {
    (nodes as u32 * 64).next_power_of_two().clamp(64, 1 << 16)
}

//! [`Fault`]: what goes wrong, when and for how long: data, so that it can be kept, edited and cut
//! down to what is needed to fail.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Kinds that a run draws from.
pub(super) const KINDS: u32 = 8;

/// Something that goes wrong for a while.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, in microseconds of the run; as text a time, such as `1m30s`.
    #[serde(rename = "from", with = "crate::duration::micros")]
    pub from_us: u64,
    /// When it is over.
    #[serde(rename = "to", with = "crate::duration::micros")]
    pub to_us: u64,
    /// What it is.
    pub what: What,
}

/// What goes wrong. Nodes are numbered from 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// A node loses its memory and what was not on disk, and starts again at the end.
    Crash {
        /// Which.
        node: usize,
    },
    /// A node does nothing, and what comes for it waits.
    Pause {
        /// Which.
        node: usize,
    },
    /// Nothing gets from some nodes to others.
    Cut {
        /// From which.
        from: Vec<usize>,
        /// To which.
        to: Vec<usize>,
        /// Whether nothing gets back either.
        both_ways: bool,
    },
    /// What one node sends another is held until the end.
    Clog {
        /// From which.
        from: usize,
        /// To which.
        to: usize,
    },
    /// Whatever a node sends and hears takes longer.
    Slow {
        /// Which.
        node: usize,
        /// By how much.
        by_us: u64,
    },
    /// A node's wall clock is off.
    ClockOff {
        /// Which.
        node: usize,
        /// By how much.
        by_ms: i64,
    },
    /// A node's wall clock stands still.
    ClockFrozen {
        /// Which.
        node: usize,
    },
    /// A node's disk is full.
    DiskFull {
        /// Which.
        node: usize,
    },
    /// What was said is said again, late or in another's name.
    Forge,
    /// A new node joins.
    Join,
    /// A node is to leave.
    Leave {
        /// Which.
        node: usize,
    },
    /// A node is gone for ever with its disk, and declared lost.
    Destroy {
        /// Which.
        node: usize,
    },
    /// A node is to have another share.
    Weigh {
        /// Which.
        node: usize,
        /// Its new weight; others have 100.
        weight: u32,
    },
}

impl Fault {
    /// What goes wrong in a run: a few kinds of faults, as many as the seed wants.
    #[must_use]
    pub fn draw(rng: &mut Rng, nodes: usize, changes: usize, length: Duration) -> Vec<Self> {
        let kinds: Vec<u32> = (0..KINDS).filter(|_| rng.bool()).collect();
        let mut faults = Self::draw_of(rng, &kinds, nodes, length);
        faults.extend(Self::draw_changes(rng, nodes, changes, length));
        faults
    }

    /// Changes of the topology that operators want.
    pub(super) fn draw_changes(
        rng: &mut Rng,
        nodes: usize,
        changes: usize,
        length: Duration,
    ) -> Vec<Self> {
        let mut draw = || {
            let from_us = rng.u64(..(length.as_micros() as u64).max(1));
            let node = rng.usize(..nodes);
            let what = match rng.u32(..8) {
                0..3 => What::Join,
                3 | 4 => What::Leave { node },
                5 => What::Destroy { node },
                _ => What::Weigh { node, weight: rng.u32(0..400) },
            };
            Self { from_us, to_us: from_us, what }
        };
        (0..changes).map(|_| draw()).collect()
    }

    /// Two times in which things are said again.
    pub(super) fn draw_forged(rng: &mut Rng, length: Duration) -> Vec<Self> {
        let length_us = (length.as_micros() as u64).max(1);
        let mut draw = || {
            let from_us = rng.u64(..length_us);
            let to_us = from_us + rng.u64(..=length_us - from_us);
            Self { from_us, to_us, what: What::Forge }
        };
        vec![draw(), draw()]
    }

    /// As above, of some kinds.
    pub(super) fn draw_of(
        rng: &mut Rng,
        kinds: &[u32],
        nodes: usize,
        length: Duration,
    ) -> Vec<Self> {
        let length_us = length.as_micros() as u64;
        let every_us = rng.u64(1_000_000..120_000_000);
        let mut faults = Vec::new();
        let mut at_us = 0;
        while let Some(&kind) = rng.choice(kinds) {
            at_us += rng.u64(..every_us * 2);
            if at_us >= length_us {
                break;
            }
            // Mostly short, seldom very long.
            let longest_us = 1 << rng.u32(14..29);
            let to_us = (at_us + rng.u64(1000..=longest_us)).min(length_us);
            faults.push(Self { from_us: at_us, to_us, what: What::draw(rng, kind, nodes) });
        }
        faults
    }
}

impl What {
    /// Whether there is a node more afterwards.
    pub(super) fn adds_node(&self) -> bool {
        *self == Self::Join
    }

    /// Any of a kind, which is below [`KINDS`].
    pub(super) fn draw(rng: &mut Rng, kind: u32, nodes: usize) -> Self {
        let node = rng.usize(..nodes);
        match kind {
            0 => Self::Crash { node },
            1 => Self::Pause { node },
            2 => {
                let mut all: Vec<usize> = (0..nodes).collect();
                rng.shuffle(&mut all);
                let (from, to) = all.split_at(rng.usize(..nodes));
                Self::Cut { from: from.to_vec(), to: to.to_vec(), both_ways: rng.bool() }
            }
            3 => Self::Clog { from: node, to: rng.usize(..nodes) },
            4 => Self::Slow { node, by_us: rng.u64(1000..2_000_000) },
            5 => Self::ClockOff { node, by_ms: rng.i64(-3_600_000..3_600_000) },
            6 => Self::ClockFrozen { node },
            _ => Self::DiskFull { node },
        }
    }
}

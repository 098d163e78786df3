//! [`Fault`]: what goes wrong, when and for how long: data, so that it can be kept, edited and cut
//! down to what is needed to fail.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Kinds that a run draws from.
pub(super) const KINDS: u32 = 13;

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
    /// As a crash, in which one core loses some of what was on disk, unless that could be more than
    /// is promised to be borne.
    LosePart {
        /// Which.
        node: usize,
    },
    /// A node's disk is full.
    DiskFull {
        /// Which.
        node: usize,
    },
    /// A node's wall clock runs fast or slow.
    ClockDrifts {
        /// Which.
        node: usize,
        /// Microseconds that it gains each second; it loses them where negative.
        by_ppm: i64,
    },
    /// A node's disk takes longer to sync.
    DiskSlow {
        /// Which.
        node: usize,
        /// By how much.
        by_us: u64,
    },
    /// A node of another cluster has the name and the address of one of this, hears what that one
    /// is told, and talks to the others.
    Stranger {
        /// As which it appears.
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
    /// A new node takes the place of another.
    Replace {
        /// Which.
        node: usize,
        /// Whether that is gone for ever with its disk; else it leaves.
        is_lost: bool,
    },
    /// Nothing moves until the end.
    PauseMoves,
    /// What moves goes back, and nothing moves until the end.
    AbortMoves,
    /// One that was declared lost was not: it starts with all that it had on its disk.
    Return,
    /// A node is not to vote until the end.
    Unseat {
        /// Which.
        node: usize,
    },
    /// A namespace is to have another number of copies in a data centre.
    Alter {
        /// Which namespace: that of siblings, or that of the last writer.
        siblings: bool,
        /// Which data centre, from 0.
        data_centre: usize,
        /// How many copies.
        copies: u8,
    },
    /// There is to be a new namespace.
    Create {
        /// Whether it keeps siblings.
        siblings: bool,
        /// Copies in each data centre.
        copies: u8,
    },
    /// The first namespace that was created, and is there still, is to go with all that is in it.
    Drop,
}

impl Fault {
    /// What goes wrong in a run: a few kinds of faults, as many as the seed wants.
    #[must_use]
    pub fn draw(rng: &mut Rng, nodes: usize, changes: usize, length: Duration) -> Vec<Self> {
        let kinds: Vec<u32> = (0..KINDS).filter(|_| rng.bool()).collect();
        let mut faults = Self::draw_of(rng, &kinds, nodes, length);
        faults.extend(Self::draw_changes(rng, nodes, changes, length));
        faults.extend(Self::draw_of_moves(rng, nodes, changes, length));
        if rng.u32(..4) == 0 {
            faults.extend(Self::draw_losses(rng, nodes, length));
        }
        faults
    }

    /// Nodes that lose some of what they have.
    pub(super) fn draw_losses(rng: &mut Rng, nodes: usize, length: Duration) -> Vec<Self> {
        let length_us = (length.as_micros() as u64).max(2);
        let mut draw = || {
            let from_us = rng.u64(..length_us);
            let to_us = rng.u64(from_us..length_us.min(from_us + 60_000_000));
            Self { from_us, to_us, what: What::LosePart { node: rng.usize(..nodes) } }
        };
        (0..4).map(|_| draw()).collect()
    }

    /// What operators do about nodes that move their vnodes, where there are changes.
    fn draw_of_moves(rng: &mut Rng, nodes: usize, changes: usize, length: Duration) -> Vec<Self> {
        let length_us = length.as_micros() as u64;
        let mut draw = |_| {
            let from_us = rng.u64(..length_us.max(1));
            let to_us = (from_us + rng.u64(1000..1 << 28)).min(length_us);
            let what = match rng.u32(..8) {
                0..4 => What::PauseMoves,
                4 | 5 => What::AbortMoves,
                draw => What::Replace { node: rng.usize(..nodes), is_lost: draw == 6 },
            };
            Self { from_us, to_us, what }
        };
        (0..changes.div_ceil(2)).map(&mut draw).collect()
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
            let longest_us = 1 << rng.u32(20..29);
            let to_us = (from_us + rng.u64(1000..longest_us)).min(length.as_micros() as u64);
            let what = What::draw_change(rng, node);
            Self { from_us, to_us, what }
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
        matches!(self, Self::Join | Self::Replace { .. })
    }

    /// Whether a node is gone with its disk.
    pub(super) fn destroys(&self) -> bool {
        matches!(self, Self::Destroy { .. } | Self::Replace { is_lost: true, .. })
    }

    /// The nodes that it names.
    #[must_use]
    pub fn nodes(&self) -> Vec<usize> {
        match self {
            Self::Cut { from, to, .. } => from.iter().chain(to).copied().collect(),
            Self::Clog { from, to } => vec![*from, *to],
            Self::Crash { node }
            | Self::Pause { node }
            | Self::Slow { node, .. }
            | Self::ClockOff { node, .. }
            | Self::ClockFrozen { node }
            | Self::ClockDrifts { node, .. }
            | Self::DiskFull { node }
            | Self::LosePart { node }
            | Self::DiskSlow { node, .. }
            | Self::Stranger { node }
            | Self::Leave { node }
            | Self::Destroy { node }
            | Self::Replace { node, .. }
            | Self::Weigh { node, .. }
            | Self::Unseat { node } => vec![*node],
            Self::Forge
            | Self::Join
            | Self::PauseMoves
            | Self::AbortMoves
            | Self::Return
            | Self::Alter { .. }
            | Self::Create { .. }
            | Self::Drop => Vec::new(),
        }
    }

    /// Any change that operators want.
    fn draw_change(rng: &mut Rng, node: usize) -> Self {
        match rng.u32(..16) {
            0..4 => Self::Join,
            4 | 5 => Self::Leave { node },
            6 => Self::Destroy { node },
            7 => Self::Return,
            8 | 9 => Self::Weigh { node, weight: rng.u32(0..400) },
            10 => Self::Unseat { node },
            11..14 => {
                let (siblings, data_centre) = (rng.bool(), rng.usize(..3));
                Self::Alter { siblings, data_centre, copies: rng.u8(..5) }
            }
            14 => Self::Create { siblings: rng.bool(), copies: rng.u8(1..5) },
            _ => Self::Drop,
        }
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
            7 => Self::DiskFull { node },
            8 => {
                // Others still hear both sides.
                let some = |rng: &mut Rng| (0..nodes).filter(|_| rng.u32(..3) == 0).collect();
                Self::Cut { from: some(rng), to: some(rng), both_ways: rng.bool() }
            }
            9 => {
                // Whole data centres, of however many there are.
                let places = rng.usize(2..4);
                let cut_off = rng.usize(..places);
                let (from, to) = (0..nodes).partition(|node| node % places == cut_off);
                Self::Cut { from, to, both_ways: rng.u32(..4) > 0 }
            }
            10 => Self::ClockDrifts { node, by_ppm: rng.i64(-50_000..50_000) },
            11 => Self::DiskSlow { node, by_us: rng.u64(1000..500_000) },
            _ => Self::Stranger { node },
        }
    }
}

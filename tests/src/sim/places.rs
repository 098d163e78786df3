//! [`Places`]: data centres, how far they are apart, and at which levels clients ask.
//!
//! Which operations meet is decided here, where levels are chosen, and is what the history says of
//! an operation: it is of [`Level::Quorum`] if its copies have one in common with those of every
//! other operation of that level in the run, whoever coordinates it. All others are weak.
//!
//! | levels | writes | reads | of level `quorum` are | written back is seen by |
//! |---|---|---|---|---|
//! | `quorum` | QUORUM | QUORUM | all | all |
//! | `counts` | W | R = N + 1 - W | all | all, if 2 R > N |
//! | `each` | EACH_QUORUM | LOCAL_QUORUM | all | who is in the same data centre |
//! | `local` | LOCAL_QUORUM | LOCAL_QUORUM | those asked in the first data centre | all of these |
//!
//! One in thirty asks for ALL instead, which meets everything. With `local`, those that are asked
//! elsewhere are weak: a majority there and one here need not meet. With `each` and `local` clients
//! stay in their data centre, as the SDK does; else they ask anybody.

use cluster::topology::DataCentre;
use fastrand::Rng;
use schemas::consistency::Consistency;
use serde::{Deserialize, Serialize};

use super::options::Options;
use crate::history::{Kind, Level};

/// Data centres, and at which levels clients of them ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// How many data centres there are; nodes are in one after the other.
    pub data_centres: u8,
    /// Copies of each key in each of them but the first; as many as there are nodes at most.
    pub copies_elsewhere: u8,
    /// What a message takes more from one to another, in microseconds.
    pub far_us: u64,
    /// At which levels clients ask.
    pub levels: Levels,
    /// Copies that a write of `counts` asks for; as many as there are at most.
    pub write_copies: u8,
}

/// At which levels clients ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Levels {
    /// A majority.
    Quorum,
    /// Numbers that meet.
    Counts,
    /// Writes a majority in each data centre, reads one in the own.
    Each,
    /// A majority in the own data centre.
    Local,
}

/// What is asked for, and what the history says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) consistency: Consistency,
    pub(super) level: Level,
    /// Whether all reads of level `quorum` see what a read of this has written back.
    pub(super) is_seen_by_all: bool,
}

impl Places {
    /// Those of a seed.
    pub(super) fn draw(seed: u64, nodes: usize) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x706c_6163_6573_0000);
        let most = nodes.clamp(1, 3);
        let data_centres = (*rng.choice([1, 1, 2, 3].iter()).expect("four")).min(most) as u8;
        let copies_elsewhere = rng.u8(0..=3);
        let far_us = rng.u64(1000..50_000);
        let levels = match rng.u32(..8) {
            0..4 => Levels::Quorum,
            4 | 5 => Levels::Counts,
            _ if data_centres == 1 => Levels::Quorum,
            6 => Levels::Each,
            _ => Levels::Local,
        };
        let write_copies = rng.u8(1..=5);
        Self { data_centres, copies_elsewhere, far_us, levels, write_copies }
    }

    /// Which data centre a node or a client is in.
    pub(super) fn of(self, number: usize) -> usize {
        number % usize::from(self.data_centres.max(1))
    }

    /// The name of one.
    pub(super) fn name(place: usize) -> &'static str {
        ["dc0", "dc1", "dc2"][place]
    }

    /// Whether a client asks the nodes of its own data centre alone.
    pub(super) fn stays_at_home(self) -> bool {
        matches!(self.levels, Levels::Each | Levels::Local)
    }

    /// The copies of each data centre at the start of a run.
    pub(super) fn layout(options: &Options) -> Vec<DataCentre> {
        let places = options.places;
        let dc = |place: usize| {
            let nodes = (0..options.nodes).filter(|&node| places.of(node) == place).count() as u8;
            let wanted = if place == 0 { options.copies } else { places.copies_elsewhere };
            DataCentre { name: Self::name(place).into(), copies: wanted.min(nodes) }
        };
        let all = (0..usize::from(places.data_centres)).map(dc);
        all.filter(|dc| dc.copies > 0).collect()
    }

    /// Writes and reads of `counts`, where each key has `copies` copies.
    fn counts(self, copies: u8) -> (u8, u8) {
        let written = self.write_copies.min(copies);
        (written, copies + 1 - written)
    }

    /// Whether everything that was acknowledged at a level of the run is still there when any one
    /// node is gone, of `layout`.
    pub(super) fn survives_a_loss(self, layout: &[DataCentre]) -> bool {
        let all: u8 = layout.iter().map(|dc| dc.copies).sum();
        let fewest = layout.iter().map(|dc| dc.copies).min().unwrap_or(0);
        match self.levels {
            Levels::Quorum | Levels::Each => all >= 2,
            Levels::Counts => all >= 2 && self.counts(all).0 > all / 2,
            Levels::Local => fewest >= 2,
        }
    }

    /// What a client in data centre `place` asks for that wants an operation of `level`, with
    /// `copies` copies of each key in all.
    pub(super) fn ask(
        self,
        rng: &mut Rng,
        place: usize,
        kind: Kind,
        level: Level,
        copies: u8,
    ) -> Asked {
        let is_alone = self.data_centres == 1;
        if level == Level::Weak {
            let is_local = !is_alone && rng.bool();
            let consistency = if is_local { Consistency::LocalOne } else { Consistency::ONE };
            return Asked { consistency, level, is_seen_by_all: false };
        }
        if !is_alone || self.levels == Levels::Counts {
            let is_all = rng.u32(..30) == 0;
            if is_all {
                return Asked { consistency: Consistency::All, level, is_seen_by_all: true };
            }
        }
        let (consistency, level, is_seen_by_all) = match (self.levels, kind) {
            (Levels::Quorum, _) => (Consistency::Quorum, level, true),
            (Levels::Counts, _) => {
                let (written, read) = self.counts(copies);
                let count = if kind == Kind::Get { read } else { written };
                let consistency = Consistency::count(count).unwrap_or(Consistency::ONE);
                (consistency, level, 2 * read > copies)
            }
            (Levels::Each, Kind::Get) => (Consistency::LocalQuorum, level, is_alone),
            (Levels::Each, _) => (Consistency::EachQuorum, level, true),
            (Levels::Local, _) if place == 0 => (Consistency::LocalQuorum, level, true),
            (Levels::Local, _) if level == Level::Quorum => {
                (Consistency::LocalQuorum, Level::Weak, false)
            }
            (Levels::Local, _) => (Consistency::LocalQuorum, level, false),
        };
        Asked { consistency, level, is_seen_by_all }
    }

    /// Whether reads of a session that write back never go back: each sees what the one before it
    /// wrote back.
    pub(super) fn has_sessions(self, copies: u8) -> bool {
        self.levels != Levels::Counts || 2 * self.counts(copies).1 > copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(levels: Levels, write_copies: u8) -> Places {
        Places { data_centres: 2, copies_elsewhere: 3, far_us: 1000, levels, write_copies }
    }

    #[test]
    fn numbers_meet() {
        for copies in 1..9 {
            for write_copies in 1..9 {
                let (written, read) = places(Levels::Counts, write_copies).counts(copies);
                assert!(written + read > copies && written <= copies && read <= copies);
            }
        }
    }

    #[test]
    fn a_majority_elsewhere_need_not_meet_one_here() {
        let mut rng = Rng::with_seed(1);
        for (place, level) in [(0, Level::Quorum), (1, Level::Weak)] {
            let it = places(Levels::Local, 1);
            let asked = (0..200).map(|_| it.ask(&mut rng, place, Kind::Get, Level::Quorum, 6));
            let mut majorities = asked.filter(|it| it.consistency == Consistency::LocalQuorum);
            assert!(majorities.all(|it| it.level == level));
        }
    }
}

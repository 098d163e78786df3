//! [`Class`]: kinds of faults by the names that people give them.

use std::str::FromStr;

use fastrand::Rng;

use super::faults::{Fault, KINDS, What};
use super::options::Options;
use super::run::{fault_rng, faults, forged_rng};

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// Nodes that lose their memory, and start again.
    Crash,
    /// Nodes that stand still.
    Pause,
    /// Nodes that others do not hear.
    Cut,
    /// Messages that are held back.
    Clog,
    /// Nodes that others hear late.
    Slow,
    /// Wall clocks that are off, run fast or slow, or stand still.
    Clock,
    /// Disks that are full, or slow, or lose some of what is on them.
    Disk,
    /// Nodes of another cluster that have names and addresses of this one's.
    Stranger,
    /// Words that are said again, late or in another's name.
    Forge,
    /// Nodes that join, leave, are lost, come back, get another share, vote or do not; namespaces
    /// that are created, altered, dropped.
    Topology,
}

impl Class {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Crash, "crash"),
        (Self::Pause, "pause"),
        (Self::Cut, "cut"),
        (Self::Clog, "clog"),
        (Self::Slow, "slow"),
        (Self::Clock, "clock"),
        (Self::Disk, "disk"),
        (Self::Stranger, "stranger"),
        (Self::Forge, "forge"),
        (Self::Topology, "topology"),
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|it| it.0 == self);
        found.expect("it is one of all").1
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|it| it.1 == name);
        found.map(|it| it.0).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|it| it.1).collect();
            format!("\"{name}\" is none of the faults {}", names.join(", "))
        })
    }
}

impl What {
    /// Which kind it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Crash { .. } => Class::Crash,
            Self::Pause { .. } => Class::Pause,
            Self::Cut { .. } => Class::Cut,
            Self::Clog { .. } => Class::Clog,
            Self::Slow { .. } => Class::Slow,
            Self::ClockOff { .. } | Self::ClockFrozen { .. } | Self::ClockDrifts { .. } => {
                Class::Clock
            }
            Self::DiskFull { .. } | Self::DiskSlow { .. } | Self::LosePart { .. } => Class::Disk,
            Self::Stranger { .. } => Class::Stranger,
            Self::Forge => Class::Forge,
            Self::Join
            | Self::Leave { .. }
            | Self::Destroy { .. }
            | Self::Replace { .. }
            | Self::PauseMoves
            | Self::AbortMoves
            | Self::Weigh { .. }
            | Self::Return
            | Self::Unseat { .. }
            | Self::Alter { .. }
            | Self::Create { .. }
            | Self::Drop => Class::Topology,
        }
    }
}

/// What goes wrong in the run of these options if it is to be of some kinds, all of which are
/// drawn from; of those that the seed picks if `None`.
#[must_use]
pub fn faults_of(options: &Options, classes: Option<&[Class]>) -> Vec<Fault> {
    let Some(classes) = classes else { return faults(options) };
    let any_of = |&kind: &u32| {
        let any = What::draw(&mut Rng::with_seed(0), kind, options.nodes);
        classes.contains(&any.class())
    };
    let kinds: Vec<u32> = (0..KINDS).filter(any_of).collect();
    let mut rng = fault_rng(options);
    let mut faults = Fault::draw_of(&mut rng, &kinds, options.nodes, options.safety);
    if classes.contains(&Class::Disk) {
        faults.extend(Fault::draw_losses(&mut rng, options.nodes, options.safety));
    }
    if classes.contains(&Class::Forge) {
        faults.extend(Fault::draw_forged(&mut forged_rng(options), options.safety));
    }
    if classes.contains(&Class::Topology) {
        let changes = options.changes_max.max(1);
        faults.extend(Fault::draw_changes(&mut rng, options.nodes, changes, options.safety));
    }
    faults
}

//! What was decided and why, as data that prints as a sentence for logs and `kvctl`.

use std::fmt;
use std::time::Duration;

use schemas::ids::NodeId;

/// What the policy says of one data centre at one moment.
///
/// All others are proposals, of which that is decided which comes first after the epoch `since`
/// that changed the data centre last: the next one has to be made from what that made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Nothing is to be changed, or may be yet.
    Hold(Hold),
    /// Machines are to be started.
    Add {
        /// The epoch that changed the data centre last.
        since: u32,
        /// Where.
        dc: Box<str>,
        /// How many, at least 1.
        count: u32,
        /// Why.
        reason: AddReason,
    },
    /// Machines that were to be started have not come, and are not waited for.
    GiveUp {
        /// The epoch that changed the data centre last.
        since: u32,
        /// Where.
        dc: Box<str>,
        /// How many, at least 1.
        machines: u32,
        /// For how long nothing happened.
        waited: Duration,
    },
    /// A node is to leave.
    Remove {
        /// The epoch that changed the data centre last.
        since: u32,
        /// Where.
        dc: Box<str>,
        /// Which.
        node: NodeId,
        /// Why.
        reason: RemoveReason,
    },
}

/// Why nothing is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// All is within its band.
    Steady {
        /// Mean CPU by weight, of the rack where it is greatest if each rack holds everything.
        cpu_permille: u32,
        /// Used part of the fullest disk.
        disk_permille: u32,
    },
    /// The topology is still moving from the last change.
    Busy {
        /// Members that join.
        joining: u32,
        /// Members that leave.
        leaving: u32,
        /// Vnodes that move.
        moves: u32,
    },
    /// Too few nodes told a load that can be believed.
    Unknown {
        /// Those that did.
        heard: u32,
        /// Those that serve.
        nodes: u32,
    },
    /// Not long enough since the last change, or since this node began to evaluate.
    CoolingDown {
        /// Until a decision may be made.
        left: Duration,
    },
    /// Nodes are needed, not yet for long enough.
    AddSoon {
        /// What for.
        reason: AddReason,
        /// Until they are added.
        left: Duration,
    },
    /// Nodes are needed, and as many have been asked for.
    Starting {
        /// What for.
        reason: AddReason,
        /// Machines on their way.
        machines: u32,
    },
    /// Nodes are needed, and there may be no more.
    AtMaximum {
        /// What for.
        reason: AddReason,
        /// The members there are, and the machines on their way.
        members: u32,
        /// The members there may be.
        maximum: u32,
    },
    /// A node could go, not yet for long enough.
    RemoveSoon {
        /// The one that would.
        node: NodeId,
        /// Until it is removed.
        left: Duration,
    },
    /// The load would let a node go, and there may be no fewer.
    AtMinimum {
        /// The nodes that serve.
        nodes: u32,
        /// The nodes there must be: the policy's minimum, or N where that is more.
        minimum: u32,
    },
    /// The mean load would let a node go, and something else keeps all of them.
    Kept(Kept),
}

/// What keeps every node where the mean CPU does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// Some are not heard: one of them may be dead, and its copies with it.
    Silent {
        /// How many.
        nodes: u32,
    },
    /// Those that would take over its work would have too much.
    Cpu {
        /// Mean CPU of those after the removal.
        permille: u32,
        /// What it would have to be at or below.
        limit_permille: u32,
    },
    /// A disk that would take over its data would be too full.
    Disk {
        /// The used part of it after the removal.
        permille: u32,
        /// What it would have to be at or below.
        limit_permille: u32,
    },
    /// Latency has not enough room.
    P99 {
        /// The median of the nodes.
        p99_us: u64,
        /// What it would have to be at or below.
        limit_us: u64,
    },
}

/// Why nodes are added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddReason {
    /// What there is too little for.
    pub shortage: Shortage,
    /// For how long without a break.
    pub held: Duration,
    /// How many more nodes would do, at least 1: the fewest of late.
    pub more: u32,
}

/// What more nodes are needed for, as last seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// There are fewer than there must be.
    Nodes {
        /// Those that serve.
        nodes: u32,
        /// The policy's minimum, or N where that is more.
        minimum: u32,
    },
    /// The fullest disk is over its target.
    Disk {
        /// Its used part.
        permille: u32,
        /// The target.
        target_permille: u32,
    },
    /// Mean CPU is over its target and the band.
    Cpu {
        /// The mean by weight, of the rack where it is greatest if each rack holds everything.
        permille: u32,
        /// The target.
        target_permille: u32,
    },
    /// More than half of the nodes answer too slowly.
    P99 {
        /// The median of the nodes.
        p99_us: u64,
        /// The target.
        target_us: u64,
    },
}

/// Why a node is removed: what the rest will have to carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoveReason {
    /// Mean CPU after the removal.
    pub cpu_permille: u32,
    /// Its target.
    pub cpu_target_permille: u32,
    /// The fullest of the disks that take over its data, after that.
    pub disk_permille: u32,
    /// The target of all disks.
    pub disk_target_permille: u32,
    /// For how long it has been so without a break.
    pub held: Duration,
}

/// A permille as a person reads it.
struct Percent(u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} %", self.0 / 10, self.0 % 10)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold(hold) => write!(f, "no change: {hold}"),
            Self::Add { since, dc, count, reason } => {
                let nodes = if *count == 1 { "node" } else { "nodes" };
                write!(f, "add {count} {nodes} to data centre {dc} of epoch {since}: {reason}")
            }
            Self::GiveUp { since, dc, machines, waited } => write!(
                f,
                "give up {machines} machines for data centre {dc} of epoch {since}: none has come \
                 for {} s",
                waited.as_secs()
            ),
            Self::Remove { since, dc, node, reason } => {
                write!(f, "remove node {node} from data centre {dc} of epoch {since}: {reason}")
            }
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady { cpu_permille, disk_permille } => write!(
                f,
                "CPU at {} and the fullest disk at {} are within their bands",
                Percent(*cpu_permille),
                Percent(*disk_permille)
            ),
            Self::Busy { joining, leaving, moves } => {
                write!(f, "{joining} nodes join, {leaving} leave, {moves} vnodes are moving")
            }
            Self::Unknown { heard, nodes } => {
                write!(f, "only {heard} of {nodes} nodes tell their load")
            }
            Self::CoolingDown { left } => {
                write!(f, "the last change is too recent, {} s to go", left.as_secs())
            }
            Self::AddSoon { reason, left } => write!(f, "{reason}; {} s to go", left.as_secs()),
            Self::Starting { reason, machines } => {
                write!(f, "{reason}, and {machines} are starting")
            }
            Self::AtMaximum { reason, members, maximum } => {
                write!(f, "{reason}, but there are {members} of at most {maximum}")
            }
            Self::RemoveSoon { node, left } => {
                write!(f, "node {node} is not needed; {} s to go", left.as_secs())
            }
            Self::AtMinimum { nodes, minimum } => {
                write!(f, "the load is low, but there are {nodes} of at least {minimum} nodes")
            }
            Self::Kept(kept) => write!(f, "the load is low, but {kept}"),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { nodes } => write!(f, "{nodes} of the nodes do not tell theirs"),
            Self::Cpu { permille, limit_permille } => write!(
                f,
                "without a node CPU would be at {}, over {}",
                Percent(*permille),
                Percent(*limit_permille)
            ),
            Self::Disk { permille, limit_permille } => write!(
                f,
                "without a node a disk would be at {}, over {}",
                Percent(*permille),
                Percent(*limit_permille)
            ),
            Self::P99 { p99_us, limit_us } => {
                write!(f, "the p99 of {p99_us} us is over {limit_us} us")
            }
        }
    }
}

impl fmt::Display for AddReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shortage, held, more } = self;
        write!(f, "{shortage}, for {} s now; {more} more would do", held.as_secs())
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = |f: &mut fmt::Formatter<'_>, what, permille, target| {
            write!(f, "{what} at {} is over its target of {}", Percent(permille), Percent(target))
        };
        match self {
            Self::Nodes { nodes, minimum } => {
                write!(f, "there are {nodes} of at least {minimum} nodes")
            }
            Self::Disk { permille, target_permille } => {
                over(f, "the fullest disk", *permille, *target_permille)
            }
            Self::Cpu { permille, target_permille } => over(f, "CPU", *permille, *target_permille),
            Self::P99 { p99_us, target_us } => {
                write!(f, "the p99 of {p99_us} us is over its target of {target_us} us")
            }
        }
    }
}

impl fmt::Display for RemoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "without it CPU will be at {} of {}, the fullest disk at {} of {}, for {} s now",
            Percent(self.cpu_permille),
            Percent(self.cpu_target_permille),
            Percent(self.disk_permille),
            Percent(self.disk_target_permille),
            self.held.as_secs()
        )
    }
}

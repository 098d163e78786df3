//! [`Counters`]: what was refused, and what the machine went through.

/// Counts since the machine was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams dropped: of another cluster.
    pub foreign: u64,
    /// Datagrams dropped: of another version of the format.
    pub unversioned: u64,
    /// Datagrams dropped: too long, cut short, or with a value that none may have.
    pub malformed: u64,
    /// Datagrams dropped: for another node, or for another life of this one.
    pub misaddressed: u64,
    /// Datagrams dropped: their sender claims to be this node.
    pub impostors: u64,
    /// Datagrams and claims dropped: of a boot that has ended.
    pub outdated: u64,
    /// Nodes outside the topology that there was no room for, each time they were named.
    pub strangers_refused: u64,
    /// Records dropped: of a node or a boot that is not known, or with values none may have.
    pub records_refused: u64,
    /// Claims that a later life of this very node is about: outbid if it is of this boot. Of a
    /// later boot it means that two processes run on copies of one data directory.
    pub outranked: u64,
    /// Times this node went on as a new life, having been declared down or found itself alone.
    pub renewals: u64,
    /// Times the process had stood still for so long that its waiting was prolonged.
    pub pauses: u64,
    /// Calls that foca said should not have happened: our own bug, and 0.
    pub faults: u64,
}

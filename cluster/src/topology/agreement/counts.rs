//! [`Counts`]: what was heard and not heeded.

/// Messages that had no effect, by reason, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Of another cluster.
    pub foreign: u64,
    /// From nodes that may not say such a thing: no members, no voters, no seeds; or to one that
    /// is no voter.
    pub outsiders: u64,
    /// Of epochs and ballots that are over.
    pub stale: u64,
    /// Values that cannot be, ballots of others, rounds without end.
    pub absurd: u64,
}

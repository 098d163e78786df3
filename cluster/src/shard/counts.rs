//! What a shard has counted, and how much it keeps: for metrics, and for tests that nothing grows.

use crate::message::Refusal;

/// What happened that ought not to, or not often.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Answers that no operation waits for: late, doubled, of strangers.
    pub stray_answers: u64,
    /// Messages and answers that contradict themselves, or say what cannot be.
    pub malformed: u64,
    /// Messages that claim to come from this node.
    pub impostors: u64,
    /// Messages of vnodes of other cores, or of none.
    pub misdirected: u64,
    /// Requests that another node sent again.
    pub doubled: u64,
    /// Messages of an earlier life of a node.
    pub former_lives: u64,
    /// Messages from nodes that are not of the cluster.
    pub strangers: u64,
    /// Messages of an older epoch of their vnode.
    pub stale: u64,
    /// Messages of a newer epoch of their vnode.
    pub behind: u64,
    /// Messages of vnodes that this node does not own.
    pub not_owned: u64,
    /// Reads of vnodes that this node has not all of.
    pub not_held: u64,
    /// Messages refused since too much was under way.
    pub busy: u64,
    /// Records refused for want of room, or by a disk that is full.
    pub full: u64,
    /// Messages that the store could not answer: it is damaged there.
    pub damaged: u64,
    /// Requests of clients that nobody may ask so: too long, too late, of no namespace, of a
    /// context that is none.
    pub unfit: u64,
    /// Requests refused since too many were under way.
    pub overloaded: u64,
    /// Records sent to replicas that had an older one.
    pub read_repairs: u64,
    /// Reads that asked one replica more than they had to.
    pub hedges: u64,
    /// Writes acknowledged with the help of stand-ins.
    pub sloppy: u64,
    /// Hints that their owners have.
    pub hints_delivered: u64,
    /// Hints that were not kept, for want of room.
    pub hints_dropped: u64,
    /// Comparisons begun with other owners.
    pub repairs: u64,
    /// Those that were not ended.
    pub repairs_failed: u64,
    /// Those for which recent dots were not enough.
    pub repairs_by_leaves: u64,
    /// Records that they brought.
    pub repaired_records: u64,
    /// Ended lives of which nothing more is to come in a vnode.
    pub lives_ended: u64,
    /// Purge horizons that this core has advanced.
    pub horizons: u64,
    /// Records that came too late to be stored.
    pub late: u64,
    /// Those of them that nobody here had seen: they are set aside.
    pub set_aside: u64,
    /// Vnodes of which this core had too little, and began anew.
    pub retaken: u64,
}

impl Counts {
    /// A message was refused.
    pub(crate) fn count(&mut self, refusal: Refusal) {
        let count = match refusal {
            Refusal::Stale(_) => &mut self.stale,
            Refusal::Behind => &mut self.behind,
            Refusal::NotOwner => &mut self.not_owned,
            Refusal::NotHeld => &mut self.not_held,
            Refusal::Busy => &mut self.busy,
            Refusal::Full => &mut self.full,
            Refusal::Damaged => &mut self.damaged,
            Refusal::Late => &mut self.late,
            Refusal::Malformed => &mut self.malformed,
        };
        *count += 1;
    }

    /// How many messages had no effect but perhaps a refusal.
    #[must_use]
    pub fn unheeded(&self) -> u64 {
        let answers = self.stray_answers + self.malformed + self.doubled;
        let senders = self.impostors + self.strangers + self.former_lives + self.misdirected;
        let vnodes = self.stale + self.behind + self.not_owned + self.not_held;
        answers + senders + vnodes + self.busy + self.full + self.damaged
    }
}

/// How many there are of what a shard keeps; each is bounded, as told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sizes {
    /// Operations under way: [`Tunables::operations_max`](crate::tunables::Tunables).
    pub operations: usize,
    /// Moments at which they are looked at: one an operation.
    pub alarms: usize,
    /// Writes of siblings that wait for others of their key: together with operations as many as
    /// these.
    pub waiting: usize,
    /// Keys that are being written: one an operation or waiting write.
    pub keys: usize,
    /// Numbers of requests that were begun for other nodes: 1,024 a core of a member.
    pub begun: usize,
    /// Orders to the store under way: [`ASKED_MAX`](crate::limits::ASKED_MAX) of others, some an
    /// operation, some a hint under way, a page a session.
    pub orders: usize,
    /// Those that other nodes wait for.
    pub asked: usize,
    /// Effects that were not polled: 0 between events.
    pub effects: usize,
    /// Vnodes that are held, stored, being dropped or cleared, inexact: five a vnode of the core.
    pub vnodes: usize,
    /// Vnodes that have a purge horizon, or are taken anew: two a vnode of the core.
    pub horizons: usize,
    /// Rounds towards a purge horizon: a vnode of the core each.
    pub rounds: usize,
    /// Ended lives that are asked about, here and by others: 264.
    pub lives: usize,
    /// What is known of other nodes: three a member.
    pub peers: usize,
    /// Nodes that hints are kept for: members, and those that were when a hint for them came.
    pub targets: usize,
    /// Hints under way: 32 a target.
    pub hints: usize,
    /// Vnodes of nodes for which hints were not kept: a member and vnode each.
    pub dirty: usize,
    /// Vnodes that are compared: those of the core.
    pub plans: usize,
    /// Nodes that they are compared with: a member and vnode each, four times.
    pub compared: usize,
    /// Comparisons under way: 8.
    pub sessions: usize,
    /// Vnodes that were given away: those of the core.
    pub given: usize,
}

//! What one thread sends, and when: sans-IO.
//!
//! A [`Generator`] is told of replies and asked for requests; it owns no socket and reads no
//! clock, so its schedule is tested in virtual time. Its driver promises: `now` never goes back;
//! after each batch of [`Generator::reply`] it calls [`Generator::next`] until `None`, and again
//! no later than [`Generator::deadline`].
//!
//! A **lane** is one stream of operations: closed loop (as many in flight as its window, the next
//! one when one ends) or open loop (by a [`schedule`], whatever the server does). A request in
//! flight occupies a **slot** of a connection, `pipeline` of them each; connections to one shard
//! form a **pool**. An operation is drawn first and goes to the pool of its key's shard; where that
//! pool has no free slot it waits there, its intended start unchanged. Waiting and in flight
//! together never exceed the lane's window.

mod failure;
mod lane;
mod load;
pub mod schedule;
mod slot;
mod tally;
#[cfg(test)]
mod tests;

use hdrhistogram::Histogram;

pub use self::failure::Failure;
pub use self::load::Generator;
pub use self::tally::Tally;
use crate::distribution::{Shape, Share};
use crate::workload::{Mix, Values};

/// Time: nanoseconds since the run's origin.
pub type Nanos = u64;

/// Tells which shard owns a key.
pub type Route = Box<dyn Fn(&[u8]) -> usize + Send>;

/// One stream of operations, as the user asked for it: over all threads.
#[derive(Clone, PartialEq, Debug)]
pub struct LaneSpec {
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each.
    pub pipeline: usize,
    /// What is drawn.
    pub mix: Mix,
    /// Which keys.
    pub shape: Shape,
    /// How many keys there are.
    pub keys: u64,
    /// Operations a second; `None` for a closed loop.
    pub rate: Option<u64>,
    /// The most operations to draw; `None` for no bound but time.
    pub operations: Option<u64>,
    /// Whether a refused write is sent again (loading) or counted and forgotten (measuring).
    pub retry: bool,
}

/// When a run measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Where schedules begin.
    pub start: Nanos,
    /// Operations intended from here on are measured.
    pub from: Nanos,
    /// No operation is intended from here on.
    pub until: Nanos,
}

/// What one thread needs to know.
pub struct Plan<'a> {
    /// The lanes of the run, each with the shard of every connection this thread has for it.
    /// Connections are numbered through all lanes.
    pub lanes: Vec<(&'a LaneSpec, Vec<usize>)>,
    /// The shard of a key; `None` spreads operations blindly.
    pub route: Option<Route>,
    /// This thread's part of the run.
    pub share: Share,
    /// The run's seed.
    pub seed: u64,
    /// When it measures.
    pub window: Window,
    /// What values hold.
    pub values: Values,
    /// Whether values that are read are checked.
    pub verify: bool,
    /// Where a ledger is kept: the highest sequence that it has given out.
    pub ledger: Option<u64>,
}

/// A request to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// On which connection.
    pub connection: usize,
    /// Its id, which the reply repeats.
    pub id: u64,
    /// Whether it writes.
    pub write: bool,
    /// Of which key.
    pub key: u64,
    /// The number of the write.
    pub sequence: u64,
}

/// A reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// The key has this value.
    Value(&'a [u8]),
    /// The key has no value.
    Absent,
    /// The write is done.
    Done,
    /// The request failed.
    Refused {
        /// Why.
        failure: Failure,
        /// Whether, and after how long, the same request may succeed; 0 where the server did not
        /// say.
        retry_after: Option<Nanos>,
    },
}

/// What happened in a stretch of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// Requests that failed, since the run began.
    pub errors: u64,
    /// Response latencies of the requests answered since the last snapshot, coarse.
    pub response: Histogram<u64>,
}

/// A reply to nothing that was asked on its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unexpected;

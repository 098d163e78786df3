//! What a run is asked to do.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::generator::LaneSpec;
use crate::wire::Terms;
use crate::workload::ValueBytes;

/// What is on the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A kvcore server.
    Kv,
    /// The echo example: the same frames, no store behind them, every read answered with one
    /// fixed value.
    Echo,
}

/// One run.
#[derive(Clone, PartialEq, Debug)]
pub struct RunSpec {
    /// What is on the other end.
    pub target: Target,
    /// `host:port`s to find it by; the first that answers is used.
    pub seeds: Vec<String>,
    /// The namespace; empty for the default.
    pub namespace: String,
    /// The streams of operations.
    pub lanes: Vec<LaneSpec>,
    /// What values hold.
    pub value: ValueBytes,
    /// Consistency, time to live, deadline.
    pub terms: Terms,
    /// How long to measure; `None` until the lanes' operations are done.
    pub duration: Option<Duration>,
    /// How long to run before.
    pub warmup: Duration,
    /// How long to wait for the last replies.
    pub patience: Duration,
    /// Generator threads.
    pub threads: usize,
    /// CPUs to pin them to, in turn; empty for none.
    pub cores: Vec<usize>,
    /// Whether a request goes to the shard that owns its key.
    pub routed: bool,
    /// Whether values that are read are checked.
    pub verify: bool,
    /// Where a ledger is kept: the highest sequence that it has given out.
    pub ledger: Option<u64>,
    /// The seed of all that is drawn.
    pub seed: u64,
    /// The server's process, whose CPU time is then reported.
    pub server_pid: Option<u32>,
}

//! What is measured, and the target for it.

use clap::ValueEnum;

use crate::distribution::Shape;
use crate::generator::LaneSpec;
use crate::workload::Mix;

/// Keys of the scenarios that fit in memory.
pub(super) const KEYS: u64 = 100_000;

/// Keys of the scenario that flushes and compacts, each of [`LARGE_VALUE_BYTES`].
pub(super) const LARGE_KEYS: u64 = 50_000;

/// Bytes of the values of the scenarios that fit in memory.
pub(super) const VALUE_BYTES: usize = 100;

/// Bytes of the values of the scenario that flushes and compacts.
pub(super) const LARGE_VALUE_BYTES: usize = 1_024;

/// Keys that are written where nothing is to be flushed: they are overwritten in the memtable.
pub(super) const FEW_KEYS: u64 = 2_000;

/// Keys that are written where much is to be flushed.
pub(super) const MANY_KEYS: u64 = 4_000_000;

/// Writes a second beside the reads of the scenario that flushes and compacts: about 20 MiB.
pub(super) const WRITES_PER_SECOND: u64 = 20_000;

/// Compacted beside the writes of many keys, or it is no measurement of that: two memtables.
pub(super) const COMPACTED_BYTES_MIN: u64 = 128 << 20;

/// A scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Scenario {
    /// GET, 50 connections, one request in flight each: kvcore against the echo.
    GetPipeline1,
    /// GET, 50 connections, 32 requests in flight each: kvcore against the echo.
    GetPipeline32,
    /// Durable PUT, 256 in flight.
    PutDurable,
    /// What a commit takes while reads keep the server busy.
    CommitUnderReads,
    /// What a read takes beside writes that make the server flush and compact, against the same
    /// writes of so few keys that it does not.
    GetUnderCompaction,
    /// What a read takes beside writes, against alone.
    GetBesidePuts,
    /// What the server uses with 50 connections and nothing to do.
    Idle,
}

impl Scenario {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 7] = [
        Self::GetPipeline1,
        Self::GetPipeline32,
        Self::PutDurable,
        Self::CommitUnderReads,
        Self::GetUnderCompaction,
        Self::GetBesidePuts,
        Self::Idle,
    ];

    /// What `--only` calls it.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value().expect("no scenario is skipped");
        value.get_name().to_owned()
    }

    /// A line for the table.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::GetPipeline1 => "GET 100 B in memory, 50 connections x 1",
            Self::GetPipeline32 => "GET 100 B in memory, 50 connections x 32",
            Self::PutDurable => "PUT 100 B durable, 32 connections x 8",
            Self::CommitUnderReads => "PUT p99 beside saturated GETs (50 x 32)",
            Self::GetUnderCompaction => {
                "GET p99, 20 MiB/s of PUTs that flush, compact / that do not"
            }
            Self::GetBesidePuts => "GET p99 at half of peak, 20 MiB/s of PUTs / none",
            Self::Idle => "idle CPU, 50 connections",
        }
    }
}

/// Reads of all keys alike, closed loop.
pub(super) fn gets(connections: usize, pipeline: usize, keys: u64) -> LaneSpec {
    LaneSpec {
        connections,
        pipeline,
        mix: Mix::GETS,
        shape: Shape::Uniform,
        keys,
        rate: None,
        operations: None,
        retry: false,
    }
}

/// Writes of all keys alike, closed loop.
pub(super) fn puts(connections: usize, pipeline: usize, keys: u64) -> LaneSpec {
    LaneSpec { mix: Mix::PUTS, ..gets(connections, pipeline, keys) }
}

/// Writes every key once.
pub(super) fn load(keys: u64) -> LaneSpec {
    LaneSpec { shape: Shape::Sequential, operations: Some(keys), retry: true, ..puts(8, 32, keys) }
}

/// By a schedule.
pub(super) fn at_rate(rate: u64, lane: LaneSpec) -> LaneSpec {
    LaneSpec { rate: Some(rate.max(1)), ..lane }
}

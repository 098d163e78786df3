//! The report as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::environment::Environment;
use crate::latency::{Kind, Latencies, Quantiles};
use crate::runner::{Outcome, RunSpec, SecondOutcome, Target};
use crate::workload::{Mix, ValueBytes};

/// All that a run measured, and what it was.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Operations that ended well, a second of the measured window. A read-modify-write is one.
    pub ops_per_sec: f64,
    /// Requests that failed.
    pub errors: u64,
    /// By operation; `get` and `put` are always there.
    pub ops: BTreeMap<&'static str, Operation>,
    /// Requests that failed, by kind.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// Reads of keys without a value.
    pub not_found: u64,
    /// Values read that were never written to their key; `None` where nobody looked.
    pub value_mismatches: Option<u64>,
    /// Refused writes that were sent again.
    pub retries: u64,
    /// With a ledger: what became of the writes, warm-up included.
    pub ledger: Option<Writes>,
    /// Seconds measured.
    pub measured_s: f64,
    /// Operations of the measured window: due, begun, ended well.
    pub operations: Operations,
    /// With a schedule: how it was kept.
    pub schedule: Option<Schedule>,
    /// Whether the generator was the limit, so that the figures are its own.
    pub saturated: bool,
    /// Whether the run was ended early.
    pub interrupted: bool,
    /// CPU seconds of the generator.
    pub generator_cpu_s: f64,
    /// CPU time of the server, where its process was named.
    pub server_cpu: Option<ServerCpu>,
    /// What the server said of itself.
    pub server: Server,
    /// What was run.
    pub flags: Flags,
    /// Where it was run.
    pub environment: Environment,
    /// Second by second, warm-up included.
    pub seconds: Vec<Second>,
}

/// Latencies of one kind of operation.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Operation {
    /// How many were answered.
    pub count: u64,
    /// From the send to the reply.
    pub service_us: Quantiles,
    /// From the intended start to the reply; what was due and never answered is in it.
    pub response_us: Quantiles,
}

/// Operations of the measured window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Operations {
    /// Due.
    pub offered: u64,
    /// Begun.
    pub sent: u64,
    /// Ended well.
    pub completed: u64,
}

/// What became of a run's writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Writes {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Nobody knows.
    pub unknown: u64,
}

/// How a schedule was kept.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Schedule {
    /// Operations a second that were due.
    pub offered_per_sec: f64,
    /// How late operations were sent that were due and had a free slot.
    pub send_lateness_us: Quantiles,
    /// Share of its time that the busiest generator thread had nothing to do.
    pub generator_idle_percent: f64,
}

/// CPU time of the server.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ServerCpu {
    /// Seconds, of all its threads.
    pub cpu_s: f64,
    /// Microseconds for each request.
    pub us_per_request: Option<f64>,
}

/// What the server said of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Server {
    /// Program and version.
    pub server: String,
    /// The node.
    pub node_id: String,
    /// Its cluster.
    pub cluster_id: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// Its shards.
    pub shards: u16,
    /// The ring's epoch.
    pub epoch: u32,
    /// Connections on each shard.
    pub connections_per_shard: Vec<usize>,
}

/// What was run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Flags {
    /// What was on the other end.
    pub target: Target,
    /// The streams of operations.
    pub lanes: Vec<Lane>,
    /// Bytes of values.
    pub value: ValueBytes,
    /// Time to live of values; 0 for ever.
    pub ttl_ms: u64,
    /// Generator threads.
    pub threads: usize,
    /// Their CPUs; empty for any.
    pub cores: Vec<usize>,
    /// Whether requests went to the shard of their key.
    pub routed: bool,
    /// Seconds asked for; `None` for a number of operations.
    pub duration_s: Option<f64>,
    /// Seconds of warm-up.
    pub warmup_s: f64,
    /// The seed.
    pub seed: u64,
}

/// One stream of operations.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Lane {
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each.
    pub pipeline: usize,
    /// Weights of the operations.
    pub mix: Mix,
    /// Which keys.
    pub distribution: crate::distribution::Shape,
    /// How many keys.
    pub keys: u64,
    /// Operations a second; `None` for a closed loop.
    pub rate: Option<u64>,
    /// The most operations.
    pub operations: Option<u64>,
}

/// One second of a run.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Second {
    /// Requests answered.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Median response latency, in microseconds.
    pub p50_us: f64,
    /// Its 99th percentile.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Report {
    /// The report of `outcome`, which came of `spec`.
    #[must_use]
    pub fn new(spec: &RunSpec, outcome: &Outcome, environment: Environment) -> Self {
        let tally = &outcome.tally;
        let ops = Kind::ALL
            .into_iter()
            .map(|kind| (kind, &tally.latencies[kind as usize]))
            .filter(|(kind, all)| *kind != Kind::ReadModifyWrite || !all.is_empty())
            .map(|(kind, all)| (kind.name(), Operation::from(all)))
            .collect();
        let errors_by_kind = tally.errors.iter();
        Self {
            ops_per_sec: round(outcome.ops_per_sec(), 1),
            errors: tally.errors_total(),
            ops,
            errors_by_kind: errors_by_kind.map(|(kind, &n)| (kind.to_string(), n)).collect(),
            not_found: tally.not_found,
            value_mismatches: spec.verify.then_some(tally.mismatches),
            retries: tally.retries,
            ledger: outcome.account.as_ref().map(|account| Writes {
                acknowledged: account.acknowledged_total(),
                unknown: account.unknown_total(),
            }),
            measured_s: round(outcome.measured.as_secs_f64(), 6),
            operations: Operations {
                offered: tally.offered(),
                sent: tally.sent,
                completed: tally.completed,
            },
            schedule: outcome.idle_percent.map(|idle| Schedule {
                offered_per_sec: round(outcome.per_second(tally.offered()), 1),
                send_lateness_us: Quantiles::from(&tally.lateness),
                generator_idle_percent: round(idle, 1),
            }),
            saturated: outcome.saturated().is_some(),
            interrupted: outcome.interrupted,
            generator_cpu_s: outcome.generator_cpu.as_secs_f64(),
            server_cpu: outcome.server_cpu.map(|cpu| ServerCpu {
                cpu_s: cpu.as_secs_f64(),
                us_per_request: outcome.server_cpu_us_per_request().map(|us| round(us, 3)),
            }),
            server: Server::new(outcome),
            flags: Flags::from(spec),
            environment,
            seconds: outcome.seconds.iter().map(Second::from).collect(),
        }
    }
}

impl From<&Latencies> for Operation {
    fn from(latencies: &Latencies) -> Self {
        Self {
            count: latencies.count(),
            service_us: Quantiles::from(latencies.service()),
            response_us: Quantiles::from(latencies.response()),
        }
    }
}

impl Server {
    fn new(outcome: &Outcome) -> Self {
        let server = &outcome.server;
        Self {
            server: server.server.clone(),
            node_id: server.node_id.to_string(),
            cluster_id: server.cluster_id.to_string(),
            cluster_name: server.cluster_name.clone(),
            shards: server.shards,
            epoch: server.epoch,
            connections_per_shard: outcome.connections_per_shard.clone(),
        }
    }
}

impl From<&RunSpec> for Flags {
    fn from(spec: &RunSpec) -> Self {
        let lanes = spec.lanes.iter().map(|lane| Lane {
            connections: lane.connections,
            pipeline: lane.pipeline,
            mix: lane.mix,
            distribution: lane.shape,
            keys: lane.keys,
            rate: lane.rate,
            operations: lane.operations,
        });
        Self {
            target: spec.target,
            lanes: lanes.collect(),
            value: spec.value,
            ttl_ms: spec.terms.ttl_ms,
            threads: spec.threads,
            cores: spec.cores.clone(),
            routed: spec.routed,
            duration_s: spec.duration.map(|duration| duration.as_secs_f64()),
            warmup_s: spec.warmup.as_secs_f64(),
            seed: spec.seed,
        }
    }
}

impl From<&SecondOutcome> for Second {
    fn from(second: &SecondOutcome) -> Self {
        let us = |nanos: u64| round(nanos as f64 / 1e3, 1);
        Self {
            requests: second.requests,
            errors: second.errors,
            p50_us: us(second.p50),
            p99_us: us(second.p99),
            max_us: us(second.max),
        }
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

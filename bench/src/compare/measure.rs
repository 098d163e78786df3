//! The rounds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::scenario::{
    FEW_KEYS, FLUSHED_BYTES_MIN, KEYS, LARGE_KEYS, LARGE_VALUE_BYTES, MANY_KEYS, Scenario,
    VALUE_BYTES, WRITES_PER_SECOND, at_rate, gets, load, puts,
};
use super::servers::{Server, TERMS};
use crate::generator::LaneSpec;
use crate::latency::{Kind, Quantiles};
use crate::process;
use crate::runner::{self, Outcome, RunSpec, Target};
use crate::wire::Wire;
use crate::workload::ValueBytes;

/// A server under test and how it is loaded.
pub(super) struct Bench<'a> {
    pub(super) echo: &'a Server,
    pub(super) kvcore: &'a Server,
    pub(super) client_core: usize,
    pub(super) rounds: usize,
    pub(super) duration: Duration,
    pub(super) stop: &'a AtomicBool,
}

/// One measurement of one server in one round.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Measured {
    /// What the scenario is about: operations a second, microseconds, or per cent.
    pub(super) value: f64,
    /// Operations a second.
    pub(super) ops_per_sec: f64,
    /// 99th percentile of the service latency of what was measured, in microseconds.
    pub(super) p99_us: f64,
    /// Microseconds of server CPU for each request.
    pub(super) server_cpu_us: Option<f64>,
}

/// One round of a scenario.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Round {
    /// What kvcore did.
    pub(super) kvcore: Measured,
    /// What it is held against: the echo, or kvcore without the disturbance.
    pub(super) against: Option<Measured>,
}

impl Bench<'_> {
    /// Measures `scenario`, telling `on_round` of each.
    pub(super) fn measure(
        &self,
        scenario: Scenario,
        mut on_round: impl FnMut(usize, &Round),
    ) -> anyhow::Result<Vec<Round>> {
        self.prepare(scenario)?;
        let mut rounds = Vec::with_capacity(self.rounds);
        for number in 1..=self.rounds {
            if self.stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let round = self.round(scenario)?;
            on_round(number, &round);
            rounds.push(round);
        }
        Ok(rounds)
    }

    /// Loads what the scenario reads.
    fn prepare(&self, scenario: Scenario) -> anyhow::Result<()> {
        let (keys, value_bytes) = match scenario {
            Scenario::GetUnderCompaction | Scenario::GetBesidePuts => {
                (LARGE_KEYS, LARGE_VALUE_BYTES)
            }
            Scenario::Idle => return Ok(()),
            _ => (KEYS, VALUE_BYTES),
        };
        let mut spec = self.spec(self.kvcore, Target::Kv, vec![load(keys)], value_bytes);
        spec.duration = None;
        spec.warmup = Duration::ZERO;
        let outcome = self.run(&spec)?;
        if outcome.tally.completed != keys {
            bail!("only {} of {keys} keys could be loaded", outcome.tally.completed);
        }
        Ok(())
    }

    fn round(&self, scenario: Scenario) -> anyhow::Result<Round> {
        match scenario {
            Scenario::GetPipeline1 => self.against_echo(&gets(50, 1, KEYS)),
            Scenario::GetPipeline32 => self.against_echo(&gets(50, 32, KEYS)),
            Scenario::PutDurable => {
                let outcome = self.on_kvcore(vec![puts(32, 8, KEYS)], VALUE_BYTES)?;
                Ok(Round { kvcore: throughput(&outcome, Kind::Put), against: None })
            }
            Scenario::CommitUnderReads => {
                let lanes = vec![gets(50, 32, KEYS), puts(4, 1, KEYS)];
                let outcome = self.on_kvcore(lanes, VALUE_BYTES)?;
                Ok(Round { kvcore: service_p99(&outcome, Kind::Put), against: None })
            }
            Scenario::GetUnderCompaction => self.with_and_without_flushes(),
            Scenario::GetBesidePuts => self.with_and_without_writes(),
            Scenario::Idle => self.idle(),
        }
    }

    /// The same load on the echo and on kvcore, one after the other.
    fn against_echo(&self, lane: &LaneSpec) -> anyhow::Result<Round> {
        let spec = self.spec(self.echo, Target::Echo, vec![lane.clone()], VALUE_BYTES);
        let echo = throughput(&self.run(&spec)?, Kind::Get);
        let outcome = self.on_kvcore(vec![lane.clone()], VALUE_BYTES)?;
        if outcome.tally.not_found > 0 {
            bail!("{} of the keys that were loaded are not found", outcome.tally.not_found);
        }
        Ok(Round { kvcore: throughput(&outcome, Kind::Get), against: Some(echo) })
    }

    /// Reads and writes, together at about half of what the server can do: writes of few keys,
    /// which are overwritten in memory, and of many, which are flushed and compacted.
    fn with_and_without_flushes(&self) -> anyhow::Result<Round> {
        let peak = self.on_kvcore(vec![gets(50, 1, LARGE_KEYS)], LARGE_VALUE_BYTES)?;
        let reads = at_rate(peak.ops_per_sec() as u64 / 4, gets(50, 4, LARGE_KEYS));
        let beside = |keys: u64| -> anyhow::Result<(Measured, u64)> {
            let before = self.kvcore.counter("kvcore_flush_bytes_total")?;
            let writes = at_rate(WRITES_PER_SECOND, puts(16, 16, keys));
            let mut spec =
                self.spec(self.kvcore, Target::Kv, vec![reads.clone(), writes], LARGE_VALUE_BYTES);
            spec.duration = Some(4 * self.duration);
            let outcome = self.run(&spec)?;
            let flushed = self.kvcore.counter("kvcore_flush_bytes_total")? - before;
            Ok((service_p99(&outcome, Kind::Get), flushed))
        };
        // What the last round left to flush and compact is done before the first measurement.
        std::thread::sleep(Duration::from_secs(2));
        let (without, few) = beside(FEW_KEYS)?;
        let (with, many) = beside(MANY_KEYS)?;
        if many < 2 * few || many < FLUSHED_BYTES_MIN {
            bail!("{many} bytes flushed beside many keys, {few} beside few: measure for longer");
        }
        Ok(Round { kvcore: with, against: Some(without) })
    }

    /// Reads at half of what the server can do, without and with writes beside them.
    fn with_and_without_writes(&self) -> anyhow::Result<Round> {
        let peak = self.on_kvcore(vec![gets(50, 1, LARGE_KEYS)], LARGE_VALUE_BYTES)?;
        let reads = at_rate(peak.ops_per_sec() as u64 / 2, gets(50, 4, LARGE_KEYS));
        let without = self.on_kvcore(vec![reads.clone()], LARGE_VALUE_BYTES)?;
        let writes = at_rate(WRITES_PER_SECOND, puts(16, 16, LARGE_KEYS));
        let with = self.on_kvcore(vec![reads, writes], LARGE_VALUE_BYTES)?;
        Ok(Round {
            kvcore: service_p99(&with, Kind::Get),
            against: Some(service_p99(&without, Kind::Get)),
        })
    }

    /// CPU time of the server with connections and nothing to do.
    fn idle(&self) -> anyhow::Result<Round> {
        let address = self.kvcore.address();
        let connections: Vec<_> = (0..50)
            .map(|_| Wire::connect(address, "", None, TERMS))
            .collect::<anyhow::Result<_>>()?;
        let cpu = || process::cpu_time(self.kvcore.pid()).context("the server is gone");
        // What the last load left to do, and the connections, are not idleness.
        std::thread::sleep(Duration::from_secs(2));
        let before = cpu()?;
        std::thread::sleep(self.duration);
        let used = cpu()?.saturating_sub(before);
        drop(connections);
        let percent = 100.0 * used.as_secs_f64() / self.duration.as_secs_f64();
        let measured =
            Measured { value: percent, ops_per_sec: 0.0, p99_us: 0.0, server_cpu_us: None };
        Ok(Round { kvcore: measured, against: None })
    }

    fn on_kvcore(&self, lanes: Vec<LaneSpec>, value_bytes: usize) -> anyhow::Result<Outcome> {
        self.run(&self.spec(self.kvcore, Target::Kv, lanes, value_bytes))
    }

    fn run(&self, spec: &RunSpec) -> anyhow::Result<Outcome> {
        let outcome = runner::run(spec, self.stop, || Ok(()), |_| {})?;
        if let Some((failure, count)) = outcome.tally.errors.iter().next() {
            bail!("{count} requests failed: {failure}");
        }
        Ok(outcome)
    }

    fn spec(
        &self,
        server: &Server,
        target: Target,
        lanes: Vec<LaneSpec>,
        value_bytes: usize,
    ) -> RunSpec {
        RunSpec {
            target,
            seeds: vec![server.address().to_string()],
            namespace: String::new(),
            lanes,
            value: ValueBytes::new(value_bytes, value_bytes).expect("within the limit"),
            terms: TERMS,
            duration: Some(self.duration),
            warmup: Duration::from_secs(1),
            patience: Duration::from_secs(10),
            threads: 1,
            cores: vec![self.client_core],
            routed: true,
            verify: false,
            ledger: None,
            seed: 1,
            server_pid: Some(server.pid()),
        }
    }
}

fn throughput(outcome: &Outcome, kind: Kind) -> Measured {
    let measured = service_p99(outcome, kind);
    Measured { value: measured.ops_per_sec, ..measured }
}

fn service_p99(outcome: &Outcome, kind: Kind) -> Measured {
    let p99_us = Quantiles::from(outcome.tally.latencies[kind as usize].service()).p99;
    Measured {
        value: p99_us,
        ops_per_sec: outcome.ops_per_sec(),
        p99_us,
        server_cpu_us: outcome.server_cpu_us_per_request(),
    }
}

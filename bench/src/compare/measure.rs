//! The rounds.

use std::ops::Sub;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::scenario::{
    COMPACTED_BYTES_MIN, FEW_KEYS, KEYS, LARGE_KEYS, LARGE_VALUE_BYTES, MANY_KEYS, Scenario,
    VALUE_BYTES, WRITES_PER_SECOND, at_rate, gets, load, puts,
};
use super::servers::{Server, TERMS};
use crate::generator::LaneSpec;
use crate::latency::{Kind, Quantiles};
use crate::process;
use crate::runner::{self, Outcome, RunSpec, Target};
use crate::wire::Wire;
use crate::workload::ValueBytes;

/// Bytes that a server wrote in the background.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Background {
    flushed: u64,
    compacted: u64,
}

impl Sub for Background {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            flushed: self.flushed - before.flushed,
            compacted: self.compacted - before.compacted,
        }
    }
}

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
    /// 99th percentile of the latency of what was measured, in microseconds: from the send, or by a
    /// schedule from the intended start.
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
            let round = self.round(scenario, number)?;
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

    fn round(&self, scenario: Scenario, number: usize) -> anyhow::Result<Round> {
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
            Scenario::GetUnderCompaction => self.with_and_without_flushes(number),
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
    /// which are overwritten in memory, and of many, which are flushed and compacted. In turns
    /// either is first.
    fn with_and_without_flushes(&self, number: usize) -> anyhow::Result<Round> {
        let peak = self.on_kvcore(vec![gets(50, 1, LARGE_KEYS)], LARGE_VALUE_BYTES)?;
        let reads = at_rate(peak.ops_per_sec() as u64 / 4, gets(50, 4, LARGE_KEYS));
        let beside = |keys: u64| -> anyhow::Result<(Measured, Background)> {
            let before = self.flush_and_rest()?;
            let writes = at_rate(WRITES_PER_SECOND, puts(16, 16, keys));
            let mut spec =
                self.spec(self.kvcore, Target::Kv, vec![reads.clone(), writes], LARGE_VALUE_BYTES);
            spec.duration = Some(8 * self.duration);
            let outcome = self.run(&spec)?;
            let after = self.background()?;
            Ok((response_p99(&outcome)?, after - before))
        };
        let ((without, few), (with, many)) = if number.is_multiple_of(2) {
            let with = beside(MANY_KEYS)?;
            (beside(FEW_KEYS)?, with)
        } else {
            (beside(FEW_KEYS)?, beside(MANY_KEYS)?)
        };
        if many.flushed < 20 * few.flushed || many.compacted < COMPACTED_BYTES_MIN {
            bail!("beside many keys {many:?}, beside few {few:?}: measure for longer");
        }
        Ok(Round { kvcore: with, against: Some(without) })
    }

    /// Writes few keys until the log's length has all that is in memory flushed, and waits until
    /// nothing is flushed or compacted any more; what was so far.
    fn flush_and_rest(&self) -> anyhow::Result<Background> {
        let before = self.background()?;
        let mut last = before;
        for _ in 0..60 {
            if last.flushed == before.flushed {
                let writes = at_rate(2 * WRITES_PER_SECOND, puts(32, 8, FEW_KEYS));
                self.on_kvcore(vec![writes], LARGE_VALUE_BYTES)?;
            } else {
                std::thread::sleep(Duration::from_secs(1));
            }
            let now = self.background()?;
            if now == last && now.flushed > before.flushed {
                return Ok(now);
            }
            last = now;
        }
        bail!("the server does not come to rest");
    }

    fn background(&self) -> anyhow::Result<Background> {
        Ok(Background {
            flushed: self.kvcore.counter("kvcore_flush_bytes_total")?,
            compacted: self.kvcore.counter("kvcore_compaction_bytes_total")?,
        })
    }

    /// Reads at half of what the server can do, without and with writes beside them.
    fn with_and_without_writes(&self) -> anyhow::Result<Round> {
        let peak = self.on_kvcore(vec![gets(50, 1, LARGE_KEYS)], LARGE_VALUE_BYTES)?;
        let reads = at_rate(peak.ops_per_sec() as u64 / 2, gets(50, 4, LARGE_KEYS));
        let without = self.on_kvcore(vec![reads.clone()], LARGE_VALUE_BYTES)?;
        let writes = at_rate(WRITES_PER_SECOND, puts(16, 16, LARGE_KEYS));
        let with = self.on_kvcore(vec![reads, writes], LARGE_VALUE_BYTES)?;
        Ok(Round { kvcore: response_p99(&with)?, against: Some(response_p99(&without)?) })
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

/// Of reads by a schedule: the wait for a late answer before counts.
fn response_p99(outcome: &Outcome) -> anyhow::Result<Measured> {
    if let Some(why) = outcome.saturated() {
        bail!("the load generator is the limit: {why}");
    }
    let p99_us = Quantiles::from(outcome.tally.latencies[Kind::Get as usize].response()).p99;
    Ok(Measured { value: p99_us, p99_us, ..service_p99(outcome, Kind::Get) })
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

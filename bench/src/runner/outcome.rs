//! What came of a run, and whether the generator itself was the limit.

use std::time::Duration;

use kvclient::protocol::ServerInfo;

use crate::generator::{Nanos, Tally};
use crate::ledger::Account;
use crate::limits::{IDLE_PERCENT_MIN, LATENESS_P99_MAX, SENT_PERCENT_MIN};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All threads' counts.
    pub tally: Tally,
    /// What became of the writes, where a ledger is kept.
    pub account: Option<Account>,
    /// Time measured.
    pub measured: Duration,
    /// Whether operations were sent by a schedule.
    pub open_loop: bool,
    /// Share of the run that the busiest thread had nothing to do, in per cent; of runs with a
    /// schedule.
    pub idle_percent: Option<f64>,
    /// CPU time of this process while it measured.
    pub generator_cpu: Duration,
    /// CPU time of the server while it was measured, where its process was named.
    pub server_cpu: Option<Duration>,
    /// What the server said of itself.
    pub server: ServerInfo,
    /// Shards of the connections, as they were given.
    pub connections_per_shard: Vec<usize>,
    /// Second by second, warm-up included.
    pub seconds: Vec<SecondOutcome>,
    /// Whether it was ended early.
    pub interrupted: bool,
}

/// One second of a run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SecondOutcome {
    /// Requests answered.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Median response latency.
    pub p50: Nanos,
    /// 99th percentile of the response latency.
    pub p99: Nanos,
    /// The longest.
    pub max: Nanos,
}

impl Outcome {
    /// Operations that ended well, a second.
    #[must_use]
    pub fn ops_per_sec(&self) -> f64 {
        self.per_second(self.tally.in_window)
    }

    /// `count` in the time measured, a second.
    #[must_use]
    pub fn per_second(&self, count: u64) -> f64 {
        if self.measured.is_zero() { 0.0 } else { count as f64 / self.measured.as_secs_f64() }
    }

    /// Microseconds of server CPU for each request, where the server's process was named.
    #[must_use]
    pub fn server_cpu_us_per_request(&self) -> Option<f64> {
        let requests = self.tally.requests();
        let cpu = self.server_cpu.filter(|_| requests > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / requests as f64)
    }

    /// Why these figures are the generator's own and not the server's, if they are.
    #[must_use]
    pub fn saturated(&self) -> Option<String> {
        if !self.open_loop {
            return None;
        }
        saturated(&self.tally, self.idle_percent.unwrap_or(100.0))
    }
}

/// The generator fell behind its schedule if operations that were due and had a free slot were
/// sent late, or if it sent too few while it was hardly ever idle: a server that is the limit
/// leaves it waiting.
fn saturated(tally: &Tally, idle_percent: f64) -> Option<String> {
    let lateness = Duration::from_nanos(tally.lateness.value_at_quantile(0.99));
    if lateness > LATENESS_P99_MAX {
        return Some(format!(
            "sends were late by {:.1} ms at the 99th percentile, more than {} ms",
            lateness.as_secs_f64() * 1e3,
            LATENESS_P99_MAX.as_millis()
        ));
    }
    let sent_percent = 100.0 * tally.sent as f64 / tally.offered().max(1) as f64;
    if sent_percent < SENT_PERCENT_MIN && idle_percent < IDLE_PERCENT_MIN {
        return Some(format!(
            "only {sent_percent:.1} % of what was due was sent, \
             and the generator was idle for {idle_percent:.1} % of the time"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sent: u64, unsent: u64, lateness: Duration) -> Tally {
        let mut tally = Tally { sent, unsent, ..Tally::default() };
        tally.lateness.record_n(lateness.as_nanos() as u64, 100).unwrap();
        tally
    }

    #[test]
    fn a_generator_that_keeps_its_schedule_is_not_saturated() {
        assert_eq!(saturated(&tally(1_000, 0, Duration::from_micros(900)), 0.0), None);
        assert_eq!(saturated(&tally(995, 5, Duration::ZERO), 1.0), None);
    }

    #[test]
    fn late_sends_are_the_generators_fault() {
        let late = tally(1_000, 0, Duration::from_millis(2));
        assert!(saturated(&late, 90.0).unwrap().contains("late by 2.0 ms"));
    }

    #[test]
    fn too_few_sends_are_its_fault_only_if_it_was_busy() {
        let few = tally(900, 100, Duration::ZERO);
        assert_eq!(saturated(&few, 50.0), None, "it waited for the server");
        assert!(saturated(&few, 1.0).unwrap().contains("90.0 %"));
    }
}

//! Latencies, recorded twice.
//!
//! **Service**: from the send to the reply. **Response**: from the intended start to the reply,
//! which in an open loop counts the time an operation waited for its turn. In a closed loop an
//! operation is intended when its predecessor ended.
//!
//! Recording neither allocates nor fails: what is longer than
//! [`crate::limits::LATENCY_MAX`] counts as that.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::generator::Nanos;
use crate::limits::LATENCY_MAX;

/// What latencies are told apart by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A read.
    Get,
    /// A write.
    Put,
    /// A read and the write after it, from the start of one to the end of the other.
    ReadModifyWrite,
}

impl Kind {
    /// All of them, in the order of their indexes.
    pub const ALL: [Self; 3] = [Self::Get, Self::Put, Self::ReadModifyWrite];

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::ReadModifyWrite => "read_modify_write",
        }
    }
}

/// A histogram of nanoseconds with three significant digits.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
        .expect("the bounds are in order and three digits are supported")
}

/// A small histogram for the progress line: two digits, thirty kilobytes.
#[must_use]
pub fn coarse_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 2)
        .expect("the bounds are in order and two digits are supported")
}

/// Both latencies of one kind of operation.
#[derive(Clone, Debug)]
pub struct Latencies {
    service: Histogram<u64>,
    response: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { service: histogram(), response: histogram() }
    }
}

impl Latencies {
    /// An operation intended at `intended`, sent at `sent`, answered at `ended`.
    #[inline]
    pub fn record(&mut self, intended: Nanos, sent: Nanos, ended: Nanos) {
        self.service.saturating_record(ended.saturating_sub(sent));
        self.response.saturating_record(ended.saturating_sub(intended));
    }

    /// An operation intended at `intended` that had no answer at `ended`: its response took at
    /// least that long.
    pub fn record_unanswered(&mut self, intended: Nanos, ended: Nanos) {
        self.response.saturating_record(ended.saturating_sub(intended));
    }

    /// Adds what another thread recorded.
    pub fn add(&mut self, other: &Self) {
        self.service.add(&other.service).expect("histograms with equal bounds");
        self.response.add(&other.response).expect("histograms with equal bounds");
    }

    /// Operations answered.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.service.len()
    }

    /// Whether nothing was recorded at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.service.is_empty() && self.response.is_empty()
    }

    /// Service latencies.
    #[must_use]
    pub fn service(&self) -> &Histogram<u64> {
        &self.service
    }

    /// Response latencies.
    #[must_use]
    pub fn response(&self) -> &Histogram<u64> {
        &self.response
    }
}

/// The quantiles a report shows, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Quantiles {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// 99.99th percentile.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

impl From<&Histogram<u64>> for Quantiles {
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| micros(histogram.value_at_quantile(quantile) as f64);
        Self {
            mean: micros(histogram.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: micros(histogram.max() as f64),
        }
    }
}

/// Nanoseconds as microseconds, to a tenth.
fn micros(nanos: f64) -> f64 {
    (nanos / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_microseconds_and_within_a_thousandth() {
        let mut latencies = Latencies::default();
        (1..=10_000u64).for_each(|us| latencies.record(0, us * 1_000, us * 2_000));
        let service = Quantiles::from(latencies.service());
        for (got, wanted) in [
            (service.p50, 5_000.0),
            (service.p90, 9_000.0),
            (service.p99, 9_900.0),
            (service.p999, 9_990.0),
            (service.p9999, 9_999.0),
            (service.max, 10_000.0),
            (Quantiles::from(latencies.response()).p50, 10_000.0),
        ] {
            assert!((got - wanted).abs() <= wanted / 900.0, "{got}, not {wanted}");
        }
    }

    #[test]
    fn a_latency_past_the_bound_counts_as_the_bound() {
        let mut latencies = Latencies::default();
        latencies.record(0, 0, u64::MAX);
        let max = Quantiles::from(latencies.service()).max;
        assert!(max >= LATENCY_MAX.as_micros() as f64, "{max}");
    }
}

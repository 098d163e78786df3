//! How long things took: a histogram in microseconds, with one writer.
//!
//! Recording allocates nothing and cannot fail. The memory is fixed,
//! [`Latency::BYTES`], which is also what a copy costs: a core hands its histograms over by
//! copying them.

use std::fmt;

use hdrhistogram::Histogram;

/// What is longer counts as this, in microseconds: a minute.
const MAX_US: u64 = 60_000_000;

/// Digits that are kept of a value: it is known to a hundredth.
const DIGITS: u8 = 2;

/// A histogram of times in microseconds.
#[derive(Clone, PartialEq)]
pub struct Latency {
    histogram: Histogram<u64>,
    sum_us: u64,
}

// Its equality is that of integers.
impl Eq for Latency {}

impl Latency {
    /// Memory of one histogram, in bytes.
    pub const BYTES: usize = 20 << 10;

    /// `count` things took `us` microseconds each.
    #[inline]
    pub fn record(&mut self, us: u64, count: u64) {
        let us = us.min(MAX_US);
        self.histogram.saturating_record_n(us, count);
        self.sum_us += us * count;
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// What all of them took together, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The longest, in microseconds, to a hundredth.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.histogram.max()
    }

    /// How many of them fall into each of the buckets that end at `bounds_us`, ascending, the
    /// bound included, and into the one past the last. A value within a hundredth above a bound
    /// may be counted below it.
    #[must_use]
    pub fn buckets(&self, bounds_us: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; bounds_us.len() + 1];
        for step in self.histogram.iter_recorded() {
            let us = self.histogram.lowest_equivalent(step.value_iterated_to());
            counts[bounds_us.partition_point(|bound| *bound < us)] += step.count_at_value();
        }
        counts
    }
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_US, DIGITS);
        Self { histogram: histogram.expect("the bounds are in order"), sum_us: 0 }
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, sum_us, max_us) = (self.count(), self.sum_us, self.max_us());
        f.debug_struct("Latency")
            .field("count", &count)
            .field("sum_us", &sum_us)
            .field("max_us", &max_us)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_with_its_bound_and_the_last_takes_the_rest() {
        let mut latency = Latency::default();
        for (us, count) in [(0, 1), (50, 2), (51, 4), (100, 8), (1_000_000, 16), (70_000_000, 32)] {
            latency.record(us, count);
        }
        assert_eq!(latency.buckets(&[50, 100, 1_000_000]), [3, 12, 16, 32]);
        assert_eq!(latency.buckets(&[]), [63]);
        assert_eq!(latency.count(), 63);
        assert_eq!(latency.sum_us(), 100 + 204 + 800 + 16_000_000 + 32 * MAX_US);
    }

    #[test]
    fn values_are_known_to_a_hundredth_and_memory_does_not_grow() {
        let mut latency = Latency::default();
        for us in [1, 99, 255, 256, 12_345, 1_234_567, MAX_US, u64::MAX] {
            latency.record(us, 1);
            let kept = latency.max_us();
            let us = us.min(MAX_US);
            assert!((us..=us + us / 100).contains(&kept), "{us} became {kept}");
        }
        assert!(latency.histogram.distinct_values() * size_of::<u64>() <= Latency::BYTES);
    }
}

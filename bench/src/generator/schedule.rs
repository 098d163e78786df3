//! When an open-loop operation is due.
//!
//! Operation `n` of a run is due at `start + n / rate`, whatever the server does: the intended
//! starts are a pure function of `n`, so a stall cannot thin them out (Tene, "How NOT to measure
//! latency": coordinated omission). Threads interleave: of `count` threads the `index`-th owns the
//! operations `index, index + count, ..`.

use super::Nanos;
use crate::distribution::Share;

/// The intended starts of one thread.
#[derive(Clone, Debug)]
pub struct Schedule {
    start: Nanos,
    rate: u64,
    share: Share,
    next: u64,
}

impl Schedule {
    /// A schedule of `rate` operations a second over all threads, of which this is one's `share`.
    ///
    /// # Panics
    /// If `rate` is 0: that is no schedule.
    #[must_use]
    pub fn new(start: Nanos, rate: u64, share: Share) -> Self {
        assert!(rate > 0, "an open loop has a rate");
        Self { start, rate, share, next: share.index }
    }

    /// When the next operation is due.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Nanos {
        let since = u128::from(self.next) * 1_000_000_000 / u128::from(self.rate);
        self.start.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Takes the next operation if it is due at `now`: its intended start.
    #[inline]
    pub fn take(&mut self, now: Nanos) -> Option<Nanos> {
        let intended = self.peek();
        (intended <= now).then(|| {
            self.next += self.share.count;
            intended
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_without_drift_over_hours() {
        let mut schedule = Schedule::new(5, 3, Share::WHOLE);
        let taken: Vec<_> = (0..4).map(|_| schedule.take(Nanos::MAX).unwrap()).collect();
        assert_eq!(taken, [5, 333_333_338, 666_666_671, 1_000_000_005]);
        schedule.next = 3 * 3_600 * 10;
        assert_eq!(schedule.peek(), 5 + 10 * 3_600 * 1_000_000_000);
    }

    #[test]
    fn nothing_is_due_before_its_time_and_everything_after() {
        let mut schedule = Schedule::new(0, 1_000, Share::WHOLE);
        assert_eq!(schedule.take(0), Some(0));
        assert_eq!(schedule.take(999_999), None);
        assert_eq!(schedule.take(1_000_000), Some(1_000_000));
        let due = std::iter::from_fn(|| schedule.take(1_000_000_000)).count();
        assert_eq!(due, 999, "a second late, the whole second is due");
    }

    #[test]
    fn threads_interleave_to_the_whole_schedule() {
        let mut all: Vec<_> = (0..3)
            .flat_map(|index| {
                let mut part = Schedule::new(0, 700, Share { index, count: 3 });
                std::iter::from_fn(move || part.take(1_000_000_000)).collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        let mut whole = Schedule::new(0, 700, Share::WHOLE);
        let wanted: Vec<_> = std::iter::from_fn(|| whole.take(1_000_000_000)).collect();
        assert_eq!(all, wanted);
    }
}

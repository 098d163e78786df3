//! [`Pace`]: how many bytes a second are asked for. What a page brought is paid for before the next
//! is asked for, so that a page may be larger than a second's worth.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::time::Instant;

/// How many bytes a second are asked for, and when the next may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bytes_per_second: NonZeroU64,
    free_at: Instant,
}

impl Pace {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, free_at: Instant(0) }
    }

    /// So many bytes have come.
    pub(super) fn took(&mut self, now: Instant, bytes: u64) {
        self.free_at = self.free_at.max(now) + self.time_for(bytes);
    }

    /// When the next may be asked for.
    pub(super) fn free_at(&self) -> Instant {
        self.free_at
    }

    /// How long so many bytes take at least.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second.get());
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_comes_than_the_pace() {
        let mut pace = Pace::new(NonZeroU64::new(1000).expect("not 0"));
        let (mut now, mut bytes) = (Instant(5_000_000), 0);
        for page in [10, 2500, 1, 400, 999].into_iter().cycle().take(500) {
            now = now.max(pace.free_at());
            pace.took(now, page);
            bytes += page;
        }
        let last = Duration::from_millis(999);
        let took = now.since(Instant(5_000_000)) + last;
        assert_eq!(took.as_millis() as u64, bytes);
        assert_eq!(pace.time_for(u64::MAX).as_micros(), u128::from(u64::MAX), "it saturates");
    }
}

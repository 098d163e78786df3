//! Time as it is given to the state machines: nothing in this crate reads a clock.
//!
//! Two clocks, never mixed: a monotonic one for all waiting ([`Instant`]), and the wall clock for
//! stamps and expiry, which may jump, drift and stand still.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of a process's monotonic clock: microseconds since a start that only the driver knows.
/// Moments of two processes, or of two lives of one, are not comparable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// Later than every moment there will be.
    pub const NEVER: Self = Self(u64::MAX);

    /// How long it has been since `earlier`; zero if that is later.
    #[inline]
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Stops at [`Instant::NEVER`].
    #[inline]
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Stops at the start of the clock.
    #[inline]
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// What both clocks show while one event is handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub at: Instant,
    /// The wall clock: Unix milliseconds.
    pub wall_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stops_at_its_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Instant(5) + second, Instant(1_000_005));
        assert_eq!(Instant(5) - second, Instant(0));
        assert_eq!(Instant::NEVER + second, Instant::NEVER);
        assert_eq!(Instant(0) + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant(1_000_005).since(Instant(5)), second);
        assert_eq!(Instant(5).since(Instant(6)), Duration::ZERO);
    }
}

//! Time, read once a tick.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Readings of the wall clock are at most this old.
const WALL_AGE_US: u64 = 500;

/// The time of one tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tick {
    /// Monotonic, the same on every core, in microseconds since the server's start.
    pub now_us: u64,
    /// Unix milliseconds. May jump.
    pub wall_ms: u64,
}

/// The clock of one core; those of a server share their start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    last: Tick,
    wall_read_us: Option<u64>,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), last: Tick::default(), wall_read_us: None }
    }

    /// Microseconds since `tick`, now.
    #[inline]
    #[must_use]
    pub fn since_us(&self, tick: Tick) -> u64 {
        self.start.elapsed().as_micros() as u64 - tick.now_us
    }

    /// Reads the clock.
    #[inline]
    pub fn tick(&mut self) -> Tick {
        let now_us = self.start.elapsed().as_micros() as u64;
        self.last.now_us = now_us;
        if self.wall_read_us.is_none_or(|read_us| now_us - read_us >= WALL_AGE_US) {
            self.wall_read_us = Some(now_us);
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last.wall_ms = wall.as_millis() as u64;
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_never_goes_back_and_has_the_date() {
        let mut clock = Clock::start();
        let mut last = clock.tick();
        assert!(last.wall_ms > 1_600_000_000_000);
        for _ in 0..1000 {
            let next = clock.tick();
            assert!(next.now_us >= last.now_us);
            last = next;
        }
    }
}

//! How full the file system is, and what that forbids.
//!
//! A level is decided from what the file system says and nothing else, so it clears by itself.

use crate::env::{Env, Space};
use crate::store::SpaceLimits;

/// How full the file system is. Each level forbids what the ones before it do, and more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum SpaceLevel {
    /// Nothing is forbidden.
    #[default]
    Ample,
    /// Nothing is forbidden, somebody should know.
    Warn,
    /// Compactions for whose outputs there is no room beside their inputs are not started.
    BackgroundStopped,
    /// Puts are refused, deletes are not.
    PutsRefused,
}

impl SpaceLevel {
    fn of(space: Space, limits: &SpaceLimits) -> Self {
        let used = u128::from(space.total.saturating_sub(space.available));
        let reached = |percent: u8| used * 100 >= u128::from(space.total) * u128::from(percent);
        if reached(limits.refuse_percent) {
            Self::PutsRefused
        } else if reached(limits.background_percent) {
            Self::BackgroundStopped
        } else if reached(limits.warn_percent) {
            Self::Warn
        } else {
            Self::Ample
        }
    }
}

/// Asks the file system now and then.
#[derive(Debug, Default)]
pub(crate) struct SpaceWatch {
    level: SpaceLevel,
    available: u64,
    next_us: u64,
}

impl SpaceWatch {
    pub(crate) fn level(&self) -> SpaceLevel {
        self.level
    }

    /// Bytes that were left when last asked.
    pub(crate) fn available(&self) -> u64 {
        self.available
    }

    /// Asks if it is time to. A file system that does not answer leaves the level as it is.
    pub(crate) fn poll(&mut self, env: &impl Env, limits: &SpaceLimits, now_us: u64) {
        if now_us < self.next_us {
            return;
        }
        self.next_us = now_us + limits.poll_interval_us;
        let space = match env.space() {
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(%error, "cannot tell how full the disk is");
                return;
            }
        };
        self.available = space.available;
        let level = SpaceLevel::of(space, limits);
        if level != self.level {
            let Space { available, total } = space;
            if level > self.level {
                tracing::warn!(?level, available, total, "the disk fills up");
            } else {
                tracing::info!(?level, available, total, "the disk has space again");
            }
            self.level = level;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_at_their_percentage() {
        let limits = SpaceLimits::default();
        let level = |available| SpaceLevel::of(Space { available, total: 1000 }, &limits);
        for (available, expected) in [
            (1000, SpaceLevel::Ample),
            (151, SpaceLevel::Ample),
            (150, SpaceLevel::Warn),
            (81, SpaceLevel::Warn),
            (80, SpaceLevel::BackgroundStopped),
            (31, SpaceLevel::BackgroundStopped),
            (30, SpaceLevel::PutsRefused),
            (0, SpaceLevel::PutsRefused),
        ] {
            assert_eq!(level(available), expected, "{available} of 1000 left");
        }
        let huge = Space { available: u64::MAX / 2, total: u64::MAX };
        assert_eq!(SpaceLevel::of(huge, &limits), SpaceLevel::Ample);
    }
}

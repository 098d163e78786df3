//! The hybrid logical clock of one core: stamps that follow the wall clock where it behaves and
//! never go back where it does not.
//!
//! Kulkarni et al., "Logical Physical Clocks", OPODIS 2014. A stamp is 48 bits of milliseconds and
//! a 16-bit counter in one integer, so "one more than the last" carries from the counter into the
//! milliseconds by itself.
//!
//! What it keeps true:
//! - stamps of one clock are strictly increasing, whatever the wall clock does;
//! - no stamp is above the **ceiling**, a value known to be on disk, nor at or below the **floor**,
//!   the ceiling found at start: so no stamp is given twice by two lives of a node;
//! - a stamp exceeds what its writer saw, so what a client reads it can overwrite;
//! - a client cannot push the clock more than [`SKEW_MS_MAX`] ahead of the node's own time, however
//!   many stamps it sends: one ahead of all that this clock has given is checked against the wall
//!   clock and the floor, never against what earlier requests pushed the clock to;
//! - a stamp that this clock has given is admitted for ever, wherever the wall clock jumps.

use schemas::ids::Hlc;

use crate::limits::{CEILING_LEAD_MS, SKEW_MS_MAX};

/// Gives stamps; one a core.
#[derive(Clone, Debug)]
pub struct HlcClock {
    floor: Hlc,
    last: Hlc,
}

impl HlcClock {
    /// A clock whose every stamp will be above `floor`, the ceiling that was on disk at start.
    #[must_use]
    pub fn new(floor: Hlc) -> Self {
        Self { floor, last: floor }
    }

    /// The next stamp: above all earlier ones, above `seen`, at least `wall_ms`, at most
    /// `ceiling`. `None`, and no stamp is used up, while the ceiling is too low: the caller
    /// refuses the write for now, and the ceiling's keeper raises it.
    ///
    /// `seen` is the greatest stamp the writer knows of, already checked with
    /// [`HlcClock::admits`] if it came from a client; zero if there is none.
    #[inline]
    pub fn stamp(&mut self, wall_ms: u64, seen: Hlc, ceiling: Hlc) -> Option<Hlc> {
        let after = Hlc(self.last.max(seen).0.checked_add(1)?);
        let next = after.max(Hlc::from_millis(wall_ms));
        if next > ceiling {
            return None;
        }
        self.last = next;
        Some(next)
    }

    /// Time has passed, or stamps were given elsewhere: every later stamp is above `wall_ms` and
    /// `floor`. Returns a stamp that none of this life will be at or below, nor any of the next,
    /// since it is not above `ceiling`.
    pub fn pass(&mut self, wall_ms: u64, floor: Hlc, ceiling: Hlc) -> Hlc {
        let passed = Hlc::from_millis(wall_ms).min(ceiling);
        self.last = self.last.max(passed).max(floor);
        self.last.min(ceiling)
    }

    /// Whether a stamp that a client says it saw is one this cluster can have given: not more
    /// than [`SKEW_MS_MAX`] ahead of the node's own time, or not above [`HlcClock::last`], where
    /// it moves the clock no further than any write.
    #[inline]
    #[must_use]
    pub fn admits(&self, wall_ms: u64, seen: Hlc) -> bool {
        let skewed_ms = wall_ms.max(self.floor.millis()).saturating_add(SKEW_MS_MAX);
        seen.millis() <= skewed_ms || seen <= self.last
    }

    /// The greatest stamp given, or the floor if none was.
    #[inline]
    #[must_use]
    pub fn last(&self) -> Hlc {
        self.last
    }
}

/// The ceiling to sync next: `None` while less than half of the lead of `ceiling` is used up.
///
/// `used` is the greatest stamp any core gave. Where the wall clock is behind it (it jumped back,
/// or a client's stamp pushed ahead) the ceiling follows `used`, so stamps never run dry.
#[must_use]
pub fn next_ceiling(ceiling: Hlc, used: Hlc, wall_ms: u64) -> Option<Hlc> {
    let front_ms = wall_ms.max(used.millis());
    let left_ms = ceiling.millis().saturating_sub(front_ms);
    (left_ms <= CEILING_LEAD_MS / 2).then(|| Hlc::from_millis(front_ms + CEILING_LEAD_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_CEILING: Hlc = Hlc(u64::MAX);

    #[test]
    fn follows_the_wall_clock_and_counts_within_a_millisecond() {
        let mut clock = HlcClock::new(Hlc(0));
        let first = clock.stamp(1_000, Hlc(0), NO_CEILING).unwrap();
        assert_eq!(first, Hlc::from_millis(1_000));
        assert_eq!(clock.stamp(1_000, Hlc(0), NO_CEILING), Some(Hlc(first.0 + 1)));
        assert_eq!(clock.stamp(1_001, Hlc(0), NO_CEILING), Some(Hlc::from_millis(1_001)));
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let mut clock = HlcClock::new(Hlc((7 << 16) | 0xffff));
        assert_eq!(clock.stamp(7, Hlc(0), NO_CEILING), Some(Hlc::from_millis(8)));
    }

    #[test]
    fn a_low_ceiling_gives_nothing_and_uses_nothing_up() {
        let mut clock = HlcClock::new(Hlc(0));
        assert_eq!(clock.stamp(1_000, Hlc(0), Hlc::from_millis(999)), None);
        assert_eq!(clock.last(), Hlc(0));
        let ceiling = Hlc::from_millis(1_000);
        assert_eq!(clock.stamp(1_000, Hlc(0), ceiling), Some(ceiling));
        assert_eq!(clock.stamp(1_000, Hlc(0), ceiling), None);
    }

    #[test]
    fn what_has_passed_is_not_stamped_by_this_life_nor_the_next() {
        let ceiling = Hlc::from_millis(1_500);
        let mut clock = HlcClock::new(Hlc(0));
        assert_eq!(clock.pass(1_000, Hlc(0), ceiling), Hlc::from_millis(1_000));
        assert!(clock.stamp(10, Hlc(0), ceiling).unwrap() > Hlc::from_millis(1_000));
        assert_eq!(clock.pass(9_000, Hlc(0), ceiling), ceiling);
        let floor = Hlc::from_millis(2_000);
        assert_eq!(clock.pass(0, floor, ceiling), ceiling, "the next life begins above that alone");
        assert_eq!(clock.stamp(0, Hlc(0), ceiling), None);
        assert!(clock.stamp(0, Hlc(0), NO_CEILING).unwrap() > floor);
    }

    #[test]
    fn the_end_of_the_clock_is_not_passed() {
        let mut clock = HlcClock::new(Hlc(u64::MAX));
        assert_eq!(clock.stamp(0, Hlc(0), NO_CEILING), None);
    }

    #[test]
    fn a_second_life_starts_above_the_first() {
        let ceiling = Hlc::from_millis(5_000);
        let mut first = HlcClock::new(Hlc(0));
        let last = first.stamp(5_000, Hlc(0), ceiling).unwrap();
        let mut second = HlcClock::new(ceiling);
        assert!(second.stamp(10, Hlc(0), NO_CEILING).unwrap() > last);
    }

    /// A client that answers each stamp with one 500 ms further would otherwise walk the clock
    /// into the future step by step.
    #[test]
    fn a_client_cannot_ratchet_the_clock_forward() {
        let mut clock = HlcClock::new(Hlc(0));
        let mut seen = Hlc::from_millis(1_000);
        for _ in 0..10 {
            let claim = Hlc::from_millis(seen.millis() + SKEW_MS_MAX);
            if clock.admits(1_000, claim) {
                seen = clock.stamp(1_000, claim, NO_CEILING).unwrap();
            }
        }
        assert!(clock.last() <= Hlc::from_millis(1_000 + SKEW_MS_MAX + 1));
    }

    /// The wall clock was set back an hour, stamps went on from the last one, and every client
    /// that had been given one was refused for that hour. What was given is admitted, however far
    /// the counter carries it meanwhile, and nothing above it.
    #[test]
    fn a_wall_clock_that_jumps_back_refuses_no_stamp_that_was_given() {
        let mut clock = HlcClock::new(Hlc(0));
        let furthest = Hlc(Hlc::from_millis(10_000_000 + SKEW_MS_MAX + 1).0 - 1);
        assert!(clock.admits(10_000_000, furthest));
        let mut seen = clock.stamp(10_000_000, furthest, NO_CEILING).unwrap();
        for back_ms in [10_000_000, 10_000_000 - 3_600_000, 0] {
            assert!(clock.admits(back_ms, seen));
            seen = clock.stamp(back_ms, seen, NO_CEILING).unwrap();
            assert!(seen.millis() > 10_000_000 + SKEW_MS_MAX);
            assert!(!clock.admits(back_ms, Hlc(seen.0 + 1)));
        }
    }

    #[test]
    fn a_ceiling_is_renewed_when_half_of_its_lead_is_used() {
        let ceiling = Hlc::from_millis(10_000 + CEILING_LEAD_MS);
        for (used_ms, wall_ms, renewed_ms) in [
            (0, 10_000, None),
            (0, 10_000 + CEILING_LEAD_MS / 2 - 1, None),
            (0, 11_000, Some(11_000 + CEILING_LEAD_MS)),
            (11_500, 10_000, Some(11_500 + CEILING_LEAD_MS)),
            // The wall clock jumped back an hour: nothing to do until stamps use up the lead.
            (10_500, 10, None),
            // It jumped far ahead of the ceiling.
            (0, 99_000, Some(99_000 + CEILING_LEAD_MS)),
        ] {
            let next = next_ceiling(ceiling, Hlc::from_millis(used_ms), wall_ms);
            assert_eq!(next, renewed_ms.map(Hlc::from_millis), "used {used_ms} wall {wall_ms}");
        }
    }

    proptest! {
        /// Whatever the wall clock and the clients do: strictly increasing, so unique; above what
        /// was seen; below the ceiling; and never further ahead of the greatest time known than
        /// the stamps that were given.
        #[test]
        fn stamps_are_monotonic_unique_and_bounded(
            floor in 0u64..1 << 40,
            steps in prop::collection::vec((0u64..1 << 24, 0u64..1 << 40, any::<bool>()), 1..200),
        ) {
            let mut clock = HlcClock::new(Hlc(floor));
            let mut ceiling = Hlc(floor);
            let mut given = 0u64;
            let mut front = Hlc(floor);
            for (wall_ms, seen, renew) in steps {
                if renew {
                    let next = next_ceiling(ceiling, clock.last(), wall_ms).unwrap_or(ceiling);
                    prop_assert!(next >= ceiling);
                    ceiling = next;
                }
                let before = clock.last();
                let seen = if clock.admits(wall_ms, Hlc(seen)) { Hlc(seen) } else { Hlc(0) };
                let Some(stamp) = clock.stamp(wall_ms, seen, ceiling) else {
                    prop_assert_eq!(clock.last(), before);
                    continue;
                };
                given += 1;
                front = front.max(seen).max(Hlc::from_millis(wall_ms));
                prop_assert!(stamp > before && stamp > seen && stamp.0 > floor);
                prop_assert!(stamp <= ceiling && stamp >= Hlc::from_millis(wall_ms));
                prop_assert!(stamp.0 <= front.0 + given);
            }
        }
    }
}

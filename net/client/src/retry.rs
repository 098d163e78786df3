//! When a failed attempt is made again.
//!
//! An attempt is repeated only where nobody can tell: a read that failed, a write that was
//! certainly not applied. A write whose outcome is unknown is not repeated: another client may have
//! written in between, and the repeated write would overwrite it.
//!
//! The budget keeps retries to a tenth of the operations, so that a cluster in trouble is not
//! pushed under by its clients (Google SRE book, "Addressing Cascading Failures").

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use schemas::status::Applied;

use crate::error::Error;
use crate::limits::{ATTEMPTS_MAX, RECONNECT_FIRST, RECONNECT_LONGEST, RETRY_FIRST};

/// Whether an operation changes anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Read,
    Write,
}

/// Tokens of a retry, in units an operation earns.
const RETRY_COST: u32 = 10;
/// Retries that may follow one another at once.
const BURST_RETRIES: u32 = 20;

/// A token bucket: each operation puts a tenth of a retry in, each retry takes one out. It starts
/// full and knows no time: an idle client keeps what it has.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

impl Budget {
    pub(crate) const fn full() -> Self {
        Self(AtomicU32::new(BURST_RETRIES * RETRY_COST))
    }

    /// An operation began.
    pub(crate) fn earn(&self) {
        let more = |tokens: u32| (tokens < BURST_RETRIES * RETRY_COST).then_some(tokens + 1);
        let _full = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes one retry out, if there is one.
    pub(crate) fn spend(&self) -> bool {
        let less = |tokens: u32| tokens.checked_sub(RETRY_COST);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// How long to wait before attempt number `attempts` + 1; `None` where there is to be none.
///
/// `chance` is a random number: the wait is spread over half to all of its length, so that clients
/// which failed together do not come back together.
pub(crate) fn delay(
    effect: Effect,
    attempts: u32,
    error: &Error,
    remaining: Duration,
    chance: u32,
    budget: &Budget,
) -> Option<Duration> {
    let safe = effect == Effect::Read || error.applied() == Applied::No;
    if !safe || !error.is_retryable() || attempts >= ATTEMPTS_MAX {
        return None;
    }
    let backoff = spread(RETRY_FIRST * (1 << (2 * (attempts - 1))), chance);
    let delay = backoff.max(error.retry_after().unwrap_or_default());
    (delay < remaining && budget.spend()).then_some(delay)
}

/// The wait before connecting again, after `failures` in a row.
pub(crate) fn reconnect_delay(failures: u32, chance: u32) -> Duration {
    let doubled = RECONNECT_FIRST * (1 << failures.saturating_sub(1).min(16));
    spread(doubled.min(RECONNECT_LONGEST), chance)
}

fn spread(longest: Duration, chance: u32) -> Duration {
    longest / 2 + longest.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use schemas::status::Status;

    use super::*;

    const PLENTY: Duration = Duration::from_secs(60);

    fn retries(effect: Effect, error: &Error) -> bool {
        delay(effect, 1, error, PLENTY, 0, &Budget::full()).is_some()
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        for status in Status::ALL {
            let error = Error::refused(status);
            assert_eq!(retries(Effect::Read, &error), status.is_retryable(), "{status:?}");
            let unapplied = status.applied() == Applied::No;
            let expected = status.is_retryable() && unapplied;
            assert_eq!(retries(Effect::Write, &error), expected, "{status:?}");
        }
        let lost = Error::unavailable(Applied::Unknown, "the connection was lost");
        assert!(retries(Effect::Read, &lost));
        assert!(!retries(Effect::Write, &lost));
    }

    #[test]
    fn attempts_are_bounded_and_waits_grow() {
        let error = Error::refused(Status::Overloaded);
        let wait = |attempts, chance| {
            delay(Effect::Read, attempts, &error, PLENTY, chance, &Budget::full())
        };
        assert_eq!(wait(1, 0), Some(Duration::from_millis(5)));
        assert_eq!(wait(1, u32::MAX), Some(Duration::from_millis(10)));
        assert_eq!(wait(2, u32::MAX), Some(Duration::from_millis(40)));
        assert_eq!(wait(ATTEMPTS_MAX, 0), None);
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asks_but_not_past_the_deadline() {
        let asked = Duration::from_millis(300);
        let error = Error::refused(Status::Overloaded).with_retry_after(asked);
        let wait = |remaining| delay(Effect::Write, 1, &error, remaining, 0, &Budget::full());
        assert_eq!(wait(PLENTY), Some(asked));
        assert_eq!(wait(asked), None);
    }

    #[test]
    fn retries_are_a_tenth_of_the_operations() {
        let (budget, error) = (Budget::full(), Error::refused(Status::Overloaded));
        let mut retried = 0;
        for _ in 0..10_000 {
            budget.earn();
            for attempts in 1..ATTEMPTS_MAX {
                retried +=
                    u32::from(delay(Effect::Read, attempts, &error, PLENTY, 0, &budget).is_some());
            }
        }
        // The first operation finds the bucket full and adds nothing.
        assert_eq!(retried, 9_999 / 10 + BURST_RETRIES);
    }

    #[test]
    fn reconnects_slow_down_to_a_bound() {
        assert_eq!(reconnect_delay(1, u32::MAX), RECONNECT_FIRST);
        assert_eq!(reconnect_delay(2, u32::MAX), 2 * RECONNECT_FIRST);
        for failures in [10, 100, u32::MAX] {
            assert_eq!(reconnect_delay(failures, u32::MAX), RECONNECT_LONGEST);
            assert_eq!(reconnect_delay(failures, 0), RECONNECT_LONGEST / 2);
        }
    }
}

//! [`Timers`]: what foca wants to be reminded of, in order.
//!
//! - Timers are given back in the order of their time, then of their making: foca counts on a
//!   probe's steps coming in order.
//! - When foca starts afresh all are forgotten, so that none of an earlier time is left for its
//!   token, one byte, to be taken for a newer one.
//! - Time in which the process stood still does not count: see [`Timers::forgive`].
//! - Their number is bounded by what adds them: four that renew themselves, and one suspicion at
//!   most each probe period, gone when the suspicion's time is over. Nothing received adds one.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::Timer;

use super::identity::Identity;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer<Identity>>,
    added: u64,
}

impl Timers {
    pub(super) fn add(&mut self, at: Instant, timer: Timer<Identity>) {
        self.added += 1;
        self.queue.insert((at, self.added), timer);
    }

    /// When the next one is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one, if it is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer<Identity>> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// If the first has been due for longer than `late_max`, this process stood still meanwhile,
    /// and what its timers waited for (answers, refutations) may lie unread before it: all are put
    /// off until the first is due in `late_max`. Says whether it was so.
    ///
    /// After Dadgar, Phillips, Currey, "Lifeguard: Local Health Awareness for More Accurate
    /// Failure Detection", 2018: who is slow gives others more time.
    pub(super) fn forgive(&mut self, now: Instant, late_max: Duration) -> bool {
        let Some(late) = self.first().map(|first| now.since(first)).filter(|it| *it > late_max)
        else {
            return false;
        };
        let by = late + late_max;
        let queue = std::mem::take(&mut self.queue);
        self.queue = queue.into_iter().map(|((at, nth), it)| ((at + by, nth), it)).collect();
        true
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

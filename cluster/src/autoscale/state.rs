//! What is remembered from one evaluation to the next: since when what holds, and since when all
//! is quiet. Small, and in memory only: a node that begins to evaluate begins with a cool-down.

use std::time::Duration;

use super::demand::{Demand, KINDS};
use super::policy::Settings;
use super::reason::AddReason;
use super::view::View;
use crate::time::Instant;

/// The memory of the node that evaluates, for one data centre.
#[derive(Clone, Copy, Debug)]
pub struct AutoscaleState {
    /// The last change, decision or movement seen, or the start.
    quiet_since: Instant,
    evaluated_at: Instant,
    changed_epoch: Option<u32>,
    short: [Option<Short>; KINDS],
    spare_since: Option<Instant>,
}

/// A shortage that has held since some moment without a break.
///
/// The fewest nodes wanted of late are those that are sure to be needed: a spike at the end of the
/// time does not count. "Of late" is the current and the last full block of `add_after`, so that a
/// load which grew all through a cool-down is met as it is then.
#[derive(Clone, Copy, Debug)]
struct Short {
    since: Instant,
    block_since: Instant,
    fewest_before: u32,
    fewest: u32,
    reason: AddReason,
}

impl Short {
    fn begin(Demand { shortage, more }: Demand, now: Instant) -> Self {
        let reason = AddReason { shortage, held: Duration::ZERO, more };
        Self { since: now, block_since: now, fewest_before: more, fewest: more, reason }
    }

    fn go_on(&mut self, Demand { shortage, more }: Demand, block: Duration, now: Instant) {
        if now.since(self.block_since) > block {
            self.fewest_before = self.fewest;
            self.fewest = more;
            self.block_since = now;
        }
        self.fewest = self.fewest.min(more);
        let more = self.fewest.min(self.fewest_before);
        self.reason = AddReason { shortage, held: now.since(self.since), more };
    }
}

impl AutoscaleState {
    /// The memory of a node that begins to evaluate.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            quiet_since: now,
            evaluated_at: now,
            changed_epoch: None,
            short: [None; KINDS],
            spare_since: None,
        }
    }

    /// Opens an evaluation. A change of the members that was not seen yet starts the cool-down; a
    /// pause longer than a record is good for breaks whatever held.
    pub(super) fn open(&mut self, settings: &Settings, view: &View, now: Instant) {
        let known = self.changed_epoch.replace(view.changed_epoch);
        if known.is_some_and(|epoch| epoch != view.changed_epoch) {
            self.unsettle(now);
        }
        if now.since(self.evaluated_at) > settings.stale_after {
            self.forget();
        }
        self.evaluated_at = now;
    }

    /// The members change, or are about to: what held was true of others.
    pub(super) fn unsettle(&mut self, now: Instant) {
        self.quiet_since = now;
        self.forget();
    }

    /// Nothing is known to hold.
    pub(super) fn forget(&mut self) {
        self.short = [None; KINDS];
        self.spare_since = None;
    }

    /// Notes what is short now.
    pub(super) fn note_demands(
        &mut self,
        settings: &Settings,
        demands: [Option<Demand>; KINDS],
        now: Instant,
    ) {
        for (short, demand) in self.short.iter_mut().zip(demands) {
            match (short.as_mut(), demand) {
                (Some(short), Some(demand)) => short.go_on(demand, settings.add_after, now),
                (_, demand) => *short = demand.map(|demand| Short::begin(demand, now)),
            }
        }
    }

    /// Notes whether a node can go now, and tells for how long one could.
    pub(super) fn note_spare(&mut self, is_spare: bool, now: Instant) -> Duration {
        self.spare_since = is_spare.then(|| self.spare_since.unwrap_or(now));
        self.spare_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// The shortage to act on: of those that held for `time` the one that wants most nodes, or
    /// else the one that has held longest.
    pub(super) fn shortage(&self, time: Duration) -> Option<AddReason> {
        let reasons = self.short.iter().flatten().map(|short| short.reason);
        // The first of equals is the one to tell of.
        reasons.rev().max_by_key(|reason| match reason.held >= time {
            true => (true, reason.more, reason.held),
            false => (false, 0, reason.held),
        })
    }

    /// For how long nothing has changed.
    pub(super) fn quiet_for(&self, now: Instant) -> Duration {
        now.since(self.quiet_since)
    }

    /// What is left of the cool-down.
    pub(super) fn cooldown_left(&self, settings: &Settings, now: Instant) -> Duration {
        settings.cooldown.saturating_sub(self.quiet_for(now))
    }
}

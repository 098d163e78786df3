//! [`Promise`]: what a core, a node, or all nodes promise of what is stamped below.
//!
//! A core counts together, once a period:
//! - the stamp that it would give now, less a window. A node stamps nothing at or below it in this
//!   life, and in no other, since lives begin above the ceiling on disk; and it keeps nothing for
//!   others whose stamp is below the stamp it would give, less the window: it refuses that as late.
//!   So this part of a promise needs no disk of its own;
//! - the oldest stamp of a write that is under way here;
//! - the oldest value that is kept for others.
//!
//! A vnode that was given away and is not forgotten yet may have what no owner has. The promise is
//! not made for vnodes of its epoch or a later one.

use std::time::Duration;

use schemas::ids::Hlc;

use super::answering::HorizonStep;
use crate::event::{Effect, Order};
use crate::mutation::Mutation;
use crate::shard::{Purpose, Turn};
use crate::time::Instant;
use crate::topology::Epoch;

/// What is promised.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Promise {
    /// Nothing is said of vnodes that changed in a later epoch.
    pub epoch: Epoch,
    /// Nothing that only who promises has is stamped below, nor will be.
    pub below: Hlc,
    /// Every stamp that is given from now on is above.
    pub last: Hlc,
}

impl Promise {
    /// What two promise together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            epoch: self.epoch.min(other.epoch),
            below: self.below.min(other.below),
            last: self.last.min(other.last),
        }
    }
}

/// What all members of a topology promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Promised {
    /// The topology whose members they are; none of them was known to have a newer one.
    pub topology: Epoch,
    /// What they promise; nothing while one of them was not heard.
    pub promise: Promise,
    /// No horizon that this node was not asked for is above; `None` until that is known.
    pub floor: Option<Hlc>,
}

/// When a core promises, and what.
#[derive(Debug)]
pub(crate) struct Promises {
    next: Instant,
    /// What is promised if nothing that is kept for others says less.
    asked: Option<Promise>,
}

impl Promises {
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now, asked: None }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.next
    }

    /// Looks what can be promised: `last` is the last stamp that was given, `under_way` the least
    /// of a write that is, `given` the least epoch of a vnode that was given away.
    pub(crate) fn due(
        &mut self,
        turn: &mut Turn<'_>,
        last: Hlc,
        under_way: Option<Hlc>,
        given: Option<Epoch>,
    ) {
        if self.next > turn.now.at {
            return;
        }
        let core = &mut *turn.core;
        self.next = turn.now.at + core.tunables.horizon_period;
        let epoch = core.document.epoch;
        let given = given.map_or(epoch, |given| Epoch(given.0.saturating_sub(1)));
        let promise = Promise {
            epoch: epoch.min(given),
            below: stands_in_from(last, core.tunables.horizon_window)
                .min(under_way.unwrap_or(Hlc(u64::MAX))),
            last,
        };
        self.asked = Some(promise);
        core.order(Purpose::Horizon(HorizonStep::OldestHint), Order::OldestHint);
    }

    /// The store has told the oldest value that it keeps for others.
    pub(crate) fn read(&mut self, turn: &mut Turn<'_>, oldest: Option<Hlc>) {
        let Some(mut promise) = self.asked.take() else { return };
        if !turn.core.is_wrong(Mutation::PromiseIgnoresHints) {
            promise.below = promise.below.min(oldest.unwrap_or(promise.below));
        }
        turn.core.effect(Effect::Promise(promise));
    }
}

/// The least stamp of what a node may begin to keep for others, where `last` is the last that it
/// gave.
pub(crate) fn stands_in_from(last: Hlc, window: Duration) -> Hlc {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    Hlc::from_millis(last.millis().saturating_sub(window_ms))
}

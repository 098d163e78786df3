//! A stream of operations and the pools of slots it may use.

use std::collections::VecDeque;

use rand::rngs::SmallRng;

use super::schedule::Schedule;
use super::slot::Drawn;
use super::{LaneSpec, Nanos, Route};
use crate::distribution::{Distribution, Share, rng};
use crate::workload::{Mix, key};

/// Where a lane sits in its thread and its run.
#[derive(Clone, Copy)]
pub(super) struct Seat {
    pub(super) index: u64,
    pub(super) share: Share,
    pub(super) first_slot: usize,
}

pub(super) struct Lane {
    mix: Mix,
    distribution: Distribution,
    rng: SmallRng,
    schedule: Option<Schedule>,
    left: Option<u64>,
    retries: bool,
    pools: Vec<Pool>,
    /// The pool of each shard; a single entry where operations are spread blindly.
    pool_of: Vec<usize>,
    /// The pool of each slot, from the lane's first slot on.
    pool_of_slot: Vec<usize>,
    first_slot: usize,
    window: usize,
    outstanding: usize,
}

#[derive(Default)]
struct Pool {
    /// Oldest free first, so that a pool's connections take turns.
    free: VecDeque<usize>,
    waiting: VecDeque<Drawn>,
    slots: usize,
}

/// What became of the operations that waited for a connection that is gone.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) placed: Vec<(usize, Drawn)>,
    pub(super) lost: u64,
}

impl Lane {
    pub(super) fn new(
        spec: &LaneSpec,
        seat: Seat,
        seed: u64,
        start: Nanos,
        shards: &[usize],
        routed: bool,
    ) -> Self {
        let shard_count =
            if routed { shards.iter().max().map_or(1, |&shard| shard + 1) } else { 1 };
        let mut pools: Vec<Pool> = (0..shard_count).map(|_| Pool::default()).collect();
        let mut pool_of_slot = Vec::with_capacity(shards.len() * spec.pipeline);
        // Slot by slot over the connections, so that the first requests spread over all of them.
        for (connection, &shard) in shards.iter().enumerate() {
            let pool = if routed { shard } else { 0 };
            pools[pool].slots += spec.pipeline;
            pool_of_slot.extend((0..spec.pipeline).map(|_| pool));
            debug_assert_eq!(pool_of_slot.len(), (connection + 1) * spec.pipeline);
        }
        for depth in 0..spec.pipeline {
            for connection in 0..shards.len() {
                let slot = connection * spec.pipeline + depth;
                pools[pool_of_slot[slot]].free.push_back(seat.first_slot + slot);
            }
        }
        let mut lane = Self {
            mix: spec.mix,
            distribution: Distribution::new(spec.shape, spec.keys, seat.share),
            rng: rng(seed, seat.index, seat.share),
            schedule: spec.rate.map(|rate| Schedule::new(start, rate, seat.share)),
            left: spec.operations.map(|total| seat.share.of(total)),
            retries: spec.retry,
            pool_of: (0..pools.len()).collect(),
            pools,
            pool_of_slot,
            first_slot: seat.first_slot,
            window: shards.len() * spec.pipeline,
            outstanding: 0,
        };
        lane.remap();
        lane
    }

    /// Gives the shards without a connection of their own to the pools that have one.
    fn remap(&mut self) {
        let alive: Vec<_> = (0..self.pools.len()).filter(|&p| self.pools[p].slots > 0).collect();
        if alive.is_empty() {
            return;
        }
        for shard in 0..self.pool_of.len() {
            if self.pools[self.pool_of[shard]].slots == 0 {
                self.pool_of[shard] = alive[shard % alive.len()];
            }
        }
    }

    /// The next operation, if the loop allows one at `now` and it is intended before `until`.
    #[inline]
    pub(super) fn draw(&mut self, now: Nanos, until: Nanos) -> Option<Drawn> {
        if self.outstanding >= self.window || self.left == Some(0) {
            return None;
        }
        let intended = if now < until { self.intended(now, until)? } else { return None };
        self.outstanding += 1;
        Some(self.drawn(intended))
    }

    #[inline]
    fn intended(&mut self, now: Nanos, until: Nanos) -> Option<Nanos> {
        match &mut self.schedule {
            Some(schedule) if schedule.peek() < until => schedule.take(now),
            None => Some(now),
            Some(_) => None,
        }
    }

    #[inline]
    fn drawn(&mut self, intended: Nanos) -> Drawn {
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Drawn {
            operation: self.mix.draw(&mut self.rng),
            key: self.distribution.draw(&mut self.rng),
            intended,
        }
    }

    /// The pool of the shard that owns a key.
    #[inline]
    pub(super) fn pool(&self, number: u64, route: Option<&Route>) -> usize {
        match route {
            Some(route) if self.pool_of.len() > 1 => {
                let shard = route(&key::key(number));
                self.pool_of[shard % self.pool_of.len()]
            }
            _ => self.pool_of[0],
        }
    }

    /// A free slot of a pool, or `drawn` waits there.
    #[inline]
    pub(super) fn take(&mut self, pool: usize, drawn: Drawn) -> Option<usize> {
        let pool = &mut self.pools[pool];
        let slot = pool.free.pop_front();
        if slot.is_none() {
            pool.waiting.push_back(drawn);
        }
        slot
    }

    /// A slot's operation ended. What waited for the slot, if anything did.
    #[inline]
    pub(super) fn put_back(&mut self, slot: usize) -> Option<Drawn> {
        self.outstanding -= 1;
        let pool = &mut self.pools[self.pool_of_slot[slot - self.first_slot]];
        let waiting = pool.waiting.pop_front();
        if waiting.is_none() {
            pool.free.push_back(slot);
        }
        waiting
    }

    /// An operation ended with its slot.
    pub(super) fn ended(&mut self) {
        self.outstanding -= 1;
    }

    /// `dead` slots will not come back; what waited for their pool moves to another.
    pub(super) fn bury(&mut self, dead: &[usize]) -> Moved {
        for &slot in dead {
            let pool = &mut self.pools[self.pool_of_slot[slot - self.first_slot]];
            pool.free.retain(|&free| free != slot);
            pool.slots -= 1;
            self.window -= 1;
        }
        self.remap();
        let mut moved = Moved::default();
        for from in 0..self.pools.len() {
            if self.pools[from].slots > 0 {
                continue;
            }
            for drawn in std::mem::take(&mut self.pools[from].waiting) {
                let to = self.pool_of[from];
                if self.pools[to].slots == 0 {
                    self.outstanding -= 1;
                    moved.lost += 1;
                } else if let Some(slot) = self.take(to, drawn) {
                    moved.placed.push((slot, drawn));
                }
            }
        }
        moved
    }

    /// When the lane has something to send without any reply.
    pub(super) fn deadline(&self, until: Nanos) -> Option<Nanos> {
        if self.outstanding >= self.window || self.left == Some(0) {
            return None;
        }
        self.schedule.as_ref().map(Schedule::peek).filter(|&at| at < until)
    }

    /// Whether nothing is outstanding and nothing more will be drawn, `over` being whether the
    /// window has closed.
    pub(super) fn is_done(&self, over: bool) -> bool {
        let finished = over || self.left == Some(0) || self.window == 0;
        self.outstanding == 0 && finished
    }

    /// Tells `unsent` of what waits for a slot, and of what is due by `until` and was never drawn.
    pub(super) fn abandon(&mut self, until: Nanos, mut unsent: impl FnMut(Drawn)) {
        self.pools.iter_mut().flat_map(|pool| pool.waiting.drain(..)).for_each(&mut unsent);
        while self.schedule.is_some() && self.left != Some(0) {
            let Some(intended) = self.intended(Nanos::MAX, until) else { break };
            unsent(self.drawn(intended));
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.schedule.is_some()
    }

    pub(super) fn retries(&self) -> bool {
        self.retries
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }
}

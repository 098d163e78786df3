//! The load of one thread, driven by whoever has the sockets.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use hdrhistogram::Histogram;

use super::lane::{Lane, Seat};
use super::slot::{Slot, State};
use super::{Answer, Failure, Nanos, Plan, Request, Route, Snapshot, Tally, Unexpected, Window};
use crate::distribution::Share;
use crate::latency::{Kind, coarse_histogram};
use crate::ledger::Account;
use crate::limits::{LOAD_ATTEMPTS_MAX, LOAD_RETRY_AFTER, LOAD_RETRY_AFTER_MAX};
use crate::workload::{Operation, Values};

/// The load of one thread.
pub struct Generator {
    lanes: Vec<Lane>,
    slots: Vec<Slot>,
    ready: VecDeque<usize>,
    delayed: BinaryHeap<Reverse<(Nanos, usize)>>,
    route: Option<Route>,
    window: Window,
    values: Values,
    verify: bool,
    /// The sequence of the next write, and how far apart this thread's are.
    sequence: u64,
    stride: u64,
    /// Where a ledger is kept: what became of the writes.
    account: Option<Account>,
    tally: Tally,
    /// Response latencies since the last snapshot.
    recent: Histogram<u64>,
}

impl Generator {
    /// The load that `plan` describes, nothing sent yet.
    #[must_use]
    pub fn new(plan: Plan<'_>) -> Self {
        let mut slots = Vec::new();
        let mut lanes = Vec::with_capacity(plan.lanes.len());
        let mut connection = 0;
        for (index, (spec, shards)) in plan.lanes.into_iter().enumerate() {
            let first = slots.len();
            for _ in &shards {
                slots.extend((0..spec.pipeline).map(|_| Slot::free(connection, index)));
                connection += 1;
            }
            let seat = Seat { index: index as u64, share: plan.share, first_slot: first };
            let routed = plan.route.is_some();
            lanes.push(Lane::new(spec, seat, plan.seed, plan.window.start, &shards, routed));
        }
        // Without a ledger threads count in ranges of their own, with one they take turns, so
        // that all stay below the next run's.
        let Share { index, count } = plan.share;
        let (sequence, stride) = match plan.ledger {
            Some(highest) => (highest + 1 + index, count),
            None => ((index << 40) + 1, 1),
        };
        Self {
            lanes,
            slots,
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            route: plan.route,
            window: plan.window,
            values: plan.values,
            verify: plan.verify,
            sequence,
            stride,
            account: plan.ledger.map(|_| Account::default()),
            tally: Tally::default(),
            recent: coarse_histogram(),
        }
    }

    /// The next request to send at `now`.
    #[inline]
    pub fn next(&mut self, now: Nanos) -> Option<Request> {
        while let Some(&Reverse((at, slot))) = self.delayed.peek() {
            if at > now {
                break;
            }
            self.delayed.pop();
            self.ready.push_back(slot);
        }
        while let Some(slot) = self.ready.pop_front() {
            if self.slots[slot].state == State::Ready {
                return Some(self.send(slot, now));
            }
        }
        for index in 0..self.lanes.len() {
            if let Some(slot) = self.start(index, now) {
                return Some(self.send(slot, now));
            }
        }
        None
    }

    /// Draws operations of a lane until one has a slot.
    #[inline]
    fn start(&mut self, index: usize, now: Nanos) -> Option<usize> {
        let lane = &mut self.lanes[index];
        loop {
            let drawn = lane.draw(now, self.window.until)?;
            let pool = lane.pool(drawn.key, self.route.as_ref());
            if let Some(slot) = lane.take(pool, drawn) {
                self.slots[slot].begin(drawn, now);
                return Some(slot);
            }
        }
    }

    #[inline]
    fn send(&mut self, index: usize, now: Nanos) -> Request {
        let slot = &mut self.slots[index];
        if slot.attempts == 0 && !slot.second {
            slot.started = now;
            if slot.intended >= self.window.from {
                self.tally.sent += 1;
                if self.lanes[slot.lane].is_open() {
                    let could = slot.intended.max(slot.freed);
                    self.tally.lateness.saturating_record(now.saturating_sub(could));
                }
            }
        }
        slot.state = State::Sent;
        slot.sent = now;
        slot.generation = slot.generation.wrapping_add(1);
        slot.sequence = self.sequence;
        let write = slot.writes();
        self.sequence += u64::from(write) * self.stride;
        Request {
            connection: slot.connection,
            id: u64::from(slot.generation) << 32 | index as u64,
            write,
            key: slot.key,
            sequence: slot.sequence,
        }
    }

    /// A reply to request `id` came in on `connection`.
    ///
    /// # Errors
    /// If nothing with that id is in flight there: the server or the protocol is broken.
    #[inline]
    pub fn reply(
        &mut self,
        now: Nanos,
        connection: usize,
        id: u64,
        answer: Answer<'_>,
    ) -> Result<(), Unexpected> {
        let index = (id & u64::from(u32::MAX)) as usize;
        let slot = self.slots.get_mut(index).ok_or(Unexpected)?;
        let generation = (id >> 32) as u32;
        if (slot.state, slot.connection, slot.generation) != (State::Sent, connection, generation) {
            return Err(Unexpected);
        }
        match answer {
            Answer::Refused { failure, retry_after } => {
                if slot.writes() && !failure.was_not_applied() {
                    unknown(&mut self.account, slot);
                    if self.account.as_ref().is_some_and(Account::is_full) {
                        self.stop(now);
                    }
                }
                if !self.try_again(now, index, retry_after) {
                    *self.tally.errors.entry(failure).or_insert(0) += 1;
                    self.free(now, index);
                }
                return Ok(());
            }
            Answer::Value(value) if !slot.writes() => {
                if self.verify && !self.values.recognises(slot.key, value) {
                    self.tally.mismatches += 1;
                }
            }
            Answer::Absent if !slot.writes() => self.tally.not_found += 1,
            Answer::Done if slot.writes() => {
                if let Some(account) = &mut self.account {
                    account.acknowledged(slot.key, slot.sequence, slot.sent, now);
                }
            }
            Answer::Done | Answer::Absent | Answer::Value(_) => return Err(Unexpected),
        }
        let kind = if slot.writes() { Kind::Put } else { Kind::Get };
        let measured = slot.intended >= self.window.from;
        if measured {
            self.tally.latencies[kind as usize].record(slot.asked, slot.sent, now);
        }
        self.recent.saturating_record(now.saturating_sub(slot.asked));
        if slot.operation == Operation::ReadModifyWrite && !slot.second {
            if slot.retired {
                self.bury(now, &[index], Failure::ConnectionClosing);
                return Ok(());
            }
            slot.second = true;
            slot.asked = now;
            slot.attempts = 0;
            slot.state = State::Ready;
            self.ready.push_back(index);
            return Ok(());
        }
        if slot.operation == Operation::ReadModifyWrite && measured {
            let whole = &mut self.tally.latencies[Kind::ReadModifyWrite as usize];
            whole.record(slot.intended, slot.started, now);
        }
        self.tally.completed += u64::from(measured);
        self.tally.in_window += u64::from(measured && now < self.window.until);
        self.tally.last = now;
        self.free(now, index);
        Ok(())
    }

    /// Whether a refused request of a loading lane is sent again, by and by.
    fn try_again(&mut self, now: Nanos, index: usize, retry_after: Option<Nanos>) -> bool {
        let slot = &mut self.slots[index];
        let Some(asked) = retry_after else { return false };
        let over = slot.retired || slot.attempts >= LOAD_ATTEMPTS_MAX;
        if over || !self.lanes[slot.lane].retries() {
            return false;
        }
        let least = LOAD_RETRY_AFTER.as_nanos() as Nanos;
        let wait = asked.clamp(least, LOAD_RETRY_AFTER_MAX.as_nanos() as Nanos);
        slot.attempts += 1;
        slot.state = State::Ready;
        self.delayed.push(Reverse((now + wait, index)));
        self.tally.retries += 1;
        true
    }

    /// The operation of a slot ended: the slot takes one that waited for it, or is free.
    #[inline]
    fn free(&mut self, now: Nanos, index: usize) {
        let slot = &mut self.slots[index];
        slot.state = State::Free;
        slot.freed = now;
        if slot.retired {
            let lane = slot.lane;
            self.lanes[lane].ended();
            self.bury(now, &[index], Failure::ConnectionClosing);
            return;
        }
        if let Some(drawn) = self.lanes[slot.lane].put_back(index) {
            slot.begin(drawn, now);
            self.ready.push_back(index);
        }
    }

    /// `connection` takes no new requests; those in flight are still answered.
    pub fn retire(&mut self, now: Nanos, connection: usize) {
        let of_it = |slot: &Slot| slot.connection == connection && slot.state != State::Dead;
        let slots: Vec<_> = (0..self.slots.len()).filter(|&s| of_it(&self.slots[s])).collect();
        for &index in &slots {
            self.slots[index].retired = true;
        }
        let idle = |&index: &usize| self.slots[index].state != State::Sent;
        let idle: Vec<_> = slots.into_iter().filter(idle).collect();
        self.bury(now, &idle, Failure::ConnectionClosing);
    }

    /// `connection` is gone: what was in flight on it failed, and its slots with it.
    pub fn disconnected(&mut self, now: Nanos, connection: usize, failure: Failure) {
        let of_it = |slot: &Slot| slot.connection == connection && slot.state != State::Dead;
        let slots: Vec<_> = (0..self.slots.len()).filter(|&s| of_it(&self.slots[s])).collect();
        self.bury(now, &slots, failure);
    }

    /// `dead` slots, of one lane, will not come back; what they had in hand failed with `failure`.
    fn bury(&mut self, now: Nanos, dead: &[usize], failure: Failure) {
        let Some(&first) = dead.first() else { return };
        let lane = self.slots[first].lane;
        for &index in dead {
            let slot = &mut self.slots[index];
            if slot.state == State::Sent && slot.writes() {
                unknown(&mut self.account, slot);
            }
            if matches!(slot.state, State::Sent | State::Ready) {
                *self.tally.errors.entry(failure).or_insert(0) += 1;
                self.lanes[lane].ended();
            }
            slot.state = State::Dead;
        }
        let moved = self.lanes[lane].bury(dead);
        for (slot, drawn) in moved.placed {
            self.slots[slot].begin(drawn, now);
            self.ready.push_back(slot);
        }
        self.tally.unsent += moved.lost;
    }

    /// When [`Generator::next`] may have a request without any reply, seen from `now`; `None` for
    /// never.
    #[must_use]
    pub fn deadline(&self, now: Nanos) -> Option<Nanos> {
        let until = self.window.until;
        let drawing = if now < until { &self.lanes[..] } else { &[] };
        let lanes = drawing.iter().filter_map(|lane| lane.deadline(until));
        lanes.chain(self.delayed.peek().map(|&Reverse((at, _))| at)).min()
    }

    /// Draws no more operations from `now` on; those drawn go on.
    pub fn stop(&mut self, now: Nanos) {
        self.window.until = self.window.until.min(now);
    }

    /// Whether all that was or will be drawn has ended.
    #[must_use]
    pub fn is_done(&self, now: Nanos) -> bool {
        let over = now >= self.window.until;
        self.lanes.iter().all(|lane| lane.is_done(over))
    }

    /// Operations drawn that have not ended: in flight, or waiting for a slot.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.lanes.iter().map(Lane::outstanding).sum()
    }

    /// What was counted so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What happened since the last snapshot, warm-up or not.
    pub fn snapshot(&mut self) -> Snapshot {
        let snapshot =
            Snapshot { errors: self.tally.errors_total(), response: self.recent.clone() };
        self.recent.reset();
        snapshot
    }

    /// What became of the writes, where a ledger is kept, once nothing more will be sent or heard;
    /// of those in flight nobody knows.
    pub fn close_account(&mut self) -> Option<Account> {
        let mut account = self.account.take()?;
        for slot in self.slots.iter().filter(|slot| slot.state == State::Sent && slot.writes()) {
            account.unknown(slot.key, slot.sequence);
        }
        account.used(self.sequence.saturating_sub(self.stride));
        Some(account)
    }

    /// Ends the run at `now`. What is still in flight counts as an error and, like what was due
    /// and never sent, with the time it has waited as its response: leaving out the slowest
    /// would flatter.
    #[must_use]
    pub fn finish(mut self, now: Nanos) -> Tally {
        let (from, until) = (self.window.from, self.window.until.min(now));
        for slot in &self.slots {
            if !matches!(slot.state, State::Sent | State::Ready) {
                continue;
            }
            *self.tally.errors.entry(Failure::NoReply).or_insert(0) += 1;
            if slot.intended >= from {
                self.tally.unanswered(slot.operation, slot.intended, now);
            }
        }
        for lane in &mut self.lanes {
            lane.abandon(until, |drawn| {
                if drawn.intended >= from {
                    self.tally.unsent += 1;
                    self.tally.unanswered(drawn.operation, drawn.intended, now);
                }
            });
        }
        self.tally
    }
}

/// Nobody knows what became of the write in flight in `slot`.
fn unknown(account: &mut Option<Account>, slot: &Slot) {
    if let Some(account) = account {
        account.unknown(slot.key, slot.sequence);
    }
}

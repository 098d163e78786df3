//! Which key is read next, and what became of it: sans-IO.
//!
//! Each key of the ledger is judged exactly once. A read that is refused for now, or whose
//! connection is lost, is asked again, so many times at most.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::findings::{Findings, Got};
use crate::generator::{Answer, Failure, Nanos, Request, Unexpected};
use crate::ledger::{Ledger, Seen, Verdict};
use crate::limits::{LOAD_ATTEMPTS_MAX, LOAD_RETRY_AFTER, LOAD_RETRY_AFTER_MAX};
use crate::workload::Values;

/// The reading of all keys of a ledger.
pub(super) struct Survey<'a> {
    ledger: &'a Ledger,
    keys: Box<dyn Iterator<Item = u64> + 'a>,
    values: Values,
    /// Reads to be asked again, and when.
    again: BinaryHeap<Reverse<(Nanos, Read)>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    in_flight: usize,
    findings: Findings,
    narrowed: Ledger,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Read {
    key: u64,
    attempts: u8,
}

#[derive(Clone, Copy)]
struct Slot {
    connection: usize,
    open: bool,
    read: Option<Read>,
}

impl<'a> Survey<'a> {
    /// Of all keys of `ledger`, with `pipeline` reads in flight on each of `connections`.
    pub(super) fn new(
        ledger: &'a Ledger,
        values: Values,
        connections: usize,
        pipeline: usize,
    ) -> Self {
        let slot = |index| Slot { connection: index % connections, open: true, read: None };
        Self {
            ledger,
            keys: Box::new(ledger.keys()),
            values,
            again: BinaryHeap::new(),
            slots: (0..connections * pipeline).map(slot).collect(),
            free: (0..connections * pipeline).rev().collect(),
            in_flight: 0,
            findings: Findings::new(ledger.len() as u64),
            narrowed: ledger.clone(),
        }
    }

    /// The next read to send at `now`.
    pub(super) fn next(&mut self, now: Nanos) -> Option<Request> {
        let index = *self.free.last()?;
        let read = match self.again.peek() {
            Some(&Reverse((at, read))) if at <= now => {
                self.again.pop();
                read
            }
            _ => Read { key: self.keys.next()?, attempts: 0 },
        };
        self.free.pop();
        self.in_flight += 1;
        let slot = &mut self.slots[index];
        slot.read = Some(read);
        let Slot { connection, .. } = *slot;
        Some(Request { connection, id: index as u64, write: false, key: read.key, sequence: 0 })
    }

    /// Read `id` was answered.
    ///
    /// # Errors
    /// If there is no such read.
    pub(super) fn reply(
        &mut self,
        now: Nanos,
        connection: usize,
        id: u64,
        answer: Answer<'_>,
    ) -> Result<(), Unexpected> {
        let slots = &mut self.slots;
        let slot = usize::try_from(id).ok().and_then(|index| slots.get_mut(index));
        let slot = slot.filter(|slot| slot.connection == connection).ok_or(Unexpected)?;
        let read = slot.read.take().ok_or(Unexpected)?;
        self.in_flight -= 1;
        if slot.open {
            self.free.push(id as usize);
        }
        match answer {
            Answer::Value(value) => {
                let claims = Values::claimed(value);
                let seen = match claims {
                    Some(sequence) if self.values.recognises(read.key, value) => {
                        Seen::Value { sequence }
                    }
                    claims => Seen::Bytes { claims },
                };
                self.judge(read.key, Got { seen, bytes: value.len() });
            }
            Answer::Absent => self.judge(read.key, Got { seen: Seen::Absent, bytes: 0 }),
            Answer::Done => {
                self.try_again(now, read, Failure::ProtocolBroken);
                return Err(Unexpected);
            }
            Answer::Refused { failure, retry_after: None } => self.unreadable(read.key, failure),
            Answer::Refused { failure, retry_after: Some(wait) } => {
                let least = LOAD_RETRY_AFTER.as_nanos() as Nanos;
                let wait = wait.clamp(least, LOAD_RETRY_AFTER_MAX.as_nanos() as Nanos);
                self.try_again(now + wait, read, failure);
            }
        }
        Ok(())
    }

    fn judge(&mut self, key: u64, got: Got) {
        let verdict = self.ledger.judge(key, got.seen);
        if verdict == Verdict::Right {
            self.narrowed.narrow(key, got.seen);
        }
        self.findings.judged(verdict, key, self.ledger.page(key), got);
    }

    fn unreadable(&mut self, key: u64, failure: Failure) {
        self.findings.unreadable(key, self.ledger.page(key), failure);
    }

    fn try_again(&mut self, at: Nanos, read: Read, failure: Failure) {
        if read.attempts >= LOAD_ATTEMPTS_MAX {
            self.unreadable(read.key, failure);
        } else {
            self.again.push(Reverse((at, Read { attempts: read.attempts + 1, ..read })));
        }
    }

    /// `connection` takes no new reads; those in flight are still answered.
    pub(super) fn retire(&mut self, connection: usize) {
        let Self { slots, free, .. } = self;
        slots.iter_mut().filter(|slot| slot.connection == connection).for_each(|s| s.open = false);
        free.retain(|&index| slots[index].open);
    }

    /// `connection` is gone: others read what was in flight on it.
    pub(super) fn disconnected(&mut self, now: Nanos, connection: usize, failure: Failure) {
        self.retire(connection);
        for index in 0..self.slots.len() {
            if self.slots[index].connection == connection
                && let Some(read) = self.slots[index].read.take()
            {
                self.in_flight -= 1;
                self.try_again(now, read, failure);
            }
        }
    }

    /// When [`Survey::next`] may have a read without any reply.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.again.peek().map(|&Reverse((at, _))| at).filter(|_| !self.free.is_empty())
    }

    /// Whether every key was judged, or no connection is left.
    pub(super) fn is_over(&self) -> bool {
        let asked = self.in_flight > 0;
        self.findings.read() == self.findings.keys || (!asked && self.free.is_empty())
    }

    /// What was found so far.
    pub(super) fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Ends the reading: what was not judged could not be read, because of `failure`. Also gives
    /// the ledger as it is with what was seen.
    pub(super) fn finish(mut self, failure: Failure) -> (Findings, Ledger) {
        let asked = self.slots.iter_mut().filter_map(|slot| slot.read.take());
        let mut left: Vec<u64> = asked.map(|read| read.key).collect();
        left.extend(self.again.drain().map(|Reverse((_, read))| read.key));
        left.extend(self.keys.by_ref());
        left.sort_unstable();
        left.into_iter().for_each(|key| self.unreadable(key, failure));
        (self.findings, self.narrowed)
    }
}

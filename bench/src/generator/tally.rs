//! What a run counts.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{Failure, Nanos};
use crate::latency::{Kind, Latencies, histogram};
use crate::workload::Operation;

/// The counters and histograms of one thread, or of all.
///
/// Latencies and operations are of those intended within the measured window; errors, absent keys
/// and mismatches are of the warm-up too, because none of them should go unseen.
#[derive(Clone, Debug)]
pub struct Tally {
    /// By [`Kind`].
    pub latencies: [Latencies; 3],
    /// How late open-loop operations were sent, through no fault of the server: after both their
    /// intended start and the moment a slot was free for them.
    pub lateness: Histogram<u64>,
    /// Operations begun.
    pub sent: u64,
    /// Operations that ended well.
    pub completed: u64,
    /// Of these, before the window closed.
    pub in_window: u64,
    /// Operations due that never found a free slot.
    pub unsent: u64,
    /// Reads of keys without a value.
    pub not_found: u64,
    /// Values read that were never written to their key.
    pub mismatches: u64,
    /// Refused writes sent again.
    pub retries: u64,
    /// Requests that failed, by kind.
    pub errors: BTreeMap<Failure, u64>,
    /// When the last operation ended.
    pub last: Nanos,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latencies: Default::default(),
            lateness: histogram(),
            sent: 0,
            completed: 0,
            in_window: 0,
            unsent: 0,
            not_found: 0,
            mismatches: 0,
            retries: 0,
            errors: BTreeMap::new(),
            last: 0,
        }
    }
}

impl Tally {
    /// Adds what another thread counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in self.latencies.iter_mut().zip(&other.latencies) {
            mine.add(others);
        }
        self.lateness.add(&other.lateness).expect("histograms with equal bounds");
        self.sent += other.sent;
        self.completed += other.completed;
        self.in_window += other.in_window;
        self.unsent += other.unsent;
        self.not_found += other.not_found;
        self.mismatches += other.mismatches;
        self.retries += other.retries;
        for (&failure, count) in &other.errors {
            *self.errors.entry(failure).or_insert(0) += count;
        }
        self.last = self.last.max(other.last);
    }

    /// Operations due.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.sent + self.unsent
    }

    /// Requests that failed, of all kinds.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Requests answered, which for a read-modify-write are two.
    #[must_use]
    pub fn requests(&self) -> u64 {
        [Kind::Get, Kind::Put].iter().map(|&kind| self.latencies[kind as usize].count()).sum()
    }

    /// An operation that had no answer when the run ended.
    pub(super) fn unanswered(&mut self, operation: Operation, intended: Nanos, now: Nanos) {
        let kind = match operation {
            Operation::Get => Kind::Get,
            Operation::Put => Kind::Put,
            Operation::ReadModifyWrite => Kind::ReadModifyWrite,
        };
        self.latencies[kind as usize].record_unanswered(intended, now);
    }
}

//! What the clients of one core were answered, and after how long.
//!
//! Nothing here reads a clock. A request begins with the tick that took it up; its answer has gone
//! out when the ring is entered again, at the latest, which is just before the next tick reads the
//! clock. So a tick's answers are kept until then: those that were answered well in the tick in
//! which they came are a number for each operation, all others are [`Run`]s of equal ones.
//!
//! What it keeps true: each answered request is counted once, with the status that its reply's
//! header has, and in the histogram of its operation; both in the same moment, so that their sums
//! agree whenever they are looked at.

use engine::latency::Latency;
use schemas::frame;
use schemas::status::Status;

use super::operation::Operation;
use super::service::Origin;

const OPERATIONS: usize = Operation::ALL.len();
const STATUSES: usize = Status::ALL.len();

/// Runs whose memory is kept from tick to tick.
const RUNS_KEPT: usize = 1024;

/// How many were answered with each status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusCounts([u64; STATUSES]);

impl Default for StatusCounts {
    fn default() -> Self {
        Self([0; STATUSES])
    }
}

impl StatusCounts {
    /// How many were answered with `status`.
    #[must_use]
    pub fn of(&self, status: Status) -> u64 {
        self.0[Self::place(status)]
    }

    /// Every status and how many were answered with it.
    pub fn iter(&self) -> impl Iterator<Item = (Status, u64)> + use<> {
        Status::ALL.into_iter().zip(self.0)
    }

    /// `count` more were answered with `status`.
    pub(crate) fn add(&mut self, status: Status, count: u64) {
        self.0[Self::place(status)] += count;
    }

    fn place(status: Status) -> usize {
        let place = Status::ALL.iter().position(|known| *known == status);
        place.expect("every status is listed")
    }
}

/// The answers to one operation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OperationStats {
    /// How many, by status.
    pub answered: StatusCounts,
    /// From when the core took the request up to when its answer had gone out, whatever the answer
    /// was.
    pub latency: Latency,
}

/// What the clients of one core were answered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnswerStats {
    operations: [OperationStats; OPERATIONS],
    /// Refusals of what is no operation: of connections, handshakes, frames. By status.
    pub refusals: StatusCounts,
    /// Requests whose connection was gone when they could be answered.
    pub unheard: u64,
    /// Requests, among those answered, that another core answered: the one that owns their key.
    pub forwarded: u64,
}

impl AnswerStats {
    /// The answers to `operation`.
    #[must_use]
    pub fn of(&self, operation: Operation) -> &OperationStats {
        &self.operations[operation as usize]
    }

    pub(crate) fn of_mut(&mut self, operation: Operation) -> &mut OperationStats {
        &mut self.operations[operation as usize]
    }
}

/// Equal answers, one after the other.
#[derive(Clone, Copy)]
struct Run {
    operation: Operation,
    /// As in the header of the reply.
    status: u8,
    arrived_us: u64,
    count: u64,
}

/// Counts what the clients of one core are answered.
#[derive(Default)]
pub struct Answers {
    stats: AnswerStats,
    /// Now, on the clock of the tick.
    now_us: u64,
    /// Requests that came in this tick and were answered in it, without an error.
    at_once: [u64; OPERATIONS],
    /// All other answers of this tick.
    runs: Vec<Run>,
}

impl Answers {
    /// A tick begins: what was answered in the one before has gone out.
    #[inline]
    pub(crate) fn tick(&mut self, now_us: u64) {
        let took_us = now_us - self.now_us;
        for (stats, count) in self.stats.operations.iter_mut().zip(&mut self.at_once) {
            if *count > 0 {
                stats.answered.add(Status::Ok, *count);
                stats.latency.record(took_us, *count);
                *count = 0;
            }
        }
        self.now_us = now_us;
        if !self.runs.is_empty() {
            self.close_runs();
        }
    }

    fn close_runs(&mut self) {
        for Run { operation, status, arrived_us, count } in self.runs.drain(..) {
            let status = Status::from_byte(status).expect("a reply has a status of ours");
            let stats = self.stats.of_mut(operation);
            stats.answered.add(status, count);
            stats.latency.record(self.now_us - arrived_us, count);
        }
        if self.runs.capacity() > RUNS_KEPT {
            self.runs = Vec::new();
        }
    }

    /// A request that its core took up at `arrived_us` was answered without an error.
    #[inline]
    pub(super) fn answered(&mut self, operation: Operation, arrived_us: u64) {
        if arrived_us == self.now_us {
            self.at_once[operation as usize] += 1;
        } else {
            self.answered_with(operation, Status::Ok, arrived_us);
        }
    }

    /// The same, with a status that may be an error's.
    #[cold]
    pub(super) fn answered_with(&mut self, operation: Operation, status: Status, arrived_us: u64) {
        self.run(operation, status as u8, arrived_us);
    }

    /// A request that was under way was answered with the frame `reply`.
    pub(super) fn replied(&mut self, origin: &Origin, reply: &[u8]) {
        self.run(origin.operation, frame::status_byte(reply), origin.arrived_us);
    }

    fn run(&mut self, operation: Operation, status: u8, arrived_us: u64) {
        if let Some(last) = self.runs.last_mut()
            && (last.operation, last.status, last.arrived_us) == (operation, status, arrived_us)
        {
            last.count += 1;
        } else {
            self.runs.push(Run { operation, status, arrived_us, count: 1 });
        }
    }

    /// A refusal of something that is no operation.
    #[cold]
    pub(super) fn refused(&mut self, status: Status) {
        self.stats.refusals.add(status, 1);
    }

    /// A request's connection was gone before it was answered.
    #[cold]
    pub(super) fn unheard(&mut self) {
        self.stats.unheard += 1;
    }

    /// The answer of a request came from another core.
    pub(crate) fn forwarded(&mut self) {
        self.stats.forwarded += 1;
    }

    /// What was answered before this tick.
    #[must_use]
    pub(super) fn stats(&self) -> AnswerStats {
        self.stats.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use engine::env::ring::{Ring, RingConfig};
    use schemas::header::Header;
    use schemas::ids::ShardId;
    use schemas::kind::Kind;

    use super::*;

    fn reply(status: Status) -> Vec<u8> {
        let mut frame = Vec::new();
        frame::append(&Header::error(1, 1, status, 0), &Kind::Error, &mut frame);
        frame
    }

    fn origin(operation: Operation, arrived_us: u64) -> Origin {
        let ring = Ring::new(RingConfig::default()).unwrap();
        let connection = ring.adopt(UnixStream::pair().unwrap().0.into());
        Origin { core: ShardId(0), connection, request_id: 1, bytes: 8, operation, arrived_us }
    }

    #[test]
    fn an_answer_is_counted_when_the_next_tick_begins_and_took_until_then() {
        let mut answers = Answers::default();
        answers.tick(1000);
        for _ in 0..3 {
            answers.answered(Operation::Get, 1000);
        }
        assert_eq!(answers.stats(), AnswerStats::default());
        answers.tick(1040);
        let OperationStats { answered, latency } = answers.stats().of(Operation::Get).clone();
        assert_eq!((answered.of(Status::Ok), latency.count(), latency.sum_us()), (3, 3, 120));
        answers.tick(2000);
        assert_eq!(answers.stats().of(Operation::Get).latency, latency, "counted once");
    }

    #[test]
    fn what_came_before_this_tick_took_from_its_arrival_on() {
        let mut answers = Answers::default();
        answers.tick(1000);
        for arrived_us in [400, 400] {
            answers.replied(&origin(Operation::Put, arrived_us), &reply(Status::Ok));
        }
        answers.answered(Operation::Put, 700);
        answers.tick(1100);
        let OperationStats { answered, latency } = answers.stats().of(Operation::Put).clone();
        assert_eq!((answered.of(Status::Ok), latency.count()), (3, 3));
        assert_eq!(latency.sum_us(), 700 + 700 + 400);
        assert_eq!(latency.buckets(&[400]), [1, 2]);
    }

    #[test]
    fn an_error_is_counted_under_its_status_and_timed_like_any_answer() {
        let mut answers = Answers::default();
        answers.tick(10);
        answers.answered_with(Operation::Put, Status::Overloaded, 10);
        answers.answered_with(Operation::Put, Status::KeyEmpty, 10);
        answers.replied(&origin(Operation::Put, 10), &reply(Status::Overloaded));
        answers.answered(Operation::Delete, 10);
        answers.tick(30);
        let stats = answers.stats();
        let put = stats.of(Operation::Put);
        let counts: Vec<_> = put.answered.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Status::KeyEmpty, 1), (Status::Overloaded, 2)]);
        assert_eq!((put.latency.count(), put.latency.sum_us()), (3, 60));
        assert_eq!(stats.of(Operation::Delete).answered.of(Status::Ok), 1);
    }

    /// A flood of refusals is one run; what does not repeat leaves no memory behind.
    #[test]
    fn memory_does_not_grow_with_what_is_answered() {
        let mut answers = Answers::default();
        for _ in 0..100_000 {
            answers.answered_with(Operation::Put, Status::Overloaded, 0);
        }
        assert_eq!(answers.runs.len(), 1);
        for arrived_us in 1..=10_000 {
            answers.answered(Operation::Put, arrived_us);
        }
        answers.tick(10_000);
        assert!(answers.runs.capacity() <= RUNS_KEPT);
        assert_eq!(answers.stats().of(Operation::Put).latency.count(), 110_000);
    }
}

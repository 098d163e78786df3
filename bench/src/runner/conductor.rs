//! The main thread's side of a run: starts the threads at once, watches, collects.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kvclient::protocol::ServerInfo;

use super::outcome::{Outcome, SecondOutcome};
use super::spec::RunSpec;
use super::worker::Left;
use crate::generator::{Nanos, Snapshot, Tally, Window};
use crate::latency::coarse_histogram;
use crate::ledger::Account;
use crate::process;

/// What the threads tell the main thread.
pub(super) enum Message {
    /// A thread is pinned and connected, to these shards.
    Ready(Vec<usize>),
    /// A second of a thread.
    Second(Snapshot),
    /// A thread is done.
    Done(anyhow::Result<Box<Left>>),
}

/// What is shown once a second.
#[derive(Clone, Copy, Debug)]
pub struct Second {
    /// Seconds since the start, warm-up included.
    pub at: u64,
    /// Whether it was warm-up.
    pub warming_up: bool,
    /// What happened in it.
    pub outcome: SecondOutcome,
    /// Requests answered since the start.
    pub total: u64,
}

/// The moment all threads start from.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) origin: Instant,
    pub(super) window: Window,
}

/// The main thread's side of a run.
pub(super) struct Conductor<'a> {
    spec: &'a RunSpec,
    inbox: &'a Receiver<Message>,
    start: Option<Start>,
    connections_per_shard: Vec<usize>,
    tally: Tally,
    account: Option<Account>,
    ended: Nanos,
    least_idle: Nanos,
    done: usize,
    seconds: Vec<SecondOutcome>,
    cpu: Cpu,
}

/// CPU times: at the start of the measurement, and at its end.
#[derive(Default)]
struct Cpu {
    before: Option<(Duration, Option<Duration>)>,
    after: Option<(Duration, Option<Duration>)>,
}

impl<'a> Conductor<'a> {
    pub(super) fn new(spec: &'a RunSpec, inbox: &'a Receiver<Message>) -> Self {
        Self {
            spec,
            inbox,
            start: None,
            connections_per_shard: Vec::new(),
            tally: Tally::default(),
            account: None,
            ended: 0,
            least_idle: Nanos::MAX,
            done: 0,
            seconds: Vec::new(),
            cpu: Cpu::default(),
        }
    }

    /// Waits until every thread is connected.
    pub(super) fn gather(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.spec.threads {
            match self.inbox.recv().context("a generator thread panicked")? {
                Message::Ready(shards) => {
                    for shard in shards {
                        let count = self.connections_per_shard.len().max(shard + 1);
                        self.connections_per_shard.resize(count, 0);
                        self.connections_per_shard[shard] += 1;
                    }
                }
                Message::Done(Err(error)) => return Err(error),
                Message::Done(Ok(_)) | Message::Second(_) => {
                    unreachable!("no thread works before it is started")
                }
            }
        }
        Ok(())
    }

    pub(super) fn start(&mut self, starters: &[Sender<Start>]) {
        let from = self.spec.warmup.as_nanos() as Nanos;
        let until = self
            .spec
            .duration
            .map_or(Nanos::MAX, |duration| from.saturating_add(duration.as_nanos() as Nanos));
        let start = Start { origin: Instant::now(), window: Window { start: 0, from, until } };
        self.start = Some(start);
        for starter in starters {
            // A thread that is gone has said so in the inbox.
            let _ = starter.send(start);
        }
    }

    /// Waits for the threads to end, sampling CPU times when the window opens and when it closes.
    pub(super) fn watch(&mut self, on_second: &mut impl FnMut(&Second)) -> anyhow::Result<()> {
        let Start { origin, window } = self.start.expect("set by start");
        let mut heard = Vec::new();
        while self.done < self.spec.threads {
            let now = origin.elapsed().as_nanos() as Nanos;
            if now >= window.from && self.cpu.before.is_none() {
                self.cpu.before = Some(self.sample());
            }
            if now >= window.until && self.cpu.after.is_none() {
                self.cpu.after = Some(self.sample());
            }
            let next = [window.from, window.until].into_iter().filter(|&at| at > now).min();
            let wait = next.map_or(Duration::from_secs(1), |at| Duration::from_nanos(at - now));
            match self.inbox.recv_timeout(wait.min(Duration::from_secs(1))) {
                Ok(Message::Second(snapshot)) => {
                    heard.push(snapshot);
                    if heard.len() >= self.spec.threads - self.done {
                        self.second(&mut heard, on_second);
                    }
                }
                Ok(Message::Done(left)) => {
                    let Left { tally, ended, idle, account } = *left?;
                    self.tally.add(&tally);
                    match (&mut self.account, account) {
                        (Some(all), Some(account)) => all.merge(account),
                        (all, account) => *all = all.take().or(account),
                    }
                    self.ended = self.ended.max(ended);
                    self.least_idle = self.least_idle.min(idle);
                    self.done += 1;
                }
                Ok(Message::Ready(_)) => unreachable!("every thread is ready once"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("a generator thread panicked"),
            }
        }
        let last = self.sample();
        self.cpu.after.get_or_insert(last);
        Ok(())
    }

    fn sample(&self) -> (Duration, Option<Duration>) {
        let own = process::cpu_time(std::process::id()).unwrap_or_default();
        (own, self.spec.server_pid.and_then(process::cpu_time))
    }

    fn second(&mut self, heard: &mut Vec<Snapshot>, on_second: &mut impl FnMut(&Second)) {
        let mut response = coarse_histogram();
        let mut errors = 0;
        for snapshot in heard.drain(..) {
            response.add(&snapshot.response).expect("histograms with equal bounds");
            errors += snapshot.errors;
        }
        let before: u64 = self.seconds.iter().map(|second| second.errors).sum();
        let outcome = SecondOutcome {
            requests: response.len(),
            errors: errors.saturating_sub(before),
            p50: response.value_at_quantile(0.5),
            p99: response.value_at_quantile(0.99),
            max: response.max(),
        };
        self.seconds.push(outcome);
        let at = self.seconds.len() as u64;
        let total = self.seconds.iter().map(|second| second.requests).sum();
        let warming_up = at <= self.spec.warmup.as_secs();
        on_second(&Second { at, warming_up, outcome, total });
    }

    pub(super) fn outcome(self, server: ServerInfo, interrupted: bool) -> Outcome {
        let window = self.start.expect("set by start").window;
        // A run that ended early, or by number of operations, was over with its last operation.
        let early = self.ended < window.until;
        let end = if early { self.tally.last.max(window.from) } else { window.until };
        let open_loop = self.spec.lanes.iter().any(|lane| lane.rate.is_some());
        let (before, after) = (self.cpu.before.unwrap_or_default(), self.cpu.after);
        let (own, server_cpu) = after.unwrap_or(before);
        Outcome {
            measured: Duration::from_nanos(end - window.from),
            open_loop,
            idle_percent: open_loop
                .then(|| 100.0 * self.least_idle as f64 / self.ended.max(1) as f64),
            generator_cpu: own.saturating_sub(before.0),
            server_cpu: server_cpu
                .zip(before.1)
                .map(|(after, before)| after.saturating_sub(before)),
            tally: self.tally,
            account: self.account,
            server,
            connections_per_shard: self.connections_per_shard,
            seconds: self.seconds,
            interrupted,
        }
    }
}

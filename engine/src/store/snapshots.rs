//! Steps of snapshots. A shard's part is taken when all that was acknowledged before is in tables;
//! the rest is the node's, and done by whichever store is asked.
//!
//! - While a part is being linked, no file is removed: those of its version all have their names.
//! - What is not finished when the store closes is left for the next start to remove.

use std::rc::Rc;

use super::answer::{Done, SnapshotDone, SnapshotRefused, SnapshotResult, SnapshotTicket};
use super::background::{self, News};
use super::{SpaceLevel, Store};
use crate::commit_log::Sequence;
use crate::env::{Class, Env};
use crate::limits;
use crate::snapshot::{
    self, Begun, ShardPart, SnapshotError, SnapshotName, State, begin, finish, list, take_shard,
};
use crate::sstable::TokenRange;

/// A step of a snapshot. Begun once a node, taken by each of its stores, finished once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnapshotStep {
    /// Makes its directory: [`SnapshotDone::Begun`].
    Begin(SnapshotName),
    /// Takes this shard's part, with all that it has acknowledged: [`SnapshotDone::Taken`].
    Take(SnapshotName, Begun),
    /// Makes it one, when every shard has taken its part: [`SnapshotDone::Finished`].
    Finish(SnapshotName, Begun),
    /// Removes it, complete or not: [`SnapshotDone::Removed`].
    Remove(SnapshotName),
    /// Lists the node's: [`SnapshotDone::Listed`].
    List,
}

/// Steps under way.
#[derive(Default)]
pub(super) struct Snapshots {
    next: u64,
    running: usize,
    waiting: Option<Waiting>,
    /// The part that is being linked.
    linking: Option<SnapshotTicket>,
    /// Files to remove when it is.
    held: Vec<String>,
}

/// A part to be taken when memtables are flushed.
struct Waiting {
    ticket: SnapshotTicket,
    name: SnapshotName,
    begun: Begun,
    /// Up to this batch.
    upto: Sequence,
    /// Failed writes of tables and manifest, in all, at which it is given up.
    failures_max: u64,
}

impl Snapshots {
    /// Gives back `path` if it may be removed, or keeps it for later.
    pub(super) fn hold(&mut self, path: String) -> Option<String> {
        if self.linking.is_none() {
            return Some(path);
        }
        self.held.push(path);
        None
    }
}

impl<E: Env> Store<E> {
    /// Starts a step of a snapshot; [`Done::Snapshot`] will name the ticket.
    ///
    /// # Errors
    /// [`SnapshotRefused`]: nothing was begun.
    pub fn snapshot_now(&mut self, step: SnapshotStep) -> Result<SnapshotTicket, SnapshotRefused> {
        let is_taking = self.snapshots.waiting.is_some() || self.snapshots.linking.is_some();
        let adds = matches!(step, SnapshotStep::Begin(_) | SnapshotStep::Take(..));
        if self.snapshots.running == limits::SNAPSHOT_STEPS_MAX
            || is_taking && matches!(step, SnapshotStep::Take(..))
        {
            return Err(SnapshotRefused::Busy);
        }
        if adds && self.space.level() >= SpaceLevel::BackgroundStopped {
            return Err(SnapshotRefused::DiskFull);
        }
        let ticket = SnapshotTicket(self.snapshots.next);
        self.snapshots.next += 1;
        self.snapshots.running += 1;
        match step {
            SnapshotStep::Take(name, begun) => self.wait_to_take(ticket, name, begun),
            SnapshotStep::Begin(name) => self.run_step(ticket, async move |env| {
                begin(env, &name).await.map(SnapshotDone::Begun)
            }),
            SnapshotStep::Finish(name, begun) => self.run_step(ticket, async move |env| {
                let head = finish(env, &name, begun).await?;
                Ok(SnapshotDone::Finished(Box::new(head)))
            }),
            SnapshotStep::Remove(name) => self.run_step(ticket, async move |env| {
                snapshot::remove(env, &name).await.map(|()| SnapshotDone::Removed)
            }),
            SnapshotStep::List => {
                self.run_step(ticket, async move |env| list(env).await.map(SnapshotDone::Listed))
            }
        }
        Ok(ticket)
    }

    /// Does a step that is the node's, beside the foreground.
    fn run_step(
        &self,
        ticket: SnapshotTicket,
        step: impl AsyncFnOnce(&E) -> SnapshotResult + 'static,
    ) {
        let office = Rc::clone(&self.office);
        self.office.spawn(Class::Idle, async move {
            let result = step(&office.env).await;
            office.post(News::SnapshotStep(ticket, result));
        });
    }

    /// All that is acknowledged now is on its way to tables, and then the part is taken.
    fn wait_to_take(&mut self, ticket: SnapshotTicket, name: SnapshotName, begun: Begun) {
        self.freeze();
        let upto = self.frozen.back().map_or(Sequence(0), |frozen| frozen.upto);
        let failures_max = self.stats.failed_writes() + limits::FLUSH_FAILURES_MAX;
        self.snapshots.waiting = Some(Waiting { ticket, name, begun, upto, failures_max });
        self.start_background();
    }

    /// Takes the part that waits, if what it waits for is in tables.
    pub(super) fn start_snapshot(&mut self) {
        let Some(waiting) = &self.snapshots.waiting else { return };
        if self.version.flushed() < waiting.upto.0 {
            if self.stats.failed_writes() >= waiting.failures_max {
                let (ticket, failures) = (waiting.ticket, limits::FLUSH_FAILURES_MAX);
                self.snapshots.waiting = None;
                let result = Err(SnapshotError::NotFlushed { failures });
                self.office.post(News::SnapshotStep(ticket, result));
            }
            return;
        }
        let Some(Waiting { ticket, name, begun, .. }) = self.snapshots.waiting.take() else {
            return;
        };
        self.snapshots.linking = Some(ticket);
        let (office, version) = (Rc::clone(&self.office), Rc::clone(&self.version));
        let (generation, shard) = (self.config.generation, self.config.shard);
        let (first, last) = self.config.tokens;
        let tokens = TokenRange::new(first, last);
        let tokens = tokens.expect("a shard's first token is not past its last");
        self.office.spawn(Class::Idle, async move {
            let (name, from, version) = (&name, &*office.dir, &*version);
            let part = ShardPart { name, begun, shard, generation, tokens, from, version };
            let taken = take_shard(&office.env, &part, || office.is_stopping()).await;
            office.post(News::SnapshotStep(ticket, taken.map(SnapshotDone::Taken)));
        });
    }

    pub(super) fn snapshot_step_ended(&mut self, ticket: SnapshotTicket, result: SnapshotResult) {
        self.snapshots.running -= 1;
        if self.snapshots.linking == Some(ticket) {
            self.snapshots.linking = None;
            for path in std::mem::take(&mut self.snapshots.held) {
                let office = Rc::clone(&self.office);
                self.office.spawn(Class::Idle, background::remove(office, path));
            }
        }
        if let Ok(SnapshotDone::Listed(listed)) = &result {
            let complete = listed.iter().filter(|it| matches!(it.state, State::Complete(_)));
            self.stats.snapshots = complete.count() as u64;
        }
        self.untold.push(Done::Snapshot(ticket, result));
    }
}

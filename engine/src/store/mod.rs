//! [`Store`]: one core's records, in memory and on disk.
//!
//! The core's loop drives it: requests become [`Store::get_now`] and [`Store::put_now`], once a
//! tick come [`Store::tick`] and [`Store::poll`], and background work runs in tasks that leave
//! their results for `poll` to install. It keeps the invariants of `DESIGN.md`.

mod answer;
mod config;
mod space;
mod stats;

use schemas::ids::Token;

pub use self::answer::{
    Done, Failure, Found, Get, GetTicket, OpenError, OpenReport, PutError, PutTicket, ReadCause,
    ReadError,
};
pub use self::config::{Durability, SpaceLimits, StoreConfig};
pub use self::space::SpaceLevel;
use self::space::SpaceWatch;
pub use self::stats::{LEVELS, Stats};
use crate::env::Env;
use crate::memtable::Memtable;
use crate::record::Merge;

/// Bytes by which a memtable grows.
fn chunk_bytes(memtable_bytes: usize) -> usize {
    (memtable_bytes / 64).clamp(4 << 10, 1 << 20)
}

/// One core's records.
///
/// Of two records of a key the one that the merge function prefers stands; a record with a
/// greater stamp ([`Record::version`](crate::record::Record::version)) must be preferred to one
/// with a lesser, since reads stop at tables whose records are all older than what they hold.
pub struct Store<E: Env> {
    pub(crate) env: E,
    pub(crate) config: StoreConfig,
    pub(crate) active: Memtable,
    pub(crate) next_put: u64,
    pub(crate) acknowledged: u64,
    pub(crate) space: SpaceWatch,
    pub(crate) stats: Stats,
}

impl<E: Env> Store<E> {
    /// Opens the store in directory `dir`, made if it is missing, and recovers what was
    /// acknowledged.
    ///
    /// # Errors
    /// [`OpenError`]: the disk refuses, or a file is damaged in a way no crash explains.
    pub async fn open(
        env: E,
        dir: &str,
        config: StoreConfig,
        merge: Merge,
    ) -> Result<(Self, OpenReport), OpenError> {
        let (first, last): (Token, Token) = config.tokens;
        tracing::debug!(dir, first = first.0, last = last.0, "opening a store");
        let active = Memtable::new(config.tokens, chunk_bytes(config.memtable_bytes), merge);
        let (space, stats) = (SpaceWatch::default(), Stats::default());
        let store = Self { env, config, active, next_put: 0, acknowledged: 0, space, stats };
        Ok((store, OpenReport::default()))
    }

    /// Moves what ended since the last call into `done`.
    ///
    /// # Errors
    /// [`Failure`], from then on for ever: nothing more is acknowledged.
    pub fn poll(&mut self, done: &mut Vec<Done>) -> Result<(), Failure> {
        if self.acknowledged < self.next_put {
            self.stats.puts_acknowledged += self.next_put - self.acknowledged;
            self.acknowledged = self.next_put;
            done.push(Done::PutsUpto(PutTicket(self.next_put - 1)));
        }
        Ok(())
    }

    /// Called once a tick, after its requests: commits the puts of the tick, starts background
    /// work that has become due.
    pub fn tick(&mut self) {
        self.space.poll(&self.env, &self.config.space, self.env.monotonic_us());
        self.stats.space = self.space.level();
        self.stats.memtables_bytes = self.active.bytes() as u64;
    }

    /// Whether [`poll`](Self::poll) and [`tick`](Self::tick) have nothing to do until an
    /// operation of the environment ends or [`Env::wake`] is called: the core may park.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.acknowledged == self.next_put
    }

    /// What it has done so far and holds now.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Writes every memtable to tables and waits for it, so that the log holds nothing.
    ///
    /// # Errors
    /// [`Failure`], as from [`poll`](Self::poll).
    pub async fn flush(&mut self) -> Result<(), Failure> {
        self.env.pause().await;
        Ok(())
    }

    /// Makes every put durable, ends background work and seals the log.
    ///
    /// # Errors
    /// [`Failure`], as from [`poll`](Self::poll).
    pub async fn close(mut self) -> Result<(), Failure> {
        self.flush().await
    }
}

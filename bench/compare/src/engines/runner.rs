//! [`Runner`]: what a scenario needs of an engine, and which engine that is.

use std::path::Path;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::kvcore;
#[cfg(feature = "peers")]
use super::{fjall, lmdb, redb, rocksdb, threads::Threaded};
use crate::data::Values;
use crate::scenario::Setup;

/// An engine that is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(crate) enum EngineKind {
    /// This repository's
    Kvcore,
    #[cfg(feature = "peers")]
    /// RocksDB: direct I/O, no compression
    Rocksdb,
    #[cfg(feature = "peers")]
    /// fjall: no compression
    Fjall,
    #[cfg(feature = "peers")]
    /// redb: a B-tree
    Redb,
    #[cfg(feature = "peers")]
    /// LMDB: a B-tree in the page cache, whose memory cannot be bounded
    Lmdb,
}

impl EngineKind {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("no engine is skipped").get_name().to_owned()
    }
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Operations.
    pub(crate) operations: u64,
    /// How long each took, in nanoseconds; of puts, how long each group did.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    /// Nothing yet. Up to a minute, to three digits.
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds of its kind");
        Self { operations: 0, latency }
    }

    /// One more latency.
    pub(crate) fn record(&mut self, since: std::time::Instant) {
        self.latency.saturating_record(since.elapsed().as_nanos() as u64);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.latency.add(&other.latency).expect("the same bounds");
    }
}

/// An order to an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Writes `keys` keys once, in groups.
    Put {
        keys: u64,
        shuffled: bool,
        /// Which writing of the keys it is.
        life: u64,
        seed: u64,
    },
    /// Reads random keys of `keys`.
    Read {
        keys: u64,
        absent: bool,
        in_flight: usize,
        seconds: f64,
        seed: u64,
        /// Beside writes of so many keys a second.
        puts_per_s: u64,
    },
    /// Reads all `keys` records in order.
    Scan { keys: u64 },
}

/// Puts that are acknowledged together.
pub(crate) const GROUP: usize = 256;

/// What an engine does with an order.
pub(crate) trait Runner {
    /// Does it. Wrong or missing values are errors.
    fn order(&mut self, order: &Order, values: &Values) -> anyhow::Result<Outcome>;
    /// Writes what is in memory to the files, and waits until nothing is left to be done.
    fn rest(&mut self) -> anyhow::Result<()>;
    /// Ends it, so that all is there when it is opened again.
    fn close(self: Box<Self>) -> anyhow::Result<()>;
}

/// Opens an engine in `dir`.
pub(crate) fn open(kind: EngineKind, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Runner>> {
    Ok(match kind {
        EngineKind::Kvcore => Box::new(kvcore::Remote::open(dir, setup)?),
        #[cfg(feature = "peers")]
        EngineKind::Rocksdb => Threaded::boxed(rocksdb::Peer::open(dir, setup)?),
        #[cfg(feature = "peers")]
        EngineKind::Fjall => Threaded::boxed(fjall::Peer::open(dir, setup)?),
        #[cfg(feature = "peers")]
        EngineKind::Redb => Threaded::boxed(redb::Peer::open(dir, setup)?),
        #[cfg(feature = "peers")]
        EngineKind::Lmdb => Threaded::boxed(lmdb::Peer::open(dir, setup)?),
    })
}

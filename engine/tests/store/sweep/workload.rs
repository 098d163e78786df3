//! The operations, the workloads made of them, and the disks on which they begin.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use engine::commit_log::LogConfig;
use engine::env::sim::SimDisk;
use engine::store::StoreConfig;

use super::driver::Driver;
use crate::harness::{Ledger, asked_for, small_config};

/// Keys of a workload.
const KEYS: u32 = 8;

/// How to run one workload again.
pub(super) const AGAIN: &str =
    "again: KVCORE_TEST_WORKLOAD='Stocked [PutOver, Flush]', or which it was";

/// What a client or an operator does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Op {
    /// A key that has no value is put.
    PutNew,
    /// A key with values in several tables is put.
    PutOver,
    /// A value that has a block of its own.
    PutLarge,
    /// A value whose time is over within the workload.
    PutExpiring,
    /// A key that shares its token with one of another namespace.
    PutOther,
    Delete,
    /// Several writes at once, of more than one batch.
    Burst,
    Flush,
    /// A flush, and all compactions that are due.
    Compact,
    Scan,
    /// The process is killed and started.
    Kill,
    /// The store is closed and opened.
    Close,
}

impl Op {
    pub(super) const ALL: [Self; 12] = [
        Self::PutNew,
        Self::PutOver,
        Self::PutLarge,
        Self::PutExpiring,
        Self::PutOther,
        Self::Delete,
        Self::Burst,
        Self::Flush,
        Self::Compact,
        Self::Scan,
        Self::Kill,
        Self::Close,
    ];

    /// The key it is about.
    pub(super) fn key(self) -> u32 {
        match self {
            Self::PutNew => 6,
            Self::PutLarge => 2,
            Self::PutExpiring => 5,
            Self::PutOther => 3,
            Self::Delete | Self::Burst => 1,
            _ => 0,
        }
    }
}

/// Where a workload begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Base {
    /// An empty disk.
    Empty,
    /// Tables in all levels, and a log that a kill left.
    Stocked,
}

/// A base and the operations on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Workload {
    pub(super) base: Base,
    pub(super) ops: Vec<Op>,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.base, self.ops)
    }
}

impl Workload {
    /// All workloads of no to so many operations; or the one that is asked for.
    pub(super) fn up_to(on_empty: usize, on_stocked: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for ops in 0..=on_empty {
            all.extend(Self::all(Base::Empty, ops));
        }
        for ops in 0..=on_stocked {
            all.extend(Self::all(Base::Stocked, ops));
        }
        if let Some(asked) = asked_for::<String>("KVCORE_TEST_WORKLOAD") {
            all.retain(|it| it.to_string() == asked);
        }
        all
    }

    /// All workloads on `base` of so many operations.
    fn all(base: Base, ops: usize) -> Vec<Self> {
        let mut all = vec![Vec::new()];
        for _ in 0..ops {
            let longer = |ops: &Vec<Op>| {
                let ops = ops.clone();
                Op::ALL.into_iter().map(move |op| [&ops[..], &[op]].concat())
            };
            all = all.iter().flat_map(longer).collect();
        }
        all.into_iter().map(|ops| Self { base, ops }).collect()
    }
}

/// A store of hardly anything: four batches fill a segment, two flushes make a compaction.
pub(super) fn config() -> StoreConfig {
    let mut config = small_config();
    config.memtable_bytes = 16 << 10;
    config.memtables_bytes_max = 128 << 10;
    // No block, and partitions of one table or two.
    (config.cache_bytes, config.tables_memory_bytes) = (2 << 10, 2 << 10);
    config.log_bytes_max = 24 << 10;
    config.log = LogConfig {
        segment_bytes: 16 << 10,
        batch_bytes_max: 8 << 10,
        spare_segments: 1,
        ..LogConfig::default()
    };
    config.compaction.fragment_bytes = 4 << 10;
    config
}

thread_local! {
    static STOCKED: (SimDisk, Ledger) = stocked();
}

/// A disk, and what its client knows.
pub(super) fn base(base: Base) -> (SimDisk, Ledger) {
    match base {
        Base::Empty => (SimDisk::new(1), Ledger { keys: KEYS, ..Ledger::default() }),
        Base::Stocked => STOCKED.with(|(disk, ledger)| (disk.fork(), ledger.clone())),
    }
}

fn stocked() -> (SimDisk, Ledger) {
    let (disk, ledger) = base(Base::Empty);
    let ledger = Rc::new(RefCell::new(ledger));
    Driver::new(&disk, config(), &ledger, 1).run(&STOCK).expect("nothing fails");
    let ledger = ledger.take();
    (disk, ledger)
}

/// Leaves a table in the bottom and one above it, and in the log what they do not have.
const STOCK: [Op; 15] = [
    Op::PutOver,
    Op::Burst,
    Op::PutOther,
    Op::PutLarge,
    Op::Flush,
    Op::Compact,
    Op::PutOver,
    Op::Delete,
    Op::Flush,
    Op::Compact,
    Op::PutOther,
    Op::PutExpiring,
    Op::Flush,
    Op::PutOver,
    Op::Burst,
];

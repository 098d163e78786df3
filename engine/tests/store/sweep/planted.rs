//! Faults planted on purpose. A check that does not find them is worth nothing.

use std::sync::Arc;

use engine::env::sim::{Fail, Fault, Io, SimDisk};
use engine::store::Durability;

use super::power::sweep;
use super::states::States;
use super::workload::{Base, Op, Workload, base, config};
use crate::harness::Write;

/// Workloads that need every sync there is.
const WORKLOADS: [[Op; 2]; 3] =
    [[Op::PutOver, Op::PutNew], [Op::Burst, Op::Flush], [Op::Burst, Op::Compact]];

/// What power cuts find wrong with a disk on which `plant` was done.
fn wrong_with(durability: Durability, plant: impl Fn(&SimDisk)) -> Vec<String> {
    let mut config = config();
    config.log.durability = durability;
    let states = Arc::new(States::new(config));
    for ops in WORKLOADS {
        let ops = ops.to_vec();
        sweep(&states, &Workload { base: Base::Stocked, ops }, &plant);
    }
    states.wrong()
}

#[test]
fn what_is_sound_passes() {
    assert_eq!(wrong_with(Durability::Sync, |_| ()), Vec::<String>::new());
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    assert!(!wrong_with(Durability::None, |_| ()).is_empty());
}

/// A store that leaves out a sync is the same as a disk that says it did and does not.
#[test]
fn each_sync_that_is_left_out_is_found() {
    for (on, path) in
        [(Io::Sync, ".log"), (Io::Sync, ".sst"), (Io::Sync, "MANIFEST"), (Io::SyncDir, "shard")]
    {
        let (on, path, nth, sticky, how) = (Some(on), path.to_owned(), 1, true, Fail::Lost);
        let fault = Fault { on, path, nth, sticky, how };
        let wrong = wrong_with(Durability::Sync, |disk| disk.inject(fault.clone()));
        assert!(!wrong.is_empty(), "{fault:?}");
    }
}

#[test]
fn a_write_that_is_missing_or_not_what_was_written_is_found() {
    let states = States::new(config());
    let (disk, ledger) = base(Base::Stocked);
    let case = || "sound".to_owned();
    states.check(&disk, &ledger, &case);
    assert_eq!(states.wrong(), Vec::<String>::new());
    let mut more = ledger.clone();
    more.writes.push(Write::put(6, ledger.writes.len(), 10));
    more.acknowledged += 1;
    let mut other = ledger.clone();
    let last = other.writes.last_mut().expect("it is stocked");
    last.value = Some(b"another".to_vec());
    for ledger in [more, other] {
        let before = states.wrong().len();
        states.check(&disk, &ledger, &case);
        assert_eq!(states.wrong().len(), before + 1);
    }
}

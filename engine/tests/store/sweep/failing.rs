//! Every operation of the disk fails under every workload, in every way, once and from then on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::env::sim::{Crash, Fail, Fault, Io, SimDisk, When};

use super::driver::{Driver, Met};
use super::states::{Named, States};
use super::workload::{AGAIN, Workload, base, config};
use crate::cores::on_all_cores;
use crate::harness::{Ledger, asked_for};

/// As many cases as the test promises, however operations come and go with the engine.
const CASES_MIN: u64 = 50_000;

/// Under workloads of three operations one operation of the disk in so many fails.
const LONG_ONE_IN: u64 = 12;

/// How runs ended.
#[derive(Default)]
struct Ends {
    cases: AtomicU64,
    /// Nothing came of the fault but refusals and errors.
    well: AtomicU64,
    /// A store failed, and its successor went on.
    failed: AtomicU64,
    /// A start was refused, and the next was not.
    not_opened: AtomicU64,
}

/// The operations of the disk, in order, where none fails; and how many there are before the last
/// operation of the workload.
fn operations(workload: &Workload) -> (Vec<Io>, u64) {
    let (disk, ledger) = base(workload.base);
    let driver = Driver::new(&disk, config(), &Rc::new(RefCell::new(ledger)), 7);
    let mut driver = driver.with_faults(false, || ());
    let (seen, before) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let (noted, counted) = (Rc::clone(&seen), Rc::clone(&before));
    let (begun, ops) = (Rc::clone(&driver.begun), workload.ops.len());
    disk.watch(move |_, io, when| {
        if when == When::Before && begun.get() <= ops {
            counted.set(counted.get() + u64::from(begun.get() < ops));
            noted.borrow_mut().push(io);
        }
    });
    driver.run(&workload.ops).expect("no I/O fails");
    disk.unwatch();
    (seen.take(), before.get())
}

fn ways(io: Io) -> impl Iterator<Item = (Fail, bool)> {
    let all = [Fail::Eio, Fail::Enospc, Fail::Short, Fail::Torn];
    // To a reader an error is an error.
    let ways = all.into_iter().filter(move |how| how.strikes(io));
    let ways = ways.filter(move |how| io != Io::Read || *how != Fail::Torn);
    // A read that is short twice has met the end of the file.
    ways.flat_map(|how| [(how, false), (how, true)]).filter(|way| *way != (Fail::Short, true))
}

fn sweep(ends: &Ends, states: &Arc<States>, workload: &Workload, takes: impl Fn(u64) -> bool) {
    let (operations, before) = operations(workload);
    for (io, nth) in operations.into_iter().zip(1..).skip(before as usize) {
        for (how, sticky) in ways(io) {
            if takes(nth) {
                let fault = Fault { on: None, path: String::new(), nth, sticky, how };
                run(ends, states, workload, io, fault);
            }
        }
    }
}

fn run(ends: &Ends, states: &Arc<States>, workload: &Workload, io: Io, fault: Fault) {
    let Fault { nth, sticky, how, .. } = fault;
    let name = format!("{workload}, operation {nth}, {io:?}: {how:?}, sticky {sticky}");
    let named = &|| name.clone();
    let _named = Named(named);
    let (disk, ledger) = base(workload.base);
    let ledger = Rc::new(RefCell::new(ledger));
    disk.inject(fault);
    let cut = {
        let (disk, ledger, states) = (disk.clone(), Rc::clone(&ledger), Arc::clone(states));
        let name = name.clone();
        move || cut(&states, &disk, &ledger.borrow(), nth, &|| name.clone())
    };
    let mut driver = Driver::new(&disk, config(), &ledger, 7).with_faults(sticky, cut);
    if let Err(wrong) = driver.run(&workload.ops) {
        states.note(format!("{name}: {wrong}"));
    }
    cut_at_end(states, &disk, &ledger.borrow(), nth, named);
    let met = &driver.met;
    if !sticky && how == Fail::Short && *met != Met::default() {
        states.note(format!("{name}: what is short is gone on with, {met:?}"));
    }
    // What is written over in place needs no space.
    let takes_space = matches!(io, Io::Name | Io::SyncDir | Io::Size);
    if !sticky && how == Fail::Enospc && takes_space && !met.failed.is_empty() {
        states.note(format!("{name}: it clears without a restart, {met:?}"));
    }
    let end = match (met.failed.len(), met.not_opened) {
        (0, 0) => &ends.well,
        (0, _) => &ends.not_opened,
        _ => &ends.failed,
    };
    for count in [&ends.cases, end] {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The power goes as well.
fn cut(states: &States, disk: &SimDisk, ledger: &Ledger, seed: u64, case: &dyn Fn() -> String) {
    for class in [Crash::LoseAll, Crash::Random] {
        let name = || format!("{}, then {class:?}", case());
        states.check(&disk.crash(class, seed), ledger, &name);
    }
}

fn cut_at_end(
    states: &States,
    disk: &SimDisk,
    ledger: &Ledger,
    seed: u64,
    case: &dyn Fn() -> String,
) {
    let name = || format!("{}, at the end", case());
    cut(states, disk, ledger, seed, &name);
}

/// Its long form, for workloads of three operations: `KVCORE_TEST_SWEEP=1`.
#[test]
fn every_operation_of_any_workload_may_fail() {
    let (ends, states) = (Ends::default(), Arc::new(States::new(config())));
    let workloads = Workload::up_to(2, 3);
    let one_in = asked_for("KVCORE_TEST_SWEEP").unwrap_or(LONG_ONE_IN);
    on_all_cores(workloads.len(), |index| {
        let workload = &workloads[index];
        let takes =
            |nth: u64| workload.ops.len() < 3 || (nth + index as u64).is_multiple_of(one_in);
        sweep(&ends, &states, workload, takes);
    });
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (cases, well) = (count(&ends.cases), count(&ends.well));
    let (failed, not_opened) = (count(&ends.failed), count(&ends.not_opened));
    println!(
        "{} workloads, {cases} cases: {well} well, {failed} failed, {not_opened} not opened; {} \
         crash states",
        workloads.len(),
        states.checked()
    );
    let wrong = states.wrong();
    assert!(wrong.is_empty(), "{}: {:#?}; {AGAIN}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert!(cases >= CASES_MIN, "{cases} cases");
}

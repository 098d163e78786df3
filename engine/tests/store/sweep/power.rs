//! The power goes at every operation of the disk under every workload.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use engine::env::sim::SimDisk;

use super::driver::Driver;
use super::states::States;
use super::workload::{AGAIN, Workload, base, config};
use crate::cores::on_all_cores;

/// As many states as the test promises, however operations come and go with the engine.
const STATES_MIN: u64 = 100_000;

/// Runs `workload` once, and cuts the power at each operation of the disk that changes something,
/// before it and after it, from the last operation of the workload on: what is before that is in a
/// shorter one. `plant` is called with the disk before.
pub(super) fn sweep(states: &Arc<States>, workload: &Workload, plant: impl Fn(&SimDisk)) {
    let (disk, ledger) = base(workload.base);
    plant(&disk);
    let ledger = Rc::new(RefCell::new(ledger));
    let mut driver = Driver::new(&disk, states.config.clone(), &ledger, 7);
    let (begun, ops) = (Rc::clone(&driver.begun), workload.ops.len());
    let (told, shared, named) = (Rc::clone(&ledger), Arc::clone(states), workload.clone());
    let last = Cell::new((u64::MAX, 0));
    disk.watch(move |disk, io, when| {
        let now = (disk.changes(), told.borrow().acknowledged);
        if begun.get() == ops && last.replace(now) != now {
            let case = || format!("{named}, {when:?} operation {}, {io:?}", disk.ios());
            shared.cut(disk, &told.borrow(), &case);
        }
    });
    let ran = driver.run(&workload.ops);
    disk.unwatch();
    if let Err(wrong) = ran {
        states.note(format!("{workload}: {wrong}"));
    }
}

#[test]
fn no_acknowledged_write_is_lost_at_any_operation_of_any_workload() {
    let states = Arc::new(States::new(config()));
    let workloads = Workload::up_to(2, 3);
    on_all_cores(workloads.len(), |index| sweep(&states, &workloads[index], |_| ()));
    let (wrong, checked) = (states.wrong(), states.checked());
    let in_recovery = states.in_recovery();
    println!("{} workloads, {checked} crash states, {in_recovery} in recoveries", workloads.len());
    assert!(wrong.is_empty(), "{}: {:#?}; {AGAIN}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert!(checked >= STATES_MIN, "{checked} crash states");
}

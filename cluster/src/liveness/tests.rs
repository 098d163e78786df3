use std::time::Duration;

use super::*;

mod detection;
mod network;

/// What is kept beside foca is what foca has.
fn assert_as_foca(machine: &Liveness) {
    machine.peers.assert_holds(machine.swim.iter_membership_state());
    assert_eq!(machine.counters.faults, 0);
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

//! The one foreground task of a core: rounds, one after the other, as long as there is work; a
//! short spin when there is none; then sleep.

use std::time::Duration;

use engine::env::direct::give_way;
use engine::env::ring::Parker;

use super::driver::{CoreError, Driver};
use crate::limits::SLICE_US;
use crate::server::Service;

/// Runs `driver` until it has drained; gives back what answered its requests.
///
/// A core that finds nothing to do looks again for `spin`, because what a client sends next often
/// comes within that time, and waking up costs more; then it sleeps until the kernel, another core
/// or the control thread has something for it.
///
/// # Errors
/// The core has to end.
pub async fn run<S: Service>(
    mut driver: Driver<S>,
    mut parker: Parker,
    spin: Duration,
) -> Result<S, CoreError> {
    let spin_us = spin.as_micros() as u64;
    let (mut worked_us, mut gave_way_us) = (0, 0);
    while !driver.is_done() {
        let (tick, worked) = driver.round()?;
        if worked {
            worked_us = tick.now_us;
        }
        if !worked || tick.now_us - gave_way_us >= SLICE_US {
            // What others do now, the disk and the network do beside it.
            driver.submit()?;
            give_way().await;
            gave_way_us = tick.now_us;
        }
        if !worked && tick.now_us - worked_us >= spin_us {
            driver.set_timer();
            let slept = parker.park(|| driver.try_park()).await;
            driver.unpark();
            slept.map_err(|source| driver.ring_error(source))?;
        }
    }
    Ok(driver.into_service())
}

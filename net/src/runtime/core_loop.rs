//! The one foreground task of a core: rounds, one after the other, as long as there is work; a
//! short spin when there is none; then sleep.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use engine::env::direct::give_way;
use engine::env::ring::{Parker, Ring};

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

/// Awaits `work`, of which parts may run on `ring`, while no driver looks after it.
///
/// `work` is polled when something woke it and not at every look at the ring: what it waits for in
/// glommio keeps a waker for each poll, and a task has room for 32,767 of them.
pub async fn with_ring<T>(ring: &Ring, work: impl Future<Output = T>) -> std::io::Result<T> {
    let mut work = pin!(work);
    let mut woken: Option<Arc<Woken>> = None;
    poll_fn(|context| {
        if let Err(error) = ring.enter() {
            return Poll::Ready(Err(error));
        }
        let woken = woken.get_or_insert_with(|| Woken::new(context.waker().clone()));
        if woken.take() {
            let waker = Waker::from(Arc::clone(woken));
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(Ok(done));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Whether a future asked to be polled.
struct Woken {
    asked: AtomicBool,
    task: Waker,
}

impl Woken {
    /// Asked for once, to begin with.
    fn new(task: Waker) -> Arc<Self> {
        Arc::new(Self { asked: AtomicBool::new(true), task })
    }

    fn take(&self) -> bool {
        self.asked.swap(false, Ordering::Acquire)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.asked.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

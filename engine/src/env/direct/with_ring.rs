//! [`with_ring`]: waiting for work on a ring that nobody looks after.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use glommio::timer::Timer;

use crate::env::ring::Ring;

/// How often a ring is looked at that no driver looks after.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Awaits `work`, whose I/O runs on `ring`, while no loop looks after that.
///
/// `work` is polled when something woke it and not at every look at the ring: what it waits for in
/// glommio keeps a waker for each poll, and a task has room for 32,767 of them.
///
/// # Errors
/// The ring's, which is of no more use then.
pub async fn with_ring<T>(ring: &Ring, work: impl Future<Output = T>) -> io::Result<T> {
    let mut work = pin!(work);
    let mut woken: Option<Arc<Woken>> = None;
    let mut look_again = Timer::new(LOOK_EVERY);
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
        // In between the executor is idle: that is when it looks after its own rings.
        while Pin::new(&mut look_again).poll(context).is_ready() {
            look_again = Timer::new(LOOK_EVERY);
        }
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

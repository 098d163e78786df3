//! glommio, as far as the foreground needs it: a pinned executor, and waiting in it. Background
//! work gets its queues from `engine::env::direct`.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use engine::env::direct::{PREEMPT_TIMER, with_heartbeat};
use engine::env::ring::Ring;
use glommio::timer::Timer;
use glommio::{ExecutorJoinHandle, Latency, LocalExecutorBuilder, Placement, Shares};

use crate::limits::IO_MEMORY_BYTES;

/// Shares of the foreground; the background's are in `engine::env::direct`.
const FOREGROUND_SHARES: usize = 1000;

/// The thread of one core.
pub struct CoreThread<T: Send + 'static>(ExecutorJoinHandle<io::Result<T>>);

impl<T: Send + 'static> CoreThread<T> {
    /// Runs what `make` makes as the foreground of an executor of its own, pinned to `cpu`.
    ///
    /// # Errors
    /// There is no such CPU, or the kernel gives no thread or descriptor.
    pub fn spawn<F>(cpu: usize, make: impl FnOnce() -> F + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = T> + 'static,
    {
        let builder = LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .name("kvcore")
            .io_memory(IO_MEMORY_BYTES)
            .preempt_timer(PREEMPT_TIMER);
        let spawned = builder.spawn(|| async move {
            let queue = glommio::executor().create_task_queue(
                Shares::Static(FOREGROUND_SHARES),
                Latency::NotImportant,
                "foreground",
            );
            let foreground =
                glommio::spawn_local_into(make(), queue).expect("the queue was made just now");
            with_heartbeat(foreground).await
        });
        Ok(Self(spawned.map_err(io::Error::from)?))
    }

    /// Waits for the foreground to end.
    ///
    /// # Errors
    /// The executor could not be made: too little memory may be locked, most likely.
    ///
    /// # Panics
    /// If the foreground did.
    pub fn join(self) -> io::Result<T> {
        self.0.join().map_err(io::Error::from)?
    }
}

/// How often a ring is looked at that no driver looks after.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Awaits `work`, of which parts may run on `ring`, while no driver looks after it.
///
/// `work` is polled when something woke it and not at every look at the ring: what it waits for in
/// glommio keeps a waker for each poll, and a task has room for 32,767 of them.
pub async fn with_ring<T>(ring: &Ring, work: impl Future<Output = T>) -> std::io::Result<T> {
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

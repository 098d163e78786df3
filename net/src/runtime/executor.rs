//! glommio, as far as the foreground needs it: a pinned executor. Background work gets its queues
//! from `engine::env::direct`.

use std::io;
use std::time::Duration;

use engine::env::direct::with_heartbeat;
use glommio::{ExecutorJoinHandle, Latency, LocalExecutorBuilder, Placement, Shares};

use crate::limits::IO_MEMORY_BYTES;

/// The executor looks after its own rings this often while its tasks are busy. Shorter would serve
/// the background's files sooner; but glommio 0.9 falls asleep over ready tasks if this timer
/// fires before the first of them runs, which takes a thread that the kernel held up for as long.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);

/// Shares of the foreground; the background's are in `engine::env::direct`.
const FOREGROUND_SHARES: usize = 1000;

/// The thread of one core.
pub struct CoreThread<T: Send + 'static>(ExecutorJoinHandle<T>);

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
        self.0.join().map_err(io::Error::from)
    }
}

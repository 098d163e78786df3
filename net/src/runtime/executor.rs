//! glommio, as far as the foreground needs it: a pinned executor. Background
//! work gets its queues from `engine::env::direct`.

use std::io;

use engine::env::direct::{PREEMPT_TIMER, with_heartbeat};
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

//! Giving way to the executor's other tasks, without falling asleep over it.
//!
//! glommio 0.9 can sleep although tasks are ready to run: it sets its preemption timer, and if that
//! has fired before the first queue gets its turn, `run_task_queues` says that it ran nothing, and
//! the executor sleeps until some event comes. That takes a thread that the kernel holds up for as
//! long as the timer, at a bad moment; with 500 us and a busy machine it is a matter of seconds. A
//! core in that state answers nobody.
//!
//! The executor's own timers are what it looks at before it sleeps, so a pending one bounds the
//! sleep: [`give_way`] has one for the time it waits, and [`with_heartbeat`] has one for everything
//! else that was made ready.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use glommio::timer::{Timer, sleep};

/// A task that gave way runs again at least so soon, if only it has its turn.
const WAKE_WITHIN: Duration = Duration::from_millis(1);

/// Whatever else was ready runs at least so soon. Ten wake-ups a second are no load.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// Lets the executor's other task queues have their share.
pub async fn give_way() {
    let mut bound = Timer::new(WAKE_WITHIN);
    poll_fn(|context| {
        // Registers it; that it fires is of no interest.
        let _pending = Pin::new(&mut bound).poll(context);
        Poll::Ready(())
    })
    .await;
    glommio::executor().yield_task_queue_now().await;
}

/// Runs `work`; while it goes on, the executor never sleeps for long.
pub async fn with_heartbeat<T>(work: impl Future<Output = T>) -> T {
    let beat = glommio::spawn_local(async {
        loop {
            sleep(HEARTBEAT).await;
        }
    });
    let done = work.await;
    beat.cancel().await;
    done
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use glommio::LocalExecutorBuilder;

    use super::*;

    /// Found under load: a server stopped answering with replies queued in its ring, asleep in the
    /// executor, for ever. A preemption timer of a few microseconds makes the bad moment frequent.
    #[test]
    fn a_task_that_gives_way_always_comes_back() {
        let (done, ended) = channel();
        let builder = LocalExecutorBuilder::default()
            .io_memory(64 << 10)
            .preempt_timer(Duration::from_micros(20));
        let handle = builder.spawn(move || async move {
            with_heartbeat(async {
                for _ in 0..20_000 {
                    give_way().await;
                }
            })
            .await;
            done.send(()).unwrap();
        });
        let handle = handle.unwrap();
        ended.recv_timeout(Duration::from_secs(60)).expect("the executor sleeps over its tasks");
        handle.join().unwrap();
    }
}

//! Many runs on a few threads: each run is one thread's alone, so it is the same on however many.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// Threads that this machine runs at a time.
#[must_use]
pub fn available() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Does all jobs, and shows what came of each as it ends, until `seen` breaks off.
///
/// Jobs are begun in order. Those that are under way when it breaks off are ended unseen.
pub fn in_parallel<J: Send, T: Send>(
    threads: usize,
    jobs: impl Iterator<Item = J> + Send,
    work: impl Fn(J) -> T + Sync,
    mut seen: impl FnMut(T) -> ControlFlow<()>,
) {
    let (jobs, is_over) = (Mutex::new(jobs), AtomicBool::new(false));
    let (results, ended) = mpsc::sync_channel(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (jobs, is_over, work, results) = (&jobs, &is_over, &work, results.clone());
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(job) = job else { break };
                    if results.send(work(job)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(results);
        while let Ok(result) = ended.recv() {
            if seen(result).is_break() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        drop(ended);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_done_once_and_no_more_behind_a_break() {
        for threads in 1..5 {
            let mut sum = 0;
            in_parallel(
                threads,
                1..=1000u64,
                |it| it * 2,
                |it| {
                    sum += it;
                    ControlFlow::Continue(())
                },
            );
            assert_eq!(sum, 1000 * 1001);
            let mut count = 0;
            in_parallel(
                threads,
                1u64..,
                |it| it,
                |_| {
                    count += 1;
                    if count == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
            assert_eq!(count, 10);
        }
    }
}

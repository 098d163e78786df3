//! Sleeping until there is work.
//!
//! A parked core costs nothing: its executor sleeps in glommio's own ring, on a blocking read of
//! an eventfd that this ring signals when it has completions, and that a [`Waker`] signals from
//! other threads. (Polling the ring's own descriptor instead loses wake-ups under
//! `DEFER_TASKRUN`.)
//!
//! No wake-up is lost: the sleeper says that it sleeps, *then* looks for work once more; whoever
//! brings work adds it, *then* looks whether somebody sleeps; a full fence stands between the two
//! on either side. While the core is awake the ring's signals are switched off, and a wake is one
//! load.
#![expect(unsafe_code, reason = "makes an eventfd and lends it to glommio and the ring")]

use std::future::poll_fn;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{self, Poll};

use glommio::io::BufferedFile;

use super::ring::Ring;

/// Wakes a parked core. Cheap to clone, and to call when the core is awake.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

struct Shared {
    parked: AtomicBool,
    eventfd: OwnedFd,
}

impl Waker {
    /// Wakes the core if it is parked. Call it after the work was made visible to the core.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.0.parked.load(Ordering::Relaxed) && self.0.parked.swap(false, Ordering::Relaxed) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: writes 8 bytes of a local to a descriptor that `self` owns.
            let written =
                unsafe { libc::write(self.0.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
            assert_eq!(written, 8, "an eventfd takes 1 unless its counter is at the limit");
        }
    }
}

/// A new eventfd: its [`Waker`], which owns it, and a copy of the descriptor to register.
pub(super) fn eventfd() -> io::Result<(Waker, OwnedFd)> {
    // SAFETY: takes no memory; the descriptor is checked and owned by nobody else.
    let eventfd = unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let copy = eventfd.try_clone()?;
    Ok((Waker(Arc::new(Shared { parked: AtomicBool::new(false), eventfd })), copy))
}

/// Puts a core to sleep. Made and used inside a glommio executor.
pub struct Parker {
    ring: Ring,
    waker: Waker,
    eventfd: Rc<BufferedFile>,
    /// A read of the eventfd that outlived the sleep it was made for.
    reading: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
}

impl Parker {
    /// A parker of `ring`, in the current executor.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(ring: &Ring) -> io::Result<Self> {
        let waker = ring.waker();
        let copy = waker.0.eventfd.try_clone()?;
        // SAFETY: the descriptor is open and given away.
        let eventfd = Rc::new(unsafe { BufferedFile::from_raw_fd(copy.into_raw_fd()) });
        Ok(Self { ring: ring.clone(), waker, eventfd, reading: None })
    }

    /// Sleeps until the ring has work or a [`Waker`] was used; returns at once if the ring has
    /// work already, or unless `idle`, asked after wakers see the core as parked, says that
    /// nothing else has. May wake without a reason.
    ///
    /// # Errors
    /// The eventfd could not be read: the core cannot sleep.
    pub async fn park(&mut self, idle: impl FnOnce() -> bool) -> io::Result<()> {
        self.waker.0.parked.store(true, Ordering::Relaxed);
        self.ring.signals(true);
        fence(Ordering::SeqCst);
        let slept = if self.ring.has_work() || !idle() { Ok(()) } else { self.sleep().await };
        self.ring.signals(false);
        self.waker.0.parked.store(false, Ordering::Relaxed);
        slept
    }

    /// Until the eventfd is signalled, or a task of this executor looks at the ring and finds
    /// that it has completions.
    async fn sleep(&mut self) -> io::Result<()> {
        let eventfd = self.eventfd.clone();
        let reading = self.reading.get_or_insert_with(|| {
            Box::pin(async move { eventfd.read_at(0, 8).await.map(drop).map_err(io::Error::from) })
        });
        let mut polled = false;
        let woken = poll_fn(|context| {
            if let Poll::Ready(read) = reading.as_mut().poll(context) {
                return Poll::Ready(Some(read));
            }
            if mem::replace(&mut polled, true) && !self.ring.is_sleeping() {
                return Poll::Ready(None);
            }
            self.ring.set_sleeper(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        self.ring.set_sleeper(None);
        let Some(read) = woken else { return Ok(()) };
        self.reading = None;
        read
    }
}

impl Ring {
    /// Switches the ring's signals to its eventfd on or off.
    fn signals(&self, on: bool) {
        let mut core = self.0.borrow_mut();
        let completion = core.uring.completion();
        if on { completion.enable_eventfd() } else { completion.disable_eventfd() }
    }

    fn set_sleeper(&self, sleeper: Option<task::Waker>) {
        self.0.borrow_mut().sleeper = sleeper;
    }

    fn is_sleeping(&self) -> bool {
        self.0.borrow().sleeper.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "its tests wake from another thread")]
    use std::cell::Cell;
    use std::io::Write;
    use std::thread;
    use std::time::Duration;

    use glommio::LocalExecutorBuilder;

    use super::*;
    use crate::env::buf::AlignedBuf;
    use crate::env::ring::RingConfig;

    fn in_executor<F: Future<Output = ()>>(test: impl FnOnce(Ring, Parker) -> F + Send + 'static) {
        let builder = LocalExecutorBuilder::default().io_memory(64 << 10);
        let handle = builder.spawn(move || async move {
            let ring = Ring::new(RingConfig::default()).unwrap();
            let parker = Parker::new(&ring).unwrap();
            test(ring, parker).await;
        });
        handle.unwrap().join().unwrap();
    }

    #[test]
    fn a_parked_core_is_woken_by_another_thread_as_often_as_it_parks() {
        in_executor(|ring, mut parker| async move {
            let (tell, told) = std::sync::mpsc::sync_channel::<u32>(1);
            let waker = ring.waker();
            let thread = thread::spawn(move || {
                for i in 0..1000 {
                    tell.send(i).unwrap();
                    waker.wake();
                }
            });
            for i in 0..1000 {
                let got = Cell::new(told.try_recv().ok());
                while got.get().is_none() {
                    let idle = || {
                        got.set(told.try_recv().ok());
                        got.get().is_none()
                    };
                    parker.park(idle).await.unwrap();
                    got.set(got.get().or_else(|| told.try_recv().ok()));
                }
                assert_eq!(got.get(), Some(i));
            }
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_parked_core_is_woken_by_a_completion_and_its_executor_goes_on_meanwhile() {
        in_executor(|ring, mut parker| async move {
            let ticks = Rc::new(Cell::new(0));
            let counter = ticks.clone();
            let (reader, mut writer) = std::io::pipe().unwrap();
            ring.read(Rc::new(reader), 9, 0, AlignedBuf::zeroed(4096));
            let task = glommio::spawn_local(async move {
                for _ in 0..5 {
                    glommio::timer::sleep(Duration::from_millis(2)).await;
                    counter.set(counter.get() + 1);
                }
                writer.write_all(b"news").unwrap();
            });
            let mut done = Vec::new();
            while done.is_empty() {
                ring.enter().unwrap();
                ring.poll(&mut done);
                if done.is_empty() {
                    parker.park(|| true).await.unwrap();
                }
            }
            assert_eq!((ticks.get(), *done[0].result.as_ref().unwrap()), (5, 4));
            task.await;
        });
    }

    #[test]
    fn a_parked_core_is_woken_by_its_timer() {
        in_executor(|ring, mut parker| async move {
            for _ in 0..20 {
                let start = std::time::Instant::now();
                ring.set_timer(20_000);
                ring.enter().unwrap();
                parker.park(|| true).await.unwrap();
                ring.enter().unwrap();
                assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
            }
        });
    }

    /// The executor looks at its own ring only when its preemption timer fires; a background task
    /// that is busy all the time must not hold up a completion for that long.
    #[test]
    fn a_busy_task_that_finds_completions_wakes_the_parked_core() {
        in_executor(|ring, mut parker| async move {
            let (reader, mut writer) = std::io::pipe().unwrap();
            ring.read(Rc::new(reader), 1, 0, AlignedBuf::zeroed(4096));
            ring.enter().unwrap();
            let (seen, ring2) = (Rc::new(Cell::new(false)), ring.clone());
            let busy = Rc::new(Cell::new(true));
            let (seen2, busy2) = (seen.clone(), busy.clone());
            let task = glommio::spawn_local(async move {
                writer.write_all(b"news").unwrap();
                while busy2.get() {
                    seen2.set(seen2.get() | ring2.taskrun());
                    glommio::executor().yield_now().await;
                }
            });
            parker.park(|| true).await.unwrap();
            assert!(seen.get(), "the task looked, and that woke the core");
            busy.set(false);
            task.await;
            // The read that was left behind serves the next sleeps.
            ring.enter().unwrap();
            ring.poll(&mut Vec::new());
            let waker = ring.waker();
            let task = glommio::spawn_local(async move {
                loop {
                    glommio::timer::sleep(Duration::from_millis(1)).await;
                    waker.wake();
                }
            });
            for _ in 0..3 {
                parker.park(|| true).await.unwrap();
            }
            task.cancel().await;
        });
    }
}

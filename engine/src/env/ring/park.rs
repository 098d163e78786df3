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

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

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
    eventfd: BufferedFile,
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
        let eventfd = unsafe { BufferedFile::from_raw_fd(copy.into_raw_fd()) };
        Ok(Self { ring: ring.clone(), waker, eventfd })
    }

    /// Sleeps until the ring has work or a [`Waker`] was used; returns at once if the ring has
    /// work already, or unless `idle`, asked after wakers see the core as parked, says that
    /// nothing else has. May wake without a reason.
    ///
    /// # Errors
    /// The eventfd could not be read: the core cannot sleep.
    pub async fn park(&self, idle: impl FnOnce() -> bool) -> io::Result<()> {
        self.waker.0.parked.store(true, Ordering::Relaxed);
        self.ring.signals(true);
        fence(Ordering::SeqCst);
        let slept = if self.ring.has_work() || !idle() {
            Ok(())
        } else {
            self.eventfd.read_at(0, 8).await.map(drop).map_err(io::Error::from)
        };
        self.ring.signals(false);
        self.waker.0.parked.store(false, Ordering::Relaxed);
        slept
    }
}

impl Ring {
    /// Switches the ring's signals to its eventfd on or off.
    fn signals(&self, on: bool) {
        let mut core = self.0.borrow_mut();
        let completion = core.uring.completion();
        if on { completion.enable_eventfd() } else { completion.disable_eventfd() }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "its tests wake from another thread")]
    use std::cell::Cell;
    use std::io::Write;
    use std::rc::Rc;
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
        in_executor(|ring, parker| async move {
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
        in_executor(|ring, parker| async move {
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
}

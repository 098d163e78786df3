//! The ring itself: what is queued, submitted and handed out again.
#![expect(unsafe_code, reason = "submits operations whose memory the kernel uses")]

use std::cell::RefCell;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

use super::disk::{DiskOps, Owner};
use super::park::{self, Waker};
use super::recv_buffers::RecvBuffers;
use super::socket::Sockets;
use crate::env::Done;
use crate::env::buf::AlignedBuf;

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct RingConfig {
    /// Entries of the submission queue: what one `enter` can take. When it is full it is submitted
    /// early, so it bounds nothing but batches.
    pub submissions: u32,
    /// Entries of the completion queue. The kernel keeps what does not fit aside, at a cost.
    pub completions: u32,
    /// Receive buffers, a power of two; 0 for a ring without sockets.
    pub recv_buffers: u16,
    /// Bytes of each.
    pub recv_buffer_bytes: u32,
}

impl Default for RingConfig {
    /// A ring for disk operations alone.
    fn default() -> Self {
        Self { submissions: 1024, completions: 8192, recv_buffers: 0, recv_buffer_bytes: 0 }
    }
}

/// One core's io_uring. Clones are the same ring; it stays on the thread that made it.
#[derive(Clone)]
pub struct Ring(pub(super) Rc<RefCell<Core>>);

impl Ring {
    /// Makes a ring.
    ///
    /// # Errors
    /// The kernel's: `ENOSYS` or `EPERM` where io_uring is missing or forbidden, `EINVAL` before
    /// Linux 6.1, `ENOMEM`.
    pub fn new(config: RingConfig) -> io::Result<Self> {
        let mut uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(config.completions)
            .build(config.submissions)?;
        // Saves a look-up in each `enter`; a thread may register 16 rings, and any may do without.
        let _ = uring.submitter().register_ring_fd();
        keep_workers_here(&uring);
        let (waker, eventfd) = park::eventfd()?;
        uring.submitter().register_eventfd(eventfd.as_raw_fd())?;
        uring.completion().disable_eventfd();
        let buffers = (config.recv_buffers > 0)
            .then(|| RecvBuffers::register(&uring, config.recv_buffers, config.recv_buffer_bytes))
            .transpose()?;
        let core = Core {
            uring,
            disk: DiskOps::default(),
            sockets: Sockets::new(buffers),
            timer: Timer::default(),
            waker,
            sleeper: None,
            refused: None,
        };
        Ok(Self(Rc::new(RefCell::new(core))))
    }

    /// Submits what was queued, lets the kernel deliver what has ended, and hands it out to
    /// [`Ring::poll`] and [`Ring::next_event`]. Never waits, and costs no system call when there
    /// is nothing to do.
    ///
    /// # Errors
    /// The ring is of no more use; the process should end.
    pub fn enter(&self) -> io::Result<()> {
        self.0.borrow_mut().enter()
    }

    /// Submits what was queued and leaves what has ended for the next [`Ring::enter`]: for a loop
    /// that lets others run first, so that the kernel works meanwhile. Costs no system call when
    /// nothing is queued.
    ///
    /// # Errors
    /// As for [`Ring::enter`].
    pub fn submit(&self) -> io::Result<()> {
        self.0.borrow_mut().submit()
    }

    /// Whether there are completions that [`Ring::enter`] would hand out: a long task should give
    /// way to the loop that calls it. If that loop is parked in this executor it is made to run.
    #[inline]
    #[must_use]
    pub fn taskrun(&self) -> bool {
        let mut core = self.0.borrow_mut();
        let waiting = core.has_completions();
        if waiting && let Some(sleeper) = core.sleeper.take() {
            sleeper.wake();
        }
        waiting
    }

    /// Whether an [`Ring::enter`] would do anything.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let mut core = self.0.borrow_mut();
        !core.uring.submission().is_empty()
            || core.has_completions()
            || core.disk.has_done()
            || core.sockets.has_events()
    }

    /// Disk operations in flight.
    #[must_use]
    pub fn disk_in_flight(&self) -> usize {
        self.0.borrow().disk.in_flight()
    }

    /// Whether a sync or a task's write is in flight. The kernel does them, the writes that make a
    /// file longer at least, on a thread that it keeps on this core's CPU: a loop that does not let
    /// it run waits for it until the scheduler takes the CPU away.
    #[must_use]
    pub fn needs_worker(&self) -> bool {
        self.0.borrow().disk.on_workers() > 0
    }

    /// Queues a read of `buf.len()` bytes at `offset` of `file` into `buf`. Ends with a
    /// [`Done`] of `ticket`; the bytes read are fewer only at the end of the file.
    ///
    /// # Panics
    /// If `buf` is empty.
    pub fn read(&self, file: Rc<dyn AsRawFd>, ticket: u64, offset: u64, buf: AlignedBuf) {
        self.0.borrow_mut().read(file, Owner::Ticket(ticket), offset, buf);
    }

    /// Queues a write of the whole of `buf` at `offset` of `file`, with `sync` linked with an
    /// `fdatasync`. Ends with one [`Done`] of `ticket`, when both have. A short write ends with
    /// its length, and then nothing was synced.
    ///
    /// # Panics
    /// If `buf` is empty.
    pub fn append(
        &self,
        file: Rc<dyn AsRawFd>,
        ticket: u64,
        offset: u64,
        buf: AlignedBuf,
        sync: bool,
    ) {
        self.0.borrow_mut().write(file, Owner::Ticket(ticket), offset, buf, sync);
    }

    /// Moves the disk operations that ended into `done`, in the order they ended.
    pub fn poll(&self, done: &mut Vec<Done>) {
        self.0.borrow_mut().disk.take_done(done);
    }

    /// Sees to it that a parked core wakes within `micros` microseconds, to look at its clock. A
    /// timer that is set already stays as it is, even if it ends later.
    pub fn set_timer(&self, micros: u64) {
        self.0.borrow_mut().set_timer(micros);
    }

    /// A handle that wakes this ring's [`Parker`](super::Parker) from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.0.borrow().waker.clone()
    }
}

/// Whose completion it is: the top byte of an operation's `user_data`. The rest is the index of
/// the slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Read = 1,
    Write = 2,
    Sync = 3,
    Cancel = 4,
    Timer = 5,
    Accept = 6,
    Recv = 7,
    Send = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::Sync,
            4 => Self::Cancel,
            5 => Self::Timer,
            6 => Self::Accept,
            7 => Self::Recv,
            8 => Self::Send,
            _ => unreachable!("a completion of a kind that was never submitted: {byte}"),
        }
    }

    /// The `user_data` of an operation of this kind whose slot is `index`.
    pub(super) fn user_data(self, index: usize) -> u64 {
        (self as u64) << 56 | u64::try_from(index).expect("an index of a slab in memory")
    }
}

/// The one timer of a ring. What the kernel is pointed to does not move with the ring.
#[derive(Default)]
struct Timer {
    armed: bool,
    after: Box<Timespec>,
}

/// What the clones of a [`Ring`] share.
pub(super) struct Core {
    pub(super) uring: IoUring,
    pub(super) disk: DiskOps,
    pub(super) sockets: Sockets,
    timer: Timer,
    pub(super) waker: Waker,
    /// The task of this executor that sleeps until the ring has work.
    pub(super) sleeper: Option<task::Waker>,
    /// The kernel refused a submission with the queue full; the next `enter` says so.
    refused: Option<io::Error>,
}

impl Core {
    fn enter(&mut self) -> io::Result<()> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        if !self.uring.submission().is_empty() || self.has_completions() {
            const GETEVENTS: u32 = 1;
            self.call(GETEVENTS)?;
        }
        self.reap();
        Ok(())
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.uring.submission().is_empty() { Ok(()) } else { self.call(0) }
    }

    /// Submits what a task queued, at once, as the loop that looks after the ring may be asleep.
    /// What cannot be submitted now wakes it, and so does the error of a ring that failed.
    pub(super) fn submit_for_task(&mut self) {
        if let Err(error) = self.submit() {
            self.refused.get_or_insert(error);
        }
        if self.refused.is_some() || !self.uring.submission().is_empty() {
            self.waker.wake();
        }
    }

    /// The system call, with all that is queued.
    fn call(&mut self, flags: u32) -> io::Result<()> {
        let queued = self.uring.submission().len();
        let to_submit = u32::try_from(queued).expect("at most the queue's size");
        // SAFETY: there is no argument, and what is submitted was pushed by `push`.
        let entered =
            unsafe { self.uring.submitter().enter::<libc::sigset_t>(to_submit, 0, flags, None) };
        match entered {
            Err(error) if !is_transient(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn has_completions(&mut self) -> bool {
        let submission = self.uring.submission();
        let waiting = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        waiting || !self.uring.completion().is_empty()
    }

    /// Hands out every completion delivered so far.
    fn reap(&mut self) {
        for entry in self.uring.completion() {
            let index = (entry.user_data() & ((1 << 56) - 1)) as usize;
            let result = entry.result();
            match Kind::from_byte((entry.user_data() >> 56) as u8) {
                Kind::Read | Kind::Write => self.disk.transferred(index, result),
                Kind::Sync => self.disk.synced(index, result),
                Kind::Cancel => {}
                Kind::Timer => self.timer.armed = false,
                Kind::Accept => self.sockets.accepted(index, result),
                Kind::Recv => self.sockets.received(index, result, entry.flags()),
                Kind::Send => self.sockets.sent(index, result),
            }
        }
        self.start_again();
    }

    fn set_timer(&mut self, micros: u64) {
        if self.timer.armed {
            return;
        }
        self.timer.armed = true;
        let nanos = (micros % 1_000_000) * 1000;
        *self.timer.after = Timespec::new().sec(micros / 1_000_000).nsec(nanos as u32);
        let entry = opcode::Timeout::new(&raw const *self.timer.after).build();
        // SAFETY: the time is boxed and left alone while the timer is armed.
        unsafe { self.push(&[entry.user_data(Kind::Timer.user_data(0))]) }
    }

    /// Queues `entries`, which are submitted together: a link never breaks between two of them.
    ///
    /// # Safety
    /// The memory and descriptors they name stay valid until their last completion is reaped.
    pub(super) unsafe fn push(&mut self, entries: &[squeue::Entry]) {
        if self.room() < entries.len()
            && let Err(error) = self.uring.submit()
        {
            self.refused = Some(error);
        }
        // SAFETY: the caller's promise.
        let pushed = unsafe { self.uring.submission().push_multiple(entries) };
        if pushed.is_err() && self.refused.is_none() {
            self.refused = Some(io::ErrorKind::ResourceBusy.into());
        }
    }

    /// Free entries of the submission queue.
    fn room(&mut self) -> usize {
        let submission = self.uring.submission();
        submission.capacity() - submission.len()
    }

    fn is_idle(&self) -> bool {
        self.in_flight() == 0
    }

    fn in_flight(&self) -> usize {
        self.disk.in_flight() + self.sockets.in_flight() + usize::from(self.timer.armed)
    }

    /// Cancels all that is in flight and waits for it to end; false if some did not in time.
    fn shut_down(&mut self) -> bool {
        const ROUNDS: u32 = 100;
        let round = Timespec::new().nsec(50_000_000);
        self.sockets.close_all();
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        // SAFETY: a cancellation names no memory.
        unsafe { self.push(&[cancel.user_data(Kind::Cancel.user_data(0))]) };
        for _ in 0..ROUNDS {
            if self.is_idle() {
                return true;
            }
            // What went wrong shows in what is still in flight.
            drop(self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&round)));
            self.reap();
        }
        self.is_idle()
    }
}

/// Binds the kernel threads that do what this thread's rings cannot do at once, syncs above all,
/// to the CPUs that the thread may use. Elsewhere they would wait for CPUs whose cores do not know
/// of them and give way to nobody; here the core's loop gives way to them.
fn keep_workers_here(uring: &IoUring) {
    // SAFETY: a set of CPUs is plain bits, none of them set.
    let mut cpus: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes at most the size it is given.
    let known = unsafe { libc::sched_getaffinity(0, size_of_val(&cpus), &raw mut cpus) } == 0;
    if known && let Err(error) = uring.submitter().register_iowq_aff(&cpus) {
        tracing::debug!(%error, "the kernel's workers run on any CPU: commits may take longer");
    }
}

/// Errors of `enter` after which the next one does the work: interrupted, out of memory for
/// requests just now, completions to be reaped first.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

impl Drop for Core {
    fn drop(&mut self) {
        // Before any way out: the kernel does not do it when the ring's descriptor is closed.
        let _ = self.uring.submitter().unregister_ring_fd();
        if !self.is_idle() && !self.shut_down() {
            tracing::error!(
                operations = self.in_flight(),
                "operations did not end with their ring; their memory is not used again"
            );
            mem::forget(mem::take(&mut self.disk));
            mem::forget(mem::replace(&mut self.sockets, Sockets::new(None)));
            mem::forget(mem::take(&mut self.timer));
        }
    }
}

#[cfg(test)]
mod tests;

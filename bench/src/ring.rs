//! One thread's sockets on one `io_uring`.
//!
//! What it keeps true:
//!
//! - Memory that an operation was given stays where it is until its last completion was seen: the
//!   bytes of a send in `Socket::flying`, which nothing touches before; received bytes in the pool,
//!   whose buffers go back to the kernel only when the event that showed them is over. A ring that
//!   is dropped shuts its sockets down and waits for what is in flight; what does not end in time
//!   is leaked, never freed.
//! - One send in flight a socket, so bytes leave in the order in which they were written.
//! - A ring stays on the thread that made it (`SINGLE_ISSUER`, and it is not `Send`).
//!
//! Multishot receives into provided buffers and one `enter` a turn, as on the server's side: the
//! generator must not be what is measured. Needs Linux 6.1.

#![expect(unsafe_code, reason = "submissions, provided buffers, and one prctl")]

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

const BUFFER_BYTES: usize = 16 << 10;
const BUFFERS_MIN: usize = 64;
const BUFFERS_MAX: usize = 4_096;
const SUBMISSIONS: u32 = 1_024;
const COMPLETIONS_MIN: usize = 4_096;
const COMPLETIONS_MAX: usize = 65_536;
const GROUP: u16 = 0;
const ENTER_GETEVENTS: u32 = 1;
const DRAIN_TURNS: usize = 100;
const DRAIN_WAIT: Duration = Duration::from_millis(10);

const RECEIVE: u64 = 0;
const SEND: u64 = 1 << 32;

/// Something that happened on a socket.
#[derive(Debug)]
pub enum Event<'a> {
    /// Bytes came in.
    Received {
        /// On which socket.
        socket: usize,
        /// The bytes, valid as long as the event.
        bytes: &'a [u8],
    },
    /// A socket is of no further use; told once. No error: the peer closed it.
    Closed {
        /// Which socket.
        socket: usize,
        /// What went wrong.
        error: Option<io::Error>,
    },
}

struct Socket {
    stream: TcpStream,
    filling: Vec<u8>,
    flying: Vec<u8>,
    /// Bytes of `flying` that were sent.
    sent: usize,
    sending: bool,
    dirty: bool,
    open: bool,
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

struct Pool {
    /// The ring of buffer descriptors, page-aligned.
    entries: Vec<Page>,
    bytes: Vec<u8>,
    count: u16,
    tail: u16,
}

/// The sockets of one thread.
pub struct Ring {
    uring: IoUring,
    pool: Pool,
    sockets: Vec<Socket>,
    dirty: Vec<usize>,
    completed: VecDeque<(u64, i32, u32)>,
    /// The buffer that the event handed out last shows.
    shown: Option<u16>,
    in_flight: usize,
}

impl Ring {
    /// A ring for about `sockets` sockets, on this thread for good.
    ///
    /// # Errors
    /// The kernel's, where it has no `io_uring` or one older than Linux 6.1.
    pub fn new(sockets: usize) -> io::Result<Self> {
        // SAFETY: PR_SET_TIMERSLACK takes a number and changes nothing but this thread's slack,
        // so that a wait until the next intended start ends on time and not 50 us later.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        let completions = (4 * sockets).next_power_of_two().clamp(COMPLETIONS_MIN, COMPLETIONS_MAX);
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(completions as u32)
            .build(SUBMISSIONS)?;
        let count = (2 * sockets).next_power_of_two().clamp(BUFFERS_MIN, BUFFERS_MAX);
        let mut pool = Pool::new(count);
        // SAFETY: the entries are page-aligned and hold `count` descriptors; they live in `pool`,
        // which outlives the ring: fields drop in order, and `Drop` leaks it if need be.
        unsafe {
            let entries = pool.entries.as_mut_ptr() as u64;
            uring.submitter().register_buf_ring_with_flags(entries, pool.count, GROUP, 0)?;
        }
        (0..pool.count).for_each(|buffer| pool.give(buffer));
        Ok(Self {
            uring,
            pool,
            sockets: Vec::with_capacity(sockets),
            dirty: Vec::with_capacity(sockets),
            completed: VecDeque::with_capacity(completions),
            shown: None,
            in_flight: 0,
        })
    }

    /// Adds a connected socket, which starts to receive, and returns its number: 0, 1, ..
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&mut self, stream: TcpStream) -> io::Result<usize> {
        let socket = self.sockets.len();
        self.sockets.push(Socket {
            stream,
            filling: Vec::new(),
            flying: Vec::new(),
            sent: 0,
            sending: false,
            dirty: false,
            open: true,
        });
        self.receive(socket)?;
        Ok(socket)
    }

    /// Where to append what the next [`Ring::turn`] sends on `socket`.
    #[inline]
    pub fn out(&mut self, socket: usize) -> &mut Vec<u8> {
        let Socket { filling, dirty, .. } = &mut self.sockets[socket];
        if !*dirty {
            *dirty = true;
            self.dirty.push(socket);
        }
        filling
    }

    /// Whether the next turn has something to send.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Submits what is to be sent and collects what has happened; with `wait`, for so long at
    /// most until something has.
    ///
    /// # Errors
    /// The kernel's, of the ring itself; a socket's are events.
    pub fn turn(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let mut dirty = mem::take(&mut self.dirty);
        for socket in dirty.drain(..) {
            self.sockets[socket].dirty = false;
            self.send(socket)?;
        }
        self.dirty = dirty;
        let entered = match wait {
            Some(wait) if self.completed.is_empty() => {
                let timespec = Timespec::from(wait);
                let args = SubmitArgs::new().timespec(&timespec);
                self.uring.submitter().submit_with_args(1, &args)
            }
            _ => self.enter(),
        };
        match entered {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
        let completed = self.uring.completion();
        self.completed.extend(completed.map(|c| (c.user_data(), c.result(), c.flags())));
        Ok(())
    }

    /// The next thing that happened; `None` until the next turn.
    ///
    /// # Errors
    /// The kernel's, of the ring itself.
    #[inline]
    pub fn event(&mut self) -> io::Result<Option<Event<'_>>> {
        if let Some(buffer) = self.shown.take() {
            self.pool.give(buffer);
        }
        while let Some((data, result, flags)) = self.completed.pop_front() {
            let socket = (data & u64::from(u32::MAX)) as usize;
            if data & SEND != 0 {
                self.in_flight -= 1;
                if let Err(error) = self.sent(socket, result) {
                    return Ok(Some(Event::Closed { socket, error: Some(error) }));
                }
                continue;
            }
            let again = !cqueue::more(flags);
            self.in_flight -= usize::from(again);
            let buffer = cqueue::buffer_select(flags);
            if result > 0 && self.sockets[socket].open {
                if again {
                    self.receive(socket)?;
                }
                let buffer = buffer.expect("a receive that has bytes has their buffer");
                self.shown = Some(buffer);
                let bytes = self.pool.bytes(buffer, result as usize);
                return Ok(Some(Event::Received { socket, bytes }));
            }
            if let Some(buffer) = buffer {
                self.pool.give(buffer);
            }
            if result == -libc::ENOBUFS && self.sockets[socket].open {
                self.receive(socket)?;
            } else if result <= 0 && self.close(socket) {
                let error = (result < 0).then(|| io::Error::from_raw_os_error(-result));
                return Ok(Some(Event::Closed { socket, error }));
            }
        }
        Ok(None)
    }

    /// Stops using `socket`: nothing more is sent or received.
    pub fn close(&mut self, socket: usize) -> bool {
        let socket = &mut self.sockets[socket];
        let was_open = mem::take(&mut socket.open);
        if was_open {
            // Ends the receive and the send in flight; a socket the peer has reset is not
            // connected, which is as good.
            let _ = socket.stream.shutdown(Shutdown::Both);
            socket.filling.clear();
        }
        was_open
    }

    /// Runs deferred work and collects completions without waiting.
    #[inline]
    fn enter(&mut self) -> io::Result<usize> {
        let queued = self.uring.submission().len() as u32;
        // SAFETY: no argument but counts and a flag.
        unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, ENTER_GETEVENTS, None) }
    }

    fn receive(&mut self, socket: usize) -> io::Result<()> {
        let fd = Fd(self.sockets[socket].stream.as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, GROUP).build().user_data(RECEIVE | socket as u64);
        // SAFETY: the descriptor stays open in `sockets`; the kernel writes only into buffers of
        // the pool that were given to it.
        unsafe { self.push(&entry) }
    }

    /// Starts sending what was written to `socket`, unless a send is in flight: then its
    /// completion does.
    #[inline]
    fn send(&mut self, index: usize) -> io::Result<()> {
        let socket = &mut self.sockets[index];
        if socket.sending || !socket.open || (socket.filling.is_empty() && socket.sent == 0) {
            return Ok(());
        }
        if socket.sent == 0 {
            socket.flying.clear();
            mem::swap(&mut socket.filling, &mut socket.flying);
        }
        let rest = &socket.flying[socket.sent..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(socket.stream.as_raw_fd()), rest.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(SEND | index as u64);
        socket.sending = true;
        // SAFETY: `flying` is neither written nor freed while `sending`; the descriptor stays
        // open in `sockets`.
        unsafe { self.push(&entry) }
    }

    #[inline]
    fn sent(&mut self, index: usize, result: i32) -> io::Result<()> {
        let socket = &mut self.sockets[index];
        socket.sending = false;
        if result < 0 {
            let told = !self.close(index);
            return if told { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) };
        }
        socket.sent += result as usize;
        if socket.sent == socket.flying.len() {
            socket.sent = 0;
        }
        self.send(index)
    }

    /// Queues an entry, submitting the queue where it is full.
    ///
    /// # Safety
    /// What the entry points to stays valid until its last completion.
    #[inline]
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        self.in_flight += 1;
        // SAFETY: as promised by the caller.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            self.uring.submit()?;
        }
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for socket in 0..self.sockets.len() {
            self.close(socket);
        }
        for _ in 0..DRAIN_TURNS {
            if self.in_flight == 0 {
                return;
            }
            let turned = self.turn(Some(DRAIN_WAIT));
            while let Ok(Some(_)) = self.event() {}
            if turned.is_err() {
                break;
            }
        }
        if self.in_flight > 0 {
            self.sockets.drain(..).for_each(|socket| mem::forget(socket.flying));
            mem::forget(mem::take(&mut self.pool.bytes));
            mem::forget(mem::take(&mut self.pool.entries));
        }
    }
}

impl Pool {
    fn new(count: usize) -> Self {
        let pages = (count * size_of::<BufRingEntry>()).div_ceil(size_of::<Page>());
        Self {
            entries: vec![Page([0; 4096]); pages],
            bytes: vec![0; count * BUFFER_BYTES],
            count: u16::try_from(count).expect("at most BUFFERS_MAX"),
            tail: 0,
        }
    }

    /// Hands a buffer to the kernel.
    #[inline]
    fn give(&mut self, buffer: u16) {
        debug_assert!(buffer < self.count);
        let address = self.bytes.as_mut_ptr().wrapping_add(usize::from(buffer) * BUFFER_BYTES);
        let base = self.entries.as_mut_ptr().cast::<BufRingEntry>();
        let index = usize::from(self.tail & (self.count - 1));
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `index` is below `count`, a power of two, and `entries` holds `count`
        // descriptors at its page-aligned start. The kernel reads a descriptor only after the
        // tail says it is there, hence the release.
        unsafe {
            let entry = &mut *base.add(index);
            entry.set_addr(address as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
            let tail = BufRingEntry::tail(base).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    #[inline]
    fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(buffer < self.count && len <= BUFFER_BYTES, "the kernel named a buffer it has");
        let from = self.bytes.as_ptr().wrapping_add(usize::from(buffer) * BUFFER_BYTES);
        // SAFETY: within `bytes`, whose whole length is initialised; the kernel does not write to
        // this buffer until it is given back, and that needs `&mut self`.
        unsafe { std::slice::from_raw_parts(from, len) }
    }
}

#[cfg(test)]
mod tests;

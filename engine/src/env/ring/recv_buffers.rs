//! Memory that the kernel picks from when bytes arrive, so that ten thousand idle connections
//! hold none.
//!
//! ```text
//! entries  | addr 8 | len 4 | id 2 | tail 2 |   16 bytes each; `tail` only in the first
//! ```
//!
//! A buffer has one owner at a time: the kernel from when its entry is published until a receive
//! that names it has completed, then the [`RecvBuffer`], which gives it back when dropped. The
//! memory stays mapped while the ring or any `RecvBuffer` lives.
#![expect(unsafe_code, reason = "shares memory with the kernel")]

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, cqueue};

/// The one group of buffers that a ring has.
pub(super) const GROUP: u16 = 0;

/// The buffers of a ring. Clones are the same buffers.
#[derive(Clone)]
pub(super) struct RecvBuffers(Rc<Pool>);

struct Pool {
    entries: Mapping,
    bytes: Mapping,
    /// How many buffers there are, a power of two.
    count: u16,
    /// Bytes of each.
    buffer_bytes: usize,
    /// Entries published so far, wrapping.
    tail: Cell<u16>,
}

impl RecvBuffers {
    /// Registers `count` buffers, a power of two, of `buffer_bytes` with `uring`.
    pub(super) fn register(uring: &IoUring, count: u16, buffer_bytes: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "the number of receive buffers is a power of two");
        let buffer_bytes = buffer_bytes as usize;
        let pool = Pool {
            entries: Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?,
            bytes: Mapping::new(usize::from(count) * buffer_bytes)?,
            count,
            buffer_bytes,
            tail: Cell::new(0),
        };
        let address = pool.entries.start.as_ptr().addr() as u64;
        // SAFETY: the entries are mapped, page-aligned and `count` long; `Core`, which owns
        // `uring`, keeps them mapped until it is closed.
        unsafe { uring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0)? };
        (0..count).for_each(|id| pool.publish(id));
        Ok(Self(Rc::new(pool)))
    }

    /// The buffer that a completion brought, filled with `len` bytes; none if it brought none.
    pub(super) fn taken(&self, flags: u32, len: usize) -> Option<RecvBuffer> {
        let id = cqueue::buffer_select(flags)?;
        assert!(id < self.0.count && len <= self.0.buffer_bytes, "a buffer that was published");
        Some(RecvBuffer { pool: self.0.clone(), id, len })
    }
}

impl Pool {
    /// Gives buffer `id`, which nobody else uses, to the kernel.
    fn publish(&self, id: u16) {
        let tail = self.tail.get();
        let at = usize::from(tail & (self.count - 1));
        let entries: *mut BufRingEntry = self.entries.start.as_ptr().cast();
        let offset = usize::from(id) * self.buffer_bytes;
        // SAFETY: `at < count` entries; the kernel reads this one only after the tail, stored
        // below, has passed it, and there are as many entries as buffers, so it has been read if
        // it was ever published before. `offset` is within the buffers' mapping.
        unsafe {
            let entry = &mut *entries.add(at);
            entry.set_addr(self.bytes.start.as_ptr().add(offset).addr() as u64);
            entry.set_len(self.buffer_bytes as u32);
            entry.set_bid(id);
        }
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the tail lies in the first entry, mapped and aligned, and is only accessed
        // atomically while the kernel knows the entries.
        let shared = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        shared.store(self.tail.get(), Ordering::Release);
    }
}

/// Received bytes, in a buffer of the ring; dropped, it can be received into again.
///
/// Hold it only as long as it takes to read it: the ring has a fixed number of them.
pub struct RecvBuffer {
    pool: Rc<Pool>,
    id: u16,
    len: usize,
}

impl Deref for RecvBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let offset = usize::from(self.id) * self.pool.buffer_bytes;
        // SAFETY: within the mapping, whose bytes are initialised (zeros, or what was received);
        // while `self` lives the kernel does not own this buffer.
        unsafe { slice::from_raw_parts(self.pool.bytes.start.as_ptr().add(offset), self.len) }
    }
}

impl Drop for RecvBuffer {
    fn drop(&mut self) {
        self.pool.publish(self.id);
    }
}

/// Zeroed pages of our own.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: asks for new pages, touches none that exist.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("address 0 is never mapped unasked");
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nobody refers to it any more.
        let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, 0);
    }
}

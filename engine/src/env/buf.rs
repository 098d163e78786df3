//! Memory for direct I/O: [`AlignedBuf`].
//!
//! - Its address is a multiple of [`ALIGN`], and so is its capacity; it does not move when the
//!   `AlignedBuf` does, so the kernel may hold the address while an operation is in flight.
//! - Every byte of its capacity is initialised, from its allocation on: stale memory of somebody
//!   else never reaches a disk.
//! - Its length is any number of bytes up to the capacity. What is handed to a write or asked of a
//!   read is a multiple of [`ALIGN`]; what a read at the end of a file leaves may be less.
#![expect(unsafe_code, reason = "owns an allocation of more than the default alignment")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use super::ALIGN;

/// An owned buffer that direct I/O can use.
///
/// The default one is empty and owns no memory.
pub struct AlignedBuf {
    /// `capacity` initialised bytes, aligned to [`ALIGN`]; dangling if `capacity` is 0.
    start: NonNull<u8>,
    /// Bytes in use, at most `capacity`.
    len: usize,
    /// A multiple of [`ALIGN`].
    capacity: usize,
}

impl AlignedBuf {
    /// A buffer of `len` zeros. Its capacity is `len` rounded up to [`ALIGN`].
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let capacity = len.next_multiple_of(ALIGN);
        if capacity == 0 {
            return Self { start: NonNull::dangling(), len: 0, capacity: 0 };
        }
        let layout = Self::layout(capacity);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, len, capacity }
    }

    /// The most bytes it can hold.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes it `len` bytes long; bytes that come into view are what they last were.
    ///
    /// # Panics
    /// If `len` is past the capacity.
    #[inline]
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "length {len} past the capacity {}", self.capacity);
        self.len = len;
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, ALIGN).expect("a buffer is far smaller than isize::MAX")
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed once, here.
            unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len <= capacity` initialised bytes that `self` owns; dangling only for 0.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed for as long.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_and_stays_where_it_is() {
        for len in [1, ALIGN - 1, ALIGN, ALIGN + 1, 1 << 20] {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!((buf.len(), buf.capacity()), (len, len.next_multiple_of(ALIGN)));
            assert_eq!(buf.as_ptr().addr() % ALIGN, 0);
            assert!(buf.iter().all(|&byte| byte == 0));
            buf[len - 1] = 7;
            let before = buf.as_ptr();
            let moved = Box::new(buf);
            assert_eq!((moved.as_ptr(), moved[len - 1]), (before, 7));
        }
    }

    #[test]
    fn length_moves_within_the_capacity_and_keeps_the_bytes() {
        let mut buf = AlignedBuf::zeroed(2 * ALIGN);
        buf[ALIGN] = 9;
        buf.set_len(10);
        assert_eq!(buf.len(), 10);
        buf.set_len(2 * ALIGN);
        assert_eq!(buf[ALIGN], 9);
    }

    #[test]
    #[should_panic(expected = "past the capacity")]
    fn length_past_the_capacity_is_refused() {
        AlignedBuf::zeroed(1).set_len(ALIGN + 1);
    }

    #[test]
    fn the_default_owns_nothing() {
        let buf = AlignedBuf::default();
        assert_eq!((buf.len(), buf.capacity()), (0, 0));
    }
}

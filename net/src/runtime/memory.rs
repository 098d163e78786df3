//! How the process takes memory: not in the midst of somebody's request, where it can be helped.
//! `DESIGN.md` has the figures.

#![expect(unsafe_code, reason = "the allocator is told something")]

use libmimalloc_sys::{mi_option_set, mi_option_t};
use rustix::thread::disable_transparent_huge_pages;

/// mimalloc's `mi_option_purge_delay`, which its crate does not name; a test holds it to that.
const PURGE_DELAY: mi_option_t = 15;

/// Has the kernel give small pages only, as a huge one, 2 MiB, is cleared at its first touch; and
/// the allocator keep what is freed, as giving it back may take milliseconds. What there is of it
/// is bounded by `--memory`.
pub fn settle_memory() {
    if let Err(error) = disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "huge pages cannot be switched off: reads may wait for them");
    }
    // SAFETY: takes two numbers, and ignores an option that it does not know.
    unsafe { mi_option_set(PURGE_DELAY, -1) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::{mi_collect, mi_free, mi_malloc};

    use super::*;
    use crate::boot::{kib_of, read};

    #[test]
    fn freed_memory_is_kept() {
        const BYTES: usize = 64 << 20;
        let resident = || kib_of(&read("/proc/self/status"), "RssAnon:").unwrap() << 10;
        let before = resident();
        settle_memory();
        // SAFETY: the memory is as large as it was asked for, and freed once.
        unsafe {
            let memory = mi_malloc(BYTES).cast::<u8>();
            memory.write_bytes(1, BYTES);
            mi_free(memory.cast());
        }
        // SAFETY: frees nothing in use. By default all that is free would be given back now.
        unsafe { mi_collect(true) };
        let kept = resident().saturating_sub(before);
        assert!(kept >= BYTES as u64 / 2, "{kept} bytes");
    }
}

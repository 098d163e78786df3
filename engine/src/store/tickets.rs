//! Tickets of the foreground's operations: the top byte says whose they are.
//!
//! ```text
//! | owner 8 | the owner's own 56 |
//! a read's own: | count 24 | slot 32 |
//! ```

/// Point reads'.
const READ: u8 = b'R';

const OWNER_SHIFT: u32 = 56;
const COUNT_BITS: u32 = 24;

/// The ticket of a read in `slot`; `count` tells it from those that had the slot before.
pub(crate) fn read(count: u32, slot: u32) -> u64 {
    let count = u64::from(count) & ((1 << COUNT_BITS) - 1);
    u64::from(READ) << OWNER_SHIFT | count << 32 | u64::from(slot)
}

/// The slot of the read with this ticket.
pub(crate) fn slot(ticket: u64) -> usize {
    ticket as u32 as usize
}

/// Whether a read has this ticket.
pub(crate) fn is_read(ticket: u64) -> bool {
    ticket >> OWNER_SHIFT == u64::from(READ)
}

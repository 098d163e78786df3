//! Bounds of kvctl: number, unit, reason.

use std::time::Duration;

use kvclient::protocol::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Writes of an import that are under way at once, unless --concurrency says otherwise: enough to
/// keep a server's group commit busy.
pub(crate) const CONCURRENCY_DEFAULT: usize = 256;

/// The most --concurrency can ask for: what one connection may have in flight.
pub(crate) const CONCURRENCY_MAX: usize = 4_096;

/// Bytes of the values of an import that are under way at once, whatever the concurrency.
pub(crate) const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;

/// Writes of an import that have ended behind one that has not: past it the import waits for that
/// one, for up to here it is remembered which have.
pub(crate) const UNTOLD_MAX: usize = 64 << 10;

/// Entries read ahead of the network by an import; with values at their limit, 16 MiB.
pub(crate) const READ_AHEAD_ENTRIES: usize = 16;

/// Pages, of a MiB at most, read ahead of the disk by an export.
pub(crate) const READ_AHEAD_PAGES: usize = 4;

/// Times a write of an import, or a page of an export, is tried again after the client itself gave
/// up: about half a minute, the time a server takes to start again.
pub(crate) const ATTEMPTS_MAX: u32 = 20;

/// The wait before such an attempt, where the server named none; it doubles up to the longest.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(50);

/// The longest such wait.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// Bytes of one line of TSV or JSON Lines: the longest key and value with every byte escaped. A
/// longer line is refused, and skipped without being kept.
pub(crate) const LINE_BYTES_MAX: usize = 8 << 20;

/// Problems that a JSON summary lists; all are counted, and all are written to stderr.
pub(crate) const PROBLEMS_LISTED_MAX: usize = 10_000;

/// Depth of a directory tree: a key of the greatest length has fewer parts.
pub(crate) const TREE_DEPTH_MAX: usize = KEY_BYTES_MAX;

const _: () = {
    assert!(6 * (KEY_BYTES_MAX + VALUE_BYTES_MAX) + 128 <= LINE_BYTES_MAX);
    assert!(VALUE_BYTES_MAX <= IN_FLIGHT_BYTES_MAX);
    assert!(CONCURRENCY_DEFAULT <= CONCURRENCY_MAX);
    assert!(CONCURRENCY_MAX <= UNTOLD_MAX);
};

//! Bounds of the client: number, unit, reason, what happens past it.

use std::time::Duration;

/// Attempts of one operation, the first included.
pub const ATTEMPTS_MAX: u32 = 3;

/// Operations of one connection that wait to be written. Past it callers wait, until their
/// deadline.
pub(crate) const QUEUE_OPERATIONS_MAX: usize = 1024;

/// Bytes written to a connection and not yet taken by the kernel, past which no operation is added:
/// a few of the greatest frames.
pub(crate) const OUT_BYTES_MAX: usize = 4 << 20;

/// Bytes of memory kept for output between bursts.
pub(crate) const OUT_BYTES_KEPT: usize = 256 << 10;

/// Bytes received at once: what a server sends in one go at pipeline 500 of small values.
pub(crate) const RECEIVE_BYTES: usize = 64 << 10;

/// Operations added to the output in one turn before it is sent.
pub(crate) const BATCH_OPERATIONS: usize = 256;

/// Connections to one node: one a shard, and beyond this many several shards share one.
pub(crate) const CONNECTIONS_PER_NODE_MAX: u16 = 64;

/// Groups of keys of one multi-get that are asked for at once.
pub(crate) const MULTI_GET_GROUPS_MAX: usize = 32;

/// Time to connect and shake hands, at most.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Silence while replies are due after which a server is asked whether it is there.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(2);

/// Silence after that, after which it is not.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(4);

/// Between two requests for the route: a cluster that changes all the time must not be asked all
/// the time.
pub(crate) const ROUTE_INTERVAL: Duration = Duration::from_millis(100);

/// Time to learn a newer route, at most: several servers may be tried.
pub(crate) const REFRESH_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest deadline; longer ones are cut to it. Microseconds of it fit in a header.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// The deadline of operations that set none.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(5);

/// The first delay before a server is connected to again; doubles up to the longest.
pub(crate) const RECONNECT_FIRST: Duration = Duration::from_millis(20);
/// The longest.
pub(crate) const RECONNECT_LONGEST: Duration = Duration::from_secs(1);

/// The first delay before an operation is tried again; doubles with each attempt.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(10);

const _: () = {
    assert!(OUT_BYTES_MAX >= 2 * schemas::limits::FRAME_BYTES_MAX, "the largest frame fits");
    assert!(DEADLINE_MAX.as_micros() <= u32::MAX as u128, "deadlines fit in a header");
    assert!(RETRY_FIRST.as_millis() < DEADLINE_DEFAULT.as_millis() / 10, "retries fit a deadline");
};

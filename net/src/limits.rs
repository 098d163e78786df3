//! Limits of a server: number, unit, reason, and what happens past each.
//!
//! Those of the wire are in `schemas::limits`.

use std::time::Duration;

/// Connections of one core, unless configured. The next one is answered `TooManyConnections` and
/// closed. An idle connection costs less than a kilobyte.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Requests of one core under way (waiting for the disk, the log or another core), unless
/// configured. Past it requests are answered `Overloaded`: ten milliseconds of work of a fast
/// disk, more would only wait longer.
pub const IN_FLIGHT_MAX: usize = 16_384;

/// Bytes that a core keeps for each of these, a sixteenth of its memory up to this:
///
/// - requests under way: past it they are answered `Overloaded`;
/// - requests that are not whole, or wait because their connection is not read from: past it a
///   connection that holds more than its share is answered `Overloaded` and closed;
/// - replies that were not sent: past it values for a connection with more than its share of them
///   are answered `Overloaded`;
/// - values that wait for the rest of a multi-get, and
/// - values that are on their way to another core: past it values are answered `Overloaded`.
///
/// A share is the bytes divided by the connections. What was written before a bound is seen passes
/// it by one reply or one receive.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;

/// Bytes of replies that one connection has not read. Past it the connection is not read from
/// until half of it has gone out, and values that come from the disk meanwhile are answered
/// `Overloaded`. Room for the largest reply.
pub const OUTPUT_BYTES_MAX: usize = schemas::limits::FRAME_BYTES_MAX;

/// Bytes of requests kept for a connection that is not read from at the moment: what was received
/// before the kernel was told to stop. Past it the connection is closed; the kernel delivers far
/// less between two ticks.
pub const BACKLOG_BYTES_MAX: usize = 16 << 20;

/// Bytes of refused handshakes that a client has not read. The refusal that is past it is the last:
/// strangers get little memory.
pub const STRANGER_OUTPUT_BYTES_MAX: usize = 1 << 10;

/// A connection that takes none of its replies for so long is closed.
pub const WRITE_STALL: Duration = Duration::from_secs(30);

/// A frame has to be whole so soon after its first byte was read; a connection whose frame is not
/// is closed. Time for the largest on a slow line.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// A handshake has to be whole so soon after the connection was made.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// After its last reply a connection that was refused may send on for so long, unheard, so that
/// the refusal is not lost to a reset.
pub const LINGER: Duration = Duration::from_secs(1);

/// A server that was told to end closes after so long, whatever is still under way: longer than
/// any request takes, shorter than what service managers wait before they kill.
pub const DRAIN_GRACE: Duration = Duration::from_secs(10);

/// When to try again after `Overloaded`, in microseconds, where nothing better is known.
pub const RETRY_AFTER_US: u32 = 2_000;

/// Receive buffers of a core: count (a power of two) and bytes of each. A buffer is held for the
/// tick that reads it. Small requests come up to a hundred a buffer.
pub const RECV_BUFFERS: u16 = 512;
/// See [`RECV_BUFFERS`].
pub const RECV_BUFFER_BYTES: u32 = 16 << 10;

/// Memory that glommio pins for direct I/O of one executor, in bytes, three times: once for each
/// of its rings. Background files are read and written in pieces of at most 128 KiB; pieces that
/// find no room here are taken from the heap, at the cost of pinning them each time. Small, so that
/// four cores fit in the 8 MiB which most systems let a process lock.
pub const IO_MEMORY_BYTES: usize = 512 << 10;

/// Bytes of a reply that goes to another core uncounted: requests under way bound how many there
/// are. Of larger ones a core has as many bytes on their way as requests may be under way; past it
/// values are answered `Overloaded`.
pub const UNCOUNTED_REPLY_BYTES_MAX: usize = 512;

/// A core that works gives way to background tasks so often, in microseconds: a flush that can run
/// does not wait longer for its share, and asking costs less than a percent.
pub const SLICE_US: u64 = 50;

/// A round of a core that takes longer than this, in microseconds, with the background work after
/// it, is counted as a stall: whoever asked meanwhile waited for it. Fifty times what background
/// work takes before it gives way, and short enough to be felt.
pub const STALL_US: u64 = 5_000;

/// Bytes the kernel keeps of what a connection has not read yet. Unset it grows to megabytes, for
/// each of ten thousand connections.
pub const SEND_BUFFER_BYTES: usize = 512 << 10;

/// Messages in the queue from one core to another. A request that finds it full is answered
/// `Overloaded`.
pub const MESH_MESSAGES: usize = 1024;

/// Commands of the control thread to one core that wait for it. More are refused.
pub const COMMANDS_MAX: usize = 64;

const _: () = {
    assert!(RECV_BUFFERS.is_power_of_two(), "the kernel's ring of buffers");
    assert!(MESH_MESSAGES.is_power_of_two(), "the mesh's queues");
    assert!(
        OUTPUT_BYTES_MAX >= schemas::limits::FRAME_BYTES_MAX,
        "a reply of the greatest size goes out"
    );
};

//! What the load generator refuses to exceed, and why.

use std::time::Duration;

use kvclient::protocol::limits;

/// Keys a run can address: a key is written with twelve hexadecimal digits.
pub const KEYS_MAX: u64 = 1 << 48;

/// Bytes of a value: the server's limit.
pub const VALUE_BYTES_MAX: usize = limits::VALUE_BYTES_MAX;

/// Connections of one run: more would need more descriptors than a process commonly may open.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Requests in flight on one connection: the server's limit.
pub const PIPELINE_MAX: usize = limits::IN_FLIGHT_MAX;

/// Requests in flight in one run; each has a slot of a few dozen bytes and a reply to wait for.
pub const IN_FLIGHT_MAX: usize = 1 << 22;

/// Generator threads of one run.
pub const THREADS_MAX: usize = 256;

/// Operations a second that a schedule is asked for; past it, two intended starts share a
/// nanosecond.
pub const RATE_MAX: u64 = 1_000_000_000;

/// The longest latency a histogram tells apart; longer ones count as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(600);

/// How often a refused write of `load` is sent again before its key counts as not loaded.
pub const LOAD_ATTEMPTS_MAX: u8 = 100;

/// The wait before a refused write of `load` is sent again, where the server named none.
pub const LOAD_RETRY_AFTER: Duration = Duration::from_millis(2);

/// The longest wait a server can ask of `load` before a refused write is sent again.
pub const LOAD_RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// Time to connect, and time for the handshake, of one connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A schedule that the generator kept sends within this of the intended start, at the 99th
/// percentile; past it the run is `LOADGEN SATURATED`. A reading thread that shares its CPU with
/// nobody stays below 0.1 ms; a scheduler's slice is 3 ms.
pub const LATENESS_P99_MAX: Duration = Duration::from_millis(1);

/// An open-loop run that sent less than this share of what was due, in per cent, fell behind.
pub const SENT_PERCENT_MIN: f64 = 99.0;

/// A generator thread idle for less than this share of the run, in per cent, was itself the
/// limit.
pub const IDLE_PERCENT_MIN: f64 = 5.0;

/// Unknown outcomes that one thread's account of a run takes, 16 bytes each; with more it ends the
/// run, as a server that leaves so many open answers nothing that could be checked.
pub const UNKNOWN_MAX: u64 = 1 << 20;

/// Keys of each kind that a verification lists; past it they are only counted.
pub const EXAMPLES_MAX: usize = 10;

const _: () = assert!(CONNECTIONS_MAX * 256 <= IN_FLIGHT_MAX);

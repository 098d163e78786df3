//! The core's own io_uring: log appends, point reads, sockets.
//!
//! Beside glommio's rings, because those are reaped only when glommio reacts, and a busy network
//! loop then starves every file (architecture: measured at factors of hundreds).
//!
//! ```text
//! ring.rs          the ring: submission, completions handed out, shutdown
//! disk.rs          reads, and writes linked with fdatasync      -> env::Done, by Ring::poll
//! awaited.rs       the same for background tasks                -> futures
//! socket.rs        accept, receive, send, cancel, close         -> Event, by Ring::next_event
//! recv_buffers.rs  memory the kernel picks from when bytes come in
//! park.rs          sleeping until the ring, or another thread, has something
//! ```
//!
//! What it keeps true:
//!
//! - Memory and descriptors of an operation stay in its slot until its last completion has been
//!   seen; when a ring is dropped it cancels and waits, and leaks what does not end in time. So the
//!   kernel never writes to memory that has another owner, and nothing outside can break this.
//! - A slot is used again only after that last completion: none ever reaches a newer operation or
//!   socket. Handles of sockets carry a generation, so an old one finds nothing.
//! - A ring belongs to the thread that made it (`SINGLE_ISSUER`); completions are delivered only
//!   inside [`Ring::enter`] (`DEFER_TASKRUN`), never in the middle of something else.
//! - One `enter` submits everything that was queued since the last.
//!
//! Needs Linux 6.1 (`DEFER_TASKRUN`, multishot receive).

mod awaited;
mod disk;
mod park;
mod recv_buffers;
#[expect(clippy::module_inception, reason = "the type's file has the type's name")]
mod ring;
mod socket;

pub use self::park::{Parker, Waker};
pub use self::recv_buffers::RecvBuffer;
pub use self::ring::{Ring, RingConfig};
pub use self::socket::{Event, ListenerId, Receive, SocketId};

//! One connection to one shard of one node, over tokio.
//!
//! A task owns the socket and the sans-IO connection. Operations reach it through a bounded queue;
//! it connects when the first one comes, writes what is queued in one go, and answers each through
//! its own channel. When the connection is lost, what was never handed to the kernel is answered as
//! not applied, everything else in flight as unknown. It connects again when there is something to
//! send, more slowly the more often it fails; meanwhile operations are refused at once, so that
//! they can try elsewhere. The task ends with the last handle.

mod answers;
mod connect;
mod driver;
mod handle;

pub(crate) use self::connect::Target;
pub(crate) use self::handle::Link;

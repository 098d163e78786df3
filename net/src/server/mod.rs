//! The server that clients talk to: listener, sessions, read and write path, drain.

mod config;

pub use self::config::{Ceiling, CoreLimits, CoreMemory, Identity, ServerConfig};

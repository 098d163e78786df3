//! The kvcore client.
//!
//! [`Client`] is asynchronous, on tokio; [`blocking::Client`] is the same for code that is not.
//! Both are built on [`protocol`], the sans-IO core: one connection, requests in and bytes out,
//! bytes in and events out; and on [`routing`], which says which server and core a key belongs to.
//!
//! An operation ends with a value or with an [`Error`], which says what to do: whether trying again
//! may help, whether a write was applied all the same, and when to come back. A write is sent again
//! only where it was certainly not applied; an unknown outcome is reported as unknown.

pub mod blocking;
pub mod limits;
pub mod protocol;
pub mod routing;

mod builder;
mod call;
mod client;
mod error;
mod link;
mod links;
mod read_path;
mod request;
mod retry;
mod scan;
mod session;
mod write_path;

pub use bytes::Bytes;

pub use self::builder::{Builder, SEED_DEFAULT, SEEDS_VARIABLE};
pub use self::call::{Call, CallOptions, Operation};
pub use self::client::Client;
pub use self::error::{Error, ErrorKind};
pub use self::protocol::{Applied, Consistency, Status, Version};
pub use self::read_path::{Entry, Exists, Get, KeyOutcome, MultiGet};
pub use self::scan::{Position, Record, Scan};
pub use self::write_path::{Delete, Put, Written};

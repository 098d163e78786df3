//! The kvcore client.
//!
//! [`protocol`] is the sans-IO core: one connection, requests in and bytes out, bytes in and
//! events out. [`routing`] says which server and core a key belongs to.

pub mod protocol;
pub mod routing;

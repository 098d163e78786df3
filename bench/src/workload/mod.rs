//! What is sent: the mix of operations, how a key is spelled, what a value holds.
//!
//! All of it is deterministic from the seed and from key and sequence numbers, so that whoever
//! reads a value back can say whether these are the bytes that were written.

pub mod key;
pub mod mix;
pub mod value;

pub use self::mix::{Mix, Operation};
pub use self::value::{HEADER_BYTES, ValueBytes, Values};

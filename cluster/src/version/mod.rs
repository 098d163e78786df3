//! Versions: who gives them, what they say of each other, and what two copies of a key come to.
//!
//! | file | what it decides |
//! |---|---|
//! | `hlc.rs` | the next stamp |
//! | `dots.rs` | the next counter of a vnode |
//! | `context.rs` | which writes somebody has seen |
//! | `token.rs` | the bytes of that which a client carries |
//! | `siblings.rs` | which values of a key stand |
//! | `encoding.rs` | the bytes of such a set in its record |
//! | `merge.rs` | what two records of a key come to |
//! | `boots.rs` | when nothing more is to come of a node's earlier life |

mod boots;
mod context;
mod dots;
mod encoding;
mod hlc;
mod merge;
mod siblings;
mod token;

pub use self::boots::{Ended, EndedBoot, Ignored, Question, Report, Round};
pub use self::context::Context;
pub use self::dots::DotCounters;
pub use self::encoding::SetError;
pub use self::hlc::{HlcClock, next_ceiling};
pub use self::merge::{Content, Stands, merge};
pub use self::siblings::{Sibling, Siblings, WriteError};
pub use self::token::TokenError;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

//! The manifest: which tables a shard has, and which part of each can be seen.
//!
//! - A [`Version`] is immutable; an edit makes another one, or is refused whole.
//! - [`Manifest::commit`] ends once its edit is durable; after a crash the version before or the
//!   one after is there, never a half.
//! - Damage is told from a torn write wherever the bytes can tell them apart, and is an error that
//!   names the place.

mod edit;
mod error;
mod file;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod holes;
mod listing;
#[cfg(test)]
mod tests;
mod version;
mod whole;

pub use self::edit::{TableEntry, VersionEdit};
pub use self::error::ManifestError;
pub use self::file::{Manifest, NAME, SPARE};
pub use self::frame::MANIFEST_FORMAT;
pub use self::holes::{Hole, Holes};
pub use self::listing::{FrameAt, FrameContent, Listing};
pub use self::version::{BOTTOM, EditError, LEVELS, Version};
pub(crate) use self::whole::{decode_version, encode_version};

//! What is on the disk, shown to people: a table, a manifest, a log, a whole data directory, read
//! offline and never changed.
//!
//! - The decoders are those of the formats; here is only what walks over them.
//! - Nothing is written, renamed, removed or repaired: [`ReadOnly`] can do none of it.
//! - Every byte is hostile: what is not sound becomes a [`Finding`] or an error that names the file
//!   and the place, and the walk goes on where it can.
//!
//! ```text
//! files.rs    ReadOnly: plain reads as an Env, without a ring       shards.rs  which directories
//! table.rs    all blocks of a table, against its index, filter and properties
//! verify.rs   a data directory, file by file                        finding.rs what is wrong
//! snapshot.rs a snapshot: sums, blocks, and what its records are
//! ```
//! A manifest is listed by [`Manifest::list`](crate::manifest::Manifest::list), a segment by
//! [`list_segment`](crate::commit_log::list_segment).

mod files;
mod finding;
mod shards;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod verify;

pub use self::files::{ReadOnly, now};
pub use self::finding::Finding;
pub use self::shards::Shards;
pub use self::snapshot::{SnapshotVerified, verify_snapshot};
pub use self::table::{Checked, check_table};
pub use self::verify::{Verified, verify};

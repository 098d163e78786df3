//! A directory tree as records: the key is the path below the root, its parts joined by `/`; the
//! value is the file's content.
//!
//! ```text
//! path.rs   which keys are sound paths
//! walk.rs   tree -> keys, in order
//! write.rs  records -> files, never outside the root
//! ```
//!
//! Names are bytes: nothing is decoded, normalised or folded, so a tree survives the way there and
//! back. What has no content is not there: empty directories are counted, links and special files
//! are listed. Modes, owners and times are not kept.

mod path;
mod walk;
mod write;

pub(crate) use self::walk::{Found, Walk, read_file};
pub(crate) use self::write::TreeWriter;

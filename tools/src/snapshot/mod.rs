//! `kvctl snapshot`: snapshots of a running node, and their directories without one.
//!
//! - What lies in a directory is read through the engine's
//!   [`ReadOnly`](engine::inspect::ReadOnly), which can change nothing; a restore writes through
//!   the client alone, as an import does.
//! - A node is asked over its admin port.
//!
//! ```text
//! run.rs     verb -> exit code          ../admin.rs  the admin port
//! kept.rs    create, list, delete       verify.rs  a directory, file by file
//! restore.rs a directory as the source of an import
//! ```

mod kept;
mod restore;
mod run;
mod verify;

pub(crate) use self::restore::{Plan, restore};
pub(crate) use self::run::run;

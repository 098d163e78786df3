//! `kvctl disk`: the files of a data directory, read without a server.
//!
//! - Nothing is written: all is read through the engine's [`ReadOnly`](engine::inspect::ReadOnly),
//!   which can do nothing else, and decoded by the engine, which trusts no byte.
//! - What a running server changes is not read: its LOCK is shared, or the verb is refused.
//! - What is damaged is told as it is found, and the rest is shown all the same.
//!
//! ```text
//! run.rs      verb -> exit code        told.rs    one thing as a line of text or of JSON
//! table.rs    manifest.rs    log.rs    verify.rs  record.rs
//! ```

mod log;
mod manifest;
mod record;
mod run;
mod table;
mod told;
mod verify;

pub(crate) use self::run::{is_broken_pipe, run};
pub(crate) use self::told::{Told, finding_json, sentence};

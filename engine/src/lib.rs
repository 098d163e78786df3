//! One core's store: commit log, memtable, SSTables, compaction.
//!
//! Knows no network and no cluster; all it sees of the outside is [`env::Env`]. `DESIGN.md` says
//! how the modules meet and what they keep true, `FORMAT.md` draws the bytes on disk.

pub mod cache;
pub mod commit_log;
pub mod compaction;
pub mod data_dir;
pub mod digest;
pub mod env;
mod flush;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod inspect;
pub mod integrity;
pub mod latency;
pub mod limits;
pub mod manifest;
pub mod memtable;
mod merge_scan;
pub mod namespaces;
mod read_path;
pub mod record;
pub mod scan;
mod sequential;
pub mod snapshot;
pub mod sstable;
pub mod store;
pub mod transfer;
pub mod vnode;
mod write_path;

//! SSTables: immutable files of records sorted by `(token, namespace, key)`.
//!
//! ```text
//! file: | block, block, .. | partition, partition, .. | top | actors | zeros | footer |
//! ```
//! - What a table has is asked of its partitions, of which a bounded part is in memory; the list of
//!   them, `top`, always is.
//! - A table is written once, by [`TableWriter`], and never changed.
//! - Every byte read is checked before it is used: a changed one is an error that names the file
//!   and the place, or is padding.
//! - Nothing is seen outside the visible range that a [`Table`] is opened with.

mod actors;
mod block;
mod block_builder;
mod check;
mod compression;
mod error;
mod file_id;
mod filter;
mod footer;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod hostile;
mod index;
mod ordered_probe;
mod partition;
mod partition_walk;
mod properties;
mod residents;
#[cfg(any(test, fuzzing))]
pub(crate) mod sample;
mod scan;
mod search;
mod size;
mod table;
#[cfg(test)]
mod tests;
mod token_range;
mod top;
mod writer;

pub use self::block::Block;
pub(crate) use self::check::Checked;
pub use self::error::TableError;
pub use self::file_id::FileId;
pub use self::footer::{Layout, Part, TABLE_FORMAT};
pub use self::index::BlockAt;
pub(crate) use self::ordered_probe::OrderedProbe;
pub use self::partition::Partition;
pub use self::properties::Properties;
pub(crate) use self::properties::StoredProperties;
pub use self::residents::Residents;
pub use self::scan::TableScan;
pub(crate) use self::search::last_at_most;
pub use self::size::Size;
pub use self::table::{Probe, Table};
pub use self::token_range::TokenRange;
pub use self::writer::{KeepBlock, TableInfo, TableWriter};

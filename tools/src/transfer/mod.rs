//! Many records at once: import and export.
//!
//! ```text
//! import   source -> thread that reads ahead -> bounded channel -> bounded puts -> summary
//! export   scan, page by page -> bounded channel -> thread that writes -> summary
//! ```
//!
//! What keeps them apart from a loop of single operations: memory is bounded in records and in
//! bytes, a write is tried again while the server is busy or starts again, and whatever does not
//! arrive is listed. A transfer that ended early says so, and can be done again: an import writes
//! the same values, an export starts anew.
//!
//! An import is blind: it writes its values over whatever is there, and again where the outcome of
//! a try is unknown. Of two entries with one key the later one stays.

mod export;
mod import;
mod retry;
mod sink;
mod source;
mod watermark;

pub(crate) use self::export::export;
pub(crate) use self::import::{ImportOptions, import};
pub(crate) use self::sink::{LineSink, Sink};
pub(crate) use self::source::{Item, LineSource, Source, TreeSource};

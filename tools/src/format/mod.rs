//! Records as lines of a file.
//!
//! ```text
//! TSV         key TAB value, both escaped (encoding.rs); no expiry
//! JSON Lines  {"key":"a","value":"b"}; what is no UTF-8 goes as "key_base64", "value_base64";
//!             "expires_at_ms" where the record expires
//! ```
//!
//! Both keep every byte. A line that is wrong is refused by its number, and reading goes on.

mod json_lines;
mod lines;
mod tsv;

pub(crate) use self::json_lines::{JsonLines, json_bytes};
pub(crate) use self::lines::{Line, Lines};
pub(crate) use self::tsv::Tsv;

use crate::entry::Entry;

/// How a record is written as one line and read back.
pub(crate) trait Format {
    /// Appends the line of `entry`, newline included.
    fn write(&self, entry: &Entry, out: &mut Vec<u8>);
    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    fn read(&self, line: &[u8]) -> Result<Entry, String>;
}

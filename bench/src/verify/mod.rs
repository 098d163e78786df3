//! Holds a server against a ledger: every key is read, and its value judged.
//!
//! ```text
//! survey.rs    which key is read next, what became of it    pure
//! reader.rs    the connections
//! findings.rs  what was counted, with examples; table and JSON
//! ```

mod findings;
mod reader;
mod survey;
#[cfg(test)]
mod tests;

pub use self::findings::{Example, Findings, table};
pub use self::reader::{VerifySpec, verify};

//! What a run says when it is over: a table for people, JSON for programs.
//!
//! The JSON is a contract: names and units never change, fields are only added. Durations are
//! microseconds and say so.

mod environment;
mod json;
mod table;
#[cfg(test)]
mod tests;

pub use self::environment::Environment;
pub use self::json::Report;
pub use self::table::{count, micros, table};

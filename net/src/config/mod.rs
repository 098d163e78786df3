//! What the server is told by flags, environment, file and defaults, in that order.
//!
//! What it keeps true:
//! - each setting is listed once (`settings.rs`): its flag, its variable, its key in the file, its
//!   help and its default come from that one line;
//! - a value is checked where it came from, and an error names that place: the flag, the variable,
//!   or the file and line;
//! - resolving is pure: arguments, variables, the file's text and what the machine has come in as
//!   arguments.

mod command;
mod error;
mod file;
mod print;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;
mod units;

pub use self::command::{Invocation, parse_arguments};
pub use self::error::ConfigError;
pub use self::print::print_config;
pub use self::resolve::{Config, CpuChoice, LogFormat, Machine, Sources, resolve, utf8};
pub use self::settings::Origin;
pub use self::units::show_bytes;

pub(crate) use self::resolve::CORES_MAX;

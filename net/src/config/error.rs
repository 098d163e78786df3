//! Why a configuration is refused.

use super::settings::Origin;

/// Why a configuration is refused: one sentence that begins with the place to look at.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is not what its setting takes.
    #[error("{origin}: {text:?} {what}")]
    Value {
        /// Where it came from.
        origin: Origin,
        /// What it is.
        text: String,
        /// What is wrong with it, and what would be right.
        what: String,
    },
    /// Two settings do not go together.
    #[error("{first} and {second}: {what}")]
    Conflict {
        /// Where one came from.
        first: Origin,
        /// Where the other came from.
        second: Origin,
        /// Why not.
        what: &'static str,
    },
    /// The file is no configuration file.
    #[error("{path}:{line}: {what}")]
    File {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {what}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        what: String,
    },
}

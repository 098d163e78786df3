//! What becomes of a client's operation: who has to answer, who has, what the client is told.

mod quorum;

pub use self::quorum::{Access, Quorum, Unmeetable};

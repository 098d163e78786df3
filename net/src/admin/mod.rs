//! The admin port: health, readiness, metrics, snapshots and compactions over HTTP, on the control
//! thread.
//!
//! What it keeps true:
//! - cores are asked for their figures, and copy them out between two rounds; nothing on the data
//!   path is shared or counted with an atomic read-modify-write;
//! - a core that does not answer does not hold the port up: it is left out, and said to be down;
//! - connections are few and do not live long, so a stranger cannot use the port up for good.

mod compactions;
mod http;
mod listener;
mod metrics;
mod process;
mod snapshots;
#[cfg(test)]
mod tests;

pub use self::compactions::Compact;
pub use self::http::{Readiness, Scrape, Stage, serve};
pub use self::metrics::Facts;
pub use self::snapshots::{SnapshotSteps, StepError};

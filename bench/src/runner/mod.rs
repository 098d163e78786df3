//! A run: threads that generate load, each on its own CPU, and what they measured together.
//!
//! ```text
//! spec.rs       what a run is asked to do
//! worker.rs     one thread: ring, connections, generator
//! run.rs        the threads together: find the server, pin, connect
//! conductor.rs  the main thread: start at once, watch, collect
//! outcome.rs    what came of it, and whether the generator itself was the limit
//! ```

mod conductor;
mod outcome;
mod run;
mod spec;
mod worker;

pub use self::conductor::Second;
pub use self::outcome::{Outcome, SecondOutcome};
pub use self::run::run;
pub use self::spec::{RunSpec, Target};

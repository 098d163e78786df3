//! What a core runs on: its clock, its executor, its loop.
//!
//! ```text
//! clock.rs      one reading a round
//! command.rs    what the control thread tells a core
//! driver.rs     one round: what came in is answered, what has ended goes out
//! executor.rs   a pinned glommio executor; the only file here that names glommio
//! core_loop.rs  rounds, giving way, spinning, sleeping
//! memory.rs     how the process takes memory
//! ```

mod clock;
mod command;
mod core_loop;
mod driver;
mod executor;
mod memory;

pub use self::clock::{Clock, Tick};
pub use self::command::{Command, Commander, SnapshotReply};
pub use self::core_loop::run;
pub use self::driver::{CoreError, Driver, DriverConfig};
pub use self::executor::CoreThread;
pub use self::memory::settle_memory;

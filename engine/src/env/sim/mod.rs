//! A disk that lies, under a seeded executor: the real log and the real tables run here.
//!
//! ```
//! use engine::env::sim::{Crash, Sim, SimDisk};
//! use engine::env::{ALIGN, Env, File, Open, buf::AlignedBuf};
//!
//! let (sim, disk) = (Sim::new(7), SimDisk::new(7));
//! let env = sim.env(&disk);
//! sim.block_on(async {
//!     let file = env.open("a", Open::Create).await.unwrap();
//!     file.write_at(0, AlignedBuf::zeroed(ALIGN)).await.unwrap();
//!     file.sync().await.unwrap();
//! });
//! let after = disk.crash(Crash::LoseAll, 1);
//! assert!(after.paths().is_empty(), "the directory was not synced");
//! ```
//!
//! - One seed, one run, bit for bit: tasks are polled in seeded order, operations take seeded
//!   virtual time, nothing reads a clock and nothing sleeps.
//! - [`SimDisk`] keeps three images: what the process sees (live), what was written and not synced
//!   (cached), and what a power cut cannot take (durable). [`SimDisk::crash`] makes the disk that
//!   is found afterwards; it can be called again and again with other policies and seeds.
//! - A crash keeps, loses or tears unsynced data by sectors of 512 bytes, and unsynced names by
//!   whole operations: a rename is there or not, never half.
//! - A sync covers what had ended when it started. What a failed sync was to cover is durable or
//!   not, sector by sector, for good: a later sync that succeeds does not bring it back.

mod content;
mod crash;
mod disk;
mod executor;
mod fault;
mod files;
mod names;
#[cfg(test)]
mod tests;

pub use self::crash::Crash;
pub use self::disk::SimDisk;
pub use self::executor::Sim;
pub use self::fault::{Fail, Fault, Io, When};
pub use self::files::{SimEnv, SimFile};

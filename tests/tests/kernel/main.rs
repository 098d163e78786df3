//! The real `kvcore` on a real kernel's file system, ext4, above a disk that is cut off or fails:
//! what the engine's simulated disk says of power cuts and errors is held against the kernel.
//! `DESIGN.md` says what it needs, and how the long forms are run.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod block_log;
mod daemon;
mod disks;
mod eio;
mod ext4_shutdown;
mod faults;
mod history;
mod means;
mod power_cut;
mod recorded;

// What a server is driven with, in common with the process tests.
#[path = "../process/clients.rs"]
#[expect(dead_code, reason = "the process tests use more of it")]
mod clients;
#[path = "../process/long_forms.rs"]
mod long_forms;
#[path = "../process/mounts.rs"]
mod mounts;
#[path = "../process/programs.rs"]
mod programs;
#[path = "../process/server.rs"]
#[expect(dead_code, reason = "the process tests use more of it")]
mod server;

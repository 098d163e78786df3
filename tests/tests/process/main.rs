//! The real programs together, as an operator and a user run them: `kvcore` as a process on a real
//! disk, `kvctl`, `kvbench` and the client against it. `DESIGN.md` says what is tested where, and
//! how the long forms are run.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod abuse;
mod clients;
mod compactions;
mod damage;
mod disk_full;
mod disk_tool;
mod kill;
mod life;
mod long_forms;
#[expect(dead_code, reason = "the kernel tests use more of it")]
mod mounts;
mod programs;
mod quickstart;
mod repair;
mod sample_tree;
#[expect(dead_code, reason = "the kernel tests use more of it")]
mod server;
mod small_disk;
mod snapshots;
mod stocked;
mod trees;

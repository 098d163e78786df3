//! `compare`: kvcore's engine beside RocksDB, fjall, redb and LMDB, in one run.
//!
//! ```sh
//! cargo run --release --manifest-path bench/compare/Cargo.toml -- engine --quick
//! ```
//!
//! Each measurement is a process of its own, on one CPU, with one scenario on one engine; the
//! engines take turns, round after round. So memory, CPU time and bytes written are those of one
//! engine, background threads included, and the machine's moods hit all of them. RocksDB is built
//! from source: a C++ compiler and libclang are needed, and half an hour on two cores.
//!
//! ```text
//! cli.rs       flags                         report.rs   medians, ratios, the table
//! rounds.rs    engines in turns              child.rs    one scenario in this process
//! scenario.rs  what is done, and how much    usage.rs    CPU, bytes written, memory, size
//! data.rs      keys and values               engines/    one file for each engine
//! growth.rs    the same work on more data    miss.rs     reads from the disk beside fio's
//! ```

mod child;
mod cli;
mod data;
mod engines;
mod growth;
mod miss;
mod report;
mod rounds;
mod scenario;
mod usage;

use clap::Parser;

use self::cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Engine(options) => rounds::run(&options),
        Command::Growth(options) => growth::run(&options),
        Command::Miss(options) => miss::run(&options),
        Command::Child(options) => child::run(&options),
    }
}

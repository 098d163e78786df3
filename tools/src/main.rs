//! kvctl, kvcore's admin tool.

mod admin;
mod cli;
mod compact;
mod disk;
mod encoding;
mod entry;
mod format;
mod limits;
mod point;
mod progress;
mod snapshot;
mod summary;
mod transfer;
mod tree;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}

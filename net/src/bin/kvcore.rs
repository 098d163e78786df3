//! kvcore: one node of a distributed key-value store.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    net::boot::run(std::env::args_os()).into()
}

//! kvsim, kvcore's simulator.

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::kvsim::main()
}

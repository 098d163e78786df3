//! `kvsim`: the simulator as a tool.
//!
//! | module | what it does |
//! |---|---|
//! | `args`, `command` | from the command line to a verb, and from there to the exit code |
//! | `verdict` | one run and all that is wrong with it, panics included |
//! | `threads` | many runs on a few threads |
//! | `tally` | what many runs come to |
//! | `report` | what people and programs are shown |
//! | `run`, `soak`, `shrink`, `mutants`, `judge`, `scale` | the verbs |
//! | `grounds` | where each mistake is looked for |
//! | `ledger` | the rows of `LEDGER.md` |

mod args;
mod command;
mod grounds;
mod judge;
mod ledger;
mod mutants;
mod progress;
mod report;
mod run;
mod scale;
mod shrink;
mod soak;
mod tally;
mod threads;
mod verdict;

pub use self::command::main;
pub use self::mutants::{Caught, hunt};
pub use self::report::replay;
pub use self::shrink::shrink;
pub use self::tally::Tally;
pub use self::threads::{available, in_parallel};
pub use self::verdict::{Breach, Verdict};

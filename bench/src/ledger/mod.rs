//! The ledger: what each key may hold, judged by what the server acknowledged.
//!
//! ```text
//! account.rs  one run's writes, thread by thread           pure, tested in virtual time
//! page.rs     what one key may hold between runs           pure
//! ledger.rs   all keys: takes in a run's account, judges a read, is narrowed by what was seen
//! format.rs   the file's bytes          file.rs  the file: read, renewed atomically
//! ```
//!
//! What it keeps true, of a register written by many at once whose reads are regular:
//!
//! - A write is a candidate for its key's value until another write of the key, acknowledged,
//!   started after it had ended. A write whose outcome is unknown never ends within its run.
//! - What a run leaves has ended when the next run starts: nothing of it is still under way.
//! - A refused write that the server says was not applied is no candidate.
//! - What a key held before the ledger began is a candidate until a write of the key is
//!   acknowledged.
//! - No sequence is given to two writes of a ledger.
//! - A file whose run did not end says so, and nothing judges by it.

mod account;
mod file;
mod format;
#[expect(clippy::module_inception, reason = "the type of the module's name, in its own file")]
mod ledger;
mod page;
#[cfg(test)]
mod tests;

pub use self::account::Account;
pub use self::file::LedgerFile;
pub use self::ledger::{Ledger, Verdict};
pub use self::page::{Page, Seen};

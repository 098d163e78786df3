//! The oracles of the library, held against histories by hand, model stores and porcupine-rs: each
//! is quiet where its promise was kept, and speaks up where it was broken. `DESIGN.md` says what
//! each one means.

mod definitions;
mod large;
mod linear;
mod lww;
mod notation;
mod registers;
mod siblings;
mod store;
mod stores;

#[path = "../process/long_forms.rs"]
#[expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]
mod long_forms;

//! The real binary, as an operator meets it: what it refuses and with which status, what it says
//! about itself, how it ends.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod kvcore;
mod life;
mod limits;
mod refusals;
mod settings;
mod wire;

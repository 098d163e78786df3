//! All workloads of one to three operations, and every way that the disk can fail under them.
//!
//! - [`power`]: the power goes at every operation of the disk, with each class of what it leaves.
//! - [`failing`]: every operation of the disk fails, in each way, once and from then on.
//! - [`planted`]: faults planted on purpose are found out, or the checks are worth nothing.
//!
//! Runs are deterministic, so workloads with the same beginning are in the same states for as long.
//! A disk that looks as one that was checked, with the same told to the client, is not checked
//! again.

mod driver;
mod failing;
mod planted;
mod power;
mod states;
mod workload;

//! The store on a disk that lies: against a model, through power cuts, and with failing I/O.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod cache;
mod clocks;
mod compaction;
mod cores;
mod crash;
mod damage;
mod digests;
mod drops;
mod faults;
mod figures;
mod harness;
mod ledger;
mod matrix;
mod model;
mod namespaces;
mod partitions;
mod pressure;
mod scans;
mod scrub;
mod shared_reads;
mod siblings;
mod snapshots;
mod space;
mod swarm;
mod sweep;
mod transfer;

//! Shards of several nodes in one network: what a client of one of them is told.

mod local;
mod moves;
mod multi_get;
mod network;
mod scan;

//! Shards of several nodes in one network: what a client of one of them is told. And a shard alone
//! among others that say anything: what each thing from outside comes to, and that nothing of it
//! grows, hangs or panics.

mod attacker;
mod hostile;
mod local;
mod moves;
mod multi_get;
mod network;
mod rig;
mod rules;
mod scan;
mod store;

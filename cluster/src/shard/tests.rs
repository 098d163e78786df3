//! A shard alone among others that say anything: what each thing from outside comes to, and that
//! nothing of it grows, hangs or panics.

mod attacker;
mod hostile;
mod rig;
mod rules;
mod store;

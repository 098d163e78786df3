//! The engines, behind one interface.

mod fjall;
mod kvcore;
mod lmdb;
mod redb;
mod rocksdb;
mod runner;
mod threads;

pub(crate) use self::runner::{EngineKind, Order, open};

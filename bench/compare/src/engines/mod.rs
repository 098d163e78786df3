//! The engines, behind one interface.

#[cfg(feature = "peers")]
mod fjall;
mod kvcore;
#[cfg(feature = "peers")]
mod lmdb;
#[cfg(feature = "peers")]
mod redb;
#[cfg(feature = "peers")]
mod rocksdb;
mod runner;
#[cfg(feature = "peers")]
mod threads;

pub(crate) use self::runner::{EngineKind, Order, open};

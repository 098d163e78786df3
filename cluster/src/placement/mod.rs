//! Who owns what after a change.

mod balance;

pub use self::balance::rebalance;

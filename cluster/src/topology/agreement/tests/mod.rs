//! Agreements in a network that loses, doubles, delays and reorders, on nodes that crash.

mod hostile;
mod network;
mod random;
mod scenarios;

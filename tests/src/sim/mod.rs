//! The simulator: a cluster of the real state machines over simulated disks, network, clocks and
//! clients, in which everything goes wrong that may.

mod classes;
mod clients;
mod convergence;
mod driving;
mod durability;
mod faults;
mod forge;
mod invariants;
mod mishaps;
mod namespaces;
mod network;
mod node;
mod operators;
mod options;
mod places;
mod queue;
mod run;
mod settings;
mod store;
mod stranger;
mod topology;
mod trace;
mod world;

pub use self::classes::{Class, faults_of};
pub use self::faults::{Fault, What};
pub use self::network::NetworkOptions;
pub use self::options::{ClientOptions, Options};
pub use self::places::{Levels, Places};
pub(crate) use self::queue::Queue;
pub use self::run::{Outcome, faults, run};
pub(crate) use self::topology::{address, node as node_id};
pub use self::trace::Trace;

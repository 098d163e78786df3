//! The autoscale policy in a closed loop with a plain model of a data centre.

mod curves;
mod faults;
mod model;
mod recorded;
mod swarm;

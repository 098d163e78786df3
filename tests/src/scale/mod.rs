//! Clusters of very many nodes: the machines that servers run, over a network of delays and loss,
//! without clients.
//!
//! | module | what it is |
//! |---|---|
//! | `network` | what a message takes, and what all of them come to |
//! | `nodes` | whole nodes without cores: topology, gossip, moves |
//! | `layout` | the topology of so many nodes |

mod layout;
mod network;
mod nodes;

pub use self::layout::{document, member};
pub use self::network::{Links, Sent};
pub use self::nodes::{Nodes, NodesOptions, Told};

//! Clusters of very many nodes: the machines that servers run, over a network of delays and loss,
//! without clients.
//!
//! | module | what it is |
//! |---|---|
//! | `gossip` | liveness alone |
//! | `detection` | how soon a crash is known; how a record and a claim spread |
//! | `network` | what a message takes, and what all of them come to |
//! | `nodes` | whole nodes without cores: topology, gossip, moves |
//! | `topology` | how a change of the topology reaches everybody |
//! | `rebalance` | what a join has others stream |
//! | `survey`, `page`, `figures` | all of it for many sizes, as a page |
//! | `layout` | the topology of so many nodes |

mod detection;
mod figures;
mod gossip;
mod layout;
mod network;
mod nodes;
mod page;
mod rebalance;
mod survey;
mod topology;

pub use self::detection::{Spread, Watch, Watched, spread, watch};
pub use self::layout::{document, member};
pub use self::network::{Links, Sent};
pub use self::nodes::{Nodes, NodesOptions, Told};
pub use self::rebalance::{JoinOptions, Joined, join};
pub use self::survey::{Survey, SurveyOptions};
pub use self::topology::{ChangeOptions, Changed, change};

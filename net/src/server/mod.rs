//! The server that clients talk to.
//!
//! ```text
//! start.rs        from a configuration to cores that serve, and to their end
//! listener.rs     one listening socket a core
//! connections.rs  sockets on one side, sessions on the other; time limits
//! session.rs      one connection's protocol, apart from its socket
//! admission.rs    what a core takes on, and what it turns away
//! service.rs      what answers requests: the border to the store
//! outbox.rs       what cores tell each other
//! operation.rs    what a request asks for
//! answers.rs      what clients were answered, counted and timed
//! shard.rs        the service of kvcore: one core's store, stamps and dots
//! read_path.rs    write_path.rs    multi_get.rs
//! open.rs         a server whose cores have such shards
//! ```

mod admission;
mod answers;
mod config;
mod connections;
mod listener;
mod multi_get;
mod open;
mod operation;
mod outbox;
mod read_path;
mod scan_path;
mod service;
mod session;
mod shard;
mod start;
mod stats;
mod write_path;

pub use self::admission::{Admission, Held};
pub use self::answers::{AnswerStats, Answers, OperationStats, StatusCounts};
pub use self::config::{Ceiling, CoreLimits, CoreMemory, Identity, ServerConfig};
pub use self::connections::{Connections, Parts};
pub use self::listener::Listener;
pub use self::operation::Operation;
pub use self::outbox::{Handover, Message, Outbox};
pub use self::service::{Context, EPOCH, Origin, Outcome, Replies, Request, Service, SocketId};
pub use self::session::{Input, Next, Session};
pub use self::shard::{Shard, ShardIdentity, ShardMessage};
pub use self::start::{Control, FrontConfig, Seat, Server, ServerError, StartError};
pub use self::stats::{CoreStats, FrontStats};

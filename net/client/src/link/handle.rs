//! The caller's end of a link.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::connect::Target;
use super::driver::Driver;
use crate::error::Error;
use crate::limits::QUEUE_OPERATIONS_MAX;
use crate::protocol::{Applied, ShardId};
use crate::request::{Answer, Claim, Job, Request};
use crate::session::Session;

/// A handle to a connection; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    jobs: mpsc::Sender<Job>,
    target: Arc<Target>,
}

impl Link {
    /// A connection to `target`, made when the first request comes.
    pub(crate) fn start(session: Arc<Session>, target: Target) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_OPERATIONS_MAX);
        let target = Arc::new(target);
        tokio::spawn(Driver::new(session, Arc::clone(&target), queue).run());
        Self { jobs, target }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Sends one request and waits for its answer, at most until `deadline`.
    pub(crate) async fn call(
        &self,
        request: Request,
        shard: ShardId,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        if deadline <= Instant::now() {
            return Err(Error::timeout(Applied::No, "the deadline passed before the attempt"));
        }
        let (answer, reply) = oneshot::channel();
        let claim = Claim::default();
        let job = Job { request, shard, deadline, answer, claim: claim.clone() };
        match timeout_at(deadline, self.jobs.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::unavailable(Applied::No, "the client was closed")),
            Err(_) => {
                let text = "the deadline passed while the connection's queue was full";
                return Err(Error::timeout(Applied::No, text));
            }
        }
        match timeout_at(deadline, reply).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(lost(&claim)),
            Err(_) if claim.give_up() => {
                let text = "the deadline passed before the request could be sent";
                Err(Error::timeout(Applied::No, text))
            }
            Err(_) => Err(Error::timeout(Applied::Unknown, "no reply before the deadline")),
        }
    }
}

/// The connection's task ended without an answer: the runtime shuts down.
fn lost(claim: &Claim) -> Error {
    let applied = if claim.give_up() { Applied::No } else { Applied::Unknown };
    Error::unavailable(applied, "the client's runtime is shutting down")
}

//! Requests and answers that own their bytes: what travels between an operation and the task that
//! drives a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::Error;
use crate::protocol::{Consistency, RouteReply, ServerInfo, ShardId};
use crate::read_path::{Entry, KeyOutcome};
use crate::scan::{Page, Position};
use crate::write_path::Written;

/// What is asked of a server. Cheap to clone: a retry sends the same again.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Get { key: Bytes, consistency: Consistency, key_only: bool },
    MultiGet { keys: Vec<Bytes>, consistency: Consistency },
    Scan { from: Position, records_max: usize, key_only: bool, consistency: Consistency },
    Put { key: Bytes, value: Bytes, ttl_ms: u64, consistency: Consistency },
    Delete { key: Bytes, consistency: Consistency },
    Route,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Get(Option<Entry>),
    /// In the order of the keys.
    MultiGet(Vec<KeyOutcome>),
    Scan(Page),
    Written(Written),
    Route(Box<RouteReply>, Box<ServerInfo>),
}

/// A request on its way to a connection.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    /// The owner as the route has it.
    pub(crate) shard: ShardId,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Answer, Error>>,
    pub(crate) claim: Claim,
}

/// Who decides what becomes of a job: the caller gives it up only while nothing of it was sent, and
/// the connection sends it only while nobody gave it up. So a caller whose deadline passes knows
/// whether a server may have seen its write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicU8>);

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Claim {
    /// The connection is about to send the job; false if the caller gave it up.
    pub(crate) fn send(&self) -> bool {
        self.move_to(SENT)
    }

    /// The caller stops waiting; false if the job was sent.
    pub(crate) fn give_up(&self) -> bool {
        self.move_to(GIVEN_UP)
    }

    fn move_to(&self, state: u8) -> bool {
        self.0.compare_exchange(QUEUED, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_either_sent_or_given_up() {
        let claim = Claim::default();
        assert!(claim.send());
        assert!(!claim.give_up());
        let claim = Claim::default();
        assert!(claim.clone().give_up());
        assert!(!claim.send());
    }
}

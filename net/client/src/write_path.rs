//! Writing.
//!
//! ```text
//! WRITE 1 net/client/src/write_path.rs   pick the core; stamp id and deadline         <- here
//!       2 net/src/server/session.rs      frame in, admission
//!       3 net/src/server/write_path.rs   the owner's core, version, then the engine
//!       4 engine/src/write_path.rs       commit log (group commit) -> memtable -> ack
//! ```
//!
//! A write goes to the core that owns its key. It is tried again only where it was certainly not
//! applied; a write whose outcome is unknown is reported so.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::call::{Call, CallOptions, Operation, sealed::Sealed};
use crate::client::Client;
use crate::error::Error;
use crate::protocol::{self, Hlc, NamespaceId, Version};
use crate::request::{Answer, Request};
use crate::retry::Effect;

/// A write that was acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Written {
    /// Stamp and dot of the write.
    pub version: Version,
    /// The causal context after the write; empty in namespaces where the last writer wins.
    pub context: Bytes,
}

/// Writes a key's value: [`Client::put`].
#[derive(Clone, Debug)]
pub struct Put {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) ttl: Duration,
}

impl Call<Put> {
    /// The value is gone after `ttl`, in milliseconds, rounded up. Without it, or with zero, it
    /// stays.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.operation.ttl = ttl;
        self
    }
}

impl Sealed for Put {}

impl Operation for Put {
    type Output = Written;

    async fn run(self, client: &Client, options: CallOptions) -> Result<Written, Error> {
        let Self { key, value, ttl } = self;
        // What does not fit is past the limit as well.
        let ttl_ms = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let consistency = options.consistency;
        let checked = protocol::Put {
            namespace: NamespaceId::DEFAULT,
            key: &key,
            context: &[],
            value: &value,
            ttl_ms,
            consistency,
            hlc_seen: Hlc(0),
        };
        checked.check().map_err(Error::refused)?;
        let request = Request::Put { key: key.clone(), value, ttl_ms, consistency };
        write(client, &key, &request, options).await
    }
}

/// Deletes a key, whether it has a value or not: [`Client::delete`].
#[derive(Clone, Debug)]
pub struct Delete {
    pub(crate) key: Bytes,
}

impl Sealed for Delete {}

impl Operation for Delete {
    type Output = Written;

    async fn run(self, client: &Client, options: CallOptions) -> Result<Written, Error> {
        let Self { key } = self;
        protocol::check_key(&key).map_err(Error::refused)?;
        let request = Request::Delete { key: key.clone(), consistency: options.consistency };
        write(client, &key, &request, options).await
    }
}

async fn write(
    client: &Client,
    key: &[u8],
    request: &Request,
    options: CallOptions,
) -> Result<Written, Error> {
    let deadline = Instant::now() + options.deadline;
    match client.request(client.token(key), Effect::Write, request, deadline).await? {
        Answer::Written(written) => Ok(written),
        other => Err(Error::protocol(format!("a write was answered with {other:?}"))),
    }
}

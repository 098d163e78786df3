//! Reading.
//!
//! ```text
//! READ 1 net/client/src/read_path.rs   pick the core; stamp id and deadline           <- here
//!      2 net/src/server/session.rs     frame in, admission
//!      3 net/src/server/read_path.rs   the owner's core, straight to the engine
//!      4 engine/src/read_path.rs       memtable -> filter -> block cache -> block
//! ```
//!
//! A read goes to the core that owns its key, and is tried again, elsewhere if it can be, whatever
//! became of it. A multi-get is cut into one group a core; a key that fails does so alone.

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::{CallOptions, Operation, sealed::Sealed};
use crate::client::Client;
use crate::error::Error;
use crate::limits::MULTI_GET_GROUPS_MAX;
use crate::protocol::{self, Status, Token, Version, limits::MULTI_GET_KEYS_MAX};
use crate::request::{Answer, Request};
use crate::retry::Effect;

/// A value and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Stamp and dot of the write that made it.
    pub version: Version,
    /// Unix milliseconds at which it expires, if it does.
    pub expires_at_ms: Option<u64>,
    /// The causal context; empty in namespaces where the last writer wins.
    pub context: Bytes,
}

/// Reads a key's value: [`Client::get`].
#[derive(Clone, Debug)]
pub struct Get {
    pub(crate) key: Bytes,
}

impl Sealed for Get {}

impl Operation for Get {
    type Output = Option<Entry>;

    async fn run(self, client: &Client, options: CallOptions) -> Result<Option<Entry>, Error> {
        read(client, self.key, false, options).await
    }
}

/// Asks whether a key has a value: [`Client::exists`].
#[derive(Clone, Debug)]
pub struct Exists {
    pub(crate) key: Bytes,
}

impl Sealed for Exists {}

impl Operation for Exists {
    type Output = bool;

    async fn run(self, client: &Client, options: CallOptions) -> Result<bool, Error> {
        Ok(read(client, self.key, true, options).await?.is_some())
    }
}

async fn read(
    client: &Client,
    key: Bytes,
    key_only: bool,
    options: CallOptions,
) -> Result<Option<Entry>, Error> {
    protocol::check_key(&key).map_err(Error::refused)?;
    let deadline = Instant::now() + options.deadline;
    let token = client.token(&key);
    let request = Request::Get { key, consistency: options.consistency, key_only };
    match client.request(token, Effect::Read, &request, deadline).await? {
        Answer::Get(entry) => Ok(entry),
        other => Err(Error::protocol(format!("a read was answered with {other:?}"))),
    }
}

/// Reads the values of several keys: [`Client::multi_get`].
#[derive(Clone, Debug)]
pub struct MultiGet {
    pub(crate) keys: Vec<Bytes>,
}

/// What became of one key of a multi-get.
pub type KeyOutcome = Result<Option<Entry>, Error>;

impl Sealed for MultiGet {}

impl Operation for MultiGet {
    type Output = Vec<KeyOutcome>;

    async fn run(self, client: &Client, options: CallOptions) -> Result<Vec<KeyOutcome>, Error> {
        let Self { keys } = self;
        for key in &keys {
            protocol::check_key(key).map_err(Error::refused)?;
        }
        let deadline = Instant::now() + options.deadline;
        let mut outcomes: Vec<Option<KeyOutcome>> = vec![None; keys.len()];
        let mut groups = groups(client, &keys).into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < MULTI_GET_GROUPS_MAX {
                let Some(group) = groups.next() else { break };
                let client = client.clone();
                running.spawn(async move { group.run(&client, options, deadline).await });
            }
            let Some(ended) = running.join_next().await else { break };
            // A task is cancelled only with the runtime, and this one with it.
            let group = ended.map_err(|error| Error::protocol(error.to_string()))?;
            for (index, outcome) in group {
                outcomes[index] = Some(outcome);
            }
        }
        Ok(outcomes.into_iter().map(|it| it.expect("each key is in one group")).collect())
    }
}

/// Keys that one core answers, with their places in the caller's list.
struct Group {
    token: Token,
    keys: Vec<(usize, Bytes)>,
}

fn groups(client: &Client, keys: &[Bytes]) -> Vec<Group> {
    let route = client.route();
    let mut placed: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(index, key)| {
            let token = route.token(key);
            let owner = route.owners(token).next().map(|owner| (owner.node, owner.shard));
            (owner, index, token)
        })
        .collect();
    placed.sort_unstable();
    let mut groups = Vec::new();
    for same_owner in placed.chunk_by(|a, b| a.0 == b.0) {
        for some in same_owner.chunks(MULTI_GET_KEYS_MAX) {
            groups.push(Group {
                token: some[0].2,
                keys: some.iter().map(|(_, index, _)| (*index, keys[*index].clone())).collect(),
            });
        }
    }
    groups
}

impl Group {
    /// Asks until each key has its outcome. Values that did not fit in one reply are asked for
    /// again; each reply has one at least, so that ends.
    async fn run(
        mut self,
        client: &Client,
        options: CallOptions,
        deadline: Instant,
    ) -> Vec<(usize, KeyOutcome)> {
        let mut outcomes = Vec::with_capacity(self.keys.len());
        while !self.keys.is_empty() {
            let due = self.keys.len();
            match self.ask(client, options, deadline).await {
                Ok(answers) => {
                    let keys = std::mem::take(&mut self.keys);
                    for ((index, key), answer) in keys.into_iter().zip(answers) {
                        match answer {
                            Err(error) if error.status() == Some(Status::ReplyFull) => {
                                self.keys.push((index, key));
                            }
                            outcome => outcomes.push((index, outcome)),
                        }
                    }
                    if self.keys.len() == due {
                        let error = Error::protocol("a multi-get was answered without any value");
                        outcomes.extend(self.fail(&error));
                    }
                }
                Err(error) => outcomes.extend(self.fail(&error)),
            }
        }
        outcomes
    }

    fn fail(&mut self, error: &Error) -> Vec<(usize, KeyOutcome)> {
        self.keys.drain(..).map(|(index, _)| (index, Err(error.clone()))).collect()
    }

    async fn ask(
        &self,
        client: &Client,
        options: CallOptions,
        deadline: Instant,
    ) -> Result<Vec<KeyOutcome>, Error> {
        let keys: Vec<Bytes> = self.keys.iter().map(|(_, key)| key.clone()).collect();
        let due = keys.len();
        let request = Request::MultiGet { keys, consistency: options.consistency };
        match client.request(self.token, Effect::Read, &request, deadline).await? {
            Answer::MultiGet(answers) if answers.len() == due => Ok(answers),
            other => Err(Error::protocol(format!("a multi-get was answered with {other:?}"))),
        }
    }
}

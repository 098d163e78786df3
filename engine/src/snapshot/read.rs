//! [`SnapshotReader`]: a snapshot wherever it lies, and its records in order.
//!
//! What stands of a key is decided as in the store; what the manifest did not let be seen is not
//! seen. Every byte is checked as it is read; nothing is written.

use std::collections::VecDeque;

use schemas::ids::{NamespaceId, Token};

use super::error::SnapshotError;
use super::head::SnapshotHead;
use super::layout::{join, shard_dir_of};
use super::shard::ShardHead;
use crate::env::Env;
use crate::merge_scan::{MergeScan, Source};
use crate::record::{Key, Merge, Record};
use crate::scan::open_runs;
use crate::sstable::{Residents, TokenRange};
use crate::store::versions::{open_tables, table_set};

/// A complete snapshot.
pub struct SnapshotReader<E: Env> {
    env: E,
    dir: String,
    head: SnapshotHead,
    shards: Vec<ShardHead>,
}

impl<E: Env> SnapshotReader<E> {
    /// Opens the snapshot in directory `dir` of `env`; empty for the root.
    ///
    /// # Errors
    /// [`SnapshotError`]: it is incomplete, or what says what it has is damaged.
    pub async fn open(env: &E, dir: &str) -> Result<Self, SnapshotError> {
        let head = SnapshotHead::read(env, dir).await?;
        let mut shards = Vec::new();
        for shard in head.shards() {
            shards.push(ShardHead::read(env, dir, head.id, shard).await?);
        }
        Ok(Self::of(env, dir, head, shards))
    }

    /// As far as `shards` are it, in order.
    pub(crate) fn of(env: &E, dir: &str, head: SnapshotHead, shards: Vec<ShardHead>) -> Self {
        Self { env: env.clone(), dir: dir.to_owned(), head, shards }
    }

    /// Whose snapshot it is, and of when.
    #[must_use]
    pub fn head(&self) -> &SnapshotHead {
        &self.head
    }

    /// What it has of each shard.
    #[must_use]
    pub fn shards(&self) -> &[ShardHead] {
        &self.shards
    }

    /// The key `bytes` of a namespace in its place among the records.
    #[must_use]
    pub fn key<'a>(&self, namespace: u32, bytes: &'a [u8]) -> Key<'a> {
        let (token, namespace) = (Token::of(bytes, self.head.node.seed), NamespaceId(namespace));
        Key { token, namespace, bytes }
    }

    /// All records as they stand after key `after`, or from the first on, dead ones too, in the
    /// order of (token, namespace, key). Shards own parts of the ring that follow each other.
    ///
    /// # Errors
    /// A table cannot be read.
    pub async fn records(
        &self,
        after: Option<&Key<'_>>,
        merge: Merge,
    ) -> Result<SnapshotRecords<E>, SnapshotError> {
        let from = after.map_or(TokenRange::ALL.first(), |key| key.token);
        let mut waiting = VecDeque::new();
        for shard in &self.shards {
            let rest = TokenRange::new(from.max(shard.tokens.first()), shard.tokens.last());
            waiting.extend(rest.map(|rest| (shard.clone(), rest)));
        }
        let (env, dir) = (self.env.clone(), self.dir.clone());
        let mut records = SnapshotRecords { env, dir, merge, waiting, scan: None };
        records.skip_ended().await?;
        while let (Some(record), Some(after)) = (records.current(), after)
            && record.key <= *after
        {
            records.advance().await?;
        }
        Ok(records)
    }
}

/// The records of a snapshot, one after the other.
pub struct SnapshotRecords<E: Env> {
    env: E,
    dir: String,
    merge: Merge,
    /// Shards to come, and what is wanted of them.
    waiting: VecDeque<(ShardHead, TokenRange)>,
    scan: Option<MergeScan<E>>,
}

impl<E: Env> SnapshotRecords<E> {
    /// The record that it is at; `None` at the end.
    #[must_use]
    pub fn current(&self) -> Option<Record<'_>> {
        self.scan.as_ref()?.current()
    }

    /// Goes to the next one.
    ///
    /// # Errors
    /// A table cannot be read. It is of no more use then.
    pub async fn advance(&mut self) -> Result<(), SnapshotError> {
        if let Some(scan) = &mut self.scan {
            scan.advance().await?;
        }
        self.skip_ended().await
    }

    async fn skip_ended(&mut self) -> Result<(), SnapshotError> {
        while self.current().is_none()
            && let Some((shard, range)) = self.waiting.pop_front()
        {
            // Its files are closed before the next shard's are opened.
            self.scan = None;
            self.scan = Some(self.open(&shard, range).await?);
        }
        Ok(())
    }

    async fn open(
        &self,
        shard: &ShardHead,
        range: TokenRange,
    ) -> Result<MergeScan<E>, SnapshotError> {
        let dir = join(&self.dir, &shard_dir_of(shard.shard));
        let tables = open_tables(&self.env, &dir, &shard.version, &Residents::new(0)).await?;
        let runs = table_set(&shard.version, &tables).overlapping(range);
        let runs = open_runs(&self.env, Some(range), runs).await?;
        Ok(MergeScan::new(runs.into_iter().map(Source::Run).collect(), self.merge))
    }
}

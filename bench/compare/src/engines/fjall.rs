//! fjall: its defaults, without compression.

use std::path::Path;
use std::thread;
use std::time::Duration;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::threads::{Blocking, Pair};
use crate::data::Key;
use crate::scenario::Setup;

/// How long nothing may have changed on the disk before it is at rest.
const QUIET: Duration = Duration::from_millis(500);

pub(crate) struct Peer {
    db: Database,
    keyspace: Keyspace,
    durable: bool,
}

impl Peer {
    pub(crate) fn open(dir: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let db = Database::builder(dir).cache_size(setup.cache as u64).worker_threads(2).open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(((setup.write_memory / 3).min(64 << 20)) as u64)
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        };
        let keyspace = db.keyspace("records", options)?;
        Ok(Self { db, keyspace, durable: setup.durable })
    }
}

impl Blocking for Peer {
    fn put(&self, pairs: &[Pair]) -> anyhow::Result<()> {
        let mode = if self.durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.db.batch().durability(Some(mode));
        for (key, value) in pairs {
            batch.insert(&self.keyspace, &key[..], &value[..]);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &Key, check: &mut dyn FnMut(&[u8])) -> anyhow::Result<bool> {
        let found = self.keyspace.get(key)?;
        Ok(found.map(|value| check(&value)).is_some())
    }

    fn scan(&self) -> anyhow::Result<u64> {
        let mut records = 0;
        for guard in self.keyspace.iter() {
            std::hint::black_box(guard.into_inner()?);
            records += 1;
        }
        Ok(records)
    }

    fn rest(&self) -> anyhow::Result<()> {
        self.keyspace.rotate_memtable_and_wait()?;
        // It says nothing of compactions that wait: at rest it is when its tables stay the same.
        let state = || (self.keyspace.table_count(), self.keyspace.disk_space());
        let mut before = state();
        let mut quiet = Duration::ZERO;
        while quiet < QUIET {
            thread::sleep(QUIET / 10);
            let now = state();
            quiet = if now == before { quiet + QUIET / 10 } else { Duration::ZERO };
            before = now;
        }
        Ok(())
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}

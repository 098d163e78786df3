//! LMDB: its defaults, one transaction a group; `NO_SYNC` where puts need not be durable. It reads
//! through the page cache, so its memory is what the machine has.
#![expect(unsafe_code, reason = "LMDB maps its file")]

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use super::threads::{Blocking, Pair};
use crate::data::Key;
use crate::scenario::Setup;

/// Address space for the file.
const MAP_BYTES: usize = 256 << 30;

pub(crate) struct Peer {
    env: Env,
    records: Database<Bytes, Bytes>,
}

impl Peer {
    pub(crate) fn open(dir: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES).max_readers(64);
        if !setup.durable {
            // SAFETY: a crash of the machine may cost the data, which is made anew then.
            unsafe { options.flags(EnvFlags::NO_SYNC) };
        }
        // SAFETY: nobody else opens or changes the file while this process runs.
        let env = unsafe { options.open(dir)? };
        let mut transaction = env.write_txn()?;
        let records = env.create_database(&mut transaction, None)?;
        transaction.commit()?;
        Ok(Self { env, records })
    }
}

impl Blocking for Peer {
    fn put(&self, pairs: &[Pair]) -> anyhow::Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in pairs {
            self.records.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &Key, check: &mut dyn FnMut(&[u8])) -> anyhow::Result<bool> {
        let transaction = self.env.read_txn()?;
        let found = self.records.get(&transaction, key)?;
        Ok(found.map(check).is_some())
    }

    fn scan(&self) -> anyhow::Result<u64> {
        let transaction = self.env.read_txn()?;
        let mut records = 0;
        for pair in self.records.iter(&transaction)? {
            std::hint::black_box(pair?);
            records += 1;
        }
        Ok(records)
    }

    fn rest(&self) -> anyhow::Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(self.env.force_sync()?)
    }
}

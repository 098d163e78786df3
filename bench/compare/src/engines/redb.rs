//! redb: its defaults, one transaction a group.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::threads::{Blocking, Pair};
use crate::data::Key;
use crate::scenario::Setup;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

pub(crate) struct Peer {
    db: Database,
    durable: bool,
}

impl Peer {
    pub(crate) fn open(dir: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let cache = setup.cache + setup.write_memory;
        let db = Database::builder().set_cache_size(cache).create(dir.join("redb"))?;
        Ok(Self { db, durable: setup.durable })
    }
}

impl Blocking for Peer {
    fn put(&self, pairs: &[Pair]) -> anyhow::Result<()> {
        let mut transaction = self.db.begin_write()?;
        let durability = if self.durable { Durability::Immediate } else { Durability::None };
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for (key, value) in pairs {
                table.insert(&key[..], &value[..])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &Key, check: &mut dyn FnMut(&[u8])) -> anyhow::Result<bool> {
        let table = self.db.begin_read()?.open_table(RECORDS)?;
        let found = table.get(&key[..])?;
        Ok(found.map(|value| check(value.value())).is_some())
    }

    fn scan(&self) -> anyhow::Result<u64> {
        let table = self.db.begin_read()?.open_table(RECORDS)?;
        let mut records = 0;
        for pair in table.iter()? {
            std::hint::black_box(pair?.1.value());
            records += 1;
        }
        Ok(records)
    }

    fn rest(&self) -> anyhow::Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Ok(transaction.commit()?)
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(())
    }
}

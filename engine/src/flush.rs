//! A frozen memtable becomes a table of the top level.
//!
//! - A frozen memtable never changes, and is read until the manifest names its table.
//! - Frozen memtables are flushed in the order in which they were frozen, one at a time, so what
//!   the manifest says is flushed has no gap.

use std::rc::Rc;

use crate::commit_log::Sequence;
use crate::env::{Class, Env};
use crate::manifest::{TableEntry, VersionEdit};
use crate::memtable::{Memtable, PARTS};
use crate::sstable::{Table, TableError, TableInfo, TableWriter, TokenRange};
use crate::store::background::{Change, Job, News, Office, SignalOnDrop};
use crate::store::{Durability, Store};

/// A memtable that takes no more.
pub(crate) struct Frozen {
    pub(crate) memtable: Rc<Memtable>,
    /// It and those frozen before it hold everything up to this batch.
    pub(crate) upto: Sequence,
}

impl<E: Env> Store<E> {
    /// Freezes the active memtable, unless it is empty, and puts a new one in its place.
    pub(crate) fn freeze(&mut self) {
        if self.active.is_empty() {
            return;
        }
        let empty = self.active.next();
        let memtable = Rc::new(std::mem::replace(&mut self.active, empty));
        self.frozen_bytes += memtable.bytes();
        let upto = match self.config.log.durability {
            // What is on its way to the disk is in no memtable yet.
            Durability::Sync => self.writes.applied_upto(),
            Durability::Periodic { .. } | Durability::None => self.log.cut(),
        };
        self.frozen.push_back(Frozen { memtable, upto });
    }

    /// Flushes the oldest frozen memtable if none is being flushed.
    pub(crate) fn start_flush(&mut self) {
        let Some(Frozen { memtable, upto }) = self.frozen.front().filter(|_| !self.flushing) else {
            return;
        };
        self.flushing = true;
        let (office, memtable, upto) = (Rc::clone(&self.office), Rc::clone(memtable), *upto);
        self.office.spawn(Class::Flush, flush(office, memtable, upto));
    }

    /// The oldest frozen memtable is in a table that the manifest names.
    pub(crate) fn flushed(&mut self, table: &Table<E>) {
        let Frozen { memtable, upto } = self.frozen.pop_front().expect("the one that was flushed");
        self.frozen_bytes -= memtable.bytes();
        self.flushing = false;
        self.log.release(upto);
        self.stats.flushes += 1;
        self.stats.flush_bytes += table.file_bytes();
    }
}

/// Writes `memtable` to a table, however often it takes, and posts it.
async fn flush<E: Env>(office: Rc<Office<E>>, memtable: Rc<Memtable>, upto: Sequence) {
    for attempt in 0.. {
        office.file_numbers().await;
        if office.is_stopping() {
            return;
        }
        match write_table(&office, &memtable).await {
            Ok(Some((info, table))) => {
                let entry = TableEntry::new(&info, 0, TokenRange::ALL);
                let flushed = Some(upto.0);
                let edit = VersionEdit { added: vec![entry], flushed, ..VersionEdit::default() };
                let (tables, over) = (vec![table], SignalOnDrop::default());
                return office.post(News::Written(Change { job: Job::Flush, edit, tables, over }));
            }
            Ok(None) => return,
            Err(error) => tracing::error!(%error, "a flush failed, trying again"),
        }
        office.retry(Job::Flush, attempt).await;
    }
}

/// `None` if the store is stopping.
///
/// Its blocks go to the cache: what was written last is what readers had in memory until now.
async fn write_table<E: Env>(
    office: &Rc<Office<E>>,
    memtable: &Memtable,
) -> Result<Option<(TableInfo, Table<E>)>, TableError> {
    let (env, id) = (&office.env, office.new_file());
    let written = async {
        let writer = TableWriter::create(env, &office.dir, id).await?;
        let mut writer = writer.keeping(Some(office.keep_blocks()));
        for part in 0..PARTS {
            env.pause().await;
            for record in memtable.sorted(part) {
                writer.add(&record).await?;
            }
            if office.is_stopping() {
                return Ok(None);
            }
        }
        let info = writer.finish().await?;
        let table = Table::open(env, &office.dir, id, TokenRange::ALL).await?;
        Ok(Some((info, table)))
    };
    let written = written.await;
    if !matches!(written, Ok(Some(_))) {
        office.discard(id).await;
    }
    written
}

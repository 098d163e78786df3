//! A frozen memtable becomes a table of the top level, and the clocks of that moment are saved.
//!
//! - A frozen memtable never changes, and is read until the manifest names its table.
//! - Frozen memtables are flushed in the order in which they were frozen, one at a time, so what
//!   the manifest says is flushed has no gap.

use std::rc::Rc;
use std::sync::Arc;

use crate::commit_log::Sequence;
use crate::env::{Class, Env};
use crate::manifest::{TableEntry, VersionEdit};
use crate::memtable::{Memtable, PARTS};
use crate::namespaces::Namespaces;
use crate::sstable::{FileId, Table, TableError, TableInfo, TableWriter, TokenRange};
use crate::store::background::{Change, Job, News, Office, SignalOnDrop};
use crate::store::drops::Dropped;
use crate::store::{Durability, Store};
use crate::vnode::{self, Clocks};

/// A memtable that takes no more. Clones are the same.
#[derive(Clone)]
pub(crate) struct Frozen {
    pub(crate) memtable: Rc<Memtable>,
    /// It and those frozen before it hold everything up to this batch.
    pub(crate) upto: Sequence,
    /// The clocks of vnodes as of that batch.
    pub(crate) clocks: Clocks,
    /// What goes from it and all before it with its flush.
    pub(crate) dropped: Option<Rc<Dropped>>,
}

impl<E: Env> Store<E> {
    /// Freezes the active memtable, unless it is empty, and puts a new one in its place. One
    /// without a row is frozen all the same if the log has said something else since the last.
    pub(crate) fn freeze(&mut self) {
        if self.active.is_empty() && !self.vnodes.has_marks() {
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
        let clocks = self.vnodes.snapshot();
        self.frozen.push_back(Frozen { memtable, upto, clocks, dropped: None });
    }

    /// Flushes the oldest frozen memtable if none is being flushed.
    pub(crate) fn start_flush(&mut self) {
        let Some(frozen) = self.frozen.front().filter(|_| !self.flushing) else {
            return;
        };
        self.flushing = true;
        self.office.spawn(
            Class::Flush,
            flush(Rc::clone(&self.office), frozen.clone(), Arc::clone(&self.config.namespaces)),
        );
    }

    /// The oldest frozen memtable is in a table that the manifest names.
    pub(crate) fn flushed(&mut self, table: Option<&Table<E>>) {
        let Frozen { memtable, upto, dropped, .. } =
            self.frozen.pop_front().expect("the one that was flushed");
        self.frozen_bytes -= memtable.bytes();
        self.flushing = false;
        self.log.release(upto);
        self.stats.flushes += 1;
        self.stats.flush_bytes += table.map_or(0, Table::file_bytes);
        dropped.iter().for_each(|it| self.dropped(it));
    }
}

/// Writes `frozen` to a table and a file of clocks, however often it takes, and posts them.
async fn flush<E: Env>(office: Rc<Office<E>>, frozen: Frozen, namespaces: Arc<Namespaces>) {
    let flushed = Some(frozen.upto.0);
    for attempt in 0.. {
        office.file_numbers().await;
        if office.is_stopping() {
            return;
        }
        match write(&office, &frozen, &namespaces).await {
            Ok(Some((id, written))) => {
                let (infos, tables): (Vec<_>, Vec<_>) = written.into_iter().unzip();
                let entry = |info: &TableInfo| TableEntry::new(info, 0, TokenRange::ALL);
                let added = infos.iter().map(entry).collect();
                let holes = frozen.dropped.as_ref().map_or_else(Vec::new, |it| it.holes(id));
                let clocks = Some(id.number());
                let edit = VersionEdit { added, flushed, clocks, holes, ..VersionEdit::default() };
                let over = SignalOnDrop::default();
                return office.post(News::Written(Change { job: Job::Flush, edit, tables, over }));
            }
            Ok(None) => return,
            Err(error) => tracing::error!(%error, "a flush failed, trying again"),
        }
        office.retry(Job::Flush, attempt).await;
    }
}

/// What a flush writes: clocks and a table of one id, the table only if there is a row.
type Written<E> = (FileId, Option<(TableInfo, Table<E>)>);

/// Writes clocks and table; `None` if the store is stopping. The directory is synced once, behind
/// both.
async fn write<E: Env>(
    office: &Rc<Office<E>>,
    frozen: &Frozen,
    namespaces: &Arc<Namespaces>,
) -> Result<Option<Written<E>>, TableError> {
    let id = office.new_file();
    let written = async {
        let path = office.clocks_path(id.number());
        let clocks = vnode::write(&office.env, &office.dir, id, frozen.clocks.iter()).await;
        clocks.map_err(TableError::io("cannot write", &path))?;
        if frozen.memtable.is_empty() {
            let synced = office.env.sync_dir(&office.dir).await;
            synced.map_err(TableError::io("cannot make durable", &path))?;
            return Ok(Some((id, None)));
        }
        let table = write_table(office, &frozen.memtable, id, namespaces).await?;
        Ok(table.map(|table| (id, Some(table))))
    };
    let written = written.await;
    if !matches!(written, Ok(Some(_))) {
        office.discard(id).await;
    }
    written
}

/// Writes the table `id`; `None` if the store is stopping.
///
/// Its blocks go to the cache: what was written last is what readers had in memory until now.
async fn write_table<E: Env>(
    office: &Rc<Office<E>>,
    memtable: &Memtable,
    id: FileId,
    namespaces: &Arc<Namespaces>,
) -> Result<Option<(TableInfo, Table<E>)>, TableError> {
    let env = &office.env;
    let writer = TableWriter::create(env, &office.dir, id).await?;
    let mut writer = writer.keeping(Some(office.keep_blocks())).compressing(namespaces);
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
    let table = office.open_written(id).await?;
    Ok(Some((info, table)))
}

//! Changes of the version: made durable one after the other, then installed.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Store;
use super::background::{self, Change, Committed, Job, SignalOnDrop};
use super::table_set::TableSet;
use crate::env::{Class, Env};
use crate::manifest::{LEVELS, Version, VersionEdit};
use crate::sstable::{FileId, Residents, Table, TableError};

/// Opens the tables of `version`, which are files of `dir`. Their partitions share the memory of
/// `residents`.
///
/// # Errors
/// One does not open.
pub(crate) async fn open_tables<E: Env>(
    env: &E,
    dir: &str,
    version: &Version,
    residents: &Rc<Residents>,
) -> Result<BTreeMap<FileId, Rc<Table<E>>>, TableError> {
    let mut tables = BTreeMap::new();
    for entry in version.tables() {
        let table = Table::open_among(env, dir, entry.id, entry.visible, residents).await?;
        tables.insert(entry.id, Rc::new(table.without(version.hidden(entry))));
    }
    Ok(tables)
}

/// The set of the tables of `version`, all of them in `tables`.
pub(crate) fn table_set<E: Env>(
    version: &Version,
    tables: &BTreeMap<FileId, Rc<Table<E>>>,
) -> TableSet<E> {
    let mut runs = Vec::new();
    for level in 0..LEVELS as u8 {
        let open = version.level(level).iter().map(|entry| Rc::clone(&tables[&entry.id]));
        match level {
            0 => runs.extend(open.map(|table| vec![table])),
            _ => runs.push(open.collect()),
        }
    }
    TableSet::new(runs)
}

impl<E: Env> Store<E> {
    /// Commits the next change if no commit runs. A store that is stopping commits no more: the
    /// manifest may be in doubt, and the log has all that is not flushed.
    pub(super) fn start_commit(&mut self) {
        if self.office.is_stopping() {
            self.changes.clear();
            return;
        }
        if self.changes.is_empty() && self.office.is_short_of_files() {
            let (edit, tables) = (VersionEdit::default(), Vec::new());
            let over = SignalOnDrop::default();
            self.changes.push_back(Change { job: Job::Commit, edit, tables, over });
        }
        if self.changes.is_empty() {
            return;
        }
        if let Some(manifest) = self.manifest.take() {
            let change = self.changes.pop_front().expect("not empty");
            let office = Rc::clone(&self.office);
            self.office.spawn(Class::Log, background::commit(office, manifest, change));
        }
    }

    /// A change is durable: readers see it from now on.
    pub(super) fn install(&mut self, committed: Committed<E>) {
        let Committed { manifest, version, change } = committed;
        self.manifest = Some(manifest);
        for table in &change.tables {
            self.open_tables.insert(table.id(), Rc::new(table.clone()));
        }
        for entry in &change.edit.added {
            let table = self.open_tables.get_mut(&entry.id).expect("open before it is committed");
            let visible = table.with_visible(entry.visible);
            if visible.range() != table.range() {
                *table = Rc::new(visible);
            }
        }
        if !(version.holes().is_empty() && self.version.holes().is_empty()) {
            self.hide(&version);
        }
        for id in &change.edit.dropped {
            if version.get(*id).is_none() {
                let table = self.open_tables.remove(id).expect("it was in the version before");
                self.remove(&table);
            }
        }
        self.office.extend_files(version.next_file_number());
        if let Some(number) =
            self.version.clocks().filter(|_| version.clocks() != self.version.clocks())
        {
            self.remove_file(self.office.clocks_path(number));
        }
        self.version = version;
        self.tables = Rc::new(table_set(&self.version, &self.open_tables));
        self.stats.count_tables(&self.version, &self.open_tables);
        self.forget_damage();
        self.weigh_compactions();
        match change.job {
            Job::Flush => self.flushed(change.tables.first()),
            Job::Compaction => {
                let written = change.tables.iter().map(Table::file_bytes).sum::<u64>();
                self.stats.compaction_bytes += written;
            }
            Job::Commit => {}
        }
        drop(change.over);
        self.start_snapshot();
    }

    /// Gives open tables the holes that `version` has.
    fn hide(&mut self, version: &Version) {
        for entry in version.tables() {
            let table = self.open_tables.get_mut(&entry.id).expect("open as long as it is named");
            let hidden = version.hidden(entry);
            if table.hidden() != hidden {
                *table = Rc::new(table.without(hidden));
            }
        }
    }

    /// Whether table `id` is one of those that reads ask now.
    pub(crate) fn is_current(&self, id: FileId) -> bool {
        self.open_tables.contains_key(&id)
    }

    /// Removes the file of a table that is dropped. Reads that began before have it open.
    fn remove(&mut self, table: &Table<E>) {
        self.stats.tables_removed += 1;
        self.forgetting.add(table);
        self.remove_file(table.path().to_owned());
    }

    /// Removes a file that no version names any more; later, while a snapshot is being linked.
    fn remove_file(&mut self, path: String) {
        if let Some(path) = self.snapshots.hold(path) {
            self.office.spawn(Class::Idle, background::remove(Rc::clone(&self.office), path));
        }
    }
}

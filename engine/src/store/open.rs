//! Opening a store: what was acknowledged is recovered, what nobody names is removed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

use schemas::ids::Hlc;

use super::background::Office;
use super::compactions::Compactions;
use super::damage::DamageList;
use super::digests::DigestJobs;
use super::drops::Drops;
use super::forgetting::Forgetting;
use super::reads::Reads;
use super::scans::Scans;
use super::scrub::Scrub;
use super::snapshots::Snapshots;
use super::space::SpaceWatch;
use super::versions::{open_tables, table_set};
use super::writes::Writes;
use super::{OpenError, OpenReport, Stats, Store, StoreConfig};
use crate::cache::BlockCache;
use crate::commit_log::{CommitLog, LogId, ReplayReport, Sequence};
use crate::env::{Class, Env};
use crate::flush::Frozen;
use crate::limits;
use crate::manifest::{Manifest, Version};
use crate::memtable::Memtable;
use crate::record::{Mark, Merge, Record};
use crate::sstable::{FileId, Residents, Table};
use crate::vnode::{ClocksFile, Vnodes};

impl<E: Env> Store<E> {
    /// Opens the store in directory `dir`, made if it is missing, and recovers what was
    /// acknowledged.
    ///
    /// # Errors
    /// [`OpenError`]: the disk refuses, or a file is damaged in a way no crash explains.
    pub async fn open(
        env: E,
        dir: &str,
        config: StoreConfig,
        merge: Merge,
    ) -> Result<(Self, OpenReport), OpenError> {
        config.check();
        let Found { unfinished, version, open_tables, residents, clocks, clocks_lost } =
            find(&env, dir, &config).await?;
        let flushed = Sequence(version.flushed());
        let mut replay = Replay::new(&config, merge, flushed, &clocks);
        let id = LogId::new(config.generation, config.shard);
        let apply = |sequence, row: &_| replay.apply(&config, sequence, row);
        let (log, replayed) =
            CommitLog::open(env.clone(), dir, id, config.log.clone(), flushed, apply).await?;
        if let Some(sequence) = replay.not_a_record {
            return Err(OpenError::NotARecord { dir: dir.to_owned(), sequence });
        }
        // Only now, when all that the manifest says was found: one that is older than the rest
        // names neither the newest tables nor what the log goes on from.
        let first_file = version.next_file_number();
        let (manifest, unnamed) = renew(&env, dir, &config, version).await?;
        let version = Rc::clone(manifest.version());
        let tables = open_tables.len() as u64;
        let report = replay.report(replayed, tables, unfinished + unnamed, clocks_lost);
        tracing::info!(dir, ?report, "store open");
        let stats = Stats::of(&config, &version, &open_tables);
        let files = first_file..version.next_file_number();
        let office = Office::new(&env, dir, &config, files, residents);
        let mut store = Self {
            writes: Writes::new(replay.last),
            alarmed: false,
            frozen_bytes: replay.frozen.iter().map(|frozen| frozen.memtable.bytes()).sum(),
            active: replay.active,
            frozen: replay.frozen,
            tables: Rc::new(table_set(&version, &open_tables)),
            cache: BlockCache::new(config.cache_bytes),
            reads: Reads::new(),
            scans: Scans::default(),
            digests: DigestJobs::default(),
            snapshots: Snapshots::default(),
            drops: Drops::default(),
            scrub: Scrub::default(),
            damage: DamageList::default(),
            office: Rc::new(office),
            flushing: false,
            compactions: Compactions::default(),
            purge_horizon: Hlc::default(),
            vnodes: replay.vnodes,
            version,
            open_tables,
            forgetting: Forgetting::default(),
            manifest: Some(manifest),
            changes: VecDeque::new(),
            space: SpaceWatch::default(),
            failure: None,
            ended: Vec::new(),
            untold: Vec::new(),
            stats,
            env,
            config,
            merge,
            merged: Box::default(),
            log,
        };
        store.load_tables();
        store.purge_namespaces();
        Ok((store, report))
    }

    /// Has the partitions of all tables read, as far as there is memory for them: a start does not
    /// wait for that, and whoever asks for one sooner reads it.
    fn load_tables(&self) {
        let tables: Vec<Table<E>> = self.open_tables.values().map(|it| Table::clone(it)).collect();
        if tables.is_empty() {
            return;
        }
        let office = Rc::clone(&self.office);
        self.office.spawn(Class::Idle, async move {
            for table in tables {
                match table.load(&office.env).await {
                    Ok(true) if !office.is_stopping() => {}
                    Ok(_) => return,
                    Err(error) => tracing::warn!(%error, "partitions are read when asked for"),
                }
            }
        });
    }
}

/// What the manifest of a directory says, and what it names.
struct Found<E: Env> {
    /// Files removed.
    unfinished: u64,
    version: Version,
    open_tables: BTreeMap<FileId, Rc<Table<E>>>,
    residents: Rc<Residents>,
    clocks: ClocksFile,
    clocks_lost: bool,
}

async fn find<E: Env>(env: &E, dir: &str, config: &StoreConfig) -> Result<Found<E>, OpenError> {
    make_dir(env, dir).await?;
    // First, as on a full disk nothing else has room before. No manifest ever names them.
    let unfinished = remove_files(env, dir, FileId::names_unfinished).await?;
    let version = Manifest::find_settled(env, dir).await?;
    let residents = Residents::new(config.tables_memory_bytes);
    let open_tables = open_tables(env, dir, &version, &residents).await?;
    let (clocks, clocks_lost) = match clocks_id(config, &version) {
        Some(id) => ClocksFile::read_if_whole(env, dir, id).await?,
        None => (ClocksFile::default(), false),
    };
    Ok(Found { unfinished, version, open_tables, residents, clocks, clocks_lost })
}

/// The log's records on their way back into memtables.
struct Replay {
    active: Memtable,
    frozen: VecDeque<Frozen>,
    vnodes: Vnodes,
    /// Batches are missing before what comes: a repair gave them up.
    gap: bool,
    /// The batch of the last record, whole or not.
    last: Sequence,
    records: u64,
    not_a_record: Option<Sequence>,
}

impl Replay {
    fn new(config: &StoreConfig, merge: Merge, flushed: Sequence, saved: &ClocksFile) -> Self {
        let chunk_bytes = (config.memtable_bytes / 64).clamp(4 << 10, 1 << 20);
        let active = Memtable::new(config.tokens, chunk_bytes, merge);
        Self {
            active,
            frozen: VecDeque::new(),
            vnodes: Vnodes::new(config.vnodes, config.tokens, config.recent_dots_max, saved),
            gap: false,
            last: flushed,
            records: 0,
            not_a_record: None,
        }
    }

    /// What an open found, this apart.
    fn report(
        &self,
        log: ReplayReport,
        tables: u64,
        files_removed: u64,
        clocks_lost: bool,
    ) -> OpenReport {
        OpenReport { log, records: self.records, tables, files_removed, clocks_lost }
    }

    fn apply(&mut self, config: &StoreConfig, sequence: Sequence, row: &[u8]) {
        let is_full = !self.active.is_empty() && self.active.bytes() >= config.memtable_bytes;
        if sequence != self.last && is_full {
            let empty = self.active.next();
            let memtable = std::mem::replace(&mut self.active, empty);
            let (memtable, clocks) = (Rc::new(memtable), self.vnodes.snapshot());
            self.frozen.push_back(Frozen { memtable, upto: self.last, clocks, dropped: None });
        }
        self.gap |= sequence.0 > self.last.0 + 1;
        self.last = sequence;
        if let Some(record) = Record::from_row(row) {
            if !config.namespaces.is_dropped(record.key.namespace) {
                self.active.put(&record);
            }
            self.vnodes.applied(&record);
            self.records += 1;
            return;
        }
        match Mark::from_row(row) {
            // What it says is there may be what the gap has taken.
            Some(Mark::Join(..)) if self.gap => {}
            Some(mark) => self.vnodes.marked(&mark),
            None => drop(self.not_a_record.get_or_insert(sequence)),
        }
    }
}

/// Makes directory `dir` and those it is in, durably: what is there may have been made by a start
/// that ended before its sync.
async fn make_dir<E: Env>(env: &E, dir: &str) -> Result<(), OpenError> {
    let failed = |what| move |source| OpenError::Io { what, path: dir.to_owned(), source };
    for (end, _) in dir.match_indices('/').chain([(dir.len(), "")]) {
        let path = &dir[..end];
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let names = env.list(parent).await.map_err(failed("list the directory of"))?;
        if !names.iter().any(|it| it == name) {
            env.create_dir(path).await.map_err(failed("make"))?;
        }
        env.sync_dir(parent).await.map_err(failed("sync the directory of"))?;
    }
    Ok(())
}

/// Removes the tables and clocks that `version` does not name, and says how many that were. Then
/// puts a manifest of it in the place of the one that is there, with numbers for the files of this
/// run.
async fn renew<E: Env>(
    env: &E,
    dir: &str,
    config: &StoreConfig,
    version: Version,
) -> Result<(Manifest<E>, u64), OpenError> {
    let version = version.with_file_numbers(limits::FILE_NUMBERS_AHEAD);
    let clocks = clocks_id(config, &version);
    let is_unnamed = |name: &str| {
        FileId::from_file_name(name).is_some_and(|id| version.get(id).is_none())
            || ClocksFile::id_of(name).is_some_and(|id| Some(id) != clocks)
    };
    let removed = remove_files(env, dir, is_unnamed).await?;
    Ok((Manifest::create(env, dir, version).await?, removed))
}

/// Removes the files of `dir` whose names are unwanted. Says how many that were.
async fn remove_files<E: Env>(
    env: &E,
    dir: &str,
    is_unwanted: impl Fn(&str) -> bool,
) -> Result<u64, OpenError> {
    let failed = |what, path: &str| {
        let path = path.to_owned();
        move |source: io::Error| OpenError::Io { what, path, source }
    };
    let mut removed = 0;
    for name in env.list(dir).await.map_err(failed("list", dir))? {
        if is_unwanted(&name) {
            let path = format!("{dir}/{name}");
            env.remove(&path).await.map_err(failed("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn clocks_id(config: &StoreConfig, version: &Version) -> Option<FileId> {
    version.clocks().map(|number| FileId::new(config.generation, config.shard, number))
}

//! A snapshot, file by file: sums of whole files, every block, and the roots of its records.
//!
//! A file is read twice: whole, against the sum that was kept when it was written, and as what it
//! is, which says where damage is. A third reading, in order, makes the roots of a sound shard.

use std::collections::BTreeMap;
use std::io;

use schemas::ids::{NamespaceId, ShardId, Vnode};

use super::finding::Finding;
use super::table::{Checked, check_table};
use crate::env::{Env, File as _, Open};
use crate::limits::BACKGROUND_IO_BYTES_MAX;
use crate::manifest::TableEntry;
use crate::record::Merge;
use crate::snapshot::{
    ClocksCopy, HEAD_FILE, Root, SHARD_FILE, ShardHead, SnapshotError, SnapshotHead,
    SnapshotReader, join, shard_dir_of,
};
use crate::sstable::{FileId, Table, TokenRange};
use crate::vnode::ClocksFile;

/// What a verification of a snapshot found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotVerified {
    /// Whose snapshot it is, and of when; `None` if SNAPSHOT is damaged.
    pub head: Option<SnapshotHead>,
    /// The moment, in Unix milliseconds, at which values past their time count as gone.
    pub as_of_ms: u64,
    /// Tables.
    pub tables: u64,
    /// Their blocks.
    pub blocks: u64,
    /// Their records, seen or not.
    pub records: u64,
    /// What the live records of each namespace are, as of that moment.
    pub namespaces: BTreeMap<NamespaceId, Root>,
    /// The same for each shard that is sound.
    pub shards: BTreeMap<ShardId, Root>,
    /// The same for each vnode that has a live record.
    pub vnodes: BTreeMap<Vnode, Root>,
    /// What is damaged or missing.
    pub findings: Vec<Finding>,
    /// What could not be judged, since something else is damaged: one sentence each.
    pub unjudged: Vec<String>,
    /// Files and directories that nothing names.
    pub unnamed: Vec<String>,
}

impl SnapshotVerified {
    /// Whether nothing is damaged or missing.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// A verification under way.
struct Verification<'a, E> {
    env: &'a E,
    root: &'a str,
    verified: SnapshotVerified,
    done: u64,
    total: u64,
    /// Told how many bytes were read, of how many.
    progress: &'a mut dyn FnMut(u64, u64),
}

/// Verifies the snapshot in directory `dir` of `env`, empty for the root, of records that `merge`
/// resolves. Values past their time at `as_of_ms`, in Unix milliseconds, count as gone: at the time
/// it was taken, if that is `None`.
///
/// # Errors
/// [`SnapshotError`]: it is incomplete, of a newer format, or cannot be read at all.
pub async fn verify_snapshot<E: Env>(
    env: &E,
    dir: &str,
    merge: Merge,
    as_of_ms: Option<u64>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SnapshotVerified, SnapshotError> {
    let verified = SnapshotVerified::default();
    let mut run = Verification { env, root: dir, verified, done: 0, total: 0, progress };
    let head = match SnapshotHead::read(env, dir).await {
        Ok(head) => head,
        Err(SnapshotError::Corrupt(damaged)) => {
            run.verified.findings.push(damaged.into());
            run.verified.unjudged.push(format!("shards: how many there are is in {HEAD_FILE}"));
            return Ok(run.verified);
        }
        Err(error) => return Err(error),
    };
    // Files are read twice, their blocks once more.
    run.total = head.bytes.saturating_mul(2);
    run.verified.as_of_ms = as_of_ms.unwrap_or(head.taken_at_ms);
    run.unnamed_of_node(&head).await;
    for shard in head.shards() {
        run.shard(&head, shard, merge).await;
    }
    run.verified.head = Some(head);
    Ok(run.verified)
}

impl<E: Env> Verification<'_, E> {
    fn found(&mut self, finding: impl Into<Finding>) {
        self.verified.findings.push(finding.into());
    }

    fn read(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        (self.progress)(self.done.min(self.total), self.total);
    }

    async fn unnamed_of_node(&mut self, head: &SnapshotHead) {
        let dirs: Vec<String> = head.shards().map(shard_dir_of).collect();
        let is_named = |name: &String| name == HEAD_FILE || dirs.contains(name);
        let names = self.env.list(self.root).await.unwrap_or_default();
        self.verified.unnamed.extend(names.into_iter().filter(|name| !is_named(name)));
    }

    async fn shard(&mut self, head: &SnapshotHead, shard: ShardId, merge: Merge) {
        let dir = join(self.root, &shard_dir_of(shard));
        let before = self.verified.findings.len();
        let own = match ShardHead::read(self.env, self.root, head.id, shard).await {
            Ok(own) => own,
            Err(error) => {
                self.found(error);
                return self.verified.unjudged.push(format!("{dir}: which tables there should be"));
            }
        };
        for entry in own.version.tables() {
            self.table(&dir, entry).await;
        }
        if let Some(clocks) = own.clocks {
            self.clocks(&dir, clocks).await;
        }
        let is_named = |name: &&String| {
            **name == SHARD_FILE
                || FileId::from_file_name(name).is_some_and(|id| own.version.get(id).is_some())
                || ClocksFile::id_of(name)
                    .is_some_and(|id| own.clocks.is_some_and(|it| it.id == id))
        };
        let names = self.env.list(&dir).await.unwrap_or_default();
        let unnamed = names.iter().filter(|name| !is_named(name));
        self.verified.unnamed.extend(unnamed.map(|name| format!("{dir}/{name}")));
        if self.verified.findings.len() > before {
            return self.verified.unjudged.push(format!("{dir}: what its records are"));
        }
        if let Err(error) = self.roots(head, own, merge).await {
            self.found(error);
        }
    }

    /// The sum of a whole file. `None`: it cannot be read, or has another length, which is told.
    async fn file_crc(&mut self, path: &str, bytes: u64) -> Option<u32> {
        match self.read_whole(path, bytes).await {
            Ok(Ok(crc)) => Some(crc),
            Ok(Err(got)) => {
                let what = format!("it has {got} bytes, the snapshot says {bytes}");
                self.found(Finding::new(path, got.min(bytes), what));
                None
            }
            Err(source) => {
                self.found(SnapshotError::Io { action: "read", path: path.to_owned(), source });
                None
            }
        }
    }

    async fn read_whole(&mut self, path: &str, bytes: u64) -> io::Result<Result<u32, u64>> {
        let file = self.env.open(path, Open::Read).await?;
        let got = file.size().await?;
        if got != bytes {
            return Ok(Err(got));
        }
        let (mut at, mut crc) = (0, 0);
        while at < bytes {
            let read = file.read_at(at, BACKGROUND_IO_BYTES_MAX).await?;
            if read.is_empty() {
                return Ok(Err(at));
            }
            crc = crc32c::crc32c_append(crc, &read);
            at += read.len() as u64;
            self.read(read.len() as u64);
        }
        Ok(Ok(crc))
    }

    async fn table(&mut self, dir: &str, entry: &TableEntry) {
        self.verified.tables += 1;
        let path = format!("{dir}/{}", entry.id.file_name());
        let before = self.verified.findings.len();
        let Some(crc) = self.file_crc(&path, entry.file_bytes).await else { return };
        let table = match Table::open(self.env, dir, entry.id, TokenRange::ALL).await {
            Ok(table) => table,
            Err(error) => return self.found(error),
        };
        if entry.properties != *table.properties() {
            let what = "its properties are not those that the snapshot tells";
            self.found(Finding::new(&path, table.layout().footer_at, what));
        }
        let mut findings = Vec::new();
        let found = &mut |finding| findings.push(finding);
        let Checked { blocks, records } =
            check_table(&table, found, &mut |bytes| self.read(bytes)).await;
        self.verified.blocks += blocks;
        self.verified.records += records;
        self.verified.findings.extend(findings);
        if crc != entry.file_crc && self.verified.findings.len() == before {
            self.found(Finding::new(&path, 0, "it is sound, and not the file that was written"));
        }
    }

    async fn clocks(&mut self, dir: &str, clocks: ClocksCopy) {
        let path = format!("{dir}/{}", ClocksFile::file_name(clocks.id));
        let Some(crc) = self.file_crc(&path, clocks.bytes).await else { return };
        match ClocksFile::read(self.env, dir, clocks.id).await {
            Err(error) => self.found(error),
            Ok(_) if crc != clocks.crc => {
                self.found(Finding::new(&path, 0, "it is sound, and not the file that was linked"));
            }
            Ok(_) => {}
        }
    }

    /// Reads a sound shard's records in order, and adds them up.
    async fn roots(
        &mut self,
        head: &SnapshotHead,
        shard: ShardHead,
        merge: Merge,
    ) -> Result<(), SnapshotError> {
        let number = shard.shard;
        let reader = SnapshotReader::of(self.env, self.root, head.clone(), vec![shard]);
        let mut records = reader.records(None, merge).await?;
        let mut of_shard = Root::default();
        while let Some(record) = records.current() {
            let mut root = Root::default();
            root.add(&record, self.verified.as_of_ms);
            if root.digest.keys > 0 {
                let vnode = record.key.token.vnode(head.node.vnodes);
                let of_namespace =
                    self.verified.namespaces.entry(record.key.namespace).or_default();
                *of_namespace = of_namespace.and(root);
                let of_vnode = self.verified.vnodes.entry(vnode).or_default();
                *of_vnode = of_vnode.and(root);
                of_shard = of_shard.and(root);
            }
            records.advance().await?;
        }
        self.verified.shards.insert(number, of_shard);
        Ok(())
    }
}

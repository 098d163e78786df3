//! A data directory, file by file: what a start would read, and every block that it would not.
//!
//! What a start would refuse is a [`Finding`], and so is what a read would. Files that nobody names
//! are told and not read: a start removes them.

use std::io;
use std::ops::ControlFlow;

use schemas::ids::ShardId;

use super::finding::Finding;
use super::table::{Checked, check_table};
use crate::commit_log::{self, Listed, LogId, Piece, Sequence, aside_id, list_segment, segment_id};
use crate::data_dir::{
    self, CLOCK_FILE, DirError, NODE_FILE, NODE_FILES, Superblock, generation_dir, generation_of,
    shard_dir, shard_of,
};
use crate::env::{Env, File as _, Open};
use crate::manifest::{self, Manifest, TableEntry, Version};
use crate::record::{Mark, Record};
use crate::sstable::{FileId, Table, TableError, TokenRange};
use crate::vnode::ClocksFile;

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Whose directory it is, if NODE is sound.
    pub node: Option<Superblock>,
    /// Shards that were read.
    pub shards: u64,
    /// Tables that manifests name.
    pub tables: u64,
    /// Their blocks.
    pub blocks: u64,
    /// Their records, seen or not.
    pub records: u64,
    /// Segments of logs.
    pub segments: u64,
    /// Batches of them that are in no table.
    pub batches: u64,
    /// Entries of those batches.
    pub entries: u64,
    /// Bytes at the ends of logs that were written and not acknowledged.
    pub tail_bytes: u64,
    /// What is damaged.
    pub findings: Vec<Finding>,
    /// Pieces of segments in which a batch began that is not whole. They are no damage, for a start
    /// does without them: a crash tore them, or what they held is in tables.
    pub torn: Vec<Finding>,
    /// What could not be judged, since something else is damaged: one sentence each.
    pub unjudged: Vec<String>,
    /// Files and directories that nothing names.
    pub unnamed: Vec<String>,
}

impl Verified {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// A shard, and what is to be read of it.
struct Shard {
    dir: String,
    names: Vec<String>,
    /// `None` if the manifest is damaged.
    version: Option<Version>,
}

/// Whether a file of clocks is not the one that the manifest names; where that is damaged nobody
/// knows.
fn is_unnamed_clocks(name: &str, version: Option<&Version>) -> bool {
    version.is_some_and(|version| version.clocks() != ClocksFile::id_of(name).map(FileId::number))
}

/// A verification under way.
struct Verification<'a, E> {
    env: &'a E,
    verified: Verified,
    done: u64,
    total: u64,
    /// Told how many bytes were read, of how many.
    progress: &'a mut dyn FnMut(u64, u64),
}

/// Verifies the data directory of `env`, which nobody changes meanwhile.
///
/// # Errors
/// [`DirError`]: the directory holds no node, or cannot be listed.
pub async fn verify<E: Env>(
    env: &E,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, DirError> {
    let verified = Verified::default();
    let mut run = Verification { env, verified, done: 0, total: 0, progress };
    let dirs = run.node().await?;
    let mut shards = Vec::new();
    for dir in dirs {
        shards.extend(run.look_at(dir).await);
    }
    for shard in &shards {
        run.tables(shard).await;
        run.clocks(shard).await;
        run.log(shard).await;
    }
    Ok(run.verified)
}

impl<E: Env> Verification<'_, E> {
    fn found(&mut self, finding: impl Into<Finding>) {
        self.verified.findings.push(finding.into());
    }

    fn read(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        (self.progress)(self.done, self.total);
    }

    /// Reads what is there but once, and says which shards' directories are the data.
    async fn node(&mut self) -> Result<Vec<String>, DirError> {
        let names = self.env.list("").await.map_err(DirError::io("list", "the data directory"))?;
        let is_generation = |name: &&String| generation_of(name).is_some();
        let others = names.iter().filter(|name| !is_generation(name));
        let unnamed = others.filter(|name| !NODE_FILES.contains(&name.as_str())).cloned();
        self.verified.unnamed.extend(unnamed);
        let generations: Vec<&String> = names.iter().filter(is_generation).collect();
        match data_dir::read_superblock(self.env).await {
            Ok(Some(node)) => {
                if let Err(error) = data_dir::read_clock(self.env, node.node).await {
                    self.found(error);
                }
                let named = generation_dir(node.generation);
                let strays = generations.into_iter().filter(|&name| *name != named);
                self.verified.unnamed.extend(strays.cloned());
                let shards = 0..node.shards;
                let dirs = shards.map(|shard| shard_dir(node.generation, ShardId(shard))).collect();
                self.verified.node = Some(node);
                return Ok(dirs);
            }
            Ok(None) if generations.is_empty() => {
                return Err(DirError::io("read", NODE_FILE)(io::ErrorKind::NotFound.into()));
            }
            Ok(None) => self.found(DirError::Missing { path: NODE_FILE.to_owned() }),
            Err(error) => self.found(error),
        }
        let unjudged = format!("{CLOCK_FILE}: whose it should be is in {NODE_FILE}");
        self.verified.unjudged.push(unjudged);
        let mut dirs = Vec::new();
        for generation in generations {
            let shards = self.env.list(generation).await;
            let shards = shards.map_err(DirError::io("list", generation))?;
            dirs.extend(shards.iter().map(|shard| format!("{generation}/{shard}")));
        }
        Ok(dirs)
    }

    /// Reads a shard's manifest, and counts what there is to read.
    async fn look_at(&mut self, dir: String) -> Option<Shard> {
        let names = match self.env.list(&dir).await {
            Ok(names) => names,
            Err(error) => {
                self.found(Finding::new(&dir, 0, format!("cannot list it: {error}")));
                return None;
            }
        };
        self.verified.shards += 1;
        let version = match Manifest::find(self.env, &dir).await {
            Ok(version) => Some(version),
            Err(error) => {
                self.found(error);
                let unjudged = format!("{dir}: which tables and batches there should be");
                self.verified.unjudged.push(unjudged);
                None
            }
        };
        for name in &names {
            let path = format!("{dir}/{name}");
            let is_table = FileId::from_file_name(name)
                .is_some_and(|id| version.as_ref().is_none_or(|it| it.get(id).is_some()));
            if is_table || segment_id(name).is_some() {
                self.total = self.total.saturating_add(self.size(&path).await);
            } else if ![manifest::NAME, manifest::SPARE].contains(&name.as_str())
                && aside_id(name).is_none()
                && (ClocksFile::id_of(name).is_none() || is_unnamed_clocks(name, version.as_ref()))
            {
                self.verified.unnamed.push(path);
            }
        }
        Some(Shard { dir, names, version })
    }

    /// The length of a file; 0 where it cannot be opened, which is found when it is read.
    async fn size(&self, path: &str) -> u64 {
        match self.env.open(path, Open::Read).await {
            Ok(file) => file.size().await.unwrap_or(0),
            Err(_) => 0,
        }
    }

    /// Reads the clocks that the manifest names.
    async fn clocks(&mut self, shard: &Shard) {
        let number = shard.version.as_ref().and_then(Version::clocks);
        if let Some(number) = number
            && let Some((generation, shard_id)) = shard_of(&shard.dir)
        {
            let id = FileId::new(generation, shard_id, number);
            if let Err(error) = ClocksFile::read(self.env, &shard.dir, id).await {
                self.found(error);
            }
        }
    }

    async fn tables(&mut self, shard: &Shard) {
        match &shard.version {
            Some(version) => {
                for entry in version.tables() {
                    self.table(&shard.dir, entry.id, Some(entry)).await;
                }
            }
            None => {
                for id in shard.names.iter().filter_map(|name| FileId::from_file_name(name)) {
                    self.table(&shard.dir, id, None).await;
                }
            }
        }
    }

    async fn table(&mut self, dir: &str, id: FileId, entry: Option<&TableEntry>) {
        self.verified.tables += 1;
        let table = match Table::open(self.env, dir, id, TokenRange::ALL).await {
            Ok(table) => table,
            Err(TableError::Io { file, source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return self.found(Finding::new(&file, 0, "it is missing, the manifest names it"));
            }
            Err(error) => return self.found(error),
        };
        if let Some(entry) = entry {
            let footer_at = table.layout().footer_at;
            if entry.file_bytes != table.file_bytes() {
                let what = format!(
                    "it has {} bytes, the manifest says {}",
                    table.file_bytes(),
                    entry.file_bytes
                );
                self.found(Finding::new(table.path(), table.file_bytes(), what));
            }
            if entry.properties != *table.properties() {
                let what = "its properties are not those that the manifest tells";
                self.found(Finding::new(table.path(), footer_at, what));
            }
        }
        let mut findings = Vec::new();
        let found = &mut |finding| findings.push(finding);
        let Checked { blocks, records } =
            check_table(&table, found, &mut |bytes| self.read(bytes)).await;
        self.verified.blocks += blocks;
        self.verified.records += records;
        self.verified.findings.extend(findings);
    }

    /// Batch `sequence` of a log is sound and holds an entry that is no record: says where it is.
    async fn no_record(&mut self, dir: &str, segments: &[&String], sequence: Sequence) {
        let what = format!("batch {sequence} holds an entry that is no record");
        let (mut file, mut at) = (dir.to_owned(), 0);
        for name in segments {
            let (path, Some(id)) = (format!("{dir}/{name}"), segment_id(name)) else { continue };
            let each = |listed: Listed<'_>| match listed.piece {
                Piece::Batch(label, _) if label.sequence == sequence => {
                    (file, at) = (path.clone(), listed.offset);
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            };
            // What cannot be read was found before.
            drop(list_segment(self.env, &path, id, each).await);
        }
        self.found(Finding::new(&file, at, what));
    }

    /// Replays a shard's log as a start would; that tells gaps from ends.
    async fn log(&mut self, shard: &Shard) {
        let Shard { dir, names, version } = shard;
        let segments: Vec<&String> =
            names.iter().filter(|name| segment_id(name).is_some()).collect();
        self.verified.segments += segments.len() as u64;
        if let Some(version) = version
            && let Some((generation, number)) = shard_of(dir)
        {
            let (id, flushed) = (LogId::new(generation, number), Sequence(version.flushed()));
            let mut not_a_record = None;
            let apply = |sequence: Sequence, row: &[u8]| {
                if Record::from_row(row).is_none() && Mark::from_row(row).is_none() {
                    not_a_record.get_or_insert(sequence);
                }
            };
            match commit_log::check(self.env, dir, id, flushed, apply).await {
                Ok(report) => {
                    self.verified.batches += report.batches;
                    self.verified.entries += report.entries;
                    self.verified.tail_bytes += report.tail_bytes_dropped;
                }
                Err(error) => self.found(error),
            }
            if let Some(sequence) = not_a_record {
                self.no_record(dir, &segments, sequence).await;
            }
        }
        for name in segments {
            self.segment(&format!("{dir}/{name}"), name).await;
        }
    }

    /// Reads a segment to its end, also what replay has no need of.
    async fn segment(&mut self, path: &str, name: &str) {
        let Some(id) = segment_id(name) else { return };
        let (env, mut torn) = (self.env, Vec::new());
        let each = |listed: Listed<'_>| {
            if let Piece::Torn = listed.piece {
                let what = format!("{} bytes of a batch that is not whole", listed.bytes);
                torn.push(Finding::new(path, listed.offset, what));
            }
            self.read(listed.bytes);
            ControlFlow::Continue(())
        };
        let listed = list_segment(env, path, id, each).await;
        let is_known = |it: &Finding, known: &[Finding]| {
            known.iter().any(|known| (&known.file, known.offset) == (&it.file, it.offset))
        };
        torn.retain(|it| !is_known(it, &self.verified.findings));
        self.verified.torn.extend(torn);
        if let Err(error) = listed {
            let finding = error.into();
            if !is_known(&finding, &self.verified.findings) {
                self.found(finding);
            }
        }
    }
}

//! Changing the number of shards: every log is replayed and flushed, then tables are linked into
//! the directories of a new generation, each shard seeing its part of them.
//!
//! - Records are not copied: what a table holds for other shards goes when it is compacted. (All
//!   but those of a file whose parts met again after one of them was compacted.)
//! - The old generation is complete until NODE names the new one, which is complete by then. So a
//!   crash anywhere leaves one or the other, and the next start begins again or is done.

use std::rc::Rc;

use schemas::clock::VnodeClock;
use schemas::ids::{ShardId, Token, Vnode};

use super::error::DirError;
use super::layout::{generation_dir, shard_dir};
use super::open::{remove_generation, write_superblock};
use super::superblock::Superblock;
use crate::env::Env;
use crate::manifest::{Hole, Holes, Manifest, ManifestError, TableEntry, Version, VersionEdit};
use crate::record::Merge;
use crate::sstable::{FileId, Table, TableError, TableScan, TableWriter, TokenRange};
use crate::store::{FlushError, OpenError, Store, StoreConfig};
use crate::vnode::{self, ClocksError, ClocksFile};

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReshardStep {
    /// Logs of so many old shards are flushed.
    Flushed {
        /// Old shards done.
        shards: u16,
        /// Old shards in all.
        of: u16,
    },
    /// Tables of so many old shards are linked.
    Linked {
        /// Old shards done.
        shards: u16,
        /// Old shards in all.
        of: u16,
        /// Parts of tables that new shards have so far.
        parts: u64,
    },
}

/// Why the number of shards could not be changed, or what was left over not be removed.
#[derive(Debug, thiserror::Error)]
pub enum ReshardError {
    /// A shard does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A shard's log could not be flushed.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// A manifest cannot be read or written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A part of a table cannot be copied.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The clocks of a shard cannot be read.
    #[error(transparent)]
    Clocks(#[from] ClocksError),
    /// The directory refuses.
    #[error(transparent)]
    Dir(#[from] DirError),
}

const NOT_EMPTY: &str = "a shard's first token is not past its last";

/// Gives the node of `superblock`, whose data directory is open and locked, `shards` shards, and
/// returns its new superblock. `config` is asked for each old shard, by generation, number and
/// tokens; `progress` is told of each step.
///
/// # Errors
/// [`ReshardError`]: nothing was lost. The old shards are still the node's, unless the error came
/// while NODE was replaced or after it: the next start goes on with the shards that NODE names, and
/// removes the others.
///
/// # Panics
/// If `shards` is 0.
pub async fn reshard<E: Env>(
    env: &E,
    superblock: &Superblock,
    shards: u16,
    config: impl Fn(u16, ShardId, (Token, Token)) -> StoreConfig,
    merge: Merge,
    mut progress: impl FnMut(ReshardStep),
) -> Result<Superblock, ReshardError> {
    assert!(shards > 0, "a node has a shard");
    let of = superblock.shards;
    for (shard, tokens) in owners(superblock) {
        let mut config = config(superblock.generation, shard, tokens);
        config.vnodes = superblock.vnodes;
        let dir = shard_dir(superblock.generation, shard);
        let (mut store, _) = Store::open(env.clone(), &dir, config, merge).await?;
        store.flush().await?;
        store.close().await.map_err(FlushError::from)?;
        progress(ReshardStep::Flushed { shards: shard.0 + 1, of });
    }
    let next =
        Superblock { generation: next_generation(superblock)?, shards, ..superblock.clone() };
    make_dirs(env, &next).await.map_err(DirError::io("make", &generation_dir(next.generation)))?;
    let mut versions = vec![VersionEdit::default(); usize::from(shards)];
    let (mut parts, mut clocks) = (0, Vec::new());
    for (shard, (first, last)) in owners(superblock) {
        let owned = TokenRange::new(first, last).expect(NOT_EMPTY);
        let from = shard_dir(superblock.generation, shard);
        let version = Manifest::read(env, &from).await?;
        if let Some(number) = version.clocks() {
            let id = FileId::new(superblock.generation, shard, number);
            clocks.extend(ClocksFile::read_if_whole(env, &from, id).await?.0.clocks);
        }
        let first_copy = version.next_file_number();
        // Durably the copies', should this be cut off and begun again: no id has two files.
        let copies_max = version.tables().count() as u32 * u32::from(shards);
        let version = version.with_file_numbers(copies_max);
        let version = Rc::clone(Manifest::create(env, &from, version).await?.version());
        let numbers = first_copy..version.next_file_number();
        let mut copy_ids = numbers.map(|number| FileId::new(superblock.generation, shard, number));
        for entry in version.tables() {
            // A table may be said to show more than its shard has: not so beside other shards'.
            let Some(visible) = entry.visible.intersection(owned) else { continue };
            let entry = TableEntry { visible, ..**entry };
            let hidden = version.hidden(&entry);
            let (edits, ids) = (&mut versions, &mut copy_ids);
            parts += share(env, &from, &entry, &hidden, &next, edits, ids).await?;
        }
        share_holes(version.holes(), owned, &next, &mut versions);
        progress(ReshardStep::Linked { shards: shard.0 + 1, of, parts });
    }
    for (edit, shard) in versions.iter().zip(0..) {
        let dir = shard_dir(next.generation, ShardId(shard));
        let version = Version::default().apply(edit);
        let version = version.expect("tables of disjoint shards, in the levels they were in");
        let version = share_clocks(env, &next, ShardId(shard), &clocks, version).await?;
        Manifest::create(env, &dir, version).await?;
        env.sync_dir(&dir).await.map_err(DirError::io("sync", &dir))?;
    }
    write_superblock(env, &next).await?;
    remove_generation(env, superblock.generation).await?;
    Ok(next)
}

/// The shards of a node and their tokens; those without any hold nothing.
fn owners(superblock: &Superblock) -> impl Iterator<Item = (ShardId, (Token, Token))> + use<> {
    let (bits, shards) = (superblock.vnodes, superblock.shards);
    (0..shards).filter_map(move |shard| {
        ShardId(shard).tokens(bits, shards).map(|tokens| (ShardId(shard), tokens))
    })
}

fn next_generation(superblock: &Superblock) -> Result<u16, DirError> {
    superblock.generation.checked_add(1).ok_or_else(|| {
        let path = generation_dir(superblock.generation);
        DirError::io("follow", &path)(std::io::Error::other("65,535 generations are all there are"))
    })
}

async fn make_dirs<E: Env>(env: &E, superblock: &Superblock) -> std::io::Result<()> {
    let root = generation_dir(superblock.generation);
    env.create_dir(&root).await?;
    for shard in 0..superblock.shards {
        env.create_dir(&shard_dir(superblock.generation, ShardId(shard))).await?;
    }
    env.sync_dir(&root).await?;
    env.sync_dir("").await
}

/// Gives each new shard its part of what can be seen of a table, as a link, and notes it in their
/// edits. Parts that are copied have `copy_ids`. Says how many new shards that were.
async fn share<E: Env>(
    env: &E,
    from: &str,
    entry: &TableEntry,
    hidden: &[TokenRange],
    next: &Superblock,
    edits: &mut [VersionEdit],
    copy_ids: &mut impl Iterator<Item = FileId>,
) -> Result<u64, ReshardError> {
    let mut shared = 0;
    for (shard, (first, last)) in owners(next) {
        let owned = TokenRange::new(first, last).expect(NOT_EMPTY);
        let seen = entry.visible.intersection(owned);
        let Some(visible) = seen.filter(|seen| entry.properties.tokens.overlaps(*seen)) else {
            continue;
        };
        let part = TableEntry { visible, ..*entry };
        let to = shard_dir(next.generation, shard);
        let added = &mut edits[usize::from(shard.0)].added;
        match added.iter_mut().find(|it| it.id == entry.id) {
            None => {
                link(env, from, &to, entry.id).await?;
                added.push(part);
            }
            // Two old shards had parts of one file, from an earlier change of their number.
            Some(there) if there.level == part.level && there.visible.is_followed_by(visible) => {
                there.visible = there.visible.hull(visible);
            }
            // What lies between its parts, or above one of them, has been compacted since: that may
            // not be seen again, and a file has one part in a manifest.
            Some(_) => {
                let id = copy_ids.next().expect("one for each part");
                added.extend(copy(env, from, &to, &part, hidden, id).await?);
            }
        }
        shared += 1;
    }
    Ok(shared)
}

/// Notes the holes of an old shard, which has the tokens `owned`, in the edits of the new ones.
/// That an id counts as later than another is true of files with the same tokens, whichever shard
/// made them: those of one generation are one shard's.
fn share_holes(holes: &Holes, owned: TokenRange, next: &Superblock, edits: &mut [VersionEdit]) {
    for (shard, (first, last)) in owners(next) {
        let tokens = TokenRange::new(first, last).expect(NOT_EMPTY).intersection(owned);
        let part = |hole: &Hole| Some(Hole { tokens: hole.tokens.intersection(tokens?)?, ..*hole });
        edits[usize::from(shard.0)].holes.extend(holes.iter().filter_map(part));
    }
}

/// Gives a new shard the clocks of its vnodes, of `clocks`, and its `version` their name.
async fn share_clocks<E: Env>(
    env: &E,
    next: &Superblock,
    shard: ShardId,
    clocks: &[(Vnode, VnodeClock)],
    version: Version,
) -> Result<Version, DirError> {
    let is_own = |vnode: &Vnode| vnode.shard(next.vnodes, next.shards) == shard;
    let own =
        clocks.iter().filter(|(vnode, _)| is_own(vnode)).map(|(vnode, it)| (*vnode, it.clone()));
    let (dir, number) = (shard_dir(next.generation, shard), version.next_file_number());
    let id = FileId::new(next.generation, shard, number);
    let written = vnode::write(env, &dir, id, own).await;
    written.map_err(DirError::io("write clocks in", &dir))?;
    let edit = VersionEdit { clocks: Some(number), ..VersionEdit::default() };
    Ok(version.apply(&edit).expect("clocks contradict no table"))
}

async fn link<E: Env>(env: &E, from: &str, to: &str, id: FileId) -> Result<(), DirError> {
    let name = id.file_name();
    let to = format!("{to}/{name}");
    env.link(&format!("{from}/{name}"), &to).await.map_err(DirError::io("link", &to))
}

/// Writes what can be seen of a part into a table of its own; `None` if that is nothing.
async fn copy<E: Env>(
    env: &E,
    from: &str,
    to: &str,
    part: &TableEntry,
    hidden: &[TokenRange],
    id: FileId,
) -> Result<Option<TableEntry>, TableError> {
    let table = Table::open(env, from, part.id, part.visible).await?.without(hidden.to_vec());
    let mut scan = TableScan::new(env, &table, part.visible).await?;
    let mut writer = TableWriter::create(env, to, id).await?;
    while let Some(record) = scan.current() {
        writer.add(&record).await?;
        scan.advance().await?;
    }
    if writer.records() == 0 {
        writer.abandon().await?;
        return Ok(None);
    }
    let info = writer.finish().await?;
    Ok(Some(TableEntry::new(&info, part.level, part.visible)))
}

#[cfg(test)]
mod tests;

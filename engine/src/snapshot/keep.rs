//! The snapshots that a data directory keeps: listed, removed, and cleared of what a crash left.
//!
//! - SNAPSHOT is the first file that a removal takes, durably: what is half removed is incomplete.
//! - Only names that a snapshot has are removed. Whatever else lies there is left, and its
//!   directory with it.

use std::io;

use super::error::SnapshotError;
use super::head::SnapshotHead;
use super::layout::{
    HEAD_FILE, HEAD_TEMPORARY, SHARD_FILE, SNAPSHOTS_DIR, dir_of, is_shard_dir, join,
};
use super::name::SnapshotName;
use crate::env::Env;
use crate::sstable::FileId;
use crate::vnode::ClocksFile;

/// A snapshot of a data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub name: SnapshotName,
    /// What it is worth.
    pub state: State,
}

/// What a directory of a snapshot is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It was finished. Whether its files are sound is for a verification to say.
    Complete(Box<SnapshotHead>),
    /// It is being made, being removed, or was given up.
    Incomplete,
    /// SNAPSHOT cannot be read: why.
    Unreadable(String),
}

/// The snapshots of a data directory, by name.
///
/// # Errors
/// [`SnapshotError::Io`]: they cannot be listed.
pub async fn list<E: Env>(env: &E) -> Result<Vec<Listed>, SnapshotError> {
    let names = match env.list(SNAPSHOTS_DIR).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(SnapshotError::io("list", SNAPSHOTS_DIR))?,
    };
    let mut listed = Vec::new();
    for name in names.iter().filter_map(|name| SnapshotName::new(name).ok()) {
        let state = match SnapshotHead::read(env, &dir_of(&name)).await {
            Ok(head) => State::Complete(Box::new(head)),
            Err(SnapshotError::Incomplete { .. }) => State::Incomplete,
            Err(error) => State::Unreadable(error.to_string()),
        };
        listed.push(Listed { name, state });
    }
    Ok(listed)
}

/// A step of a removal, of a path in the data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removal {
    /// This file goes.
    File(String),
    /// This directory goes, which is empty unless something is in it that no snapshot has.
    Dir(String),
    /// What went from this directory is durably gone.
    SyncDir(String),
}

/// The steps that remove snapshot `name`, complete or not: each is done before the next, and the
/// first that fails ends it. What is left then is incomplete.
///
/// Only reads, so that a program that has no core to change files with takes the same steps.
///
/// # Errors
/// [`SnapshotError::Unknown`], or it cannot be listed.
pub async fn removal<E: Env>(env: &E, name: &SnapshotName) -> Result<Vec<Removal>, SnapshotError> {
    let dir = dir_of(name);
    let names = match env.list(&dir).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SnapshotError::Unknown { name: name.to_string() });
        }
        names => names.map_err(SnapshotError::io("list", &dir))?,
    };
    let heads = names.iter().filter(|name| [HEAD_FILE, HEAD_TEMPORARY].contains(&&***name));
    let mut steps: Vec<_> = heads.map(|head| Removal::File(join(&dir, head))).collect();
    steps.push(Removal::SyncDir(dir.clone()));
    for shard in names.iter().filter(|name| is_shard_dir(name)) {
        let shard = join(&dir, shard);
        let files = env.list(&shard).await.map_err(SnapshotError::io("list", &shard))?;
        let ours = files.iter().filter(|name| is_of_shard(name));
        steps.extend(ours.map(|file| Removal::File(join(&shard, file))));
        steps.push(Removal::Dir(shard));
    }
    steps.extend([Removal::Dir(dir), Removal::SyncDir(SNAPSHOTS_DIR.to_owned())]);
    Ok(steps)
}

/// Whether a snapshot has a file `name` of a shard.
fn is_of_shard(name: &str) -> bool {
    let is_link = FileId::from_file_name(name).or(ClocksFile::id_of(name)).is_some();
    is_link || name == SHARD_FILE
}

/// Removes snapshot `name`, complete or not. What no snapshot has is left, and makes it fail.
///
/// # Errors
/// [`SnapshotError::Unknown`], or the disk refuses: what is left of it is incomplete, unless it
/// could not even be listed.
pub async fn remove<E: Env>(env: &E, name: &SnapshotName) -> Result<(), SnapshotError> {
    for step in removal(env, name).await? {
        let (done, path) = match &step {
            Removal::File(path) | Removal::Dir(path) => (env.remove(path).await, path),
            Removal::SyncDir(path) => (env.sync_dir(path).await, path),
        };
        done.map_err(SnapshotError::io("remove", path))?;
        env.pause().await;
    }
    Ok(())
}

/// Removes what a crash left of snapshots that were being made or removed. Before anybody else
/// uses the directory. A snapshot is never the reason that a start fails: what cannot be removed is
/// told, and stays incomplete.
pub(crate) async fn tidy<E: Env>(env: &E) {
    let listed = list(env).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot tell which snapshots there are");
        Vec::new()
    });
    for Listed { name, state } in listed {
        let done = match state {
            State::Incomplete => {
                tracing::info!(%name, "removing a snapshot that was not finished");
                remove(env, &name).await
            }
            // Killed before its sync, its maker may have told nobody of it: now it is told.
            State::Complete(_) | State::Unreadable(_) => {
                let dir = dir_of(&name);
                env.sync_dir(&dir).await.map_err(SnapshotError::io("sync", &dir))
            }
        };
        if let Err(error) = done {
            tracing::warn!(%name, %error, "cannot see to a snapshot");
        }
    }
}

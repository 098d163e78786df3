//! [`Shards`]: the shards below a path that somebody gave, and the lock on their data directory.
#![expect(
    clippy::disallowed_methods,
    reason = "paths of people are resolved before there is an Env"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{ReadOnly, now};
use crate::data_dir::{DirError, DirLock, NODE_FILE, generation_of};
use crate::env::Env as _;

/// Shards of a data directory, which nobody else changes while this is there.
#[derive(Debug)]
pub struct Shards {
    /// The data directory.
    pub root: PathBuf,
    /// Their directories in it, such as `gen-0001/shard-000`.
    pub dirs: Vec<String>,
    _lock: Option<DirLock>,
}

impl Shards {
    /// The shards of the data directory `path`, or the one whose directory `path` is or is in.
    ///
    /// # Errors
    /// [`DirError::InUse`], [`DirError::Io`].
    pub fn of(path: &Path) -> Result<Self, DirError> {
        let refused = || DirError::io("read", &path.display().to_string());
        let mut full = fs::canonicalize(path).map_err(refused())?;
        let is_dir = full.is_dir();
        if !is_dir {
            full.pop();
        }
        let names = now(ReadOnly::new(&*full).list("")).map_err(refused())?;
        if is_dir && names.iter().any(|name| name == NODE_FILE || generation_of(name).is_some()) {
            let lock = DirLock::share(&full)?;
            let dirs = list(&full, &names).map_err(refused())?;
            return Ok(Self { root: full, dirs, _lock: lock });
        }
        let no_utf8 = || refused()(io::ErrorKind::InvalidFilename.into());
        let mut parts: Vec<&str> = Vec::new();
        for part in full.iter().rev().take(2) {
            parts.insert(0, part.to_str().ok_or_else(no_utf8)?);
        }
        let dir = parts.join("/");
        let root = full.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned();
        let lock = DirLock::share(&root)?;
        Ok(Self { root, dirs: vec![dir], _lock: lock })
    }
}

/// The directories of shards in all generations among `names`.
fn list(root: &Path, names: &[String]) -> io::Result<Vec<String>> {
    let env = ReadOnly::new(root);
    let mut dirs = Vec::new();
    for generation in names.iter().filter(|name| generation_of(name).is_some()) {
        let shards = now(env.list(generation))?;
        dirs.extend(shards.iter().map(|shard| format!("{generation}/{shard}")));
    }
    Ok(dirs)
}

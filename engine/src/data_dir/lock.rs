//! The lock on a data directory: a `flock` on its LOCK file, which holds the pid of whoever has it.
//!
//! The kernel lets go of the lock when the process ends, however it ends, so a LOCK file that is
//! left over means nothing by itself.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the lock is the process's, taken before there is a core and its Env"
)]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::DirError;
use super::layout::{LOCK_FILE, NODE_FILE, may_precede_node};

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DirLock {
    /// Closing it lets go of the lock.
    _file: File,
}

impl DirLock {
    /// Makes directory `path` if it is missing, and locks it. A directory that holds something
    /// else is left as it is.
    ///
    /// # Errors
    /// [`DirError::InUse`], [`DirError::Foreign`], or the file system refuses.
    pub fn take(path: &Path) -> Result<Self, DirError> {
        let shown = path.display().to_string();
        make(path, sync_dir).map_err(DirError::io("make data directory", &shown))?;
        let entry = stranger(path).map_err(DirError::io("read data directory", &shown))?;
        if let Some(entry) = entry {
            return Err(DirError::Foreign { path: shown, entry });
        }
        let lock = path.join(LOCK_FILE);
        let refused = || DirError::io("lock", &lock.display().to_string());
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock)
            .map_err(refused())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DirError::InUse { path: shown, pid: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(refused()(error)),
        }
        sign(&mut file).map_err(refused())?;
        Ok(Self { _file: file })
    }

    /// Keeps every process that would write out of directory `path`, and lets others in that do
    /// this too. Writes nothing: `None` for a directory without LOCK, a copy, which nobody uses.
    ///
    /// # Errors
    /// [`DirError::InUse`], or the file system refuses.
    pub fn share(path: &Path) -> Result<Option<Self>, DirError> {
        let lock = path.join(LOCK_FILE);
        let refused = || DirError::io("lock", &lock.display().to_string());
        let mut options = OpenOptions::new();
        // A pipe in its place would be waited for.
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let mut file = match options.open(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(refused())?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => {
                let (path, pid) = (path.display().to_string(), holder(&mut file));
                Err(DirError::InUse { path, pid })
            }
            Err(TryLockError::Error(error)) => Err(refused()(error)),
        }
    }
}

/// Makes directory `path` and those it is in, and has `sync` make the entries of a directory
/// durable: of each in which one was made, or of the one that `path` is in, as a start that ended
/// before its sync may have made it.
fn make(path: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let is_missing = |it: &&Path| !it.as_os_str().is_empty() && !it.is_dir();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    for made in &missing {
        sync(parent_of(made))?;
    }
    if !missing.is_empty() {
        return Ok(());
    }
    match sync(parent_of(path)) {
        // Who may not open it did not make something in it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The first entry, by name, of a directory that is not a node's; `None` for one that is, or that
/// may become one.
fn stranger(path: &Path) -> io::Result<Option<String>> {
    if path.join(NODE_FILE).exists() {
        return Ok(None);
    }
    let mut strangers = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let empty = !name.starts_with("gen-") || !holds_files(&entry.path())?;
        if !may_precede_node(&name) || !empty {
            strangers.push(name);
        }
    }
    Ok(strangers.into_iter().min())
}

/// Whether a generation's directory holds more than empty directories of shards.
fn holds_files(generation: &Path) -> io::Result<bool> {
    for shard in fs::read_dir(generation)? {
        let shard = shard?;
        if !shard.file_type()?.is_dir() || fs::read_dir(shard.path())?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the holder wrote: anything may be in the file.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = [0; 16];
    let len = file.read(&mut text).ok()?;
    std::str::from_utf8(&text[..len]).ok()?.trim().parse().ok()
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_is_made_and_locked_until_it_is_let_go() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let lock = DirLock::take(&path).unwrap();
        match DirLock::take(&path) {
            Err(DirError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        DirLock::take(&path).unwrap();
    }

    #[test]
    fn readers_share_a_directory_and_keep_its_owner_out() {
        let dir = tempfile::tempdir().unwrap();
        assert!(DirLock::share(dir.path()).unwrap().is_none(), "there is no LOCK to share");
        let owner = DirLock::take(dir.path()).unwrap();
        assert!(matches!(DirLock::share(dir.path()), Err(DirError::InUse { .. })));
        drop(owner);
        let readers = [DirLock::share(dir.path()).unwrap(), DirLock::share(dir.path()).unwrap()];
        assert!(matches!(DirLock::take(dir.path()), Err(DirError::InUse { .. })));
        drop(readers);
        DirLock::take(dir.path()).unwrap();
    }

    /// Only the directory that the lowest one is in was synced: a power cut took the others' names,
    /// and all that was acknowledged in them. One that a start had made and not synced never was.
    #[test]
    fn the_name_of_every_directory_that_is_made_is_durable() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b/c");
        let synced = || {
            let mut synced = Vec::new();
            let made = make(&path, |dir| {
                synced.push(dir.to_owned());
                Ok(())
            });
            made.unwrap();
            synced.sort();
            synced
        };
        let [root, a, b] = ["", "a", "a/b"].map(|it| parent.path().join(it));
        fs::create_dir(&a).unwrap();
        assert_eq!(synced(), [a.clone(), b.clone()]);
        assert_eq!(synced(), std::slice::from_ref(&b), "another start may have made it");
        fs::remove_dir_all(&a).unwrap();
        assert_eq!(synced(), [root, a, b]);
    }

    #[test]
    fn a_directory_in_one_that_is_not_ours_to_read_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let refuse = |kind: io::ErrorKind| move |_: &Path| Err(kind.into());
        make(dir.path(), refuse(io::ErrorKind::PermissionDenied)).unwrap();
        make(dir.path(), refuse(io::ErrorKind::Other)).unwrap_err();
        make(&dir.path().join("a"), refuse(io::ErrorKind::PermissionDenied)).unwrap_err();
    }

    #[test]
    fn a_lock_file_full_of_anything_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"\xff\xfe", b"99999999999999999999", b"-1"] {
            fs::write(dir.path().join(LOCK_FILE), content).unwrap();
            DirLock::take(dir.path()).unwrap();
        }
    }

    #[test]
    fn a_foreign_directory_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("zebra"), "").unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        match DirLock::take(dir.path()) {
            Err(DirError::Foreign { entry, .. }) => assert_eq!(entry, "thesis.tex"),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    /// Somebody removed NODE: the data must not be taken for a new node's.
    #[test]
    fn data_without_a_superblock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let shard = dir.path().join("gen-0001/shard-000");
        fs::create_dir_all(&shard).unwrap();
        drop(DirLock::take(dir.path()).unwrap());
        fs::write(shard.join("MANIFEST"), "").unwrap();
        assert!(matches!(DirLock::take(dir.path()), Err(DirError::Foreign { .. })));
        fs::write(dir.path().join(NODE_FILE), "").unwrap();
        drop(DirLock::take(dir.path()).unwrap());
        fs::remove_file(dir.path().join(NODE_FILE)).unwrap();
        fs::rename(dir.path().join("gen-0001"), dir.path().join("gen-0002")).unwrap();
        assert!(matches!(DirLock::take(dir.path()), Err(DirError::Foreign { .. })));
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(DirLock::take(file.path()), Err(DirError::Io { .. })));
    }
}

//! From records to files.
//!
//! Nothing is ever written outside the root: keys are checked ([`super::path`]), each directory on
//! the way is one and no link, and files are made, never opened: a link of a file's name is
//! replaced, not followed. Where one key is a directory of another (`a` and `a/b`) the one that
//! comes first is written and the other one refused.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::path::relative;
use crate::encoding::show;
use crate::entry::{Entry, Outcome, Problem};

/// Directories remembered as checked; past it they are checked again.
const KNOWN_MAX: usize = 100_000;

const COLLIDES: &str = "another key is a directory of this one, or this one of another";

/// Writes records below a root.
#[derive(Debug)]
pub(crate) struct TreeWriter {
    root: PathBuf,
    overwrite: bool,
    known: HashSet<PathBuf>,
}

impl TreeWriter {
    /// Writes below `root`, which is made if it is not there, and is empty unless `overwrite`.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(crate) fn new(root: &Path, overwrite: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let mut entries = fs::read_dir(root)
            .with_context(|| format!("{} cannot be read as a directory", root.display()))?;
        if !overwrite && entries.next().is_some() {
            bail!("{} is not empty; --overwrite replaces what is there", root.display());
        }
        Ok(Self { root: root.to_owned(), overwrite, known: HashSet::new() })
    }

    /// Writes one record.
    ///
    /// # Errors
    /// The inner one: this record has no file, the next may. The outer one: no record will.
    pub(crate) fn write(&mut self, entry: &Entry) -> anyhow::Result<Result<(), Problem>> {
        let problem = |outcome, why: &str| Problem::new(outcome, show(&entry.key), why);
        let path = match relative(&entry.key) {
            Ok(path) => path,
            Err(why) => return Ok(Err(problem(Outcome::Refused, why))),
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let written =
            self.directory(parent).and_then(|()| self.file(&self.root.join(path), &entry.value));
        match written {
            Ok(()) => Ok(Ok(())),
            Err(error) if is_collision(&error) => Ok(Err(problem(Outcome::Refused, COLLIDES))),
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                Err(error).with_context(|| format!("cannot write below {}", self.root.display()))
            }
            Err(error) => Ok(Err(problem(Outcome::Failed, &error.to_string()))),
        }
    }

    /// Makes each directory on the way to `path`, which is below the root, from the top.
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let missing = path
            .ancestors()
            .take_while(|part| !part.as_os_str().is_empty() && !self.known.contains(*part));
        // A key of the greatest length has 2048 parts: too many to go down by calls.
        for part in missing.collect::<Vec<_>>().into_iter().rev() {
            self.make(part)?;
        }
        Ok(())
    }

    fn make(&mut self, path: &Path) -> io::Result<()> {
        let full = self.root.join(path);
        match fs::create_dir(&full) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&full)?.is_dir() {
                    return Err(ErrorKind::NotADirectory.into());
                }
            }
            Err(error) => return Err(error),
        }
        if self.known.len() == KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(path.to_owned());
        Ok(())
    }

    fn file(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let create = || OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = match create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.overwrite => {
                fs::remove_file(path)?;
                create()?
            }
            created => created?,
        };
        file.write_all(content)
    }
}

fn is_collision(error: &io::Error) -> bool {
    use ErrorKind::{AlreadyExists, IsADirectory, NotADirectory};
    matches!(error.kind(), AlreadyExists | IsADirectory | NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use kvclient::protocol::limits::KEY_BYTES_MAX;

    use super::*;

    fn entry(key: &str, value: &str) -> Entry {
        Entry { key: key.to_owned().into(), value: value.to_owned().into(), expires_at_ms: None }
    }

    fn refusal(writer: &mut TreeWriter, key: &str) -> String {
        let problem = writer.write(&entry(key, "x")).unwrap().unwrap_err();
        assert_eq!(problem.outcome, Outcome::Refused);
        problem.why
    }

    #[test]
    fn records_become_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("new/out");
        let mut writer = TreeWriter::new(&root, false).unwrap();
        for key in ["a", "b/c/d", "b/c/e", "b/f"] {
            writer.write(&entry(key, key)).unwrap().unwrap();
            assert_eq!(fs::read_to_string(root.join(key)).unwrap(), key);
        }
        writer.write(&entry("nothing", "")).unwrap().unwrap();
        assert_eq!(fs::read(root.join("nothing")).unwrap(), b"");
    }

    /// Each part of a key was a call inside the one before it: a hostile key ended an export by
    /// running out of stack. Whether the file system takes such a path is its own matter.
    #[test]
    fn a_key_of_very_many_parts_needs_no_stack() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let deep = "a/".repeat(KEY_BYTES_MAX / 2 - 1) + "a";
        let write = move || {
            let mut writer = TreeWriter::new(&root, false).unwrap();
            writer.write(&entry(&deep, "x")).unwrap().map_err(|problem| problem.outcome)
        };
        let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(write).unwrap();
        assert!(matches!(thread.join().unwrap(), Ok(()) | Err(Outcome::Failed)));
    }

    #[test]
    fn keys_that_lead_elsewhere_are_refused_and_write_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("out");
        let mut writer = TreeWriter::new(&root, false).unwrap();
        for key in ["../escaped", "a/../../escaped", "/tmp/escaped", "a//b", "a/", "a\0", "."] {
            refusal(&mut writer, key);
        }
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_a_key_and_a_directory_of_its_name_the_first_stays() {
        let dir = tempfile::tempdir().unwrap();
        for keys in [["a", "a/b"], ["a/b", "a"]] {
            let root = dir.path().join(keys[0].replace('/', "-"));
            let mut writer = TreeWriter::new(&root, false).unwrap();
            writer.write(&entry(keys[0], "first")).unwrap().unwrap();
            assert_eq!(refusal(&mut writer, keys[1]), COLLIDES);
            assert_eq!(fs::read_to_string(root.join(keys[0])).unwrap(), "first");
        }
    }

    #[test]
    fn a_root_that_is_not_empty_needs_overwrite() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "old").unwrap();
        let error = TreeWriter::new(dir.path(), false).unwrap_err().to_string();
        assert!(error.contains("not empty") && error.contains("--overwrite"), "{error}");
        let mut writer = TreeWriter::new(dir.path(), true).unwrap();
        writer.write(&entry("a", "new")).unwrap().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "new");
    }

    #[test]
    fn links_below_the_root_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("out"), dir.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "kept").unwrap();
        symlink(&outside, root.join("directory")).unwrap();
        symlink(outside.join("file"), root.join("file")).unwrap();
        let mut writer = TreeWriter::new(&root, true).unwrap();
        assert_eq!(refusal(&mut writer, "directory/new"), COLLIDES);
        writer.write(&entry("file", "written")).unwrap().unwrap();
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "written");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_the_file_system_refuses_fails_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TreeWriter::new(dir.path(), false).unwrap();
        let problem = writer.write(&entry(&"n".repeat(300), "x")).unwrap().unwrap_err();
        assert_eq!(problem.outcome, Outcome::Failed);
        writer.write(&entry("next", "x")).unwrap().unwrap();
    }
}

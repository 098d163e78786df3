//! From a tree to keys.
//!
//! Entries come in order of their names, directory by directory, so two walks of one tree are
//! alike. Symbolic links are never followed, but for the root itself: a walk ends, and stays below
//! the root.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::encoding::show;
use crate::entry::{Outcome, Problem, check_lengths};
use crate::limits::TREE_DEPTH_MAX;

/// Something in a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A file that fits.
    File {
        /// Its key.
        key: Vec<u8>,
        /// Where it is.
        path: PathBuf,
    },
    /// Something that cannot be a record.
    Problem(Problem),
    /// A directory without entries.
    EmptyDirectory,
}

/// Walks a tree.
#[derive(Debug)]
pub(crate) struct Walk {
    root: PathBuf,
    /// Of each directory on the way down: its key with a `/`, and the names left in it, last
    /// first.
    stack: Vec<(Vec<u8>, Vec<OsString>)>,
}

impl Walk {
    /// A walk of the tree at `root`.
    ///
    /// # Errors
    /// If `root` is no directory that can be read.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        let names = names(root)?;
        Ok(Self { root: root.to_owned(), stack: vec![(Vec::new(), names)] })
    }

    fn visit(&mut self, key: Vec<u8>) -> Option<Found> {
        let path = self.root.join(OsString::from_vec(key.clone()));
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return Some(failed(&key, &error)),
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.enter(key, &path);
        }
        if !kind.is_file() {
            let why = if kind.is_symlink() { "a symbolic link" } else { "a special file" };
            return Some(Found::Problem(Problem::new(Outcome::Skipped, show(&key), why)));
        }
        Some(match check_lengths(key.len(), metadata.len()) {
            Ok(()) => Found::File { key, path },
            Err(why) => Found::Problem(Problem::new(Outcome::Refused, show(&key), why)),
        })
    }

    fn enter(&mut self, mut key: Vec<u8>, path: &Path) -> Option<Found> {
        if self.stack.len() == TREE_DEPTH_MAX {
            let why = format!("more than {TREE_DEPTH_MAX} directories deep");
            return Some(Found::Problem(Problem::new(Outcome::Refused, show(&key), why)));
        }
        match names(path) {
            Ok(names) if names.is_empty() => Some(Found::EmptyDirectory),
            Ok(names) => {
                key.push(b'/');
                self.stack.push((key, names));
                None
            }
            Err(error) => Some(failed(&key, &error)),
        }
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let (directory, names) = self.stack.last_mut()?;
            let Some(name) = names.pop() else {
                self.stack.pop();
                continue;
            };
            let key = [directory.as_slice(), name.as_bytes()].concat();
            if let Some(found) = self.visit(key) {
                return Some(found);
            }
        }
    }
}

/// The content of a file; `None` if it has grown past `bytes_max`.
///
/// # Errors
/// The file system's.
pub(crate) fn read_file(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut content)?;
    Ok((content.len() <= bytes_max).then_some(content))
}

fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

fn failed(key: &[u8], error: &io::Error) -> Found {
    Found::Problem(Problem::new(Outcome::Failed, show(key), error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn key(found: &Found) -> String {
        match found {
            Found::File { key, .. } => String::from_utf8(key.clone()).unwrap(),
            Found::Problem(problem) => {
                format!("{} {}: {}", problem.outcome.name(), problem.what, problem.why)
            }
            Found::EmptyDirectory => "(empty)".to_owned(),
        }
    }

    #[test]
    fn a_tree_is_walked_in_order_and_nothing_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("b/deep")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        for name in ["c", "a", "b/deep/2", "b/deep/1", "b.txt"] {
            fs::write(at(name), name).unwrap();
        }
        fs::write(at("large"), vec![0; (1 << 20) + 1]).unwrap();
        symlink("a", at("link")).unwrap();
        symlink("/", at("out")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let seen: Vec<_> = Walk::new(root.path()).unwrap().map(|found| key(&found)).collect();
        let large = "refused large: the value is too large; values have at most 1 MiB \
                     (it has 1048577 bytes)";
        assert_eq!(
            seen,
            [
                "a",
                "b/deep/1",
                "b/deep/2",
                "b.txt",
                "c",
                "(empty)",
                large,
                "skipped link: a symbolic link",
                "skipped out: a symbolic link",
                "skipped socket: a special file",
            ]
        );
    }

    #[test]
    fn names_are_bytes() {
        let root = tempfile::tempdir().unwrap();
        let name = OsString::from_vec(b"\xff \n".to_vec());
        fs::write(root.path().join(&name), "x").unwrap();
        let found = Walk::new(root.path()).unwrap().next().unwrap();
        assert_eq!(
            found,
            Found::File {
                key: name.into_vec(),
                path: root.path().join(OsString::from_vec(b"\xff \n".to_vec()))
            }
        );
    }

    #[test]
    fn a_file_that_grew_is_not_read_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_file(&path, 5).unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(read_file(&path, 4).unwrap(), None);
    }

    #[test]
    fn what_is_no_directory_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(Walk::new(&root.path().join("nothing")).is_err());
    }
}

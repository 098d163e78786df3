//! Directory operations of the real file system. They block.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the file system comes in"
)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::env::ALIGN;

pub(super) fn make_probe(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() >= ALIGN as u64) {
        return Ok(());
    }
    let mut file = File::create(path)?;
    file.write_all(&[0; ALIGN])?;
    file.sync_all()
}

pub(super) fn list(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        // A name that is not UTF-8 is none of ours; the lossy form names it in a refusal.
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

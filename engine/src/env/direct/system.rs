//! Directory operations of the real file system. They block.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the file system comes in"
)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::env::ALIGN;

/// What the probe holds. Not zeros: those may be a hole, which the file system reads without asking
/// the disk, and so would a copy made by a program that saves space.
const PROBE: [u8; ALIGN] = [b'p'; ALIGN];

pub(super) fn make_probe(path: &Path) -> io::Result<()> {
    let mut found = [0; ALIGN];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut found));
    if read.is_ok() && found == PROBE {
        return Ok(());
    }
    let mut file = File::create(path)?;
    file.write_all(&PROBE)?;
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

pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(a, b),
        done => Ok(done?),
    }
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

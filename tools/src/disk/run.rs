//! From a verb to the exit code.

use std::io::{self, BufWriter};

use super::told::Told;
use super::{log, manifest, table, verify};
use crate::cli::DiskVerb;

/// Does what `verb` says; whether nothing is damaged.
///
/// # Errors
/// A sentence for a person: what cannot be read at all.
pub(crate) fn run(verb: &DiskVerb, json: bool) -> anyhow::Result<bool> {
    let mut told = Told::new(BufWriter::new(io::stdout().lock()), json);
    let shown = show(verb, &mut told).and_then(|()| Ok(told.finish()?));
    match shown {
        // Whoever read it has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(true),
        shown => shown,
    }
}

fn show<W: io::Write>(verb: &DiskVerb, told: &mut Told<W>) -> anyhow::Result<()> {
    match verb {
        DiskVerb::Sstable { files, lines } => {
            files.iter().try_for_each(|file| table::show(file, *lines, told))
        }
        DiskVerb::Manifest { path } => manifest::show(path, told),
        DiskVerb::Log { paths, lines } => {
            paths.iter().try_for_each(|path| log::show(path, *lines, told))
        }
        DiskVerb::Verify { dir, quiet } => verify::show(dir, *quiet, told),
    }
}

/// Whether whoever reads the output has closed it.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

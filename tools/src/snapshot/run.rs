//! From a verb to the exit code.

use std::io::{self, BufWriter};

use super::{kept, verify};
use crate::cli::SnapshotVerb;
use crate::disk::{Told, is_broken_pipe};

/// Does what `verb` says, but for a restore; whether nothing is damaged.
///
/// # Errors
/// A sentence for a person.
pub(crate) fn run(verb: &SnapshotVerb, json: bool) -> anyhow::Result<bool> {
    let mut told = Told::new(BufWriter::new(io::stdout().lock()), json);
    let shown = show(verb, &mut told).and_then(|()| Ok(told.finish()?));
    match shown {
        // Whoever read it has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(true),
        shown => shown,
    }
}

fn show<W: io::Write>(verb: &SnapshotVerb, told: &mut Told<W>) -> anyhow::Result<()> {
    match verb {
        SnapshotVerb::Create { name, admin } => kept::create(name, &admin.admin, told),
        SnapshotVerb::List(kept) => kept::list(kept, told),
        SnapshotVerb::Delete { name, kept } => kept::delete(name, kept, told),
        SnapshotVerb::Verify { dir, as_of, vnodes, quiet } => {
            verify::show(dir, *as_of, *vnodes, *quiet, told)
        }
        SnapshotVerb::Restore(_) => Ok(()),
    }
}

//! What goes wrong on purpose: failing operations, and the moment the power goes.

use std::io;

/// A kind of operation, as faults count them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Io {
    /// Reading of a file.
    Read,
    /// Writing of a file.
    Write,
    /// `fdatasync` of a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Reserving space.
    Size,
    /// Opening, making, renaming, linking, removing, listing.
    Name,
}

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fail {
    /// An input/output error. A write may have happened in part; what a sync was to cover is
    /// durable in part, and a later sync does not help it. Nothing else happened.
    Eio,
    /// No space left; nothing happened.
    Enospc,
    /// Part of the bytes of a foreground read or write, as its result says. Background operations
    /// go on until they are whole, as they do in [`crate::env::direct`]. Other operations work.
    Short,
    /// An input/output error of something that happened all the same: of a write some sectors are
    /// on the disk for good, although it was not synced; a sync covered what it was to cover; names
    /// and sizes changed. A read is refused.
    Torn,
    /// A sync that says that it worked and did nothing. No store can stand it: this is for tests
    /// that have to find it out. Other operations work.
    Lost,
}

impl Fail {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Enospc => no_space(),
            _ => io::Error::from_raw_os_error(libc::EIO),
        }
    }

    /// Whether an operation of kind `io` can fail like this.
    #[must_use]
    pub fn strikes(self, io: Io) -> bool {
        match self {
            Self::Eio | Self::Enospc | Self::Torn => true,
            Self::Short => matches!(io, Io::Read | Io::Write),
            Self::Lost => io.is_sync(),
        }
    }
}

impl Io {
    /// Whether it makes something durable.
    #[must_use]
    pub fn is_sync(self) -> bool {
        matches!(self, Self::Sync | Self::SyncDir)
    }
}

pub(super) fn no_space() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}

/// An operation made to fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which kind; `None` for any.
    pub on: Option<Io>,
    /// Only files and directories with this in their path.
    pub path: String,
    /// Which of those operations, from 1.
    pub nth: u64,
    /// Whether those after it fail as well.
    pub sticky: bool,
    /// How it fails.
    pub how: Fail,
}

/// A side of an operation: where the power goes, or somebody looks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum When {
    /// The operation has not taken effect.
    Before,
    /// It has taken effect, and nobody knows of it.
    After,
}

/// Faults with their counts, and the power.
#[derive(Clone, Default, Debug)]
pub(super) struct Faults {
    rules: Vec<(Fault, u64)>,
    cut: Option<Cut>,
    /// Operations so far.
    pub(super) ios: u64,
    /// Syncs of files and directories so far.
    pub(super) syncs: u64,
    /// Nothing completes any more.
    pub(super) dead: bool,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    only_syncs: bool,
    at: u64,
    when: When,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.rules.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The power goes at the `nth` operation (or sync) from the disk's first.
    pub(super) fn cut_at(&mut self, only_syncs: bool, nth: u64, when: When) {
        self.cut = Some(Cut { only_syncs, at: nth, when });
    }

    /// Counts an operation; whether the power goes with it.
    pub(super) fn count(&mut self, io: Io) -> Option<When> {
        self.ios += 1;
        self.syncs += u64::from(io.is_sync());
        let cut = self.cut?;
        let reached = match cut.only_syncs {
            true => io.is_sync() && self.syncs == cut.at,
            false => self.ios == cut.at,
        };
        reached.then_some(cut.when)
    }

    /// Whether any rule needs to know paths.
    pub(super) fn needs_paths(&self) -> bool {
        self.rules.iter().any(|(fault, _)| !fault.path.is_empty())
    }

    /// How the operation on `path` fails, if it does.
    pub(super) fn hit(&mut self, io: Io, path: &str) -> Option<Fail> {
        let mut hit = None;
        for (fault, count) in &mut self.rules {
            if fault.on.is_some_and(|on| on != io) || !path.contains(&fault.path) {
                continue;
            }
            *count += 1;
            let strikes = *count == fault.nth || (fault.sticky && *count > fault.nth);
            if strikes && fault.how.strikes(io) {
                hit = hit.or(Some(fault.how));
            }
        }
        hit
    }
}

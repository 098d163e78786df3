//! What `kvctl snapshot` takes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args as ClapArgs, Subcommand};
use engine::snapshot::{HEAD_FILE, SnapshotName};

use super::units;
use crate::entry::check_lengths;
use crate::limits::{CONCURRENCY_DEFAULT, CONCURRENCY_MAX};

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotVerb {
    /// Have a running node take a snapshot, and wait until it is complete.
    ///
    /// All that was acknowledged before is in it. It lies in `snapshots/NAME` of the node's data
    /// directory.
    Create {
        /// Its name: up to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or a digit.
        #[arg(value_parser = SnapshotName::new)]
        name: SnapshotName,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// List the snapshots of a running node, or with --data-dir those of a directory.
    List(KeptArgs),
    /// Delete a snapshot of a running node, or with --data-dir of one that does not run.
    Delete {
        /// Its name.
        #[arg(value_parser = SnapshotName::new)]
        name: SnapshotName,
        #[command(flatten)]
        kept: KeptArgs,
    },
    /// Check all files of a snapshot, and say what its records are.
    ///
    /// Of each file the checksum that was kept when it was written, every block, and that all
    /// records can be read in order. Exits with 1 if anything is damaged or missing. The root of a
    /// namespace is equal for nodes that have the same writes; its content is equal for equal keys
    /// and values, also where a snapshot was restored.
    Verify {
        /// The snapshot's directory, wherever it lies.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Values past their time then count as gone: Unix milliseconds [default: when the snapshot
        /// was taken].
        #[arg(long, value_name = "MILLISECONDS")]
        as_of: Option<u64>,
        /// Tell the roots of vnodes as well.
        #[arg(long)]
        vnodes: bool,
        /// No progress.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Write the records of a snapshot into the namespace, of any cluster.
    ///
    /// They are new writes, with the time that they had left to live; deleted and expired ones are
    /// left out. A first Ctrl-C waits for the writes under way, a second one gives them up; what is
    /// told then goes on where it ended.
    Restore(RestoreArgs),
}

/// A running node.
#[derive(Debug, ClapArgs)]
pub(crate) struct AdminArgs {
    /// The admin port of the node, kvcore's --admin-listen.
    #[arg(long, value_name = "HOST:PORT", env = "KVCORE_ADMIN", default_value = "127.0.0.1:7402")]
    pub(crate) admin: String,
}

/// Where snapshots are kept.
#[derive(Debug, ClapArgs)]
pub(crate) struct KeptArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// A data directory, as kvcore's --data-dir: no server is asked.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RestoreArgs {
    /// The snapshot's directory, wherever it lies.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The namespace in the snapshot, by its number, as verify tells.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) from: u32,
    /// Write into a namespace that holds records, over those with the same keys.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Go on behind this key: what a restore that ended early tells. Implies --overwrite.
    #[arg(long, value_name = "KEY")]
    pub(crate) after: Option<OsString>,
    /// The key of --after is written in hexadecimal.
    #[arg(long, requires = "after")]
    pub(crate) hex: bool,
    /// Writes under way at once.
    #[arg(long, value_name = "COUNT", default_value_t = CONCURRENCY_DEFAULT as u64,
          value_parser = clap::value_parser!(u64).range(1..=CONCURRENCY_MAX as u64))]
    pub(crate) concurrency: u64,
    /// No progress; what is left out is listed all the same.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl SnapshotVerb {
    /// Whether there is what is to be read.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Verify { dir, .. } => check_dir(dir),
            Self::Restore(args) => {
                check_dir(&args.dir)?;
                args.after_key().map(drop)
            }
            Self::List(KeptArgs { data_dir: Some(dir), .. })
            | Self::Delete { kept: KeptArgs { data_dir: Some(dir), .. }, .. } => {
                if !dir.is_dir() {
                    bail!("{} is no directory", dir.display());
                }
                Ok(())
            }
            Self::Create { .. } | Self::List(_) | Self::Delete { .. } => Ok(()),
        }
    }
}

impl RestoreArgs {
    /// The key to go on behind.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn after_key(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(key) = &self.after else { return Ok(None) };
        let key = units::key(key, self.hex).map_err(anyhow::Error::msg)?;
        check_lengths(key.len(), 0).map_err(anyhow::Error::msg)?;
        Ok(Some(key))
    }
}

/// A directory without its head is incomplete, which is no matter of usage.
fn check_dir(dir: &Path) -> anyhow::Result<()> {
    if !dir.is_dir() {
        bail!("{} is no directory of a snapshot, which has a file {HEAD_FILE}", dir.display());
    }
    Ok(())
}

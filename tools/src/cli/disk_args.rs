//! What `kvctl disk` takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args as ClapArgs, Subcommand};
use engine::commit_log::{aside_id, segment_id};
use engine::manifest;
use engine::sstable::FileId;

#[derive(Debug, Subcommand)]
pub(crate) enum DiskVerb {
    /// Show tables: footer, sections, properties, blocks.
    ///
    /// The name of a file is part of its sums: a copy keeps it. Every byte that is shown was
    /// checked; what is damaged is named, and makes the exit code 1. JSON is one object a line.
    Sstable {
        /// Tables, `<16 hexadecimal digits>.sst`.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        lines: Lines,
    },
    /// Show a shard's manifest: its frames, and the tables they add up to.
    ///
    /// JSON is one object a manifest.
    Manifest {
        /// A data directory, a shard's directory in it, or its MANIFEST.
        #[arg(value_name = "DIR|FILE")]
        path: PathBuf,
    },
    /// Show segments of a commit log: their batches, and where a scan of each ends and why.
    ///
    /// Of a directory also what a start would replay, or why it would not start. Pieces that are no
    /// batch are torn or damaged, or foreign: zeros, and what a segment held before it was used
    /// again. JSON is one object a line.
    Log {
        /// Segments, shards' directories, or a data directory.
        #[arg(required = true, value_name = "DIR|FILE")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        lines: Lines,
    },
    /// Check all files of a data directory: every block of every table, every batch that is needed.
    ///
    /// Exits with 0 if all is sound, and with 1 if anything is damaged: each finding names file and
    /// byte. Files that nothing names are listed; a start removes those that are kvcore's.
    Verify {
        /// A data directory, as kvcore's --data-dir.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// No progress.
        #[arg(short, long)]
        quiet: bool,
    },
}

/// How much is shown.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct Lines {
    /// Show the records as well.
    #[arg(long)]
    pub(crate) records: bool,
    /// Of each file no more than this many blocks or batches; with --records, than records.
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
}

impl DiskVerb {
    /// Whether there is what is to be read.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Sstable { files, .. } => {
                for file in files {
                    if FileId::from_file_name(name(file)).is_none() {
                        let file = file.display();
                        bail!("{file} is not named as a table is: 16 hexadecimal digits and .sst");
                    }
                    is_directory(file)?;
                }
            }
            Self::Manifest { path } => {
                if !is_directory(path)? && name(path) != manifest::NAME {
                    let name = manifest::NAME;
                    bail!("{} is neither a directory nor named {name}", path.display());
                }
            }
            Self::Log { paths, .. } => {
                for path in paths {
                    let is_segment = segment_id(name(path)).or(aside_id(name(path))).is_some();
                    if !is_directory(path)? && !is_segment {
                        let path = path.display();
                        bail!(
                            "{path} is not named as a segment is: 16 hexadecimal digits and .log"
                        );
                    }
                }
            }
            Self::Verify { dir, .. } => {
                if !is_directory(dir)? {
                    bail!("{} is no directory", dir.display());
                }
            }
        }
        Ok(())
    }
}

fn is_directory(path: &Path) -> anyhow::Result<bool> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(metadata.is_dir())
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

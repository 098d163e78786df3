//! What the command line takes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use kvclient::Consistency;

use super::disk_args::DiskVerb;
use super::snapshot_args::{AdminArgs, SnapshotVerb};
use super::units;
use crate::limits::{CONCURRENCY_DEFAULT, CONCURRENCY_MAX};

/// Reads, writes and moves the records of a kvcore cluster; reads the files of a broken node.
///
/// Keys and values are bytes. Exit codes: 0 done and nothing left out; 1 no value, something
/// refused, skipped, failed or damaged, or no server; 2 usage.
#[derive(Debug, Parser)]
#[command(name = "kvctl", version, max_term_width = 100)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CommonArgs {
    /// Servers to find the cluster by.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT,..",
        env = "KVCORE_SEEDS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    pub(super) seeds: Vec<String>,
    /// The namespace of the keys.
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub(super) namespace: String,
    /// Replicas that must answer: a number, or ONE, QUORUM, ALL, LOCAL_QUORUM and so on [default:
    /// the namespace's].
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) consistency: Option<Consistency>,
    /// Time for each operation, retries included.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s",
          value_parser = units::duration)]
    pub(super) deadline: Duration,
    /// What is written to stdout; json is one object, or one a key.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Write a key's value to stdout, byte for byte, nothing added.
    Get {
        /// The key.
        key: OsString,
        /// The key is written in hexadecimal.
        #[arg(long)]
        hex: bool,
    },
    /// Write a key's value: VALUE, a file's content, or what comes on stdin.
    Put {
        /// The key.
        key: OsString,
        /// The value [default: what comes on stdin].
        value: Option<OsString>,
        /// The value is the content of this file.
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
        /// The key is written in hexadecimal.
        #[arg(long)]
        hex: bool,
        /// The value is gone after this time [default: never].
        #[arg(long, value_name = "TIME", value_parser = units::duration)]
        ttl: Option<Duration>,
    },
    /// Delete keys, whether they have values or not.
    Del(KeysArgs),
    /// Say of each key whether it has a value; exits with 1 unless all have.
    Exists(KeysArgs),
    /// Write many records: the files of a tree, or the lines of a file.
    ///
    /// A tree: the key is the path below it, parts joined by /, the value is the content. Files
    /// larger than a value may be are refused; symbolic links and special files are skipped; both
    /// are listed, none is left out in silence. Empty directories have no key, and so are not
    /// kept; nor are modes, owners and times.
    ///
    /// TSV: key, tab, value; in both, tab, newline, carriage return and backslash are \t \n \r \\
    /// and other control bytes \xNN.
    ///
    /// JSON Lines: {"key":"a","value":"b"}; bytes that are no UTF-8 as "key_base64" and
    /// "value_base64"; optionally "expires_at_ms".
    ///
    /// Values are written over whatever is there, also over what others write meanwhile; of two
    /// records with one key the later one stays. A first Ctrl-C waits for the writes under way, a
    /// second one gives them up.
    Import(ImportArgs),
    /// Read all records of the namespace into a tree or a file, the reverse of import.
    ///
    /// A tree: keys that are no sound path below it (absolute, with a part . or .., empty parts, or
    /// NUL) are refused and listed, as is the second of two keys one of which is a directory of the
    /// other. Nothing is written outside the tree. TSV does not keep when a record expires; JSON
    /// Lines does.
    Export(ExportArgs),
    /// Read the files of a data directory, without a server: what is in them, what is damaged.
    ///
    /// Nothing is ever written. A directory that a running server uses is refused, but for its
    /// tables, which never change.
    Disk {
        /// What to read.
        #[command(subcommand)]
        verb: DiskVerb,
    },
    /// Have a running node write all its tables anew, and wait for it.
    ///
    /// What is dead gives its space back, and deletes that every copy knows of are forgotten. The
    /// node goes on serving. A Ctrl-C ends the waiting, not the compaction.
    Compact(CompactArgs),
    /// Take, list, verify, restore and delete snapshots of a node.
    ///
    /// A snapshot is made of further names of the node's files: it costs no copy, and keeps the
    /// space of what the node has dropped since. Copy its directory elsewhere to have a backup; it
    /// is verified and restored wherever it lies, if its files keep their names.
    Snapshot {
        /// What to do.
        #[command(subcommand)]
        verb: SnapshotVerb,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Only begin it.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// No progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct KeysArgs {
    /// The keys.
    #[arg(required = true)]
    pub(super) keys: Vec<OsString>,
    /// The keys are written in hexadecimal.
    #[arg(long)]
    pub(super) hex: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Records are gone after this time, where they do not name their own [default: never].
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) ttl: Option<Duration>,
    /// Writes under way at once.
    #[arg(long, value_name = "COUNT", default_value_t = CONCURRENCY_DEFAULT as u64,
          value_parser = clap::value_parser!(u64).range(1..=CONCURRENCY_MAX as u64))]
    pub(super) concurrency: u64,
    /// No progress; what is left out is listed all the same.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Replace what is there: without it a tree must be empty, and a file not exist.
    #[arg(long)]
    pub(super) overwrite: bool,
    /// No progress; what is left out is listed all the same.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Where records come from, or go.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(super) struct Place {
    /// A directory tree.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// A file of tab-separated values; - for stdin or stdout.
    #[arg(long, value_name = "FILE")]
    pub(super) tsv: Option<PathBuf>,
    /// A file of JSON Lines; - for stdin or stdout.
    #[arg(long, value_name = "FILE")]
    pub(super) jsonl: Option<PathBuf>,
}

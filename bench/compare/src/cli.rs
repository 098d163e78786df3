//! What is asked for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engines::EngineKind;
use crate::scenario::Scenario;

/// kvcore's engine beside others
#[derive(Parser, Debug)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Measure the engines in turns
    Engine(EngineOptions),
    /// What kvcore's operations cost as its data grows and its memory does not
    Growth(GrowthOptions),
    /// kvcore's reads from the disk beside fio's, in turns
    Miss(MissOptions),
    /// One scenario on one engine, in this process: what `engine` starts
    #[command(hide = true)]
    Child(ChildOptions),
}

/// What the summary is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For people: markdown
    Table,
    /// For programs
    Json,
}

/// Flags that all measurements have.
#[derive(Args, Debug)]
pub(crate) struct CommonOptions {
    /// The CPU that everything measured runs on [default: the last one]
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// Where the data is put, and removed again; not on a tmpfs
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// What the summary is written as
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// Flags of `engine`.
#[derive(Args, Debug)]
pub(crate) struct EngineOptions {
    /// Less data, a few minutes in all
    #[arg(long)]
    pub(crate) quick: bool,
    /// Which scenarios; those whose data they need are run as well
    #[arg(long, value_delimiter = ',', value_name = "SCENARIO")]
    pub(crate) only: Vec<Scenario>,
    /// Which engines
    #[arg(long, value_delimiter = ',', value_name = "ENGINE")]
    pub(crate) engines: Vec<EngineKind>,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Flags of `growth`.
#[derive(Args, Debug)]
pub(crate) struct GrowthOptions {
    /// GiB of data, in values of 1 KiB
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    pub(crate) gib: Vec<u32>,
    /// MiB of memory, half of it for what was written last
    #[arg(long, default_value_t = 256)]
    pub(crate) memory_mib: u32,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Flags of `miss`.
#[derive(Args, Debug)]
pub(crate) struct MissOptions {
    /// How often both are measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Flags of `child`.
#[derive(Args, Debug)]
pub(crate) struct ChildOptions {
    #[arg(long)]
    pub(crate) engine: EngineKind,
    #[arg(long)]
    pub(crate) scenario: Scenario,
    #[arg(long)]
    pub(crate) quick: bool,
    #[arg(long)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) cpu: usize,
    /// Other than the scenario's
    #[arg(long)]
    pub(crate) keys: Option<u64>,
    /// Other than the scenario's, in MiB; half of it for what was written last
    #[arg(long)]
    pub(crate) memory_mib: Option<u32>,
    /// The engine's directory, which is there
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

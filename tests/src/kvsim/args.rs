//! What the command line takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use cluster::mutation::Mutation;

use crate::duration;
use crate::sim::Class;

/// Simulates a cluster of kvcore: the distributed code that servers run, over simulated disks,
/// networks, clocks and clients in which everything goes wrong that may, and holds what clients saw
/// against what is promised.
///
/// All chance comes from a seed: the same seed gives the same run, on every machine.
///
/// Exit codes: 0 done and nothing was wrong; 1 a promise was broken, or something failed; 2 usage.
#[derive(Debug, Parser)]
#[command(name = "kvsim", version, max_term_width = 100)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run one seed or many, and tell what clients saw that they must not.
    Run(RunArgs),
    /// Run seed after seed until the time is over, and add a row to the ledger.
    ///
    /// What failed is written to a file, with the line that runs it again.
    Soak(SoakArgs),
    /// Cut a run that fails down to what it takes to fail in the same way: fewer and shorter
    /// faults, fewer clients and keys, a shorter run.
    ///
    /// The result is a scenario, which `run --scenario` takes.
    Shrink(ShrinkArgs),
    /// List the mistakes that can be switched on with --mutation.
    Mutations(MutationsArgs),
    /// Judge a history that `run --history` wrote, or another program.
    Check(CheckArgs),
    /// Measure what clusters of many nodes cost: crashes, gossip, changes of the topology, a node
    /// that joins.
    ///
    /// A page of tables is written, and its figures beside it.
    Scale(ScaleArgs),
}

/// What a run is made of.
#[derive(Debug, ClapArgs)]
pub(super) struct RecipeArgs {
    /// Nodes.
    #[arg(long, value_name = "COUNT", default_value_t = crate::scenario::DEFAULT_NODES,
          value_parser = nodes)]
    pub(super) nodes: usize,
    /// How long clients work while things go wrong, in hours of the simulation.
    #[arg(long, value_name = "HOURS", conflicts_with = "seconds", value_parser = hours)]
    pub(super) hours: Option<Duration>,
    /// The same in seconds [default: 600].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=2_592_000))]
    pub(super) seconds: Option<u64>,
    /// What goes wrong: all, none, or some of crash, pause, cut, clog, slow, clock, disk, stranger,
    /// forge, topology. With all, each seed leaves out some [default: all].
    #[arg(long, value_name = "KIND,..", value_parser = faults)]
    pub(super) faults: Option<Faults>,
    /// Copies of each key, in the first data centre if there are several [default: drawn].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(super) copies: Option<u8>,
    /// Data centres, at most as many as nodes [default: drawn].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(super) data_centres: Option<u8>,
    /// Switch on a mistake of `kvsim mutations`; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = mutation)]
    pub(super) mutation: Vec<Mutation>,
    /// Run what a file says; what it leaves open is drawn from the seed.
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["nodes", "hours", "seconds", "faults", "copies", "data_centres"])]
    pub(super) scenario: Option<PathBuf>,
}

/// What `run` takes.
#[derive(Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// What is run.
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
    /// What all chance is drawn from [default: that of the scenario, or 1].
    #[arg(long, value_name = "NUMBER", value_parser = seed())]
    pub(super) seed: Option<u64>,
    /// Run all seeds from A up to B, without B.
    #[arg(long, value_name = "A..B", conflicts_with_all = ["seed", "count"], value_parser = seeds)]
    pub(super) seeds: Option<Seeds>,
    /// Run so many seeds, from --seed on.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(super) count: Option<u64>,
    /// Threads [default: one for each CPU].
    #[arg(long, value_name = "COUNT", value_parser = threads)]
    pub(super) threads: Option<usize>,
    /// Write what clients did and saw to a file, one JSON object a line, for `check`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "count"])]
    pub(super) history: Option<PathBuf>,
    /// What the report is written as.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// What `soak` takes.
#[derive(Debug, ClapArgs)]
pub(super) struct SoakArgs {
    /// What is run.
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
    /// For how long.
    #[arg(long = "for", value_name = "TIME", default_value = "10m",
          value_parser = duration::parse)]
    pub(super) time: Duration,
    /// The first seed; the others follow it [default: drawn].
    #[arg(long, value_name = "NUMBER", value_parser = seed())]
    pub(super) seed: Option<u64>,
    /// Threads [default: one for each CPU].
    #[arg(long, value_name = "COUNT", value_parser = threads)]
    pub(super) threads: Option<usize>,
    /// The ledger that gets a row.
    #[arg(long, value_name = "FILE", default_value = "tests/LEDGER.md")]
    pub(super) ledger: PathBuf,
    /// Where failures are written.
    #[arg(long, value_name = "FILE", default_value = "kvsim-failures.txt")]
    pub(super) failures: PathBuf,
    /// The date of the row [default: today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(super) date: Option<String>,
    /// The commit of the row [default: that of the directory it is run in].
    #[arg(long, value_name = "ID")]
    pub(super) commit: Option<String>,
}

/// What `shrink` takes.
#[derive(Debug, ClapArgs)]
pub(super) struct ShrinkArgs {
    /// What is run.
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
    /// The seed that fails [default: that of the scenario, or 1].
    #[arg(long, value_name = "NUMBER", value_parser = seed())]
    pub(super) seed: Option<u64>,
    /// Runs at most.
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub(super) runs: u64,
    /// Where the scenario is written [default: to stdout].
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

/// What `mutations` takes.
#[derive(Debug, ClapArgs)]
pub(super) struct MutationsArgs {
    /// Run each until it is found, and tell what found it and how fast.
    #[arg(long)]
    pub(super) check: bool,
    /// Of these alone.
    #[arg(long, value_name = "NAME", value_parser = mutation)]
    pub(super) mutation: Vec<Mutation>,
    /// Seeds of each at most.
    #[arg(long, value_name = "COUNT", default_value_t = 300, requires = "check")]
    pub(super) seeds: u64,
    /// Threads [default: one for each CPU].
    #[arg(long, value_name = "COUNT", value_parser = threads)]
    pub(super) threads: Option<usize>,
    /// What the list is written as.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// What `check` takes.
#[derive(Debug, ClapArgs)]
pub(super) struct CheckArgs {
    /// The history: one JSON object a line.
    pub(super) file: PathBuf,
    /// How far clocks may have been apart.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(super) skew: Duration,
    /// Siblings that a key may have.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(super) siblings: usize,
    /// Entries that a context may have.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(super) entries: u16,
    /// What the findings are written as.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// What `scale` takes.
#[derive(Debug, ClapArgs)]
pub(super) struct ScaleArgs {
    /// The most nodes.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = nodes_of_scale)]
    pub(super) nodes: usize,
    /// The most nodes of gossip alone; 3,000 take 1 GB, 10,000 ten.
    #[arg(long, value_name = "COUNT", default_value_t = 3_000, value_parser = nodes_of_scale)]
    pub(super) gossip_nodes: usize,
    /// Measure less, in seconds.
    #[arg(long)]
    pub(super) quick: bool,
    /// What all chance comes from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = seed())]
    pub(super) seed: u64,
    /// The directory that the page is written to.
    #[arg(long, value_name = "DIRECTORY", default_value = "docs")]
    pub(super) out: PathBuf,
}

/// What a report is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Kinds of faults; all but those that a seed leaves out if `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Faults(pub(super) Option<Vec<Class>>);

/// Seeds from the first up to the last, without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seeds(pub(super) u64, pub(super) u64);

/// Above what a scenario file can name.
const SEEDS_MAX: u64 = i64::MAX as u64;

fn nodes_of_scale(text: &str) -> Result<usize, String> {
    let nodes = text.parse().ok().filter(|nodes| (10..=10_000).contains(nodes));
    nodes.ok_or_else(|| "10 to 10000 nodes".to_owned())
}

fn seed() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=SEEDS_MAX)
}

fn seeds(text: &str) -> Result<Seeds, String> {
    let wrong = || format!("\"{text}\" is no range of seeds, such as 1..100");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse().ok().filter(|&it| it <= SEEDS_MAX).ok_or_else(wrong);
    let (from, to) = (number(from)?, number(to)?);
    if from < to { Ok(Seeds(from, to)) } else { Err(format!("\"{text}\" has no seeds")) }
}

fn nodes(text: &str) -> Result<usize, String> {
    let most = crate::limits::SCENARIO_NODES_MAX;
    let count = text.parse().ok().filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| format!("a run has 1 to {most} nodes, not {text}"))
}

fn hours(text: &str) -> Result<Duration, String> {
    let hours = text.parse::<f64>().ok().filter(|hours| (0.001..=720.0).contains(hours));
    let hours = hours.ok_or_else(|| format!("a run has 0.001 to 720 hours, not {text}"))?;
    Ok(Duration::from_secs((hours * 3600.0).round() as u64))
}

fn threads(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1024).contains(count));
    count.ok_or_else(|| format!("there may be 1 to 1024 threads, not {text}"))
}

fn faults(text: &str) -> Result<Faults, String> {
    match text {
        "all" => Ok(Faults(None)),
        "none" => Ok(Faults(Some(Vec::new()))),
        list => {
            let classes: Result<Vec<Class>, String> = list.split(',').map(str::parse).collect();
            classes.map(|classes| Faults(Some(classes)))
        }
    }
}

fn mutation(name: &str) -> Result<Mutation, String> {
    let unknown = || format!("\"{name}\" is no mutation: `kvsim mutations` lists them");
    Mutation::named(name).ok_or_else(unknown)
}

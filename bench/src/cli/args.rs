//! What the command line takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use kvclient::protocol::Consistency;

use super::units;
use crate::compare::CompareArgs;
use crate::distribution::Shape;
use crate::runner::Target;
use crate::workload::{Mix, ValueBytes};

/// Loads a kvcore server and measures how it holds up.
///
/// Latency is shown twice: `service` from the send, `response` from the intended start, which with
/// --rate counts the time an operation waited for its turn (no coordinated omission).
///
/// With --ledger a run keeps an account of what the server acknowledged, and `verify` holds the
/// server against it: after kill -9, a restart, a restore.
///
/// Exit codes: 0 done; 1 a request failed, a value did not verify, a write was lost, or no server;
/// 2 usage; 3 LOADGEN SATURATED, the generator fell behind and the figures are its own.
#[derive(Debug, Parser)]
#[command(name = "kvbench", version, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write every key once: key numbers 0 to --keys, in order.
    ///
    /// A write that the server refuses for now is sent again; what is refused for good is an
    /// error.
    Load(LoadArgs),
    /// Run a mix of reads and writes for a while and measure it.
    ///
    /// Without --rate the loop is closed: --connections x --pipeline requests are in flight, and
    /// the next one starts when one ends. With --rate operations start by the clock, whatever the
    /// server does.
    Run(RunArgs),
    /// Read every key of a ledger and check that the server lost nothing that it acknowledged.
    ///
    /// A key is right if it holds one of the writes that may be its last one; absent only where
    /// nothing was acknowledged. `lost` is older or absent, `foreign` was never written so,
    /// `unreadable` could not be read. Exits with 0 if all are right, and then the ledger holds
    /// what was read: a value that was seen must not go back. Nobody else may write meanwhile.
    Verify(VerifyArgs),
    /// Measure kvcore against the echo example, which is the limit of its data path, on one core
    /// each and in turns, and hold the figures against their targets.
    ///
    /// Starts and stops both servers itself. Exits with 1 if a target was missed.
    Compare(CompareArgs),
}

/// What `load` takes.
#[derive(Debug, ClapArgs)]
pub struct LoadArgs {
    /// Connections and output.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Stop after this time, loaded or not [default: when all is loaded].
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub duration: Option<Duration>,
}

/// What `run` takes.
#[derive(Debug, ClapArgs)]
pub struct RunArgs {
    /// Connections and output.
    #[command(flatten)]
    pub common: CommonArgs,
    /// YCSB's core workload: a = 50:50, b = 95:5, c = reads only, f = half reads, half
    /// read-modify-writes.
    #[arg(long, value_name = "a|b|c|f", default_value = "b", value_parser = workload)]
    pub workload: Mix,
    /// Reads and writes as get:put, such as 80:20, instead of --workload.
    #[arg(long, value_name = "GET:PUT", conflicts_with = "workload",
          value_parser = Mix::from_ratio)]
    pub ratio: Option<Mix>,
    /// Which keys: zipf is YCSB's, with theta 0.99 and hot keys scattered over the key space.
    #[arg(long, value_enum, default_value_t = Shape::Zipf)]
    pub distribution: Shape,
    /// How long to measure [default: 10s, or until --ops are done].
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub duration: Option<Duration>,
    /// Stop after this many operations, warm-up included.
    #[arg(long, value_name = "COUNT", value_parser = units::count)]
    pub ops: Option<u64>,
    /// How long to run before measuring.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    pub warmup: Duration,
    /// Further connections that only write, one request in flight each, beside the others: what a
    /// commit takes while reads keep the server busy.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub writers: usize,
    /// Check that each value read is one that kvbench wrote to that key.
    #[arg(long)]
    pub verify: bool,
}

/// What `verify` takes.
#[derive(Debug, ClapArgs)]
pub struct VerifyArgs {
    /// Connections and output.
    #[command(flatten)]
    pub server: ServerArgs,
    /// The ledger that the runs before kept.
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
}

/// What all verbs that speak to one server take.
#[derive(Debug, ClapArgs)]
pub struct ServerArgs {
    /// Where the server is; the first address that answers is used.
    #[arg(
        long,
        value_name = "HOST:PORT,..",
        env = "KVCORE_SEEDS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    pub seeds: Vec<String>,
    /// The namespace of the keys.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// Replicas that must answer: a number, or ONE, QUORUM, ALL, LOCAL_QUORUM and so on [default:
    /// the namespace's].
    #[arg(long, value_name = "LEVEL")]
    pub consistency: Option<Consistency>,
    /// Connections.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub pipeline: usize,
    /// How long to wait for the last replies; also the deadline that servers see.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub timeout: Duration,
    /// What the report is written as.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// No progress.
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `load` and `run` take.
#[derive(Debug, ClapArgs)]
pub struct CommonArgs {
    /// Connections and output.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What is on the other end: a kvcore server, or the echo example, which has no store.
    #[arg(long, value_enum, default_value_t = Target::Kv)]
    pub target: Target,
    /// How many keys there are.
    #[arg(long, value_name = "COUNT", default_value = "100k", value_parser = units::count)]
    pub keys: u64,
    /// Bytes of a value, or a range of sizes, such as 64..1KiB.
    #[arg(long, value_name = "BYTES", default_value = "100", value_parser = units::value_bytes)]
    pub value: ValueBytes,
    /// Time to live of what is written [default: for ever].
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub ttl: Option<Duration>,
    /// Keep an account in this file of what each key may hold, for `verify`. Runs with the same
    /// file add up, whatever happened to the server between them; nobody else may write to the
    /// keys.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Operations a second over all connections, started by the clock (open loop) [default: as
    /// fast as replies come].
    #[arg(long, value_name = "COUNT", value_parser = units::count)]
    pub rate: Option<u64>,
    /// Generator threads [default: one for each of --cores, or 1].
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<usize>,
    /// CPUs to pin the threads to, such as 1 or 0,2-5.
    #[arg(long, value_name = "CPUS", value_parser = cores)]
    pub cores: Option<Cores>,
    /// Spread requests over all connections, instead of sending each to the shard that owns its
    /// key.
    #[arg(long)]
    pub no_route: bool,
    /// The same seed draws the same operations and keys.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Process of the server, on this machine, whose CPU time is reported for each request.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
}

/// A list of CPUs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cores(pub Vec<usize>);

/// What the report is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn cores(text: &str) -> anyhow::Result<Cores> {
    units::cores(text).map(Cores)
}

fn workload(text: &str) -> anyhow::Result<Mix> {
    let letter = text.chars().next().filter(|_| text.len() == 1);
    letter.and_then(Mix::ycsb).ok_or_else(|| {
        anyhow::anyhow!("\"{text}\" is none of YCSB's workloads a, b, c and f that are here")
    })
}

//! The verb: flags in, table out.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;

use super::measure::{Bench, Round};
use super::scenario::Scenario;
use super::servers::{Server, beside};
use super::summary::{Line, Summary};
use crate::cli::{Output, duration};
use crate::report::{Environment, count, micros};

/// What `compare` takes.
#[derive(Debug, ClapArgs)]
pub struct CompareArgs {
    /// The server [default: kvcore beside this program].
    #[arg(long, value_name = "PROGRAM")]
    kvcore: Option<PathBuf>,
    /// The echo example [default: examples/echo beside this program].
    #[arg(long, value_name = "PROGRAM")]
    echo: Option<PathBuf>,
    /// CPU of the servers; one of them works at a time.
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_core: usize,
    /// CPU of the load.
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    client_core: usize,
    /// Rounds of each scenario.
    #[arg(long, value_name = "COUNT", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: u64,
    /// How long each measurement takes, after one second of warm-up.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    duration: Duration,
    /// Which scenarios [default: all].
    #[arg(long, value_name = "NAME,..", value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Where the server's data is put, and removed again; not on a tmpfs.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// What the summary is written as; a table is markdown.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Starts both servers, measures all scenarios in turns, and writes the summary; whether every
/// target was met.
///
/// # Errors
/// A sentence for a person: a server that does not start, requests that fail.
pub fn compare(args: &CompareArgs, stop: &AtomicBool) -> anyhow::Result<bool> {
    if args.server_core == args.client_core {
        bail!("the servers and the load need a CPU each, not both CPU {}", args.server_core);
    }
    if args.duration.is_zero() {
        bail!("--duration is a time to measure for");
    }
    let dir = tempfile::Builder::new()
        .prefix("kvbench-compare-")
        .tempdir_in(&args.dir)
        .with_context(|| format!("cannot make a directory in {}", args.dir.display()))?;
    let or_beside = |given: &Option<PathBuf>, name| given.clone().map_or_else(|| beside(name), Ok);
    let echo =
        Server::echo(&or_beside(&args.echo, "examples/echo")?, args.server_core, dir.path())?;
    let kvcore = Server::kvcore(&or_beside(&args.kvcore, "kvcore")?, args.server_core, dir.path())?;
    let bench = Bench {
        echo: &echo,
        kvcore: &kvcore,
        client_core: args.client_core,
        rounds: args.rounds as usize,
        duration: args.duration,
        stop,
    };
    let chosen = |scenario: &Scenario| args.only.is_empty() || args.only.contains(scenario);
    let mut scenarios = Vec::new();
    for scenario in Scenario::ALL.into_iter().filter(chosen) {
        eprintln!("{}", scenario.title());
        let rounds = bench
            .measure(scenario, |number, round| eprintln!("  {number}: {}", told(round)))
            .with_context(|| scenario.name())?;
        scenarios.push(Line::new(scenario, rounds));
    }
    let summary = Summary {
        environment: Environment::here(),
        server_core: args.server_core,
        client_core: args.client_core,
        seconds_per_round: args.duration.as_secs_f64(),
        scenarios,
    };
    let text = match args.output {
        Output::Table => summary.markdown(),
        Output::Json => serde_json::to_string_pretty(&summary)? + "\n",
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write the summary")?;
    Ok(summary.scenarios.iter().all(|scenario| scenario.met))
}

/// A round, while it goes on.
fn told(round: &Round) -> String {
    let one = |measured: &super::measure::Measured| {
        format!(
            "{}/s, p99 {}, {:.2}",
            count(measured.ops_per_sec.round() as u64),
            micros(measured.p99_us),
            measured.value
        )
    };
    match &round.against {
        Some(against) => format!("{}  against  {}", one(&round.kvcore), one(against)),
        None => one(&round.kvcore),
    }
}

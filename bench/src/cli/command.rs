//! From the command line to a run, and from a run to the report and the exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::{Args, CommonArgs, LoadArgs, Output, RunArgs, ServerArgs, Verb, VerifyArgs};
use crate::compare::compare;
use crate::distribution::Shape;
use crate::generator::LaneSpec;
use crate::ledger::LedgerFile;
use crate::limits::{
    CONNECTIONS_MAX, IN_FLIGHT_MAX, KEYS_MAX, PIPELINE_MAX, RATE_MAX, THREADS_MAX,
};
use crate::progress::{Goal, Progress};
use crate::report::{Environment, Report, table};
use crate::runner::{self, Outcome, RunSpec, Target};
use crate::verify::{self, VerifySpec};
use crate::wire::Terms;
use crate::workload::{HEADER_BYTES, Mix};

const DEFAULT_DURATION: Duration = Duration::from_secs(10);

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const SATURATED: u8 = 3;

/// Runs kvbench with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let code = match &Args::parse().verb {
        Verb::Load(load) => run(load_spec(load), &load.common),
        Verb::Run(args) => run(run_spec(args), &args.common),
        Verb::Verify(args) => match check_reading(&args.server) {
            Err(error) => fail(USAGE, &error),
            Ok(()) => verify(args).unwrap_or_else(|error| fail(FAILED, &error)),
        },
        Verb::Compare(args) => match stop_flag().and_then(|stop| compare(args, &stop)) {
            Ok(true) => 0,
            Ok(false) => FAILED,
            Err(error) => fail(FAILED, &error),
        },
    };
    ExitCode::from(code)
}

fn run(spec: anyhow::Result<RunSpec>, common: &CommonArgs) -> u8 {
    match spec {
        Err(error) => fail(USAGE, &error),
        Ok(spec) => execute(spec, common).unwrap_or_else(|error| fail(FAILED, &error)),
    }
}

fn fail(code: u8, error: &anyhow::Error) -> u8 {
    eprintln!("kvbench: {error:#}");
    code
}

/// Runs `spec` and writes its report.
fn execute(mut spec: RunSpec, common: &CommonArgs) -> anyhow::Result<u8> {
    let stop = stop_flag()?;
    let path = common.ledger.as_ref();
    let mut ledger = path.map(|path| LedgerFile::open_or_new(path, &spec.namespace)).transpose()?;
    spec.ledger = ledger.as_ref().map(|file| file.ledger().highest());
    let goal = match (spec.duration, spec.lanes[0].operations) {
        (None, Some(operations)) => Goal::Operations(operations),
        (duration, _) => Goal::Time(spec.warmup + duration.unwrap_or_default()),
    };
    let progress = Progress::new(goal, common.server.quiet);
    let begin = || ledger.as_ref().map_or(Ok(()), LedgerFile::begin);
    let outcome = runner::run(&spec, &stop, begin, |second| progress.second(goal, second));
    progress.finish();
    let mut outcome = outcome?;
    let report = Report::new(&spec, &outcome, Environment::here());
    if let (Some(file), Some(account)) = (&mut ledger, outcome.account.take()) {
        if account.is_full() {
            eprintln!("too many unknown outcomes for the ledger: the run ended early");
        }
        file.end(account)?;
    }
    match common.server.output {
        Output::Table => write(&table(&report))?,
        Output::Json => write(&(serde_json::to_string_pretty(&report)? + "\n"))?,
    }
    Ok(verdict(&spec, &outcome))
}

fn write(report: &str) -> anyhow::Result<()> {
    io::stdout().write_all(report.as_bytes()).context("cannot write the report")
}

/// Holds the server against a ledger and writes what was found.
fn verify(args: &VerifyArgs) -> anyhow::Result<u8> {
    let ServerArgs { seeds, namespace, connections, pipeline, .. } = &args.server;
    let stop = stop_flag()?;
    let mut file = LedgerFile::open(&args.ledger, namespace)?;
    let spec = VerifySpec {
        seeds: seeds.clone(),
        namespace: namespace.clone(),
        terms: terms(&args.server, None)?,
        connections: *connections,
        pipeline: *pipeline,
        patience: args.server.timeout,
    };
    let goal = Goal::Operations(file.ledger().len() as u64);
    let progress = Progress::new(goal, args.server.quiet);
    let verified = verify::verify(&spec, file.ledger(), &stop, |at, findings| {
        progress.show(at, findings.read(), &findings.to_string());
    });
    progress.finish();
    let (findings, narrowed) = verified?;
    if findings.is_clean() {
        file.replace(narrowed)?;
    }
    match args.server.output {
        Output::Table => write(&verify::table(&findings))?,
        Output::Json => write(&(serde_json::to_string_pretty(&findings)? + "\n"))?,
    }
    Ok(if findings.is_clean() { 0 } else { FAILED })
}

/// Set by the first Ctrl-C; the second one ends the process at once.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// What the exit code says of a run.
fn verdict(spec: &RunSpec, outcome: &Outcome) -> u8 {
    if let Some(why) = outcome.saturated() {
        eprintln!("LOADGEN SATURATED: {why}");
        return SATURATED;
    }
    let tally = &outcome.tally;
    if outcome.open_loop && tally.unsent > tally.offered() / 100 {
        eprintln!(
            "the server kept up with {:.1} % of the rate; the rest waited for one of {} requests \
             in flight",
            100.0 * tally.sent as f64 / tally.offered() as f64,
            spec.lanes.iter().map(|lane| lane.connections * lane.pipeline).sum::<usize>(),
        );
    }
    if tally.mismatches > 0 {
        eprintln!("{} values did not verify", tally.mismatches);
    }
    let failed = tally.errors_total() > 0 || tally.mismatches > 0 || tally.completed == 0;
    if failed { FAILED } else { 0 }
}

fn load_spec(args: &LoadArgs) -> anyhow::Result<RunSpec> {
    let lane = LaneSpec {
        mix: Mix::PUTS,
        shape: Shape::Sequential,
        operations: Some(args.common.keys),
        retry: true,
        ..lane(&args.common)
    };
    let spec = spec(&args.common, vec![lane])?;
    Ok(RunSpec { duration: args.duration, ..spec })
}

fn run_spec(args: &RunArgs) -> anyhow::Result<RunSpec> {
    if args.verify && args.common.target == Target::Echo {
        bail!("--verify has no meaning for --target echo: it answers every read alike");
    }
    let mix = args.ratio.unwrap_or(args.workload);
    let main =
        LaneSpec { mix, shape: args.distribution, operations: args.ops, ..lane(&args.common) };
    let mut lanes = vec![main.clone()];
    if args.writers > 0 {
        lanes.push(LaneSpec {
            connections: args.writers,
            pipeline: 1,
            mix: Mix::PUTS,
            rate: None,
            operations: None,
            ..main
        });
    }
    if args.writers > 0 && args.ops.is_some() {
        bail!("--writers go on until the time is over, so --ops says nothing of when to stop");
    }
    let spec = spec(&args.common, lanes)?;
    let duration = match (args.duration, args.ops) {
        (None, Some(_)) => None,
        (duration, _) => Some(duration.unwrap_or(DEFAULT_DURATION)),
    };
    Ok(RunSpec { duration, warmup: args.warmup, verify: args.verify, ..spec })
}

fn lane(common: &CommonArgs) -> LaneSpec {
    LaneSpec {
        connections: common.server.connections,
        pipeline: common.server.pipeline,
        mix: Mix::GETS,
        shape: Shape::Uniform,
        keys: common.keys,
        rate: common.rate,
        operations: None,
        retry: false,
    }
}

/// What all verbs have in common, checked.
fn spec(common: &CommonArgs, lanes: Vec<LaneSpec>) -> anyhow::Result<RunSpec> {
    let connections: usize = lanes.iter().map(|lane| lane.connections).sum();
    let in_flight: usize = lanes.iter().map(|lane| lane.connections * lane.pipeline).sum();
    let cores = common.cores.as_ref().map_or_else(Vec::new, |cores| cores.0.clone());
    let threads = common.threads.unwrap_or(cores.len().max(1));
    within("--keys", common.keys, KEYS_MAX)?;
    check_reading(&common.server)?;
    within("--connections and --writers", connections as u64, CONNECTIONS_MAX as u64)?;
    within("--connections x --pipeline", in_flight as u64, IN_FLIGHT_MAX as u64)?;
    check_ledger(common)?;
    within("--threads", threads as u64, THREADS_MAX as u64)?;
    if let Some(rate) = common.rate {
        within("--rate", rate, RATE_MAX)?;
    }
    if threads > common.server.connections {
        bail!("{threads} threads share {} connections: each needs one", common.server.connections);
    }
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = cores.iter().find(|&&core| !allowed.iter().any(|id| id.id == core)) {
        let allowed: Vec<_> = allowed.iter().map(|id| id.id.to_string()).collect();
        bail!("CPU {core} is not one this process may use: {}", allowed.join(", "));
    }
    if let Some(pid) = common.server_pid
        && crate::process::cpu_time(pid).is_none()
    {
        bail!("there is no process {pid} on this machine");
    }
    Ok(RunSpec {
        target: common.target,
        seeds: common.server.seeds.clone(),
        namespace: common.server.namespace.clone(),
        lanes,
        value: common.value,
        terms: terms(&common.server, common.ttl)?,
        duration: None,
        warmup: Duration::ZERO,
        patience: common.server.timeout,
        threads,
        cores,
        routed: !common.no_route,
        verify: false,
        ledger: None,
        seed: common.seed,
        server_pid: common.server_pid,
    })
}

fn terms(server: &ServerArgs, ttl: Option<Duration>) -> anyhow::Result<Terms> {
    Ok(Terms {
        consistency: server.consistency.unwrap_or_default(),
        ttl_ms: ttl_ms(ttl)?,
        deadline_us: u32::try_from(server.timeout.as_micros()).unwrap_or(u32::MAX),
    })
}

fn check_reading(server: &ServerArgs) -> anyhow::Result<()> {
    within("--connections", server.connections as u64, CONNECTIONS_MAX as u64)?;
    within("--pipeline", server.pipeline as u64, PIPELINE_MAX as u64)?;
    let in_flight = (server.connections * server.pipeline) as u64;
    within("--connections x --pipeline", in_flight, IN_FLIGHT_MAX as u64)
}

/// Whether what would be written can be held against a ledger.
fn check_ledger(common: &CommonArgs) -> anyhow::Result<()> {
    if common.ledger.is_none() {
        return Ok(());
    }
    if common.target == Target::Echo {
        bail!("--ledger has no meaning for --target echo: it stores nothing");
    }
    if common.ttl.is_some() {
        bail!("--ledger and --ttl exclude each other: what has expired looks like what was lost");
    }
    if common.value.min() < HEADER_BYTES {
        bail!(
            "--ledger needs a --value of at least {HEADER_BYTES} bytes: shorter ones do not carry \
             the number of their write"
        );
    }
    Ok(())
}

fn within(what: &str, value: u64, max: u64) -> anyhow::Result<()> {
    if value == 0 || value > max {
        bail!("{what} is 1 to {max}, not {value}");
    }
    Ok(())
}

fn ttl_ms(ttl: Option<Duration>) -> anyhow::Result<u64> {
    match ttl {
        None => Ok(0),
        Some(ttl) if ttl.as_millis() == 0 => bail!("--ttl is at least 1ms"),
        Some(ttl) => u64::try_from(ttl.as_millis()).context("--ttl is too long"),
    }
}

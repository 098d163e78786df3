//! `kvsim soak`: seed after seed until the time is over, and a row in the ledger.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::args::SoakArgs;
use super::command::{Checked, cpu_time, print};
use super::ledger::{self, Row, date};
use super::progress::bar;
use super::report::{self, count};
use super::tally::Tally;
use super::threads::{available, in_parallel};
use super::verdict::Verdict;
use crate::duration::tell;

/// Failures that are written down; a soak that finds more has found enough.
const FAILURES_MAX: usize = 100;

/// Runs; whether nothing was wrong.
///
/// # Errors
/// If the ledger or the file of failures cannot be written.
pub(super) fn soak(args: &SoakArgs, checked: &Checked) -> anyhow::Result<bool> {
    let cannot_add = || format!("cannot add to {}", args.ledger.display());
    ledger::begin(&args.ledger).with_context(cannot_add)?;
    let start = Instant::now();
    // Of 2^40 soaks few share a seed, and a number of twelve digits is easily told on.
    let first = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 40));
    let threads = args.threads.unwrap_or_else(available);
    let bar = bar(None);
    let (mut tally, mut last) = (Tally::default(), first);
    let seeds = (first..=i64::MAX as u64).take_while(|_| start.elapsed() < args.time);
    let work = |seed| Verdict::of(checked.scenario(Some(seed)));
    in_parallel(threads, seeds, work, |verdict| {
        last = last.max(verdict.scenario.options.seed);
        tally.add(&verdict, &checked.recipe, checked.file.as_deref());
        bar.inc(1);
        let simulated = tell(Duration::from_secs(tally.simulated.as_secs()));
        bar.set_message(format!("{simulated} simulated, {} failed", tally.failed.len()));
        let is_enough = tally.failed.len() >= FAILURES_MAX;
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    tally.failed.sort_by_key(|failed| failed.seed);
    print(&(report::text(&tally, cpu_time()) + &report::failed(&tally)));
    let row = row(args, checked, &tally, (first, last), start.elapsed());
    row.add_to(&args.ledger).with_context(cannot_add)?;
    if !tally.is_sound() {
        write_failures(&args.failures, &tally)?;
    }
    Ok(tally.is_sound())
}

fn row(
    args: &SoakArgs,
    checked: &Checked,
    tally: &Tally,
    seeds: (u64, u64),
    took: Duration,
) -> Row {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nodes = checked.scenario(Some(seeds.0)).options.nodes;
    let seconds = Duration::from_secs(took.as_secs());
    let mut what = format!("`kvsim soak` of {nodes} nodes for {}", tell(seconds));
    if let Some(file) = &checked.file {
        let _ = write!(what, ", scenario `{file}`");
    }
    let days = tally.simulated.as_secs_f64() / 86_400.0;
    let outcome = if tally.is_sound() {
        "0 violations".to_owned()
    } else {
        let seeds: Vec<String> = tally.failed.iter().map(|it| it.seed.to_string()).collect();
        let (failed, violations) = (seeds.len(), tally.violations);
        format!("{failed} runs failed, {violations} violations: seeds {}", seeds.join(", "))
    };
    Row {
        date: args.date.clone().unwrap_or_else(|| date(unix.as_secs())),
        commit: args.commit.clone().unwrap_or_else(commit),
        what,
        seeds: format!("{} to {}", seeds.0, seeds.1),
        counts: format!(
            "{} runs, {days:.1} simulated days, {} operations, {} messages",
            count(tally.runs),
            count(tally.operations),
            count(tally.messages)
        ),
        outcome,
    }
}

/// The commit of the directory, if git knows one.
fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let said = output.ok().filter(|it| it.status.success()).map(|it| it.stdout);
    said.map_or_else(
        || "unknown".to_owned(),
        |said| String::from_utf8_lossy(&said).trim().to_owned(),
    )
}

fn write_failures(path: &Path, tally: &Tally) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let opened = OpenOptions::new().create(true).append(true).open(path);
    let mut file = opened.with_context(context)?;
    let lines = tally.failed.iter().map(|failed| {
        let (by, why) = (failed.caught_by.join(", "), failed.why.replace('\n', " "));
        format!("{}\n  {by}: {why}\n", failed.replay)
    });
    file.write_all(lines.collect::<String>().as_bytes()).with_context(context)?;
    print(&format!("\nwritten to {}\n", path.display()));
    Ok(())
}

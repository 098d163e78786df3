//! `kvsim run`: one seed with all that is to be said of it, or many with what they come to.

use std::fs::File;
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;

use super::args::{Output, RunArgs, Seeds};
use super::command::{Checked, cpu_time, print};
use super::progress::bar;
use super::report;
use super::tally::Tally;
use super::threads::{available, in_parallel};
use super::verdict::Verdict;
use crate::history;

/// Runs; whether nothing is wrong.
///
/// # Errors
/// If the history cannot be written.
pub(super) fn run(args: &RunArgs, checked: &Checked) -> anyhow::Result<bool> {
    let first = args.seed.unwrap_or(1);
    match (args.seeds, args.count) {
        (Some(Seeds(from, to)), _) => Ok(many(args, checked, from, to)),
        (None, Some(count)) => Ok(many(args, checked, first, first.saturating_add(count))),
        (None, None) => one(args, checked),
    }
}

fn one(args: &RunArgs, checked: &Checked) -> anyhow::Result<bool> {
    let bar = bar(None);
    let verdict = Verdict::of(checked.scenario(args.seed));
    bar.finish_and_clear();
    if let (Some(path), Ok(outcome)) = (&args.history, &verdict.end) {
        write_history(path, &outcome.history)?;
    }
    let mut tally = Tally::default();
    tally.add(&verdict, &checked.recipe, checked.file.as_deref());
    match args.output {
        Output::Json => print(&format!("{}\n", report::json(&tally, cpu_time(), Some(&verdict)))),
        Output::Text => {
            print(&report::head(&verdict));
            print(&report::text(&tally, cpu_time()));
            print(&report::wrongs(&verdict));
            tally.failed.iter().for_each(|failed| print(&format!("\n{}\n", failed.replay)));
        }
    }
    Ok(verdict.is_sound())
}

fn write_history(path: &Path, history: &history::History) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(context)?;
    history::write(history, &mut BufWriter::new(file)).with_context(context)
}

fn many(args: &RunArgs, checked: &Checked, from: u64, to: u64) -> bool {
    let threads = args.threads.unwrap_or_else(available);
    let bar = bar(Some(to - from));
    let mut tally = Tally::default();
    let work = |seed| Verdict::of(checked.scenario(Some(seed)));
    in_parallel(threads, from..to, work, |verdict| {
        tally.add(&verdict, &checked.recipe, checked.file.as_deref());
        bar.inc(1);
        if !tally.is_sound() {
            bar.set_message(format!("{} failed", tally.failed.len()));
        }
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    tally.failed.sort_by_key(|failed| failed.seed);
    print(&match args.output {
        Output::Json => format!("{}\n", report::json(&tally, cpu_time(), None)),
        Output::Text => report::text(&tally, cpu_time()) + &report::failed(&tally),
    });
    tally.is_sound()
}

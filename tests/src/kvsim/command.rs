//! From the command line to what is done, and from there to the exit code.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use rustix::time::{ClockId, clock_gettime};

use super::args::{Args, RecipeArgs, Verb};
use super::{judge, mutants, run, scale, shrink, soak};
use crate::scenario::{DEFAULT_SAFETY, Recipe, Scenario};
use cluster::mutation::Mutations;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Runs kvsim with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let done = match &Args::parse().verb {
        Verb::Run(args) => with_recipe(&args.recipe, args.seed, |it| run::run(args, it)),
        Verb::Soak(args) => with_recipe(&args.recipe, args.seed, |it| soak::soak(args, it)),
        Verb::Shrink(args) => {
            with_recipe(&args.recipe, args.seed, |it| shrink::shrink_to_file(args, it))
        }
        Verb::Mutations(args) => Ok(mutants::mutations(args)),
        Verb::Scale(args) => scale::scale(args).map_err(Stopped::Failed),
        Verb::Check(args) => judge::judge(args).map_err(Stopped::Failed),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(Stopped::Usage(error)) => fail(USAGE, &error),
        Err(Stopped::Failed(error)) => fail(FAILED, &error),
    }
}

/// Why nothing was done.
enum Stopped {
    Usage(anyhow::Error),
    Failed(anyhow::Error),
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    eprintln!("kvsim: {error:#}");
    ExitCode::from(code)
}

/// A recipe that can be run, and where it comes from.
pub(super) struct Checked {
    pub(super) recipe: Recipe,
    pub(super) file: Option<String>,
}

impl Checked {
    /// The run of a seed.
    pub(super) fn scenario(&self, seed: Option<u64>) -> Scenario {
        self.recipe.scenario(seed).expect("it was read before")
    }
}

fn with_recipe(
    args: &RecipeArgs,
    seed: Option<u64>,
    act: impl FnOnce(&Checked) -> anyhow::Result<bool>,
) -> Result<bool, Stopped> {
    let checked = checked(args, seed).map_err(Stopped::Usage)?;
    act(&checked).map_err(Stopped::Failed)
}

fn checked(args: &RecipeArgs, seed: Option<u64>) -> anyhow::Result<Checked> {
    let seconds = args.seconds.map(Duration::from_secs);
    let path = args.scenario.as_deref();
    let recipe = Recipe {
        nodes: args.nodes,
        safety: args.hours.or(seconds).unwrap_or(DEFAULT_SAFETY),
        copies: args.copies,
        // So many copies are meant, not so many as one of several data centres has nodes.
        data_centres: args.data_centres.or(args.copies.map(|_| 1)),
        classes: args.faults.as_ref().and_then(|faults| faults.0.clone()),
        mutations: args.mutation.iter().fold(Mutations::default(), |all, &it| all.with(it)),
        file: path.map(read).transpose()?,
    };
    if let Some(copies) = recipe.copies.filter(|&it| usize::from(it) > recipe.nodes) {
        anyhow::bail!("{} nodes have no {copies} copies", recipe.nodes);
    }
    if let Some(places) = recipe.data_centres.filter(|&it| usize::from(it) > recipe.nodes) {
        anyhow::bail!("{} nodes are not in {places} data centres", recipe.nodes);
    }
    let file = path.map(|path| path.display().to_string());
    if let (Err(wrong), Some(file)) = (recipe.scenario(seed), &file) {
        anyhow::bail!("{file}:{wrong}");
    }
    Ok(Checked { recipe, file })
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// CPU time that this process has used.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::new(seconds, u32::try_from(nanos).unwrap_or(0))
}

/// Writes a report to stdout; a reader that has gone away is no failure.
pub(super) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

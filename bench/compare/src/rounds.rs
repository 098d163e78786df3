//! Engines in turns: each measurement in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::child::Figures;
use crate::cli::{EngineOptions, Output};
use crate::engines::EngineKind;
use crate::report::{self, Measured};
use crate::scenario::Scenario;

/// Measures what `options` ask for and prints it.
pub(crate) fn run(options: &EngineOptions) -> anyhow::Result<()> {
    let scenarios = scenarios(&options.only);
    let engines = match &options.engines[..] {
        [] => EngineKind::value_variants(),
        some => some,
    };
    let cpu = cpu(options.common.cpu)?;
    let steps = options.rounds as usize * scenarios.len() * engines.len();
    let style = ProgressStyle::with_template("[{elapsed_precise}] {wide_bar} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new(steps as u64).with_style(style);
    let mut measured = Vec::new();
    for round in 0..options.rounds {
        let root = tempfile::tempdir_in(&options.common.dir).context("a directory for the data")?;
        for &scenario in &scenarios {
            // Who comes first changes, and none comes after the same one every time.
            for turn in 0..engines.len() {
                let engine = engines[(turn + round as usize) % engines.len()];
                progress.set_message(format!("{} on {}", scenario.name(), engine.name()));
                let figures = measure(options, engine, scenario, round, cpu, root.path())?;
                measured.push(Measured { engine, scenario, figures });
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    match options.common.output {
        Output::Json => println!("{}", report::json(&measured)?),
        Output::Table => println!("{}", report::table(&measured)),
    }
    Ok(())
}

/// What was asked for, with the scenarios whose data they need.
fn scenarios(only: &[Scenario]) -> Vec<Scenario> {
    let is_wanted = |scenario: &Scenario| {
        only.is_empty()
            || only.contains(scenario)
            || only.iter().any(|it| it.base() == Some(*scenario))
    };
    Scenario::ALL.iter().copied().filter(is_wanted).collect()
}

fn measure(
    options: &EngineOptions,
    engine: EngineKind,
    scenario: Scenario,
    round: u32,
    cpu: usize,
    root: &Path,
) -> anyhow::Result<Figures> {
    let data = scenario.base().unwrap_or(scenario);
    let dir = root.join(format!("{}-{}", engine.name(), data.name()));
    fs::create_dir_all(&dir)?;
    let mut child = Child::new(engine, scenario, cpu)?;
    child.0.args(["--seed", &(u64::from(round) + 1).to_string()]);
    if options.quick {
        child.0.arg("--quick");
    }
    let figures = child.run(&dir)?;
    let needed = Scenario::ALL.iter().any(|it| it.base() == Some(scenario));
    if scenario.base().is_none() && !needed {
        fs::remove_dir_all(&dir)?;
    }
    Ok(figures)
}

/// `asked`, or the last CPU.
pub(crate) fn cpu(asked: Option<usize>) -> anyhow::Result<usize> {
    let last = || Some(core_affinity::get_core_ids()?.last()?.id);
    asked.or_else(last).context("no CPU may be used")
}

/// A scenario on an engine, in a process of its own.
pub(crate) struct Child(pub(crate) Command);

impl Child {
    pub(crate) fn new(engine: EngineKind, scenario: Scenario, cpu: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["child", "--engine", &engine.name(), "--scenario", &scenario.name()]);
        command.args(["--cpu", &cpu.to_string()]);
        Ok(Self(command))
    }

    /// Runs it on the data in `dir`.
    pub(crate) fn run(mut self, dir: &Path) -> anyhow::Result<Figures> {
        self.0.arg("--dir").arg(dir);
        let output = self.0.output().context("this program starts itself")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{:?}: {said}", self.0);
        serde_json::from_slice(&output.stdout).context("what it printed")
    }
}

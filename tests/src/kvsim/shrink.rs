//! `kvsim shrink`: what it takes to fail.
//!
//! Faults are cut by halves, then by smaller parts, down to single ones (Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input", 2002); then what is left is made shorter,
//! and the run smaller. Whatever is cut, chance takes another course, so each attempt is made with
//! a few seeds: it counts if one of them fails in the way that was looked for.

use std::fs;

use anyhow::{Context as _, bail};

use super::args::ShrinkArgs;
use super::command::{Checked, print};
use super::progress::bar;
use super::verdict::{Breach, Verdict};
use crate::duration::tell;
use crate::scenario::Scenario;
use crate::sim::{Levels, Options};

/// Seeds that each attempt is made with.
const SEEDS: u64 = 4;

/// A run that fails, being cut down.
struct Shrinking<'a> {
    scenario: Scenario,
    breach: Breach,
    runs_left: u64,
    /// Told of after each run: how many are left.
    seen: &'a mut dyn FnMut(&Scenario),
}

/// Cuts a run down as long as it fails by `breach`, in so many runs at most.
#[must_use]
pub fn shrink(
    scenario: Scenario,
    breach: Breach,
    runs_max: u64,
    seen: &mut dyn FnMut(&Scenario),
) -> Scenario {
    let mut it = Shrinking { scenario, breach, runs_left: runs_max, seen };
    loop {
        let before = it.scenario.clone();
        it.fewer_faults();
        it.shorter_run();
        it.shorter_faults();
        it.smaller_world();
        let is_smaller = size(&it.scenario) < size(&before);
        if !is_smaller || it.runs_left == 0 {
            return it.scenario;
        }
    }
}

/// What is to become less.
fn size(scenario: &Scenario) -> (usize, u128, u64, u64) {
    let options = &scenario.options;
    let length_us = scenario.faults.iter().map(|it| it.to_us - it.from_us).sum();
    let world = options.clients.keys + u64::from(options.clients.processes) + options.nodes as u64;
    (scenario.faults.len(), options.safety.as_micros(), length_us, world)
}

impl Shrinking<'_> {
    /// Takes a smaller run if it fails in the same way.
    fn try_with(&mut self, smaller: Scenario) -> bool {
        if smaller == self.scenario {
            return false;
        }
        let first = smaller.options.seed;
        for seed in first..first.saturating_add(SEEDS) {
            if self.runs_left == 0 {
                return false;
            }
            self.runs_left -= 1;
            let mut scenario = smaller.clone();
            let drawn = Options::draw(seed, scenario.options.nodes, scenario.options.safety);
            (scenario.options.seed, scenario.options.node) = (seed, drawn.node);
            let verdict = Verdict::of(scenario);
            (self.seen)(&self.scenario);
            if verdict.breaches().contains(&self.breach) {
                self.scenario = verdict.scenario;
                return true;
            }
        }
        false
    }

    fn try_change(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut smaller = self.scenario.clone();
        change(&mut smaller);
        self.try_with(smaller)
    }

    fn fewer_faults(&mut self) {
        let mut part = self.scenario.faults.len().div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < self.scenario.faults.len() {
                let to = (from + part).min(self.scenario.faults.len());
                if !self.try_change(|it| drop(it.faults.drain(from..to))) {
                    from = to;
                }
            }
            part /= 2;
        }
    }

    fn shorter_run(&mut self) {
        for (numerator, denominator) in [(1, 2), (3, 4), (9, 10)] {
            while self.try_change(|it| {
                let safety = it.options.safety / denominator * numerator;
                it.options.safety = std::time::Duration::from_secs(safety.as_secs().max(1));
                let end_us = it.options.safety.as_micros() as u64;
                it.faults.retain(|fault| fault.from_us < end_us);
                it.faults.iter_mut().for_each(|fault| fault.to_us = fault.to_us.min(end_us));
            }) {}
        }
    }

    fn shorter_faults(&mut self) {
        for at in 0..self.scenario.faults.len() {
            while self.try_change(|it| {
                let fault = &mut it.faults[at];
                fault.to_us = fault.from_us + (fault.to_us - fault.from_us) / 2;
            }) {}
        }
    }

    fn smaller_world(&mut self) {
        while self.try_change(|it| {
            let clients = &mut it.options.clients;
            clients.keys = clients.keys.div_ceil(2);
        }) {}
        while self.try_change(|it| {
            let clients = &mut it.options.clients;
            clients.processes = clients.processes.div_ceil(2);
        }) {}
        while self.try_change(|it| {
            let last = it.options.nodes - 1;
            if last >= usize::from(it.options.copies)
                && !it.faults.iter().any(|f| f.what.nodes().contains(&last))
            {
                it.options.nodes = last;
            }
        }) {}
        self.try_change(|it| it.options.places.data_centres = 1);
        self.try_change(|it| it.options.places.levels = Levels::Quorum);
        self.try_change(|it| it.options.shards = 1);
        self.try_change(|it| it.options.vnodes = 1);
        self.try_change(|it| it.options.network.loss_permille = 0);
        self.try_change(|it| it.options.network.double_permille = 0);
        self.try_change(|it| it.options.miss_permille = 0);
        self.try_change(|it| it.options.clients.delete_permille = 0);
        self.try_change(|it| it.options.clients.weak_permille = 0);
        self.try_change(|it| it.options.clients.sloppy_permille = 0);
    }
}

/// Shrinks and writes the scenario.
///
/// # Errors
/// If nothing is wrong with the run, or the file cannot be written.
pub(super) fn shrink_to_file(args: &ShrinkArgs, checked: &Checked) -> anyhow::Result<bool> {
    let bar = bar(Some(args.runs));
    let verdict = Verdict::of(checked.scenario(args.seed));
    let Some(&breach) = verdict.breaches().first() else {
        bail!("nothing is wrong with seed {}", verdict.scenario.options.seed);
    };
    let small = shrink(verdict.scenario, breach, args.runs, &mut |scenario| {
        let (faults, safety) = (scenario.faults.len(), tell(scenario.options.safety));
        bar.set_message(format!("{faults} faults, {safety}"));
        bar.inc(1);
    });
    bar.finish_and_clear();
    let verdict = Verdict::of(small);
    let why = verdict.why().replace('\n', " ");
    let text = format!(
        "# Breaks {}: {}\n{}",
        breach.name(),
        why.chars().filter(char::is_ascii).collect::<String>(),
        verdict.scenario.to_toml()
    );
    match &args.out {
        None => print(&text),
        Some(path) => {
            let name = path.display();
            fs::write(path, text).with_context(|| format!("cannot write {name}"))?;
            print(&format!("{}: {why}\nkvsim run --scenario {name}\n", breach.name()));
        }
    }
    Ok(true)
}

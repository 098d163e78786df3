//! `kvsim mutations`: the mistakes that can be switched on; and whether the simulator finds them.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use cluster::mutation::Mutation;
use serde::Serialize;

use super::args::{MutationsArgs, Output};
use super::command::print;
use super::progress::bar;
use super::threads::{available, in_parallel};
use super::verdict::{Breach, Verdict};
use crate::scenario::Recipe;

/// How a mistake was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Caught {
    /// The first seed with which it was found.
    pub seed: u64,
    /// What found it.
    pub by: Vec<Breach>,
    /// How much was simulated until then.
    pub simulated: Duration,
    /// What was seen.
    pub why: String,
}

/// Runs seeds from 1 on with a mistake switched on until something is wrong that is not without
/// it; `None` if that takes more than `seeds_max`.
///
/// # Panics
/// If the recipe has a file that is wrong.
#[must_use]
pub fn hunt(recipe: &Recipe, mutation: Mutation, seeds_max: u64) -> Option<Caught> {
    let with = recipe.with(mutation);
    let mut simulated = Duration::ZERO;
    for seed in 1..=seeds_max {
        let run = |recipe: &Recipe| {
            Verdict::of(recipe.scenario(Some(seed)).expect("a recipe that was read before"))
        };
        let verdict = run(&with);
        simulated += verdict.end.as_ref().map_or(Duration::ZERO, |outcome| outcome.simulated);
        let by = verdict.breaches();
        if !by.is_empty() && run(recipe).is_sound() {
            return Some(Caught { seed, by, simulated, why: verdict.why() });
        }
    }
    None
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    mistake: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caught_by: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated_s: Option<f64>,
}

/// Lists them; with `--check` whether all were found.
pub(super) fn mutations(args: &MutationsArgs) -> bool {
    let all = args.mutation.is_empty();
    let wanted = |it: &Mutation| all || args.mutation.contains(it);
    let mutations: Vec<Mutation> = Mutation::ALL.into_iter().filter(wanted).collect();
    let mut listed: Vec<(Mutation, Option<Caught>)> = Vec::new();
    if args.check {
        let bar = bar(Some(mutations.len() as u64));
        let threads = args.threads.unwrap_or_else(available);
        let recipe = Recipe::default();
        let work = |mutation| (mutation, hunt(&recipe, mutation, args.seeds));
        in_parallel(threads, mutations.into_iter(), work, |result| {
            bar.inc(1);
            listed.push(result);
            ControlFlow::Continue(())
        });
        bar.finish_and_clear();
        listed.sort_by_key(|it| it.0);
    } else {
        listed.extend(mutations.into_iter().map(|mutation| (mutation, None)));
    }
    print(&match args.output {
        Output::Text => text(args, &listed),
        Output::Json => json(&listed),
    });
    !args.check || listed.iter().all(|it| it.1.is_some())
}

fn names(by: &[Breach]) -> Vec<&'static str> {
    by.iter().map(|it| it.name()).collect()
}

fn text(args: &MutationsArgs, listed: &[(Mutation, Option<Caught>)]) -> String {
    let mut text = String::new();
    if !args.check {
        for (mutation, _) in listed {
            let (name, mistake) = mutation.describe();
            let _ = writeln!(text, "{name:<24} {mistake}");
        }
        return text;
    }
    text.push_str(
        "| mutation | found by | with seed | simulated until then |\n|---|---|---|---|\n",
    );
    for (mutation, caught) in listed {
        let cells = caught.as_ref().map_or_else(
            || format!("NOT FOUND | 1 to {} |", args.seeds),
            |it| {
                let (by, seconds) = (names(&it.by).join(", "), it.simulated.as_secs());
                format!("{by} | {} | {seconds} s", it.seed)
            },
        );
        let _ = writeln!(text, "| `{}` | {cells} |", mutation.name());
    }
    text
}

fn json(listed: &[(Mutation, Option<Caught>)]) -> String {
    let rows = listed.iter().map(|(mutation, caught)| {
        let (name, mistake) = mutation.describe();
        let caught = caught.as_ref();
        Listed {
            name,
            mistake,
            seed: caught.map(|it| it.seed),
            caught_by: caught.map(|it| names(&it.by)).unwrap_or_default(),
            simulated_s: caught.map(|it| it.simulated.as_secs_f64()),
        }
    });
    let rows: Vec<Listed> = rows.collect();
    serde_json::to_string(&rows).expect("plain values") + "\n"
}

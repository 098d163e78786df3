//! `kvsim mutations`: the mistakes that can be switched on; and whether the simulator finds them.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use cluster::mutation::Mutation;
use serde::Serialize;

use super::args::{MutationsArgs, Output};
use super::command::print;
use super::grounds::ground;
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

/// Runs seeds with a mistake switched on until something is wrong that is not without it; `None`
/// if nothing is with any.
///
/// # Panics
/// Never: the scenarios that mistakes are looked for with can be read.
#[must_use]
pub fn hunt(mutation: Mutation, seeds: impl IntoIterator<Item = u64>) -> Option<Caught> {
    let recipe = &ground(mutation).0;
    let with = recipe.with(mutation);
    let mut simulated = Duration::ZERO;
    for seed in seeds {
        let run = |recipe: &Recipe| {
            Verdict::of(recipe.scenario(Some(seed)).expect("a scenario that is tested"))
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
    scenario: Option<&'static str>,
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
        let work = |mutation| (mutation, hunt(mutation, 1..=args.seeds));
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
    text.push_str("| mutation | what is wrong | found by | runs | seed | simulated |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for (mutation, caught) in listed {
        let runs = ground(*mutation).1.map_or("drawn".to_owned(), |name| format!("`{name}`"));
        let cells = caught.as_ref().map_or_else(
            || format!("NOT FOUND | {runs} | 1 to {} |", args.seeds),
            |it| {
                let (by, seconds) = (names(&it.by).join(", "), it.simulated.as_secs());
                format!("{by} | {runs} | {} | {seconds} s", it.seed)
            },
        );
        let (name, mistake) = mutation.describe();
        let _ = writeln!(text, "| `{name}` | {mistake} | {cells} |");
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
            scenario: ground(*mutation).1,
            seed: caught.map(|it| it.seed),
            caught_by: caught.map(|it| names(&it.by)).unwrap_or_default(),
            simulated_s: caught.map(|it| it.simulated.as_secs_f64()),
        }
    });
    let rows: Vec<Listed> = rows.collect();
    serde_json::to_string(&rows).expect("plain values") + "\n"
}

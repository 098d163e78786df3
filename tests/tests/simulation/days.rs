//! Many seeds: nothing that is promised is broken in any.

use std::ops::ControlFlow;
use std::time::Duration;

use tests::kvsim::{Tally, Verdict, available, in_parallel};
use tests::scenario::Recipe;

/// Simulated time of the test, in days.
const DAYS: u64 = 20;

/// The first seed; others follow it.
const FIRST_SEED: u64 = 1_000;

#[test]
fn nothing_that_is_promised_is_broken() {
    let enough = Duration::from_secs(DAYS * 86_400);
    let recipe = |seed: u64| Recipe { nodes: 3 + seed as usize % 5, ..Recipe::default() };
    let scenario = |seed| recipe(seed).scenario(Some(seed)).expect("it has no file");
    let mut tally = Tally::default();
    let work = |seed| Verdict::of(scenario(seed));
    in_parallel(available(), FIRST_SEED.., work, |verdict| {
        tally.add(&verdict, &recipe(verdict.scenario.options.seed), None);
        let is_enough = tally.simulated >= enough || tally.failed.len() >= 20;
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    println!(
        "{:.1} simulated days: {} runs, {} operations, {} messages; admitted {:?}",
        tally.simulated.as_secs_f64() / 86_400.0,
        tally.runs,
        tally.operations,
        tally.messages,
        tally.anomalies
    );
    for failed in &tally.failed {
        println!("{}\n  {:?}: {}", failed.replay, failed.caught_by, failed.why);
    }
    assert!(tally.is_sound(), "{} runs failed: their lines are above", tally.failed.len());
}

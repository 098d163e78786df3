//! A run depends on its seed and on nothing else.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use tests::kvsim::{Verdict, available, in_parallel};
use tests::scenario::Recipe;

const SEEDS: u64 = 60;

fn trace_hashes() -> Vec<(u64, u64)> {
    let mut hashes = Vec::new();
    let work = |seed: u64| {
        let nodes = 1 + seed as usize % 7;
        let recipe = Recipe { nodes, safety: Duration::from_secs(300), ..Recipe::default() };
        let verdict = Verdict::of(recipe.scenario(Some(seed)).expect("it has no file"));
        (seed, verdict.end.expect("it ends").trace_hash)
    };
    in_parallel(available(), 1..=SEEDS, work, |it| {
        hashes.push(it);
        ControlFlow::Continue(())
    });
    hashes.sort_unstable();
    hashes
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    let first = trace_hashes();
    assert_eq!(first, trace_hashes());
    let different: BTreeSet<u64> = first.iter().map(|it| it.1).collect();
    assert_eq!(different.len() as u64, SEEDS, "each seed has a run of its own");
}

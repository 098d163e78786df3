//! Runs that failed once do not fail.

use std::time::Duration;

use tests::kvsim::Verdict;
use tests::scenario::Recipe;

use crate::seeds::KEPT;

#[test]
fn what_failed_once_does_not_fail() {
    for kept in KEPT {
        let safety = Duration::from_secs(kept.seconds);
        let file = kept.scenario.map(str::to_owned);
        let recipe = Recipe { nodes: kept.nodes, safety, file, ..Recipe::default() };
        let verdict = Verdict::of(recipe.scenario(Some(kept.seed)).expect("it has no file"));
        let (by, why) = (verdict.breaches(), verdict.why());
        assert!(by.is_empty(), "seed {}, {}: {by:?}: {why}", kept.seed, kept.story);
    }
}

//! Every scenario of `tests/scenarios` can be read, and breaks nothing.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use tests::kvsim::{Verdict, available, in_parallel};
use tests::scenario::Scenario;

/// Seeds of each.
const SEEDS: u64 = 8;

fn scenarios(directory: &str) -> Vec<(String, String)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(directory);
    let files = fs::read_dir(path).expect("a directory").map(|file| file.expect("a file").path());
    let tomls = files.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let mut read: Vec<(String, String)> = tomls
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("a text")))
        .collect();
    read.sort();
    read
}

#[test]
fn what_has_a_name_breaks_nothing() {
    let scenarios = scenarios("");
    assert!(scenarios.len() >= 10, "{} scenarios", scenarios.len());
    let jobs = scenarios.iter().flat_map(|it| (1..=SEEDS).map(move |seed| (it, seed)));
    let mut wrong = Vec::new();
    let work = |((path, text), seed): (&(String, String), u64)| {
        let scenario = Scenario::parse(text, Some(seed)).unwrap_or_else(|it| panic!("{path}:{it}"));
        (path.clone(), Verdict::of(scenario))
    };
    in_parallel(available(), jobs, work, |(path, verdict)| {
        if !verdict.is_sound() {
            let seed = verdict.scenario.options.seed;
            let why = verdict.why();
            wrong.push(format!("kvsim run --scenario {path} --seed {seed}\n  {why}"));
        }
        ControlFlow::Continue(())
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_says_what_it_shows() {
    for (path, text) in scenarios("") {
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.join(" ").contains("# Shows"), "{path} does not say what it shows");
    }
}

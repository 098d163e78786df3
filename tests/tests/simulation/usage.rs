//! `kvsim` as people and programs use it: what it is given, what it prints, how it ends.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;

fn kvsim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvsim"));
    command.args(arguments);
    command
}

#[track_caller]
fn ends(arguments: &[&str], code: i32) -> (String, String) {
    let output = kvsim(arguments).assert().code(code).get_output().clone();
    let text = |bytes| String::from_utf8(bytes).expect("sentences are text");
    (text(output.stdout), text(output.stderr))
}

#[track_caller]
fn refused(arguments: &[&str], because: &str) {
    let (stdout, stderr) = ends(arguments, 2);
    assert!(stdout.is_empty() && stderr.contains(because), "{arguments:?}: {stderr}");
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

#[test]
fn usage_errors_exit_with_2_and_name_the_flag() {
    refused(&[], "Usage");
    refused(&["run", "--nodes", "0"], "1 to 1024 nodes");
    refused(&["run", "--hours", "0"], "0.001 to 720 hours");
    refused(&["run", "--hours", "1", "--seconds", "5"], "cannot be used with");
    refused(&["run", "--seconds", "0"], "--seconds");
    refused(&["run", "--faults", "crash,fire"], "\"fire\" is none of the faults");
    refused(&["run", "--copies", "4", "--nodes", "3"], "3 nodes have no 4 copies");
    refused(&["run", "--mutation", "typo"], "no mutation");
    refused(&["run", "--seeds", "5"], "no range of seeds");
    refused(&["run", "--seeds", "5..5"], "has no seeds");
    refused(&["run", "--seeds", "1..5", "--count", "3"], "cannot be used with");
    refused(&["run", "--scenario", "none.toml"], "cannot read none.toml");
    refused(&["run", "--scenario", "x", "--nodes", "3"], "cannot be used with");
    refused(&["soak", "--for", "10"], "is no time");
    refused(&["mutations", "--seeds", "3"], "--check");
    refused(&["check"], "<FILE>");
}

#[test]
fn a_scenario_that_is_wrong_is_told_with_file_and_line() {
    let dir = scratch();
    let path = dir.path().join("wrong.toml");
    fs::write(&path, "nodes = 3\n[clients]\nkey = 3\n").unwrap();
    let path = path.to_str().expect("a path of text");
    let (_, stderr) = ends(&["run", "--scenario", path], 2);
    assert!(stderr.contains("wrong.toml:3: \"key\" is none of"), "{stderr}");
}

#[test]
fn a_run_is_told_to_programs_as_one_object() {
    let arguments = ["run", "--seed", "3", "--nodes", "3", "--seconds", "60", "-o", "json"];
    let run = || serde_json::from_str::<Value>(&ends(&arguments, 0).0).expect("JSON");
    let (one, again) = (run(), run());
    assert!(one["simulated_s"].as_f64() > Some(60.0), "{one}");
    assert!(one["cpu_s"].as_f64() > Some(0.0) && one["operations"].as_u64() > Some(0), "{one}");
    assert_eq!(one["violations"], 0);
    assert_eq!(one["trace_hash"], again["trace_hash"]);
    let many = ["run", "--seeds", "1..9", "--nodes", "3", "--seconds", "30", "-o", "json"];
    let hashes = ["1", "2", "3"].map(|threads| {
        let all: Vec<&str> = many.into_iter().chain(["--threads", threads]).collect();
        serde_json::from_str::<Value>(&ends(&all, 0).0).expect("JSON")["trace_hash"].clone()
    });
    assert!(hashes[0] == hashes[1] && hashes[1] == hashes[2], "on however many threads");
}

/// A run that fails: its exit code, its replay line, its history, its shrunk scenario.
#[test]
fn a_failure_is_told_replayed_judged_and_cut_down() {
    let dir = scratch();
    let path = |name: &str| -> (PathBuf, String) {
        let path = dir.path().join(name);
        let text = path.to_str().expect("a path of text").to_owned();
        (path, text)
    };
    let (history, scenario) = (path("history.jsonl"), path("small.toml"));
    let what = ["--seed", "3", "--seconds", "300", "--mutation", "last-arrival-wins"];
    let with = |verb: &str, more: &[&str], code| {
        let all: Vec<&str> = [verb].into_iter().chain(what).chain(more.iter().copied()).collect();
        ends(&all, code).0
    };
    let told = with("run", &["--history", &history.1], 1);
    assert!(told.contains("P1 broken"), "{told}");
    let line = "kvsim run --seed 3 --nodes 5 --seconds 300 --mutation last-arrival-wins";
    assert!(told.contains(line), "{told}");
    let judged = ends(&["check", &history.1, "--skew", "400d"], 1).0;
    assert!(judged.contains("P1 broken"), "{judged}");
    with("shrink", &["--runs", "200", "--out", &scenario.1], 0);
    let small = fs::read_to_string(&scenario.0).unwrap();
    assert!(small.starts_with("# Breaks P1"), "{small}");
    let again = ends(&["run", "--scenario", &scenario.1], 1).0;
    assert!(again.contains("P1 broken"), "{again}");
}

#[test]
fn a_soak_adds_a_row_to_its_ledger_and_writes_failures_down() {
    let dir = scratch();
    let (ledger, failures) = (dir.path().join("ledger.md"), dir.path().join("failures.txt"));
    let soak = |more: &[&str], code| {
        let mut command = kvsim(&["soak", "--for", "200ms", "--seconds", "300", "--seed", "3"]);
        command.args(["--date", "2026-01-02", "--commit", "abc"]).args(more);
        command.arg("--ledger").arg(&ledger).arg("--failures").arg(&failures);
        command.assert().code(code);
        fs::read_to_string(&ledger).unwrap()
    };
    let first = soak(&[], 0);
    assert!(first.contains("| 2026-01-02 | abc | `kvsim soak` of 5 nodes"), "{first}");
    assert!(!failures.exists());
    let second = soak(&["--mutation", "last-arrival-wins"], 1);
    assert!(second.contains("violations: seeds ") && second.ends_with(&first[first.len() - 40..]));
    let written = fs::read_to_string(&failures).unwrap();
    assert!(written.contains("--mutation last-arrival-wins"), "{written}");
}

/// It said so when its time was over, and the row of eight hours was gone.
#[test]
fn a_soak_whose_ledger_cannot_be_written_does_not_begin() {
    let dir = scratch();
    let ledger = dir.path().join("none").join("ledger.md");
    let mut command = kvsim(&["soak", "--for", "8h", "--ledger"]);
    let ended = command.arg(&ledger).assert().code(1);
    let output = ended.get_output();
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot add to"));
}

#[test]
fn mutations_are_listed() {
    let (stdout, _) = ends(&["mutations"], 0);
    assert_eq!(stdout.lines().count(), cluster::mutation::Mutation::ALL.len());
    let (stdout, _) = ends(&["mutations", "-o", "json"], 0);
    let listed: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(cluster::mutation::Mutation::ALL.len()));
}

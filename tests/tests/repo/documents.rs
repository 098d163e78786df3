//! Documents that the code is held to: each crate's reasons, and the statuses kvcore exits with.

use std::collections::BTreeSet;

use crate::sources::{Source, all, none, paths};

const EXIT_STATUSES: &str = "net/src/boot/exit.rs";
const EXIT_TABLE: &str = "net/DESIGN.md";

/// Directories of crates with code of their own, `tests` apart, which say nothing of how they are
/// made.
fn undesigned(paths: &[String]) -> Vec<String> {
    let known: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    let crates = paths.iter().filter_map(|path| path.strip_suffix("/Cargo.toml"));
    let bare = crates.filter(|dir| *dir != "tests" && !dir.starts_with("tests/"));
    bare.filter(|dir| !known.contains(format!("{dir}/DESIGN.md").as_str()))
        .map(|dir| format!("{dir}: no DESIGN.md"))
        .collect()
}

/// The statuses that `exit.rs` gives: `Name = 12,`.
fn statuses(text: &str) -> BTreeSet<u8> {
    let number = |line: &str| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse().ok();
    text.lines().filter_map(number).collect()
}

/// The statuses that a table of `DESIGN.md` has: `| 12 | ..`.
fn explained(text: &str) -> BTreeSet<u8> {
    let number = |line: &str| line.strip_prefix("| ")?.split_once(" |")?.0.parse().ok();
    text.lines().filter_map(number).collect()
}

fn untold(given: &BTreeSet<u8>, told: &BTreeSet<u8>) -> Vec<String> {
    let missing = given.difference(told).map(|status| format!("status {status} is not explained"));
    let unknown = told.difference(given).map(|status| format!("nothing ends with status {status}"));
    missing.chain(unknown).collect()
}

fn text_of<'a>(sources: &'a [Source], path: &str) -> &'a str {
    let found = sources.iter().find(|source| source.path == path);
    &found.unwrap_or_else(|| panic!("{path} is missing")).text
}

#[test]
fn each_crate_says_why_it_is_as_it_is() {
    none(undesigned(&paths()));
    let bad = ["a/Cargo.toml", "a/src/lib.rs", "tests/Cargo.toml"].map(str::to_owned);
    assert_eq!(undesigned(&bad), ["a: no DESIGN.md"]);
}

#[test]
fn each_exit_status_is_explained() {
    let sources = all();
    let given = statuses(text_of(&sources, EXIT_STATUSES));
    assert!(given.len() > 10, "{given:?} are not all statuses");
    // 0 is no failure, so the type of failures has it not.
    let mut told = explained(text_of(&sources, EXIT_TABLE));
    assert!(told.remove(&0), "a clean end is explained too");
    none(untold(&given, &told));
    let (given, told) = (statuses("    A = 1,\n    B = 7,\n"), explained("| 1 | x |\n| 9 | y |\n"));
    assert_eq!(untold(&given, &told).len(), 2);
}

//! Names that say nothing, work left unfinished, paths of somebody's machine.
//!
//! This file is the one that may write the words down.

use crate::sources::{Source, at, check, none, paths};

/// Names of files, directories and modules that say nothing of what is in them.
const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "impls", "manager", "misc", "shared", "util", "utils"];

/// Marks of work left for later, and prose that narrates the code's history.
const UNFINISHED: &[&str] = &[
    "TODO",
    "FIXME",
    "XXX",
    "HACK",
    "not implemented",
    "unimplemented!",
    "todo!",
    "dbg!(",
    "no longer",
    "used to be",
];

/// Paths of a developer's machine.
const MACHINE_PATHS: &[&str] = &["/root/", "/home/", "/Users/", "/work/", "/tmp/kv"];

fn empty_name(path: &str) -> Option<String> {
    let says_nothing = |part: &str| {
        let stem = part.split('.').next().unwrap_or(part);
        EMPTY_NAMES.contains(&stem) || stem.ends_with("_manager") || stem.ends_with("_utils")
    };
    path.split('/').any(says_nothing).then(|| format!("{path}: a name that says nothing"))
}

fn unfinished(source: &Source) -> Vec<String> {
    find(source, UNFINISHED, |before, after| !is_word(before) && !is_word(after))
}

fn machine_paths(source: &Source) -> Vec<String> {
    find(source, MACHINE_PATHS, |before, _| !is_word(before) && before != Some('.'))
}

fn find(
    source: &Source,
    words: &[&str],
    counts: fn(Option<char>, Option<char>) -> bool,
) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for word in words {
            let found = line.match_indices(word).any(|(start, _)| {
                let after = line[start + word.len()..].chars().next();
                counts(line[..start].chars().next_back(), after)
            });
            if found {
                findings.push(format!("{}: {word:?}", at(&source.path, index + 1)));
            }
        }
    }
    findings
}

fn is_word(neighbour: Option<char>) -> bool {
    neighbour.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_ours(source: &Source) -> bool {
    source.is_written() && !source.path.ends_with("repo/words.rs") && source.path != "LICENSE"
}

#[test]
fn names_say_what_is_in_them() {
    none(paths().iter().filter_map(|path| empty_name(path)).collect());
    for bad in ["engine/src/utils.rs", "tests/common/mod.rs", "net/src/session_manager.rs"] {
        assert!(empty_name(bad).is_some(), "{bad}");
    }
    assert_eq!(empty_name("engine/src/commit_log/segment.rs"), None);
}

#[test]
fn nothing_is_left_for_later() {
    check(is_ours, unfinished);
    for bad in ["// TODO: later", "fn f() { todo!() }", "// FIXME"] {
        assert_eq!(unfinished(&Source::snippet("a.rs", bad)).len(), 1, "{bad}");
    }
    assert!(unfinished(&Source::snippet("a.rs", "let mastodons = 1;\n")).is_empty());
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    check(is_ours, machine_paths);
    assert_eq!(machine_paths(&Source::snippet("a.md", "see /home/me/kv")).len(), 1);
    assert!(machine_paths(&Source::snippet("a.md", "see net/work/a.rs")).is_empty());
}

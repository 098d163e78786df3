//! The shape of files: lengths, columns, characters, what a `mod.rs` holds.

use crate::rust;
use crate::sources::{Source, at, check};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const TEST_LINES_INLINE_MAX: usize = 150;
const COLUMNS_MAX: usize = 100;

fn long_file(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = lines > FILE_LINES_MAX;
    long.then(|| format!("{}: {lines} lines, at most {FILE_LINES_MAX}", source.path))
        .into_iter()
        .collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    rust::functions(source)
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LINES_MAX)
        .map(|function| {
            let rust::Function { name, line, lines } = function;
            format!("{}: {name} has {lines} lines", at(&source.path, line))
        })
        .collect()
}

/// Tests of more than a screen or two live in `foo/tests.rs`.
fn long_inline_tests(source: &Source) -> Vec<String> {
    let runs = rust::runs(source);
    let items = &runs[0];
    let module = items.windows(3).find(|three| {
        rust::is_ident(&three[0], "mod")
            && rust::is_ident(&three[1], "tests")
            && rust::is_block(&three[2])
    });
    let lines = module.and_then(|three| rust::group(&three[2])).map_or(0, |body| {
        body.span_close().end().line.saturating_sub(body.span_open().start().line + 1)
    });
    let long = lines > TEST_LINES_INLINE_MAX;
    long.then(|| format!("{}: {lines} lines of tests; move them to tests.rs", source.path))
        .into_iter()
        .collect()
}

/// Links cannot be broken; nor, in Markdown, rows of a table and lines of a fenced block.
fn wide_lines(source: &Source) -> Vec<String> {
    let markdown = source.path.ends_with(".md");
    let mut fenced = false;
    let mut findings = Vec::new();
    for (number, line) in numbered(source) {
        fenced ^= markdown && line.trim_start().starts_with("```");
        let exempt = fenced || (markdown && line.trim_start().starts_with('|'));
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !exempt && !line.contains("://") {
            findings.push(format!("{}: {columns} columns", at(&source.path, number)));
        }
    }
    findings
}

fn odd_characters(source: &Source) -> Vec<String> {
    let odd = |c: char| !(c == '\t' || (' '..='~').contains(&c));
    numbered(source)
        .filter_map(|(number, line)| {
            let found = line.chars().find(|&c| odd(c))?;
            Some(format!("{}: {found:?} is not printable ASCII", at(&source.path, number)))
        })
        .collect()
}

fn loose_ends(source: &Source) -> Vec<String> {
    let mut findings: Vec<String> = numbered(source)
        .filter(|(_, line)| line.ends_with([' ', '\t']))
        .map(|(number, _)| format!("{}: blanks at the end of the line", at(&source.path, number)))
        .collect();
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        findings.push(format!("{}: no newline at the end", source.path));
    }
    findings
}

/// A `mod.rs` or `lib.rs` documents, declares and re-exports: nothing in it runs.
fn code_in_module_file(source: &Source) -> Vec<String> {
    let functions = rust::functions(source)
        .into_iter()
        .map(|function| (function.line, format!("fn {}", function.name)));
    let implementations = rust::runs(source)[0]
        .iter()
        .filter(|token| rust::is_ident(token, "impl"))
        .map(|token| (rust::line(token), "impl".to_owned()))
        .collect::<Vec<_>>();
    functions
        .chain(implementations)
        .map(|(line, what)| format!("{}: {what}", at(&source.path, line)))
        .collect()
}

fn undocumented_module(source: &Source) -> Vec<String> {
    let opens = source.text.lines().find(|line| !line.is_empty() && !line.starts_with("#!"));
    let documented = opens.is_some_and(|line| line.starts_with("//!"));
    (!documented)
        .then(|| format!("{}: does not open with what it keeps true (//!)", source.path))
        .into_iter()
        .collect()
}

fn numbered(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source.text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn is_module_file(source: &Source) -> bool {
    source.is_rust() && (source.path.ends_with("/mod.rs") || source.path.ends_with("/lib.rs"))
}

/// `tests.rs` belongs to the module beside it, which says what is kept true.
fn opens_a_subject(source: &Source) -> bool {
    source.is_rust() && !source.path.ends_with("/tests.rs")
}

#[test]
fn files_are_short() {
    check(Source::is_rust, long_file);
    assert!(!long_file(&Source::snippet("a.rs", &"\n".repeat(FILE_LINES_MAX + 1))).is_empty());
}

#[test]
fn functions_fit_a_screen() {
    check(Source::is_rust, long_functions);
    let bad = format!("fn f() {{\n{}}}\n", "g();\n".repeat(FUNCTION_LINES_MAX - 1));
    assert_eq!(long_functions(&Source::snippet("a.rs", &bad)), ["a.rs:1: f has 71 lines"]);
}

#[test]
fn long_tests_have_a_file_of_their_own() {
    check(Source::is_rust, long_inline_tests);
    let bad = format!("mod tests {{\n{}}}\n", "use a;\n".repeat(TEST_LINES_INLINE_MAX + 1));
    assert!(!long_inline_tests(&Source::snippet("a.rs", &bad)).is_empty());
}

#[test]
fn lines_keep_to_their_columns() {
    check(Source::is_written, wide_lines);
    let wide = "x".repeat(COLUMNS_MAX + 1);
    assert!(!wide_lines(&Source::snippet("a.rs", &wide)).is_empty());
    assert!(!wide_lines(&Source::snippet("a.md", &wide)).is_empty());
    for fine in [format!("| {wide} |"), format!("```\n{wide}\n```\n")] {
        assert!(wide_lines(&Source::snippet("a.md", &fine)).is_empty());
    }
}

#[test]
fn text_is_ascii() {
    check(Source::is_written, odd_characters);
    assert!(!odd_characters(&Source::snippet("a.rs", "// caf\u{e9}\n")).is_empty());
    assert!(!odd_characters(&Source::snippet("a.md", "a \u{2014} b\n")).is_empty());
}

#[test]
fn lines_end_where_they_end() {
    check(Source::is_written, loose_ends);
    assert_eq!(loose_ends(&Source::snippet("a.rs", "a \nb")).len(), 2);
}

#[test]
fn module_files_only_document_declare_and_reexport() {
    check(is_module_file, code_in_module_file);
    let bad = Source::snippet("a/mod.rs", "pub mod b;\nimpl A { fn f() {} }\nfn g() {}\n");
    assert_eq!(code_in_module_file(&bad).len(), 3);
    let good = Source::snippet("a/mod.rs", "pub mod b;\npub use b::C;\ntrait T { fn f(); }\n");
    assert!(code_in_module_file(&good).is_empty());
}

#[test]
fn modules_open_with_what_they_keep_true() {
    check(opens_a_subject, undocumented_module);
    assert!(!undocumented_module(&Source::snippet("a.rs", "use std::fs;\n")).is_empty());
}

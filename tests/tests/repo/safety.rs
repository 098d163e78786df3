//! `unsafe` and glommio stay where they are named, each `unsafe` says why it is sound, and lints
//! are waived with a reason or not at all.

use crate::rust;
use crate::sources::{Source, all, at, check, none};

/// All files that may say `unsafe`.
const UNSAFE_FILES: &[&str] = &[
    "bench/compare/src/engines/lmdb.rs",
    "bench/src/ring.rs",
    "engine/src/env/buf.rs",
    "engine/src/env/ring/disk.rs",
    "engine/src/env/ring/park.rs",
    "engine/src/env/ring/recv_buffers.rs",
    "engine/src/env/ring/ring.rs",
    "engine/src/env/ring/socket.rs",
    "net/src/mesh/spsc.rs",
    "net/src/runtime/memory.rs",
    "tests/tests/kernel/ext4_shutdown.rs",
];

/// All files that may name glommio.
const GLOMMIO_FILES: &[&str] = &[
    "bench/compare/src/engines/kvcore.rs",
    "engine/examples/throughput.rs",
    "engine/src/env/direct.rs",
    "engine/src/env/direct/closer.rs",
    "engine/src/env/direct/give_way.rs",
    "engine/src/env/direct/file.rs",
    "engine/src/env/direct/with_ring.rs",
    "engine/src/env/ring/park.rs",
    "engine/tests/direct_probe.rs",
    "net/src/runtime/executor.rs",
];

/// A note stands at most this many lines above its `unsafe`.
const NOTE_LINES_MAX: usize = 8;

/// `unsafe` as an attribute's argument (`#[unsafe(no_mangle)]`) counts as well.
fn stray_unsafe(source: &Source) -> Vec<String> {
    if UNSAFE_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let lines = rust::lines_with(source, "unsafe");
    lines.into_iter().map(|line| format!("{}: unsafe", at(&source.path, line))).collect()
}

fn unexplained_unsafe(source: &Source) -> Vec<String> {
    let text: Vec<&str> = source.text.lines().collect();
    let explained = |line: usize| {
        let above = &text[line.saturating_sub(NOTE_LINES_MAX + 1)..line];
        above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
    };
    rust::lines_with(source, "unsafe")
        .into_iter()
        .filter(|&line| !explained(line))
        .map(|line| format!("{}: unsafe without a SAFETY note", at(&source.path, line)))
        .collect()
}

fn stray_glommio(source: &Source) -> Vec<String> {
    if GLOMMIO_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let lines = rust::lines_with(source, "glommio");
    lines.into_iter().map(|line| format!("{}: glommio", at(&source.path, line))).collect()
}

/// `#[allow]` hides for ever, `#[ignore]` hides a failure, `#[expect]` needs its reason.
fn waivers(source: &Source) -> Vec<String> {
    let refused = |content: &[proc_macro2::TokenTree]| {
        let head = content.first()?;
        let words = || content.iter().map(ToString::to_string).collect::<String>();
        if rust::is_ident(head, "allow") || rust::is_ident(head, "ignore") {
            return Some(words());
        }
        (rust::is_ident(head, "expect") && !words().contains("reason")).then(words)
    };
    rust::attributes(source)
        .iter()
        .filter_map(|(line, content)| Some((line, refused(content)?)))
        .map(|(&line, what)| format!("{}: #[{what}]", at(&source.path, line)))
        .collect()
}

/// A file that lost its reason to be on a list leaves the list.
fn needless(list: &[&str], word: &str, sources: &[Source]) -> Vec<String> {
    let used = |path: &&&str| {
        let named = sources.iter().find(|source| source.path == **path);
        named.is_some_and(|source| !rust::lines_with(source, word).is_empty())
    };
    list.iter().filter(|path| !used(path)).map(|path| format!("{path}: no {word}")).collect()
}

#[test]
fn the_lists_name_no_file_too_many() {
    let sources: Vec<Source> = all().into_iter().filter(Source::is_rust).collect();
    none(needless(UNSAFE_FILES, "unsafe", &sources));
    none(needless(GLOMMIO_FILES, "glommio", &sources));
    let innocent = [Source::snippet("a.rs", "fn f() {}\n")];
    assert_eq!(needless(&["a.rs", "gone.rs"], "unsafe", &innocent).len(), 2);
}

#[test]
fn unsafe_is_in_named_files_only() {
    check(Source::is_rust, stray_unsafe);
    let bad = "fn f() { unsafe { g() } }\n";
    assert_eq!(stray_unsafe(&Source::snippet("net/src/a.rs", bad)).len(), 1);
    assert!(stray_unsafe(&Source::snippet(UNSAFE_FILES[0], bad)).is_empty());
}

#[test]
fn each_unsafe_says_why_it_is_sound() {
    check(Source::is_rust, unexplained_unsafe);
    let bad = "// SAFETY: g is fine.\nfn f() {\n\n\n\n\n\n\n\n\n    unsafe { g() }\n}\n";
    assert_eq!(unexplained_unsafe(&Source::snippet("a.rs", bad)).len(), 1);
    let good = "fn f() {\n    // SAFETY: g is fine.\n    unsafe { g() }\n}\n";
    assert!(unexplained_unsafe(&Source::snippet("a.rs", good)).is_empty());
}

#[test]
fn glommio_is_named_in_named_files_only() {
    check(Source::is_rust, stray_glommio);
    let bad = "/// glommio here is prose.\nuse glommio::LocalExecutor;\n";
    assert_eq!(stray_glommio(&Source::snippet("engine/src/flush.rs", bad)).len(), 1);
}

#[test]
fn lints_are_waived_with_a_reason_and_tests_are_not_ignored() {
    check(Source::is_rust, waivers);
    for bad in ["#![allow(dead_code)]", "#[ignore = \"slow\"] fn f() {}", "#[expect(x)] fn f() {}"]
    {
        assert_eq!(waivers(&Source::snippet("a.rs", bad)).len(), 1, "{bad}");
    }
    let good = "#[expect(unsafe_code, reason = \"the ring\")] fn f() {}";
    assert!(waivers(&Source::snippet("a.rs", good)).is_empty());
}

//! The files of the repository, as git lists them, and how findings are reported.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the repository.
pub(crate) struct Source {
    /// Path from the repository's root, `/`-separated.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// A snippet for a rule's own test.
    pub(crate) fn snippet(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether a person wrote it: what programs write keeps its own shape.
    pub(crate) fn is_written(&self) -> bool {
        let generated = self.path.split('/').any(|part| part.starts_with("generated"));
        let kept = ["Cargo.lock", ".proptest-regressions", ".svg"];
        let is_fuzzed = self.path.starts_with("tests/fuzz/corpus/");
        !generated && !is_fuzzed && !kept.iter().any(|end| self.path.ends_with(end))
    }

    /// Whether it is Rust that a person wrote.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs") && self.is_written()
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests package is a directory of the repository").to_owned()
}

/// Paths of all files git tracks or would track, sorted.
pub(crate) fn paths() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs: the repository tests need it");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let mut paths: Vec<String> =
        listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| root().join(path).is_file());
    assert!(paths.len() > 20, "git lists {} files: this is not the repository", paths.len());
    paths
}

/// All text files; those with a zero byte or other than UTF-8 are fixtures, not text.
pub(crate) fn all() -> Vec<Source> {
    let read = |path: String| {
        let bytes = std::fs::read(root().join(&path)).expect("a listed file can be read");
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
        Some(Source { path, text })
    };
    paths().into_iter().filter_map(read).collect()
}

/// Runs `rule` over all files that `which` picks.
pub(crate) fn check(which: fn(&Source) -> bool, rule: fn(&Source) -> Vec<String>) {
    let sources: Vec<Source> = all().into_iter().filter(which).collect();
    assert!(!sources.is_empty(), "the rule looks at no file");
    none(sources.iter().flat_map(rule).collect());
}

/// Fails with all findings, one a line, unless there are none.
pub(crate) fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// A finding's first half: where.
pub(crate) fn at(path: &str, line: usize) -> String {
    format!("{path}:{line}")
}

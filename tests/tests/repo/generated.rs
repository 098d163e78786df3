//! Generated code belongs to the schemas beside it: `schemas/generate.sh` wrote both sums down.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::sources::{none, paths, root};

/// What `sums`, a listing of `sha256sum`, contradicts or leaves out; paths are from `schemas/`.
fn stale(sums: &str, files: &[String]) -> Vec<String> {
    let listed = |file: &str| sums.lines().any(|line| line.ends_with(&format!("  {file}")));
    let mut findings: Vec<String> = files
        .iter()
        .filter(|file| !listed(file))
        .map(|file| format!("schemas/{file}: not in SHA256SUMS"))
        .collect();
    let mut check = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .current_dir(root().join("schemas"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("sha256sum of coreutils");
    let mut input = check.stdin.take().expect("a pipe");
    input.write_all(sums.as_bytes()).expect("sha256sum reads its input");
    drop(input);
    let output = check.wait_with_output().expect("sha256sum ends");
    let differing = String::from_utf8(output.stdout).expect("paths are UTF-8");
    findings.extend(differing.lines().map(|line| format!("schemas/{line}: run generate.sh")));
    if !output.status.success() && differing.is_empty() {
        findings.push("schemas/src/generated/SHA256SUMS: not a listing of sums".to_owned());
    }
    findings
}

/// Schemas, and the code made from them, as `generate.sh` names them.
fn inputs_and_outputs() -> Vec<String> {
    paths()
        .into_iter()
        .filter_map(|path| path.strip_prefix("schemas/").map(str::to_owned))
        .filter(|path| path.ends_with(".fbs") || path.ends_with("_generated.rs"))
        .collect()
}

#[test]
fn generated_code_is_that_of_the_schemas() {
    let files = inputs_and_outputs();
    assert!(files.len() >= 2, "schemas and code: {files:?}");
    let path = root().join("schemas/src/generated/SHA256SUMS");
    let sums = std::fs::read_to_string(path).expect("generate.sh writes the sums");
    none(stale(&sums, &files));

    let changed = sums.replacen(&sums[..8], "00000000", 1);
    assert_eq!(stale(&changed, &files).len(), 1);
    let first = sums.lines().next().expect("a line");
    assert_eq!(stale(&sums.replace(first, ""), &files).len(), 1);
    assert_eq!(stale("", &[]).len(), 1);
}

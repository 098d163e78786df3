//! Who may depend on whom, read from `cargo metadata`; and that no package escapes the lints.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::sources::{none, root};

/// The edges of the layer diagram, in dependencies of every kind. `tests` may use everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("engine", &["schemas"]),
    ("cluster", &["schemas"]),
    ("net", &["cluster", "engine", "schemas"]),
    ("kvclient", &["schemas"]),
    ("kvbench", &["engine", "kvclient"]),
    ("kvctl", &["engine", "kvclient"]),
];

/// What the packages that must not know the outside may never depend on, at any kind but `dev`.
const OUTSIDE: &[&str] = &["axum", "glommio", "io-uring", "tokio"];

/// Which of [`OUTSIDE`] each package may name.
const OUTSIDE_ALLOWED: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("cluster", &[]),
    ("engine", &["glommio", "io-uring"]),
    ("kvclient", &["tokio"]),
];

type Edges = BTreeMap<String, BTreeSet<String>>;

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Package to the packages it names; without `dev`, what only its tests use is left out.
fn edges(metadata: &Value, dev: bool) -> Edges {
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let counted = dependencies.iter().filter(|it| dev || it["kind"] != "dev");
            (text(&package["name"]), counted.map(|it| text(&it["name"])).collect())
        })
        .collect()
}

fn forbidden_edges(edges: &Edges) -> Vec<String> {
    let ours: BTreeSet<&String> = edges.keys().collect();
    let mut findings = Vec::new();
    for (package, dependencies) in edges.iter().filter(|(package, _)| *package != "tests") {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == package) else {
            findings.push(format!("{package}: not a package of the layer diagram"));
            continue;
        };
        let strays =
            dependencies.iter().filter(|it| ours.contains(it) && !allowed.contains(&it.as_str()));
        findings.extend(strays.map(|it| format!("{package} -> {it}")));
    }
    findings
}

fn forbidden_outside(edges: &Edges) -> Vec<String> {
    let mut findings = Vec::new();
    for (package, allowed) in OUTSIDE_ALLOWED {
        let named = edges.get(*package).into_iter().flatten();
        let strays =
            named.filter(|it| OUTSIDE.contains(&it.as_str()) && !allowed.contains(&it.as_str()));
        findings.extend(strays.map(|it| format!("{package} -> {it}")));
    }
    findings
}

fn escapes_lints(name: &str, manifest: &str) -> Option<String> {
    let kept = manifest.contains("[lints]\nworkspace = true\n");
    (!kept).then(|| format!("{name}: [lints] workspace = true is missing"))
}

/// A crate's clippy.toml replaces the root's: it must repeat each setting of it.
fn forgotten_settings(name: &str, root: &str, own: &str) -> Vec<String> {
    root.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter(|line| !own.lines().any(|it| it == *line))
        .map(|line| format!("{name}: does not repeat {line:?} of the root"))
        .collect()
}

#[test]
fn packages_depend_only_downwards() {
    let real = edges(&metadata(), true);
    assert_eq!(real.len(), ALLOWED.len() + 1, "packages: {:?}", real.keys());
    none(forbidden_edges(&real));

    let mut bad = real.clone();
    bad.get_mut("engine").expect("engine").insert("net".to_owned());
    assert_eq!(forbidden_edges(&bad), ["engine -> net"]);
    let mut bad = real;
    bad.insert("shortcut".to_owned(), BTreeSet::new());
    assert_eq!(forbidden_edges(&bad).len(), 1);
}

#[test]
fn sans_io_packages_know_no_runtime() {
    let real = edges(&metadata(), false);
    none(forbidden_outside(&real));

    let mut bad = real;
    bad.get_mut("cluster").expect("cluster").insert("tokio".to_owned());
    assert_eq!(forbidden_outside(&bad), ["cluster -> tokio"]);
}

#[test]
fn every_package_keeps_the_lints() {
    let metadata = metadata();
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let path = package["manifest_path"].as_str().expect("a path");
        let manifest = std::fs::read_to_string(path).expect("a manifest");
        findings.extend(escapes_lints(path, &manifest));
    }
    none(findings);
    assert!(escapes_lints("a", "[package]\nname = \"a\"\n").is_some());
}

#[test]
fn clippy_settings_are_repeated_where_they_are_replaced() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect(path);
    let ours = read("clippy.toml");
    let mut findings = Vec::new();
    for crate_path in ["engine/clippy.toml", "cluster/clippy.toml"] {
        findings.extend(forgotten_settings(crate_path, &ours, &read(crate_path)));
    }
    none(findings);
    assert_eq!(forgotten_settings("a", "allow-x = true\n", "# nothing\n").len(), 1);
}

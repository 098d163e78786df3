//! The programs under test, built from the sources as they are.
//!
//! Cargo builds for a test the programs of its own package alone, and what lies in the target
//! directory from earlier may be old. So cargo is asked once a run; it has nothing to do when all
//! is fresh, and it says where each program is. The whole workspace is named, and an example with
//! the programs, so that dependencies have the features that `cargo test --workspace` gives them
//! and are not built a second time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const BINS: &[&str] = &["kvcore", "kvctl", "kvbench"];
const EXAMPLES: &[&str] = &["quickstart"];

/// Where cargo built the program `name`, one of [`BINS`] or [`EXAMPLES`].
pub(crate) fn program(name: &str) -> &'static Path {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(build);
    built.get(name).unwrap_or_else(|| panic!("cargo built no {name}"))
}

/// The command that runs it, without the environment's settings.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"KVCORE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn build() -> HashMap<String, PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--locked", "--message-format=json-render-diagnostics"]);
    cargo.args(BINS.iter().flat_map(|name| ["--bin", name]));
    cargo.args(EXAMPLES.iter().flat_map(|name| ["--example", name]));
    cargo.arg("--profile").arg(profile());
    // Below the target directory of whoever runs this test.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    cargo.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.stderr(Stdio::inherit()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "the programs under test do not build");
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str(line).unwrap());
    messages.filter_map(|message: Value| artifact(&message)).collect()
}

fn artifact(message: &Value) -> Option<(String, PathBuf)> {
    let path = message["executable"].as_str()?;
    let name = message["target"]["name"].as_str()?;
    Some((name.to_owned(), path.into()))
}

/// The profile this test was built with: its directory is named after it, but for the two that
/// cargo names otherwise.
fn profile() -> String {
    let own = std::env::current_exe().unwrap();
    let directory = own.ancestors().nth(2).and_then(Path::file_name).unwrap();
    match directory.to_str().unwrap() {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    }
}

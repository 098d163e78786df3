//! The committed code is what flatc makes of the committed schema.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// The exit status of `generate.sh` where the compiler cannot be had.
const NO_COMPILER: i32 = 3;

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Hashes are enough to notice a schema that was changed without generating, or generated code
/// that was changed by hand, on any machine.
#[test]
fn schema_and_generated_code_belong_together() {
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "src/generated/SHA256SUMS"])
        .current_dir(home())
        .output()
        .expect("sha256sum runs");
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(check.status.success(), "run schemas/generate.sh:\n{said}");
    assert_eq!(said.lines().count(), 4, "two schemas, two generated files:\n{said}");
}

#[test]
fn generating_again_changes_nothing() {
    let fresh = tempfile::tempdir().expect("a directory");
    let run = Command::new(home().join("generate.sh")).arg(fresh.path()).output();
    let run = run.expect("generate.sh runs");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    if run.status.code() == Some(NO_COMPILER) {
        // Past the test harness, which shows the output of failed tests only.
        let note = "\nNOT CHECKED: schemas/src/generated against flatc, which can not be had:\n";
        let mut stderr = std::io::stderr().lock();
        stderr.write_all(note.as_bytes()).expect("stderr is open");
        stderr.write_all(said.as_bytes()).expect("stderr is open");
        return;
    }
    assert!(run.status.success(), "{said}");
    for name in ["point_generated.rs", "tables_generated.rs"] {
        let committed = fs::read(home().join("src/generated").join(name)).expect("committed");
        let made = fs::read(fresh.path().join(name)).expect("generated");
        assert!(made == committed, "{name} is not what flatc makes: run schemas/generate.sh");
    }
}

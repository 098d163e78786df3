//! What these tests need, found out before anything is mounted: a test that cannot be done fails
//! with a sentence, or is left out because somebody said so.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Programs beyond those that every Debian has, and the packages they come from.
const PROGRAMS: &[(&str, &str)] = &[
    ("qemu-storage-daemon", "qemu-utils, or qemu-system-common before Debian 13"),
    ("mkfs.ext4", "e2fsprogs"),
    ("filefrag", "e2fsprogs"),
    ("losetup", "mount"),
];

/// Whether the means are there; `false` if `KVCORE_TEST_KERNEL=skip` says that it does not matter,
/// which is told past the test's captured output.
///
/// # Panics
/// If they are not there, with what is missing.
#[expect(clippy::explicit_write, reason = "what is printed with a macro is captured")]
pub(crate) fn at_hand(test: &str) -> bool {
    if std::env::var("KVCORE_TEST_KERNEL").is_ok_and(|value| value == "skip") {
        writeln!(std::io::stderr(), "NOT TESTED, KVCORE_TEST_KERNEL=skip: {test}").unwrap();
        return false;
    }
    if let Some(missing) = missing() {
        panic!("{missing}; KVCORE_TEST_KERNEL=skip leaves these tests out");
    }
    true
}

/// What is missing, as a sentence.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("tests on the real kernel mount file systems: run them as root".to_owned());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if let Err(error) = OpenOptions::new().read(true).write(true).open(device) {
            return Some(format!("tests on the real kernel need {device}: {error}"));
        }
    }
    let lacks = |program: &&(&str, &str)| !runs(program.0);
    let (program, package) = PROGRAMS.iter().find(lacks)?;
    Some(format!("tests on the real kernel need {program}: apt-get install {package}"))
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // With a status of its own or another: it is there.
    command.status().is_ok() || Path::new("/usr/sbin").join(program).exists()
}

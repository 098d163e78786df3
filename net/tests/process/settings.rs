//! Flags, environment and file, as the binary reads them.

use std::fs;

use crate::kvcore::{plain, scratch};

fn printed(start: &mut std::process::Command) -> String {
    let output = start.arg("--print-config").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn assert_line(text: &str, setting: &str, origin: &str) {
    let found = text.lines().any(|line| line.starts_with(setting) && line.ends_with(origin));
    assert!(found, "{setting} # {origin} in {text}");
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
    let dir = scratch();
    let file = dir.path().join("kvcore.toml");
    fs::write(&file, "rack = \"file\"\ndc = \"file\"\nspin = \"1ms\"\n").unwrap();
    let mut start = plain();
    start.env("KVCORE_CONFIG", &file).env("KVCORE_RACK", "variable").env("KVCORE_DC", "variable");
    let text = printed(start.args(["--dc", "flag"]));
    assert_line(&text, "dc = \"flag\" ", "# --dc");
    assert_line(&text, "rack = \"variable\" ", "# KVCORE_RACK");
    assert_line(&text, "spin = \"1ms\" ", "kvcore.toml:3");
    assert_line(&text, "vnodes = \"4096\" ", "# default");
    let other = dir.path().join("other.toml");
    fs::write(&other, "spin = \"2ms\"\n").unwrap();
    let mut start = plain();
    start.env("KVCORE_CONFIG", &file).arg("--config").arg(&other);
    let text = printed(&mut start);
    assert_line(&text, "spin = \"2ms\" ", "other.toml:1");
}

#[test]
fn a_file_with_an_unknown_key_is_refused_with_its_line() {
    let dir = scratch();
    let file = dir.path().join("kvcore.toml");
    fs::write(&file, "# mine\nmemroy = \"1GiB\"\n").unwrap();
    let output = plain().arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("kvcore.toml:2: \"memroy\" is no setting"), "{said}");
}

#[test]
fn it_tells_its_version_and_its_flags() {
    let version = plain().arg("--version").output().unwrap();
    assert_eq!(version.status.code(), Some(0));
    let expected = format!("kvcore {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
    let help = plain().arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("--durability <WHEN>"));
}

//! What the command line refuses, and what it says then. No server is needed: none of these gets
//! as far.

use std::fs;
use std::net::TcpListener;

use assert_cmd::Command;

fn kvctl(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("kvctl").expect("kvctl is built");
    command.env_remove("KVCORE_SEEDS").args(arguments);
    command
}

#[track_caller]
fn ends(mut command: Command, code: i32, because: &str) {
    let output = command.assert().code(code).get_output().clone();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(because), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn usage_errors_exit_with_2() {
    for (arguments, because) in [
        (&[][..], "Usage"),
        (&["get"], "required"),
        (&["get", ""], "the key is empty"),
        (&["get", "--hex", "0"], "two digits a byte"),
        (&["get", "--hex", "zz"], "not hexadecimal"),
        (&["del"], "required"),
        (&["exists", "a", ""], "the key is empty"),
        (&["put", "a", "b", "--ttl", "5"], "no time"),
        (&["put", "a", "b", "--file", "c"], "cannot be used with"),
        (&["put", "a", "--file", "/nowhere"], "cannot read /nowhere"),
        (&["get", "a", "--deadline", "0s"], "no time"),
        (&["get", "a", "--consistency", "MOST"], "MOST"),
        (&["import"], "required"),
        (&["import", "--dir", "a", "--tsv", "b"], "cannot be used with"),
        (&["import", "--tsv", "a", "--concurrency", "0"], "0 is not in 1..=4096"),
        (&["export"], "required"),
        (&["scan"], "unrecognized"),
        (&["disk"], "Usage"),
        (&["disk", "sstable"], "required"),
        (&["disk", "sstable", "a.sst"], "not named as a table is"),
        (&["disk", "sstable", "0001000000000001.sst"], "cannot read 0001000000000001.sst"),
        (&["disk", "manifest", "/nowhere"], "cannot read /nowhere"),
        (&["disk", "manifest", "Cargo.toml"], "nor named MANIFEST"),
        (&["disk", "log", "Cargo.toml"], "not named as a segment is"),
        (&["disk", "verify", "Cargo.toml"], "is no directory"),
    ] {
        ends(kvctl(arguments), 2, because);
    }
}

#[test]
fn keys_and_values_past_their_limits_are_refused_before_anything_is_sent() {
    ends(kvctl(&["get", &"k".repeat(4097)]), 2, "it has 4097 bytes");
    let mut put = kvctl(&["put", "a"]);
    put.write_stdin(vec![0; (1 << 20) + 1]);
    ends(put, 2, "more than 1048576 bytes");
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let seeds = format!("127.0.0.1:{port}");
    for verb in [&["get", "a"][..], &["put", "a", "b"], &["del", "a"], &["exists", "a"]] {
        let mut command = kvctl(verb);
        command.args(["--deadline", "300ms"]).env("KVCORE_SEEDS", &seeds);
        ends(command, 1, &seeds);
    }
}

#[test]
fn an_export_that_cannot_begin_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let out = dir.path().join("out");
    let mut command = kvctl(&["export", "--deadline", "300ms", "--dir"]);
    command.arg(&out).args(["--seeds", &format!("127.0.0.1:{port}")]);
    ends(command, 1, "127.0.0.1");
    assert!(!out.exists());
}

#[test]
fn an_import_of_what_is_not_there_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let mut command = kvctl(&["import", "--dir"]);
    command.arg(&file);
    ends(command, 1, "cannot be read as a directory");
    let mut command = kvctl(&["import", "--jsonl"]);
    command.arg(dir.path().join("nothing"));
    ends(command, 1, "cannot read");
}

//! What the command line refuses, and what it says then. No server is needed: none of these gets
//! as far.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use assert_cmd::Command;

fn kvctl(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("kvctl").expect("kvctl is built");
    command.env_remove("KVCORE_SEEDS").env_remove("KVCORE_ADMIN").args(arguments);
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
        (&["compact", "now"], "unexpected"),
        (&["snapshot"], "Usage"),
        (&["snapshot", "create"], "required"),
        (&["snapshot", "create", "../a"], "is no name of a snapshot"),
        (&["snapshot", "delete", "A"], "is no name of a snapshot"),
        (&["snapshot", "verify", "Cargo.toml"], "is no directory of a snapshot"),
        (&["snapshot", "restore", "src", "--after", "kk", "--hex"], "not hexadecimal"),
        (&["snapshot", "restore", "src", "--hex"], "--after"),
        (&["snapshot", "list", "--data-dir", "Cargo.toml"], "is no directory"),
    ] {
        ends(kvctl(arguments), 2, because);
    }
}

#[test]
fn a_directory_that_is_no_snapshot_is_incomplete_and_one_that_is_no_nodes_loses_nothing() {
    ends(kvctl(&["snapshot", "verify", "src"]), 1, "src: it is incomplete: it has no SNAPSHOT");
    ends(kvctl(&["snapshot", "restore", "src"]), 1, "src: it is incomplete: it has no SNAPSHOT");
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("snapshots/a");
    fs::create_dir_all(&kept).unwrap();
    let mut command = kvctl(&["snapshot", "delete", "a", "--data-dir"]);
    command.arg(dir.path());
    ends(command, 1, "is no data directory");
    assert!(kept.is_dir());
}

/// `delete` had removal of its own: it took along what no snapshot has, which a node leaves.
#[test]
fn a_snapshot_is_deleted_of_a_directory_as_a_node_deletes_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("NODE"), "").unwrap();
    let shard = dir.path().join("snapshots/a/shard-000");
    fs::create_dir_all(&shard).unwrap();
    let (head, table) = (shard.with_file_name("SNAPSHOT"), shard.join("0001000000000001.sst"));
    let (part, note) = (shard.join("SHARD"), shard.join("note.txt"));
    for file in [&head, &part, &table, &note] {
        fs::write(file, "").unwrap();
    }
    let delete = || {
        let mut command = kvctl(&["snapshot", "delete", "a", "--data-dir"]);
        command.arg(dir.path());
        command
    };
    ends(delete(), 1, "snapshots/a/shard-000: ");
    assert!(!head.exists() && !part.exists() && !table.exists() && note.exists());
    fs::remove_file(note).unwrap();
    delete().assert().code(0);
    assert!(dir.path().join("snapshots").is_dir() && !dir.path().join("snapshots/a").exists());
    ends(delete(), 1, "there is no snapshot \"a\"");
}

/// A node's admin port that gives these answers, one a connection, and says what it was asked.
fn admin(answers: &'static [(u16, &'static str)]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move || {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let line = request.split(|&byte| byte == b'\r').next().unwrap();
            asked.push(String::from_utf8(line.to_vec()).unwrap());
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{body}")
                .unwrap();
        }
        asked
    };
    (address, thread::spawn(serve))
}

#[test]
fn a_snapshot_that_takes_long_is_waited_for() {
    const INCOMPLETE: &str = "{\"name\":\"a\",\"state\":\"incomplete\"}\n";
    const COMPLETE: &str = "{\"name\":\"a\",\"state\":\"complete\",\"tables\":3}\n";
    let (address, asked) = admin(&[(202, "later\n"), (200, INCOMPLETE), (200, COMPLETE)]);
    let mut command = kvctl(&["snapshot", "create", "a", "-o", "json", "--admin", &address]);
    let output = command.assert().code(0).get_output().clone();
    assert!(String::from_utf8_lossy(&output.stdout).contains("complete"));
    let gets = "GET /snapshots HTTP/1.1";
    assert_eq!(asked.join().unwrap(), ["POST /snapshots/a HTTP/1.1", gets, gets]);

    let (address, asked) = admin(&[(202, "later\n"), (200, INCOMPLETE), (200, "")]);
    ends(kvctl(&["snapshot", "create", "a", "--admin", &address]), 1, "the snapshot failed");
    assert_eq!(asked.join().unwrap().len(), 3);
}

#[test]
fn what_a_node_refuses_is_said_in_its_words() {
    let (address, asked) = admin(&[(409, "there is one\n"), (404, "there is none\n")]);
    ends(kvctl(&["snapshot", "create", "a", "--admin", &address]), 1, "kvctl: there is one");
    ends(kvctl(&["snapshot", "delete", "a", "--admin", &address]), 1, "kvctl: there is none");
    let requests = ["POST /snapshots/a HTTP/1.1", "DELETE /snapshots/a HTTP/1.1"];
    assert_eq!(asked.join().unwrap(), requests);
    ends(kvctl(&["snapshot", "list", "--admin", &address]), 1, "cannot ask the node at");
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

//! Each way a start is refused has its status and one sentence that says what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::kvcore::{Server, command, plain, refused, scratch};

/// Asserts the status, and that stderr is one sentence with all of `parts` in it.
fn assert_refusal((status, said): (i32, String), expected: i32, parts: &[&str]) {
    assert_eq!(status, expected, "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 1, "one sentence: {said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} in {said:?}");
    }
}

/// A data directory that a node has used.
fn used() -> tempfile::TempDir {
    let dir = scratch();
    Server::start(&mut command(dir.path())).stop();
    dir
}

fn change_superblock(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join("NODE");
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn usage() {
    let dir = scratch();
    let start = |flags: &[&str]| refused(command(dir.path()).args(flags));
    assert_refusal(start(&["--durability", "often"]), 2, &["kvcore: --durability: \"often\""]);
    assert_refusal(start(&["--cores", "0"]), 2, &["--cores and --smp"]);
    let little = ["--smp", "1", "--memory", "4MiB", "--data-dir"];
    let little = refused(plain().args(little).arg(dir.path()));
    assert_refusal(little, 2, &["too little", "at least 64MiB"]);
    assert_refusal(start(&["--config", "/nonexistent.toml"]), 2, &["/nonexistent.toml"]);
    let open = refused(plain().args(["--listen", "0.0.0.0:7400", "--data-dir"]).arg(dir.path()));
    assert_refusal(open, 2, &["not a loopback address", "--insecure"]);
    let unknown = refused(command(dir.path()).arg("--colour"));
    assert_eq!(unknown.0, 2);
    assert!(unknown.1.contains("--colour"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was touched");
}

#[test]
fn a_cpu_that_does_not_exist() {
    let dir = scratch();
    let mut start = plain();
    start.args(["--cores", "1000", "--data-dir"]).arg(dir.path());
    assert_refusal(refused(&mut start), 12, &["CPU 1000", "may use"]);
    let many = refused(plain().args(["--smp", "256", "--data-dir"]).arg(dir.path()));
    assert_refusal(many, 12, &["--smp 256"]);
}

#[test]
fn an_address_in_use() {
    let dir = scratch();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        let mut start = plain();
        start.args(["--smp", "1", "--memory", "128MiB", "--data-dir"]).arg(dir.path());
        let other = if flag == "--listen" { "--admin-listen" } else { "--listen" };
        start.args([flag, &address, other, "127.0.0.1:0"]);
        assert_refusal(refused(&mut start), 13, &[&address, flag]);
    }
}

#[test]
fn a_data_directory_in_use() {
    let dir = scratch();
    let server = Server::start(&mut command(dir.path()));
    let holder = format!("process {}", server.pid());
    assert_refusal(refused(&mut command(dir.path())), 20, &["in use", &holder, "--data-dir"]);
    assert_eq!(server.get("/readyz").0, 200, "the holder is not disturbed");
    server.stop();
}

#[test]
fn a_foreign_data_directory() {
    let dir = scratch();
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    assert_refusal(refused(&mut command(dir.path())), 21, &["thesis.tex", "--data-dir"]);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.tex"], "nothing was touched");
}

#[test]
fn a_data_directory_of_another_cluster() {
    let dir = used();
    let other = refused(command(dir.path()).args(["--cluster-name", "bank"]));
    assert_refusal(other, 21, &["cluster-name is kvcore", "bank"]);
    let ring = refused(command(dir.path()).args(["--vnodes", "64"]));
    assert_refusal(ring, 21, &["vnodes is 4096", "64"]);
    let same = ["--cluster-name", "kvcore", "--vnodes", "4096"];
    Server::start(command(dir.path()).args(same)).stop();
}

#[test]
fn a_newer_data_directory() {
    let dir = used();
    change_superblock(dir.path(), |bytes| {
        bytes[8] = 2;
        bytes[12..16].fill(0);
        let place = [&bytes[..8], &[0; 8]].concat();
        let sum = crc32c::crc32c_append(crc32c::crc32c(&place), bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    });
    assert_refusal(refused(&mut command(dir.path())), 22, &["NODE has format 2", "newer"]);
}

#[test]
fn a_damaged_data_directory() {
    let dir = used();
    change_superblock(dir.path(), |bytes| bytes[100] ^= 1);
    assert_refusal(refused(&mut command(dir.path())), 23, &["NODE is damaged"]);
    change_superblock(dir.path(), |bytes| bytes[100] ^= 1);
    let clock = fs::read(dir.path().join("CLOCK")).unwrap();
    fs::write(dir.path().join("CLOCK"), vec![0; clock.len()]).unwrap();
    assert_refusal(refused(&mut command(dir.path())), 23, &["CLOCK is damaged"]);
    fs::write(dir.path().join("CLOCK"), clock).unwrap();
    fs::rename(dir.path().join("gen-0001"), dir.path().join("elsewhere")).unwrap();
    assert_refusal(refused(&mut command(dir.path())), 23, &["gen-0001/shard-000 is missing"]);
    fs::rename(dir.path().join("elsewhere"), dir.path().join("gen-0001")).unwrap();
    Server::start(&mut command(dir.path())).stop();
}

#[test]
fn a_data_directory_that_is_a_file() {
    let dir = scratch();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_refusal(refused(&mut command(&file)), 25, &["file"]);
}

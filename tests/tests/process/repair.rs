//! Damage that an operator meets: under a server that runs, and in a log that has to be given up in
//! part.

use std::fs;
use std::path::Path;

use kvclient::ErrorKind;
use kvclient::blocking::Client;

use crate::clients::{client, kvctl};
use crate::damage::Damage;
use crate::server::{Start, scratch};
use crate::stocked::names;

fn key(index: usize) -> String {
    format!("key {index}")
}

fn value(index: usize) -> Vec<u8> {
    format!("value {index} ").into_bytes().repeat(40)
}

fn write(writer: &Client, count: usize) {
    for index in 0..count {
        writer.put(key(index), value(index)).send().unwrap();
    }
}

/// Which of the first `count` keys are answered with `Corrupt`, and which have no value; all others
/// have theirs.
fn read(reader: &Client, count: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut corrupt, mut absent) = (Vec::new(), Vec::new());
    let outcomes = reader.multi_get((0..count).map(key)).send().unwrap();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(Some(entry)) => assert_eq!(entry.value, value(index), "{}", key(index)),
            Ok(None) => absent.push(index),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                corrupt.push(index);
            }
        }
    }
    (corrupt, absent)
}

#[test]
fn a_damaged_table_fails_its_keys_alone() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    write(&client(server.clients()), 400);
    server.stop();
    // Another number of shards puts everything into tables; a new start has nothing in memory.
    Start::on(dir.path()).cores(2).serve().stop();
    // A compaction that is due meets the damage first, and leaves the table alone.
    let shard = dir.path().join("gen-0002/shard-001");
    let table = names(&shard, ".sst").remove(0);
    Damage::Flip(10_000).apply(&shard.join(table));
    let mut server = Start::on(dir.path()).cores(2).serve();
    let (corrupt, absent) = read(&client(server.clients()), 400);
    assert!((1..40).contains(&corrupt.len()) && absent.is_empty(), "{corrupt:?} {absent:?}");
    let damaged = key(corrupt[0]);
    let get = kvctl(server.clients(), ["get", &damaged]);
    assert_eq!(get.code, 1);
    assert!(get.stderr.contains("damaged") && get.stdout.is_empty(), "{get:?}");
    // A newer value is served, whatever the block says.
    let writer = client(server.clients());
    writer.put(&damaged, value(corrupt[0])).send().unwrap();
    assert_eq!(read(&writer, 400).0, corrupt[1..]);
    assert!(server.is_running());
    server.stop();
}

/// The offset of the batch in a log that holds `bytes`, and the log.
fn batch_of(shard: &Path, bytes: &[u8]) -> (String, u64) {
    for log in names(shard, ".log") {
        let content = fs::read(shard.join(&log)).unwrap();
        if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
            return (log, at as u64);
        }
    }
    panic!("no log holds it");
}

#[test]
fn a_damaged_log_is_given_up_in_part_when_it_is_asked_for() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    write(&client(server.clients()), 30);
    server.kill();
    let shard = dir.path().join("gen-0001/shard-000");
    let (log, at) = batch_of(&shard, &value(12));
    Damage::Flip(at).apply(&shard.join(&log));
    let (status, said) = Start::on(dir.path()).refused();
    assert_eq!(status, 23, "{said}");
    assert!(said.contains(&log) && said.contains("--repair"), "{said}");

    let server = Start::on(dir.path()).flags(&["--repair"]).serve();
    assert!(server.said("recovered").contains("given up by --repair"), "{}", server.banner());
    assert_eq!(read(&client(server.clients()), 30), (vec![], vec![12]), "the others are there");
    assert_eq!(names(&shard, ".damaged"), [format!("{log}.damaged")], "evidence is kept");
    server.kill();
    // What was given up is known: nobody has to ask again.
    let server = Start::on(dir.path()).serve();
    assert_eq!(read(&client(server.clients()), 30), (vec![], vec![12]));
    server.stop();
}

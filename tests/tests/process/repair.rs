//! Damage that an operator meets: under a server that runs, and in a log that has to be given up in
//! part.

use std::fs;
use std::path::Path;

use kvclient::ErrorKind;
use kvclient::blocking::Client;

use crate::clients::{client, kvctl};
use crate::damage::Damage;
use crate::server::{Server, Start, eventually, scratch};
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

/// The file of `shard` that holds `bytes`, of those whose names end with `suffix`, and where.
fn place_of(shard: &Path, suffix: &str, bytes: &[u8]) -> (String, u64) {
    for name in names(shard, suffix) {
        let content = fs::read(shard.join(&name)).unwrap();
        if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
            return (name, at as u64);
        }
    }
    panic!("no {suffix} holds it");
}

/// A block of a table of `server` is damaged: its keys have an error, the other ones of the first
/// 400 their values, and what is written anew is served.
fn fails_its_keys_alone(server: &mut Server) {
    let (corrupt, absent) = read(&client(server.clients()), 400);
    assert!((1..40).contains(&corrupt.len()) && absent.is_empty(), "{corrupt:?} {absent:?}");
    let damaged = key(corrupt[0]);
    let get = kvctl(server.clients(), ["get", &damaged]);
    assert_eq!(get.code, 1);
    assert!(get.stderr.contains("damaged") && get.stdout.is_empty(), "{get:?}");
    let writer = client(server.clients());
    writer.put(&damaged, value(corrupt[0])).send().unwrap();
    assert_eq!(read(&writer, 400).0, corrupt[1..]);
    assert!(server.is_running());
}

#[test]
fn a_table_damaged_under_a_server_fails_its_keys_alone() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    let writer = client(server.clients());
    write(&writer, 400);
    // A memtable and a bit, for so little memory: the bit, replayed, is not flushed as well.
    for index in 0..8 {
        writer.put(format!("filler {index}"), vec![b'f'; 1 << 20]).send().unwrap();
    }
    eventually("it is flushed", || server.metric_if_told("kvcore_flushes_total") == Some(1.0));
    server.kill();
    // Blocks that the flush wrote are in no memory now, and one table is nothing to be compacted.
    let mut server = Start::on(dir.path()).serve();
    let shard = dir.path().join("gen-0001/shard-000");
    let (table, at) = place_of(&shard, ".sst", &value(12));
    Damage::Flip(at).apply(&shard.join(table));
    fails_its_keys_alone(&mut server);
    server.stop();
}

#[test]
fn a_table_damaged_before_a_start_fails_its_keys_alone() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    write(&client(server.clients()), 400);
    server.stop();
    // Another number of shards puts everything into tables, which two shards share at first.
    Start::on(dir.path()).cores(2).serve().stop();
    let shard = dir.path().join("gen-0002/shard-001");
    let table = names(&shard, ".sst").remove(0);
    Damage::Flip(10_000).apply(&shard.join(table));
    let mut server = Start::on(dir.path()).cores(2).serve();
    fails_its_keys_alone(&mut server);
    server.stop();
}

#[test]
fn a_damaged_log_is_given_up_in_part_when_it_is_asked_for() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    write(&client(server.clients()), 30);
    server.kill();
    let shard = dir.path().join("gen-0001/shard-000");
    let (log, at) = place_of(&shard, ".log", &value(12));
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

//! `kvctl disk` beside a real server's directory: it finds a sound one sound and a damaged byte by
//! its file, shows all kinds of files, changes nothing, and stays away while a server runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::clients::{Output, client, run};
use crate::damage::Damage;
use crate::programs;
use crate::server::{Start, eventually, scratch};
use crate::stocked::names;

const SHARD: &str = "gen-0001/shard-000";

fn disk(args: &[&str], path: &Path) -> Output {
    run(programs::command("kvctl").arg("disk").args(args).arg(path), &[])
}

/// Length, time and name of every file below `dir`.
fn state(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut state = BTreeMap::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = format!("{} {:?}", metadata.len(), metadata.modified().unwrap());
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            state.insert(path, what);
        }
    }
    state
}

/// The objects of that name among lines of JSON.
fn objects(output: Output, name: &str) -> Vec<Value> {
    let text = String::from_utf8(output.fine()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line.get(name).cloned()).collect()
}

#[test]
fn kvctl_disk_reads_what_a_server_left_and_finds_a_damaged_byte() {
    let dir = scratch();
    let data = dir.path().join("data");
    let server = Start::on(&data).serve();
    let writer = client(server.clients());
    for index in 0..300 {
        writer.put(format!("key {index}"), vec![b'v'; index]).send().unwrap();
    }
    for index in 0..64 {
        writer.put(format!("large {index}"), vec![b'v'; 512 << 10]).send().unwrap();
    }
    eventually("it flushes", || server.metric("kvcore_flushes_total") > 0.0);
    writer.put("in the log", "value").send().unwrap();
    for args in [&["verify"][..], &["manifest"], &["log"]] {
        let refused = disk(args, &data);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("is in use by process"), "{}", refused.stderr);
        assert!(refused.stdout.is_empty());
    }
    server.stop();

    let before = state(&data);
    let sound = disk(&["verify", "-o", "json"], &data);
    assert_eq!(sound.code, 0, "{sound:?}");
    let told = sound.json();
    assert_eq!((&told["sound"], &told["shards"]), (&true.into(), &1.into()), "{told}");
    assert_eq!(told["unnamed"].as_array().unwrap().len(), 0, "{told}");
    let [tables, records, entries] =
        ["tables", "records", "entries"].map(|name| told[name].as_u64().unwrap());
    assert!(tables > 0 && records + entries >= 365, "{told}");

    let tables_of = names(&data.join(SHARD), ".sst").into_iter();
    let paths: Vec<PathBuf> = tables_of.map(|name| data.join(SHARD).join(name)).collect();
    // Whether it was compacted meanwhile decides in which table it is.
    let is_shown = |path: &PathBuf| {
        let shown = objects(disk(&["sstable", "--records", "-o", "json"], path), "record");
        shown.iter().any(|it| it["key"] == "key 7" && it["value"] == "vvvvvvv")
    };
    assert!(paths.iter().any(is_shown), "no table of {paths:?} shows it");
    let table = paths[0].clone();
    let manifests = objects(disk(&["manifest", "-o", "json"], &data), "manifest");
    assert_eq!(manifests[0]["version"]["tables"].as_array().unwrap().len() as u64, tables);
    let replays = objects(disk(&["log", "--records", "-o", "json"], &data), "replay");
    assert_eq!(replays[0]["entries"], entries);
    for args in [&["sstable", "--records"][..], &["sstable", "--limit", "1"]] {
        disk(args, &table).fine();
    }
    disk(&["manifest"], &data.join(SHARD).join("MANIFEST")).fine();
    disk(&["log", "--records"], &data.join(SHARD)).fine();
    assert_eq!(state(&data), before, "nothing is changed");

    Damage::Flip(1000).apply(&table);
    let damaged = disk(&["verify"], &data);
    let name = table.file_name().unwrap().to_str().unwrap();
    assert_eq!(damaged.code, 1);
    assert!(damaged.stderr.contains(&format!("{name} at byte ")), "{}", damaged.stderr);
    let damaged = disk(&["sstable"], &table);
    assert_eq!(damaged.code, 1);
    assert!(damaged.stderr.contains(name), "{}", damaged.stderr);
    drop(disk(&["verify", "-o", "json"], &data).json());
}

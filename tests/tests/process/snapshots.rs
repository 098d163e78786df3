//! A node's snapshot, over its admin port: what was acknowledged when it was asked for comes back
//! from a copy of its files, whatever the node did since, on a node with other cores.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvclient::blocking::Client;
use serde_json::Value;

use crate::clients::{Output, client, kvctl, run};
use crate::damage::Damage;
use crate::programs;
use crate::server::{Server, Start, eventually, scratch};
use crate::stocked::names;

const DAY: Duration = Duration::from_secs(86_400);

type Model = BTreeMap<String, Vec<u8>>;

/// `kvctl snapshot` of a running node.
fn online(server: &Server, args: &[&str]) -> Output {
    let admin = server.said("admin").strip_prefix("http://").unwrap();
    let mut command = programs::command("kvctl");
    run(command.arg("snapshot").args(args).args(["--admin", admin]), &[])
}

/// `kvctl snapshot` of a directory.
fn offline(args: &[&str], dir: &Path) -> Output {
    run(programs::command("kvctl").arg("snapshot").args(args).arg(dir), &[])
}

fn restore(server: &Server, dir: &Path, args: &[&str]) -> Output {
    let dir = dir.to_str().unwrap();
    let verb = ["snapshot", "restore", dir, "-q", "-o", "json"];
    kvctl(server.clients(), verb.iter().chain(args))
}

/// The names of snapshots and what they are worth.
fn listed(output: Output) -> Vec<(String, String)> {
    let text = String::from_utf8(output.fine()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let word = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines.map(|line| (word(&line, "name"), word(&line, "state"))).collect()
}

/// What a verification tells of a sound snapshot.
fn verified(dir: &Path) -> Value {
    let output = offline(&["verify", "-q", "-o", "json", "--vnodes"], dir);
    assert_eq!(output.code, 0, "{output:?}");
    let told = output.json();
    assert_eq!((&told["sound"], &told["unnamed"]), (&true.into(), &Value::Array(vec![])));
    told
}

fn put(model: &mut Model, writer: &Client, key: String, value: Vec<u8>) {
    // A node with little memory refuses what its disk cannot take in time.
    eventually("the write is taken", || match writer.put(&key, value.clone()).send() {
        Ok(_) => true,
        Err(error) if error.is_retryable() => false,
        Err(error) => panic!("{error}"),
    });
    model.insert(key, value);
}

/// Values of all sizes, so that tables are made, some of them deleted or written twice.
fn write_some(model: &mut Model, writer: &Client, round: usize) {
    for index in 0..300 {
        let len = if index % 6 == 0 { 400 << 10 } else { index };
        put(model, writer, format!("key {index}"), vec![(round + index) as u8; len]);
    }
    for index in (round..300).step_by(7) {
        writer.delete(format!("key {index}")).send().unwrap();
        model.remove(&format!("key {index}"));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// All records, in the order of the node.
fn scan(reader: &Client) -> impl Iterator<Item = (String, Vec<u8>)> {
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    reader.scan().flat_map(Result::unwrap).map(move |it| (text(&it.key), it.value.to_vec()))
}

fn assert_same(server: &Server, model: &Model) {
    let found: Model = scan(&client(server.clients())).collect();
    let keys = |model: &Model| model.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(model));
    assert!(found == *model, "a value differs");
}

/// What is left of a node of two cores.
struct Backup {
    /// A copy of its snapshot.
    dir: PathBuf,
    model: Model,
    /// What a verification told of it.
    told: Value,
    /// The tenth key in its order.
    tenth: String,
}

fn backup(root: &Path) -> Backup {
    let (data, dir) = (root.join("data"), root.join("backup"));
    let own = data.join("snapshots/before");
    let server = Start::on(&data).cores(2).serve();
    let writer = client(server.clients());
    let mut model = Model::new();
    write_some(&mut model, &writer, 0);
    writer.put("for a day", "value").ttl(DAY).send().unwrap();
    model.insert("for a day".to_owned(), b"value".to_vec());
    let created = online(&server, &["create", "before", "-o", "json"]);
    assert_eq!(listed(created), [("before".to_owned(), "complete".to_owned())]);
    let told = verified(&own);
    let tenth = scan(&writer).nth(9).unwrap().0;
    write_some(&mut model.clone(), &writer, 1);
    let again = online(&server, &["create", "before"]);
    assert!(again.code == 1 && again.stderr.contains("already"), "{again:?}");
    assert_eq!(online(&server, &["create", "../before"]).code, 2);
    eventually("it is counted", || server.metric("kvcore_snapshots") == 1.0);
    server.stop();

    // Another number of cores, and files that it drops.
    let server = Start::on(&data).serve();
    write_some(&mut model.clone(), &client(server.clients()), 2);
    assert_eq!(listed(online(&server, &["list", "-o", "json"])).len(), 1);
    eventually("it is counted", || server.metric("kvcore_snapshots") == 1.0);
    assert_eq!(verified(&own), told);
    copy(&own, &dir);
    online(&server, &["delete", "before"]).fine();
    assert!(listed(online(&server, &["list", "-o", "json"])).is_empty());
    assert!(!own.exists());
    server.stop();
    fs::remove_dir_all(&data).unwrap();
    Backup { dir, model, told, tenth }
}

#[test]
fn a_snapshot_comes_back_from_its_copy_on_a_node_of_other_cores() {
    let dir = scratch();
    let Backup { dir: backup, model, told, tenth } = backup(dir.path());
    assert_eq!(verified(&backup), told);
    let of = |told: &Value, name: &str| told["namespaces"][0][name].clone();
    assert_eq!(of(&told, "keys"), model.len());
    let data = dir.path().join("other");
    let server = Start::on(&data).serve();
    let restored = restore(&server, &backup, &[]);
    assert_eq!(restored.json()["read"]["records"], model.len(), "{restored:?}");
    restored.fine();
    assert_same(&server, &model);
    let reader = client(server.clients());
    let expires_at_ms = reader.get("for a day").send().unwrap().unwrap().expires_at_ms.unwrap();
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = Duration::from_millis(expires_at_ms).saturating_sub(today);
    assert!(left > DAY / 2 && left < DAY, "{left:?}");

    let refused = restore(&server, &backup, &[]);
    assert!(refused.code == 1 && refused.stderr.contains("--overwrite"), "{refused:?}");
    restore(&server, &backup, &["--overwrite"]).fine();
    let rest = restore(&server, &backup, &["--after", &tenth]);
    assert_eq!(rest.json()["read"]["records"], model.len() - 10, "{rest:?}");
    rest.fine();
    let other = restore(&server, &backup, &["--from", "77", "--overwrite"]);
    assert_eq!(other.json()["read"]["records"], 0);
    assert_same(&server, &model);

    online(&server, &["create", "after"]).fine();
    let own = verified(&data.join("snapshots/after"));
    assert_eq!(of(&own, "content"), of(&told, "content"), "the same keys and values");
    assert_ne!(of(&own, "root"), of(&told, "root"), "written anew");
    server.stop();
    let data = data.to_str().unwrap();
    let kept = |args: &[&str]| run(programs::command("kvctl").arg("snapshot").args(args), &[]);
    let list = || listed(kept(&["list", "-o", "json", "--data-dir", data]));
    assert_eq!(list(), [("after".to_owned(), "complete".to_owned())]);
    kept(&["delete", "after", "--data-dir", data]).fine();
    assert_eq!((list(), kept(&["delete", "after", "--data-dir", data]).code), (vec![], 1));
}

#[test]
fn a_damaged_or_unfinished_snapshot_is_told_and_an_unfinished_one_is_not_restored() {
    let dir = scratch();
    let data = dir.path().join("data");
    let server = Start::on(&data).serve();
    let writer = client(server.clients());
    write_some(&mut Model::new(), &writer, 0);
    online(&server, &["create", "a"]).fine();
    let backup = dir.path().join("backup");
    copy(&data.join("snapshots/a"), &backup);
    let shard = backup.join("shard-000");
    let table = shard.join(names(&shard, ".sst").remove(0));
    let whole = fs::read(&table).unwrap();
    for damage in [Damage::Flip(1000), Damage::Flip(whole.len() as u64 - 200)] {
        damage.apply(&table);
        let damaged = offline(&["verify", "-q"], &backup);
        let name = table.file_name().unwrap().to_str().unwrap();
        assert!(damaged.code == 1 && damaged.stderr.contains(name), "{damaged:?}");
        let told = offline(&["verify", "-q", "-o", "json"], &backup);
        assert_eq!((told.code, &told.json()["sound"]), (1, &false.into()));
        fs::write(&table, &whole).unwrap();
    }
    fs::remove_file(backup.join("SNAPSHOT")).unwrap();
    let args = ["--overwrite"];
    for refused in [offline(&["verify", "-q"], &backup), restore(&server, &backup, &args)] {
        assert!(refused.code == 1 && refused.stderr.contains("incomplete"), "{refused:?}");
    }
    // One that a crash left in the data directory is gone after the next start.
    fs::remove_file(data.join("snapshots/a/SNAPSHOT")).unwrap();
    let listed = listed(online(&server, &["list", "-o", "json"]));
    assert_eq!(listed, [("a".to_owned(), "incomplete".to_owned())]);
    server.kill();
    let server = Start::on(&data).serve();
    assert!(!data.join("snapshots/a").exists());
    online(&server, &["create", "a"]).fine();
    server.stop();
}

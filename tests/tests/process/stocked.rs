//! Data directories with something of everything in them, and what was acknowledged of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kvclient::blocking::Client;
use kvclient::{Applied, Bytes, ErrorKind};

use crate::clients::client;
use crate::server::{Server, Start, eventually};

/// The states that writes lead through, each acknowledged before the next was begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    writes: Vec<(String, Option<Bytes>)>,
}

/// What reads of all keys said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// The state that all values are of: after so many writes.
    pub(crate) writes: usize,
    /// Keys that were answered with an error that says that they are damaged.
    pub(crate) corrupt: usize,
}

impl Ledger {
    /// Writes so far.
    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Puts a value of `bytes` bytes that no other write has.
    pub(crate) fn put(&mut self, client: &Client, key: String, bytes: usize) {
        let mut value = vec![0; bytes];
        fastrand::Rng::with_seed(self.writes.len() as u64).fill(&mut value);
        let value = Bytes::from(value);
        // A node with little memory refuses what its disk cannot take in time.
        eventually("the write is taken", || match client.put(&key, value.clone()).send() {
            Ok(_) => true,
            Err(error) if error.is_retryable() && error.applied() == Applied::No => false,
            Err(error) => panic!("{error}"),
        });
        self.writes.push((key, Some(value)));
    }

    pub(crate) fn delete(&mut self, client: &Client, key: String) {
        client.delete(&key).send().unwrap();
        self.writes.push((key, None));
    }

    fn keys(&self) -> Vec<&String> {
        let mut keys: Vec<&String> = self.writes.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The last value of `key` among the first `writes` writes.
    fn value(&self, key: &str, writes: usize) -> Option<&Bytes> {
        let mut before = self.writes[..writes].iter().rev();
        before.find(|(written, _)| written == key)?.1.as_ref()
    }

    /// Reads all keys, one by one and in a scan, and holds what comes against the states after
    /// `least` writes or more: values of one of them, or an error that says `Corrupt`.
    pub(crate) fn check(&self, server: &Server, least: usize) -> Result<Seen, String> {
        let client = client(server.clients());
        let keys = self.keys();
        let outcomes = client.multi_get(&keys).send().map_err(|error| error.to_string())?;
        let mut read = Vec::new();
        for (&key, outcome) in keys.iter().zip(outcomes) {
            match outcome {
                Ok(entry) => read.push((key, entry.map(|entry| entry.value))),
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(format!("{key}: {error}")),
            }
        }
        let differs = |writes: usize| {
            let is_other = |(key, value): &&(&String, Option<Bytes>)| {
                self.value(key, writes) != value.as_ref()
            };
            read.iter().find(is_other).map(|(key, _)| *key)
        };
        let Some(writes) = (least..=self.len()).rev().find(|&n| differs(n).is_none()) else {
            let key = differs(self.len()).expect("it differs from every state");
            return Err(format!("{key} is wrong, {} keys read", read.len()));
        };
        self.check_scan(&client, writes)?;
        Ok(Seen { writes, corrupt: keys.len() - read.len() })
    }

    /// A scan gives the whole state, or says that it cannot.
    fn check_scan(&self, client: &Client, writes: usize) -> Result<(), String> {
        let mut rows = 0;
        for page in client.scan() {
            match page {
                Ok(records) => {
                    for record in &records {
                        let key = std::str::from_utf8(&record.key).map_err(|e| e.to_string())?;
                        if self.value(key, writes) != Some(&record.value) {
                            return Err(format!("a scan says otherwise of {key}"));
                        }
                    }
                    rows += records.len();
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
                Err(error) => return Err(format!("a scan: {error}")),
            }
        }
        let all = self.keys().iter().filter(|key| self.value(key, writes).is_some()).count();
        if rows == all { Ok(()) } else { Err(format!("a scan has {rows} records of {all}")) }
    }
}

/// A data directory at several moments of its life.
pub(crate) struct Stocked {
    /// After flushes and compactions, killed: one shard, a log that was recycled.
    pub(crate) busy: PathBuf,
    /// Its manifests at earlier moments.
    pub(crate) busy_manifests: Vec<Vec<u8>>,
    pub(crate) busy_ledger: Ledger,
    /// Another node after its first start, stopped.
    pub(crate) first: PathBuf,
    /// The same node as one shard of generation 3, with a log of few batches: while it ran.
    pub(crate) running: PathBuf,
    pub(crate) running_writes: usize,
    /// Writes that were in tables then, and in no log.
    pub(crate) flushed_writes: usize,
    /// Killed later, right after its last write.
    pub(crate) killed: PathBuf,
    pub(crate) killed_ledger: Ledger,
    /// Started again, and stopped in order.
    pub(crate) stopped: PathBuf,
    pub(crate) stopped_ledger: Ledger,
    /// A third node, of one shard of generation 3, stopped.
    pub(crate) other: PathBuf,
}

impl Stocked {
    /// Makes one below `root`.
    pub(crate) fn make(root: &Path) -> Self {
        let at = |name: &str| root.join(name);
        let (busy, mut busy_ledger) = (at("busy"), Ledger::default());
        let busy_manifests = work(&busy, &mut busy_ledger);

        // What is added to the first table is too little to be merged with it.
        let (dir, mut ledger) = (at("data"), Ledger::default());
        let server = Start::on(&dir).serve();
        write_some(&mut ledger, &client(server.clients()), 400);
        server.stop();
        let first = at("first");
        copy(&dir, &first);
        let server = Start::on(&dir).cores(2).serve();
        write_some(&mut ledger, &client(server.clients()), 8);
        server.stop();

        let server = Start::on(&dir).serve();
        let writer = client(server.clients());
        let flushed_writes = ledger.len();
        write_some(&mut ledger, &writer, 8);
        let shard = "gen-0003/shard-000";
        let (running, running_writes) = (at("running"), ledger.len());
        copy_written(&dir, shard, &running);
        write_some(&mut ledger, &writer, 8);
        ledger.put(&writer, "last".to_owned(), 500);
        server.kill();
        let (killed, killed_ledger) = (at("killed"), ledger.clone());
        copy(&dir, &killed);

        let server = Start::on(&dir).serve();
        write_some(&mut ledger, &client(server.clients()), 8);
        server.stop();
        let stopped = at("stopped");
        copy(&dir, &stopped);
        fs::remove_dir_all(&dir).unwrap();
        let other = at("other");
        for cores in [1, 2, 1] {
            let server = Start::on(&other).cores(cores).serve();
            write_some(&mut Ledger::default(), &client(server.clients()), 10);
            server.stop();
        }
        Self {
            busy,
            busy_manifests,
            busy_ledger,
            first,
            running,
            running_writes,
            flushed_writes,
            killed,
            killed_ledger,
            stopped,
            stopped_ledger: ledger,
            other,
        }
    }
}

/// Makes a node of one shard work until it has flushed, compacted, and used log segments again;
/// the manifests it had meanwhile.
fn work(dir: &Path, ledger: &mut Ledger) -> Vec<Vec<u8>> {
    let server = Start::on(dir).serve();
    let writer = client(server.clients());
    let mut manifests = Vec::new();
    let segments = || names(&dir.join("gen-0001/shard-000"), ".log");
    let first_segment = segments().remove(0);
    let mut round = 0;
    while server.metric("kvcore_compactions_total") < 1.0 || segments().contains(&first_segment) {
        let flushes = server.metric("kvcore_flushes_total");
        write_some(ledger, &writer, 30);
        for index in 0..64 {
            ledger.put(&writer, format!("large {}", index % 16), 512 << 10);
        }
        eventually("it flushes", || server.metric("kvcore_flushes_total") > flushes);
        manifests.push(fs::read(dir.join("gen-0001/shard-000/MANIFEST")).unwrap());
        round += 1;
        assert!(round < 30, "no compaction, or no segment was used again");
    }
    write_some(ledger, &writer, 8);
    server.kill();
    manifests
}

/// Small records, some overwritten, some deleted; the last of each tenth stays as it is.
fn write_some(ledger: &mut Ledger, writer: &Client, count: usize) {
    let mut random = fastrand::Rng::with_seed(ledger.len() as u64);
    for _ in 0..count {
        let key = format!("key {}", random.u32(..200));
        match random.u32(..10) {
            0 => ledger.delete(writer, key),
            _ => ledger.put(writer, key, random.usize(1..1500)),
        }
    }
    let fresh = format!("once {}", ledger.len());
    ledger.put(writer, fresh, 700);
}

/// Names in `dir` that end with `end`, in order.
pub(crate) fn names(dir: &Path, end: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(end));
    names.sort();
    names
}

/// Copies of a directory in use what is written in place; tables come and go meanwhile.
fn copy_written(from: &Path, shard: &str, to: &Path) {
    fs::create_dir_all(to.join(shard)).unwrap();
    for name in ["NODE", "CLOCK", "LOCK"] {
        copy(&from.join(name), &to.join(name));
    }
    for name in names(&from.join(shard), ".log").iter().map(String::as_str).chain(["MANIFEST"]) {
        copy(&from.join(shard).join(name), &to.join(shard).join(name));
    }
}

/// Copies a file or directory; what is zero costs no space.
pub(crate) fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    let status = cp.args(["-a", "--sparse=always"]).arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp ends with {status}");
}

//! Nothing that was acknowledged is lost: SIGKILL at random moments under writes, and a ledger of
//! every write that is held against the server after each start.
//!
//! What is drawn anew for each life of the server: its cores and its memory (so shards are cut
//! anew, and logs of other numbers of cores replayed), how it is written to, how large the values
//! are, and the moment of the kill: under writes, while it recovers, while it is read. All of it
//! follows from one seed, but for where in the server's work the moment falls.

use std::fs;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use crate::clients::{Output, kvbench};
use crate::long_forms::number;
use crate::server::{Server, Start, eventually, scratch};
use crate::stocked::copy;

/// Kills of the short form.
const KILLS: u64 = 10;

/// Keys that are written.
const KEYS: u64 = 20_000;

/// Longer than any life of the server.
const LIFE: &str = "100s";

/// What a run of kills came to.
#[derive(Clone, Copy, Default, Debug)]
struct Figures {
    kills: u64,
    kills_of_starts: u64,
    acknowledged: u64,
    unknown: u64,
    verifications: u64,
    keys_verified: u64,
    flushes: u64,
    compactions: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.kills_of_starts += other.kills_of_starts;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.verifications += other.verifications;
        self.keys_verified += other.keys_verified;
        self.flushes += other.flushes;
        self.compactions += other.compactions;
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kills_at_random_moments() {
    let kills = number("KVCORE_TEST_KILLS", || KILLS);
    let seed = number("KVCORE_TEST_SEED", || fastrand::u64(..));
    // Shown where the test fails.
    println!("KVCORE_TEST_SEED={seed} draws the same lives again");
    let mut rng = Rng::with_seed(seed);
    let dir = scratch();
    let (data, ledger) = (dir.path().join("data"), dir.path().join("ledger"));
    let mut figures = Figures::default();
    while figures.kills < kills {
        let start = drawn(&data, &mut rng);
        println!("life {}: {start:?}", figures.kills);
        if figures.kills > 0 && rng.u8(..4) == 0 {
            start.killed_after(Duration::from_millis(rng.u64(1..200)));
            figures += Figures { kills: 1, kills_of_starts: 1, ..Figures::default() };
            continue;
        }
        let server = start.serve();
        if ledger.exists() && rng.u8(..4) > 0 {
            figures += verify(server.clients(), &ledger);
        }
        figures += written_and_killed(server, &ledger, &mut rng);
    }
    for _ in 0..2 {
        let server = drawn(&data, &mut rng).serve();
        figures += verify(server.clients(), &ledger);
        server.stop();
    }
    println!("{figures:?}");
    assert!(figures.acknowledged > 0 && figures.keys_verified > 0, "nothing to lose: {figures:?}");
}

fn drawn(data: &Path, rng: &mut Rng) -> Start {
    let cores = rng.usize(1..=2);
    let memory = format!("{}MiB", cores * rng.usize(64..=96));
    Start::on(data).cores(cores).memory(&memory).flags(&["--durability", "sync"])
}

/// Lets kvbench write to `server` with a ledger, and kills the server at some moment.
fn written_and_killed(server: Server, ledger: &Path, rng: &mut Rng) -> Figures {
    let sizes = ["12..100", "100..4KiB", "1KiB..32KiB", "20KiB..200KiB"];
    let shapes = ["uniform", "zipf", "sequential"];
    let (threads, pipeline) = (rng.u64(1..=2), rng.u64(1..=16));
    let connections = threads * rng.u64(1..=16);
    let mut args = args("run", ledger);
    for (flag, value) in [
        ("--keys", rng.u64(KEYS / 100..=KEYS).to_string()),
        ("--ratio", ["0:1", "1:4"][rng.usize(..2)].to_owned()),
        ("--distribution", shapes[rng.usize(..shapes.len())].to_owned()),
        ("--value", sizes[rng.usize(..sizes.len())].to_owned()),
        ("--threads", threads.to_string()),
        ("--connections", connections.to_string()),
        ("--pipeline", pipeline.to_string()),
        ("--seed", rng.u64(..).to_string()),
        ("--warmup", "1ms".to_owned()),
        ("--duration", LIFE.to_owned()),
    ] {
        args.extend([flag.to_owned(), value]);
    }
    println!("  {args:?}");
    let clients = server.clients();
    let writes = thread::spawn(move || kvbench(clients, args));
    eventually("kvbench begins", || is_running(ledger));
    thread::sleep(Duration::from_millis(rng.u64(1..3_000)));
    // Where nobody tells, fewer are counted than there were.
    let figure = |name| server.metric_if_told(name).unwrap_or(0.0) as u64;
    let flushes = figure("kvcore_flushes_total");
    let compactions = figure("kvcore_compactions_total");
    thread::sleep(Duration::from_micros(rng.u64(1..50_000)));
    server.kill();
    let run = writes.join().unwrap();
    assert_eq!(run.code, 1, "it lost its connections: {run:?}");
    let report = run.json();
    Figures {
        kills: 1,
        acknowledged: count(&report["ledger"], "acknowledged"),
        unknown: count(&report["ledger"], "unknown"),
        flushes,
        compactions,
        ..Figures::default()
    }
}

/// Whether a run that writes this ledger has begun and not ended: its file says so.
fn is_running(ledger: &Path) -> bool {
    fs::read(ledger).is_ok_and(|bytes| bytes[12..16] == 1u32.to_le_bytes())
}

/// Holds the server against the ledger; all must be right.
fn verify(clients: SocketAddr, ledger: &Path) -> Figures {
    let output = verified(clients, ledger);
    assert_eq!(output.code, 0, "{}\n{}", output.stderr, String::from_utf8_lossy(&output.stdout));
    let report = output.json();
    let keys = count(&report, "keys");
    assert!(keys > 0 && count(&report, "right") == keys, "{report}");
    Figures { verifications: 1, keys_verified: keys, ..Figures::default() }
}

fn verified(clients: SocketAddr, ledger: &Path) -> Output {
    let mut args = args("verify", ledger);
    args.extend(["--connections", "8", "--pipeline", "16"].map(str::to_owned));
    kvbench(clients, args)
}

fn args(verb: &str, ledger: &Path) -> Vec<String> {
    let ledger = ledger.to_str().unwrap();
    [verb, "--ledger", ledger, "-o", "json", "--quiet"].map(str::to_owned).to_vec()
}

fn count(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// What kvbench finds where something is missing: a check that cannot fail is worth nothing.
#[test]
fn data_that_is_thrown_away_or_put_back_from_earlier_is_found_to_be_lost() {
    let dir = scratch();
    let (data, ledger) = (dir.path().join("data"), dir.path().join("ledger"));
    let saved = dir.path().join("saved");
    let load = || {
        let server = Start::on(&data).flags(&["--durability", "none"]).serve();
        let mut args = args("load", &ledger);
        args.extend(["--keys", "500", "--connections", "4"].map(str::to_owned));
        kvbench(server.clients(), args).fine();
        verify(server.clients(), &ledger);
        server.stop();
    };
    load();
    copy(&data, &saved);
    load();
    let found = |what: &str| {
        let server = Start::on(&data).serve();
        let output = verified(server.clients(), &ledger);
        server.stop();
        assert_eq!(output.code, 1, "{what}: {output:?}");
        let report = output.json();
        assert_eq!(
            (count(&report, "keys"), count(&report, "lost")),
            (500, 500),
            "{what}: {report}"
        );
        let example = &report["lost_examples"][0];
        (example["expected"][0].clone(), example["got"].clone())
    };
    fs::remove_dir_all(&data).unwrap();
    copy(&saved, &data);
    let (expected, got) = found("an old copy");
    let parsed = |value: Value| value.as_str().unwrap().parse::<u64>().unwrap();
    assert!(parsed(got) < parsed(expected), "an older value");
    fs::remove_dir_all(&data).unwrap();
    assert_eq!(found("nothing").1, "absent");
}

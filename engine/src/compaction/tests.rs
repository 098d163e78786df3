//! What jobs promise: readers see the same before, during and after.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;
use schemas::ids::{Hlc, Token};

use super::*;
use crate::env::Env;
use crate::env::sim::{Crash, Sim, SimDisk, SimEnv, When};
use crate::manifest::{BOTTOM, Manifest, TableEntry, Version, VersionEdit};
use crate::record::{Kind, lww};
use crate::sstable::sample::{Place, Sample, mixed, value, write_table};
use crate::sstable::{FileId, Table, TableError, TableScan, TokenRange};

const DIR: &str = "shard";
const NOW_MS: u64 = 1 << 40;

fn with_env<T>(disk: &SimDisk, work: impl AsyncFnOnce(SimEnv) -> T) -> T {
    let sim = Sim::new(1);
    sim.block_on(work(sim.env(disk)))
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new(1);
    with_env(&disk, async |env| {
        env.create_dir(DIR).await.unwrap();
        env.sync_dir("").await.unwrap();
    });
    disk
}

fn range(first: u64, last: u64) -> TokenRange {
    TokenRange::new(Token(first), Token(last)).unwrap()
}

async fn open(env: &SimEnv, entry: &TableEntry) -> Table<SimEnv> {
    Table::open(env, DIR, entry.id, entry.visible).await.unwrap()
}

/// The records of `tables` that stand, dead or not.
async fn standing<'a>(
    env: &SimEnv,
    tables: impl IntoIterator<Item = &'a Rc<TableEntry>>,
) -> BTreeMap<Place, Sample> {
    let mut found: BTreeMap<Place, Sample> = BTreeMap::new();
    for entry in tables {
        let table = open(env, entry).await;
        let mut scan = TableScan::new(env, &table, TokenRange::ALL).await.unwrap();
        while let Some(record) = scan.current() {
            let sample = Sample::of(&record);
            let place = sample.place();
            match found.get(&place) {
                Some(other) if other.record().version > record.version => {}
                _ => drop(found.insert(place, sample)),
            }
            scan.advance().await.unwrap();
        }
    }
    found
}

/// What a reader sees of a version.
async fn view(env: &SimEnv, version: &Version) -> BTreeMap<Place, Sample> {
    let mut found = standing(env, version.tables()).await;
    found.retain(|_, sample| !sample.record().is_dead(NOW_MS));
    found
}

/// A version of random tables: some of level 0, some runs, a bottom; many keys in several of them,
/// some tables narrowed.
async fn random_version(env: &SimEnv, rng: &mut Rng, keys: usize) -> Version {
    let keys = mixed(rng, keys);
    let mut version = Version::default();
    let mut id = 0;
    for level in [0, 0, 0, 1, 2, BOTTOM] {
        // A sorted level is cut into tables.
        let cuts = if level == 0 { 0 } else { rng.usize(0..3) };
        let mut ends: Vec<u64> = (0..cuts).map(|_| rng.u64(..u64::MAX)).collect();
        ends.push(u64::MAX);
        ends.sort_unstable();
        ends.dedup();
        let mut first = 0;
        for last in ends {
            let visible = range(first, last);
            first = last.wrapping_add(1);
            let mut samples: Vec<Sample> = keys
                .iter()
                .filter(|it| visible.contains(it.token) && rng.bool())
                .cloned()
                .collect();
            for sample in &mut samples {
                sample.version.hlc = Hlc(rng.u64(1..1 << 20));
                sample.expires_at_ms =
                    *rng.choice([0, 0, NOW_MS - 1, NOW_MS + 1]).as_ref().unwrap();
                sample.kind = if rng.u8(..3) == 0 { Kind::Tombstone } else { Kind::Value };
                let value = rng.u64(..).to_le_bytes();
                sample.value = if sample.kind == Kind::Value { value.into() } else { Vec::new() };
            }
            if samples.is_empty() {
                continue;
            }
            id += 1;
            let info = write_table(env, DIR, FileId(id), &samples).await;
            let narrowed = range(visible.first().0, rng.u64(visible.first().0..=last));
            let visible = if rng.u8(..4) == 0 { narrowed } else { visible };
            let added = vec![TableEntry::new(&info, level, visible)];
            let edit = VersionEdit { added, ..VersionEdit::default() };
            // A narrowed table of which nothing is left is not added.
            version = version.apply(&edit).unwrap_or(version);
        }
    }
    version
}

/// Some inputs that make a sound job: tables of upper levels, and a place for the outputs.
fn random_choice(rng: &mut Rng, version: &Version) -> Option<Choice> {
    let mut inputs: Vec<&Rc<TableEntry>> =
        (0..BOTTOM).flat_map(|level| version.level(level)).filter(|_| rng.bool()).collect();
    let hull = inputs.iter().map(|it| it.visible).reduce(TokenRange::hull)?;
    let output_level = if rng.bool() { 7 } else { BOTTOM };
    if output_level == BOTTOM {
        inputs.extend(version.level(BOTTOM).iter().filter(|it| it.visible.overlaps(hull)));
    }
    let inputs = inputs.into_iter().map(|it| it.id).collect();
    Some(Choice { reason: Reason::Settle, inputs, output_level, part: None })
}

fn rules(outside: Vec<Table<SimEnv>>) -> Rules<SimEnv> {
    Rules {
        merge: lww,
        now_ms: NOW_MS,
        purge_below: Hlc(1 << 19),
        outside,
        fragment_bytes: 4000,
        as_of: FileId(0),
        namespaces: Arc::default(),
        keep_blocks: None,
    }
}

async fn start(
    env: &SimEnv,
    version: &Version,
    choice: &Choice,
    rules: Rules<SimEnv>,
    control: &Rc<Control>,
) -> Result<Job<SimEnv>, JobError> {
    let mut inputs = Vec::new();
    for &id in &choice.inputs {
        let entry = **version.get(id).unwrap();
        inputs.push(Input { entry, table: open(env, &entry).await });
    }
    let ids = Cell::new(1000);
    let new_id = Box::new(move || FileId(ids.replace(ids.get() + 1)));
    Job::new(env, DIR, choice, inputs, rules, Rc::clone(control), new_id).await
}

/// Keeps all tombstones.
fn keep_all() -> Rules<SimEnv> {
    Rules { purge_below: Hlc(0), ..rules(Vec::new()) }
}

/// The tables outside `choice`.
async fn outside(env: &SimEnv, version: &Version, choice: &Choice) -> Vec<Table<SimEnv>> {
    let mut tables = Vec::new();
    for entry in version.tables().filter(|it| !choice.inputs.contains(&it.id)) {
        tables.push(open(env, entry).await);
    }
    tables
}

#[test]
fn readers_see_the_same_before_during_and_after() {
    let (mut steps, mut purged, mut records) = (0, 0, 0);
    for seed in 0..40 {
        with_env(&new_disk(), async |env| {
            let rng = &mut Rng::with_seed(seed);
            let mut version = random_version(&env, rng, 400).await;
            let Some(choice) = random_choice(rng, &version) else { return };
            let before = view(&env, &version).await;
            let all_before = standing(&env, version.tables()).await;
            let tables = outside(&env, &version, &choice).await;
            let (rules, control) = (Rules { fragment_bytes: 1, ..rules(tables) }, Rc::default());
            let mut job = start(&env, &version, &choice, rules, &control).await.unwrap();
            while let Some(step) = job.step().await.unwrap() {
                version = version.apply(&step.edit).unwrap();
                assert!(view(&env, &version).await == before, "seed {seed}");
                steps += 1;
            }
            assert!(choice.inputs.iter().all(|&id| version.get(id).is_none()));
            let all_after = standing(&env, version.tables()).await;
            for (place, sample) in &all_after {
                assert_eq!(sample.version, all_before[place].version);
            }
            purged += all_before.len() - all_after.len();
            records += all_before.len();
        });
    }
    assert!(steps > 200 && purged > 100 && records > 3000, "{steps} {purged} {records}");
}

/// A disk with three tables of level 0: a value, its tombstone, and an unrelated value.
fn tombstone_over_value() -> (SimDisk, Version) {
    let disk = new_disk();
    let tombstone = Sample { kind: Kind::Tombstone, value: Vec::new(), ..value(b"k", 20, 0) };
    let tables = [vec![value(b"k", 10, 9)], vec![tombstone], vec![value(b"other", 30, 9)]];
    let version = with_env(&disk, async |env| {
        let mut added = Vec::new();
        for (samples, id) in tables.iter().zip(1..) {
            let info = write_table(&env, DIR, FileId(id), samples).await;
            added.push(TableEntry::new(&info, 0, TokenRange::ALL));
        }
        Version::default().apply(&VersionEdit { added, ..VersionEdit::default() }).unwrap()
    });
    (disk, version)
}

fn compact(
    disk: &SimDisk,
    mut version: Version,
    choice: &Choice,
    outside: &[TableEntry],
    mut rules: Rules<SimEnv>,
) -> Version {
    with_env(disk, async |env| {
        for entry in outside {
            rules.outside.push(open(&env, entry).await);
        }
        let mut job = start(&env, &version, choice, rules, &Rc::default()).await.unwrap();
        while let Some(step) = job.step().await.unwrap() {
            version = version.apply(&step.edit).unwrap();
        }
    });
    version
}

#[test]
fn a_tombstone_goes_only_when_nothing_older_can_be_anywhere() {
    let all = Choice {
        reason: Reason::Settle,
        inputs: vec![FileId(1), FileId(2), FileId(3)],
        output_level: BOTTOM,
        part: None,
    };
    for (elsewhere, purge_below, records) in
        [(false, 21, 1), (true, 21, 2), (false, 20, 2), (true, 0, 2)]
    {
        let (disk, version) = tombstone_over_value();
        let outside = with_env(&disk, async |env| {
            let key = if elsewhere { b"k" } else { b"l" };
            let info = write_table(&env, DIR, FileId(9), &[value(key, 1, 9)]).await;
            [TableEntry::new(&info, 0, TokenRange::ALL)]
        });
        let rules = Rules { purge_below: Hlc(purge_below), ..rules(Vec::new()) };
        let version = compact(&disk, version, &all, &outside, rules);
        let left: u64 = version.tables().map(|it| it.properties.records).sum();
        assert_eq!(left, records, "elsewhere {elsewhere}, below {purge_below}");
    }
}

#[test]
fn a_job_that_leaves_nothing_makes_no_table() {
    let (disk, version) = tombstone_over_value();
    let inputs = vec![FileId(1), FileId(2)];
    let choice = Choice { reason: Reason::Level0, inputs, output_level: 1, part: None };
    let version = compact(&disk, version, &choice, &[], rules(Vec::new()));
    assert_eq!(version.tables().map(|it| it.id).collect::<Vec<_>>(), [FileId(3)]);
    assert_eq!(disk.paths().len(), 3, "the files of the inputs are the caller's");
}

#[test]
fn an_expired_value_keeps_its_version_and_loses_its_bytes() {
    let disk = new_disk();
    let samples = |expires_at_ms| vec![Sample { expires_at_ms, ..value(b"k", 10, 500) }];
    for (expires_at_ms, kind, len) in [(NOW_MS, Kind::Tombstone, 0), (NOW_MS + 1, Kind::Value, 500)]
    {
        let id = FileId(expires_at_ms);
        let choice =
            Choice { reason: Reason::Expired, inputs: vec![id], output_level: 0, part: None };
        with_env(&disk, async |env| {
            let info = write_table(&env, DIR, id, &samples(expires_at_ms)).await;
            let added = vec![TableEntry::new(&info, 0, TokenRange::ALL)];
            let edit = VersionEdit { added, ..VersionEdit::default() };
            let version = Version::default().apply(&edit).unwrap();
            let control = Rc::default();
            let mut job = start(&env, &version, &choice, keep_all(), &control).await.unwrap();
            let step = job.step().await.unwrap().unwrap();
            let version = version.apply(&step.edit).unwrap();
            let left = standing(&env, version.tables()).await.into_values().next().unwrap();
            assert_eq!((left.kind, left.value.len()), (kind, len));
            assert_eq!(left.version, value(b"k", 10, 0).version);
            for entry in version.tables() {
                env.remove(&format!("{DIR}/{}", entry.id.file_name())).await.unwrap();
            }
        });
    }
}

#[test]
fn the_same_inputs_make_the_same_outputs() {
    let run = || {
        let disk = new_disk();
        with_env(&disk, async |env| {
            let rng = &mut Rng::with_seed(7);
            let version = random_version(&env, rng, 150).await;
            let inputs = version.tables().map(|it| it.id).collect();
            let choice =
                Choice { reason: Reason::Settle, inputs, output_level: BOTTOM, part: None };
            let control = Rc::default();
            let mut job = start(&env, &version, &choice, keep_all(), &control).await.unwrap();
            while job.step().await.unwrap().is_some() {}
        });
        disk.paths().iter().map(|path| disk.bytes(path).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

/// A version of two tables of level 0, 200 records each, and the choice to merge them.
async fn two_tables(env: &SimEnv) -> (Version, Choice) {
    let mut added = Vec::new();
    for id in [1, 2] {
        let mut samples: Vec<Sample> =
            (0..200u64).map(|it| value(&(it * id).to_be_bytes(), 10 * id, 100)).collect();
        samples.sort_by_key(Sample::place);
        let info = write_table(env, DIR, FileId(id), &samples).await;
        added.push(TableEntry::new(&info, 0, TokenRange::ALL));
    }
    let version = Version::default().apply(&VersionEdit { added, ..VersionEdit::default() });
    let inputs = vec![FileId(1), FileId(2)];
    (version.unwrap(), Choice { reason: Reason::Level0, inputs, output_level: 1, part: None })
}

#[test]
fn a_cancelled_job_ends_soon_and_cleans_up() {
    let disk = new_disk();
    with_env(&disk, async |env| {
        let (version, choice) = two_tables(&env).await;
        let control: Rc<Control> = Rc::default();
        let mut job = start(&env, &version, &choice, keep_all(), &control).await.unwrap();
        job.step().await.unwrap().unwrap();
        control.cancel();
        assert!(matches!(job.step().await, Err(JobError::Cancelled)));
    });
    assert_eq!(disk.paths().len(), 3, "two inputs, one output, nothing unfinished");
}

#[test]
fn a_damaged_input_is_an_error_and_no_table() {
    let disk = new_disk();
    with_env(&disk, async |env| {
        let (version, choice) = two_tables(&env).await;
        disk.corrupt("shard/0000000000000002.sst", |bytes| bytes[9000] ^= 1);
        let rules = Rules { fragment_bytes: 1 << 20, ..keep_all() };
        let mut job = start(&env, &version, &choice, rules, &Rc::default()).await.unwrap();
        let error = job.step().await.unwrap_err();
        assert!(matches!(&error, JobError::Table(TableError::Corrupt(_))), "{error}");
        assert!(error.to_string().contains("0000000000000002.sst"), "{error}");
    });
    assert_eq!(disk.paths().len(), 2);
}

/// The power is cut at each operation of a job whose steps are committed: what is found afterwards
/// is seen as before, and every table that the manifest names is whole.
#[test]
fn a_power_cut_changes_nothing_that_is_seen() {
    let prepared = new_disk();
    let choice = with_env(&prepared, async |env| {
        let (version, choice) = two_tables(&env).await;
        Manifest::create(&env, DIR, version).await.unwrap();
        choice
    });
    let read = |disk: &SimDisk| {
        with_env(disk, async |env| {
            let version = Manifest::read(&env, DIR).await.unwrap();
            (view(&env, &version).await, version.tables().count())
        })
    };
    let (expected, _) = read(&prepared);
    let counts = RefCell::new(BTreeMap::new());
    for nth in (1..).step_by(3) {
        let disk = prepared.crash(Crash::LoseAll, nth);
        let sim = Sim::new(nth);
        let env = sim.env(&disk);
        disk.crash_at_io(nth, if nth % 2 == 0 { When::Before } else { When::After });
        let ended = sim.run(async {
            let found = Manifest::find(&env, DIR).await.unwrap();
            let mut manifest = Manifest::create(&env, DIR, found).await.unwrap();
            let version = Rc::clone(manifest.version());
            let control = Rc::default();
            let mut job = start(&env, &version, &choice, keep_all(), &control).await.unwrap();
            while let Some(step) = job.step().await.unwrap() {
                manifest.commit(&step.edit).await.unwrap();
            }
        });
        for (class, seed) in Crash::ALL.into_iter().zip(nth..) {
            let (seen, tables) = read(&disk.crash(class, seed));
            assert_eq!(seen, expected, "{class:?} at {nth}");
            *counts.borrow_mut().entry(tables).or_insert(0) += 1;
        }
        if ended.is_some() {
            break;
        }
    }
    assert!(counts.borrow().len() > 5, "cuts between all steps: {counts:?}");
}

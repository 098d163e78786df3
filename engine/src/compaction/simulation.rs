//! The picker over long histories, without data: tables are sets of key numbers.
//!
//! Jobs run beside the writes, with the same edits as real ones, so that what is due while a long
//! job runs is seen too. Sizes are scaled down: a memtable is a hundredth of the keys.

use std::collections::BTreeMap;

use fastrand::Rng;
use schemas::ids::{Hlc, Token};

use super::picker::{Choice, CompactionOptions, Given, choose};
use super::progress::Progress;
use crate::manifest::{TableEntry, Version, VersionEdit};
use crate::sstable::{FileId, Properties, TableInfo, TokenRange};

/// Bytes of a record.
const RECORD_BYTES: u64 = 100;

/// Jobs beside each other.
const JOBS_MAX: usize = 2;

/// A history: what is written, and how quickly it is compacted.
struct History {
    keys: u32,
    /// Records after which the memtable is flushed.
    memtable: u32,
    /// Records that a job handles while one memtable is filled.
    job_speed: usize,
    options: CompactionOptions,
}

/// What a history cost.
#[derive(Debug, Default)]
struct Cost {
    /// Records written into tables for each record written by users.
    write: f64,
    /// Records in tables for each key, at most while writing and once all is settled.
    space_peak: f64,
    space_rest: f64,
    /// Tables that a read asks, on average and at most.
    read_mean: f64,
    read_max: usize,
}

/// A job that runs beside the writes.
struct Running {
    choice: Choice,
    progress: Progress,
    /// Keys still to be handled, and their number in all inputs.
    keys: Vec<u32>,
    done: usize,
}

struct Simulation {
    history: History,
    version: Version,
    contents: BTreeMap<FileId, Vec<u32>>,
    jobs: Vec<Running>,
    next_id: u64,
    written: u64,
}

impl Simulation {
    fn new(history: History) -> Self {
        let (version, contents) = (Version::default(), BTreeMap::new());
        Self { history, version, contents, jobs: Vec::new(), next_id: 1, written: 0 }
    }

    fn token(&self, key: u32) -> Token {
        Token(u64::from(key) * (u64::MAX / u64::from(self.history.keys)))
    }

    /// A table of `keys`, sorted and not empty.
    fn table(&mut self, keys: Vec<u32>) -> TableInfo {
        let id = FileId(self.next_id);
        self.next_id += 1;
        self.written += keys.len() as u64;
        let ends = (self.token(keys[0]), self.token(keys[keys.len() - 1]));
        let properties = Properties {
            records: keys.len() as u64,
            tombstones: 0,
            expiring: 0,
            raw_bytes: keys.len() as u64 * RECORD_BYTES,
            tokens: TokenRange::new(ends.0, ends.1).unwrap(),
            hlc_min: Hlc(id.0),
            hlc_max: Hlc(id.0),
            expires_max_ms: 0,
        };
        let file_bytes = keys.len() as u64 * RECORD_BYTES;
        self.contents.insert(id, keys);
        TableInfo { id, file_bytes, file_crc: 0, properties }
    }

    fn apply(&mut self, edit: &VersionEdit) {
        self.version = self.version.apply(edit).unwrap();
        let version = &self.version;
        self.contents.retain(|&id, _| version.get(id).is_some());
    }

    fn flush(&mut self, mut keys: Vec<u32>) {
        keys.sort_unstable();
        keys.dedup();
        let info = self.table(keys);
        let added = vec![TableEntry::new(&info, 0, TokenRange::ALL)];
        self.apply(&VersionEdit { added, ..VersionEdit::default() });
    }

    /// Starts what is due.
    fn start_jobs(&mut self) {
        while self.jobs.len() < JOBS_MAX {
            let running: Vec<Choice> = self.jobs.iter().map(|job| job.choice.clone()).collect();
            let given = Given {
                running: &running,
                unreadable: &[],
                room_bytes: u64::MAX,
                now_ms: 0,
                full_before: None,
            };
            let choice = choose(&self.version, &self.history.options, &given);
            let Some(choice) = choice else { return };
            if let Some(edit) = choice.edit(&self.version) {
                self.apply(&edit);
                continue;
            }
            let inputs: Vec<TableEntry> =
                choice.inputs.iter().map(|&id| **self.version.get(id).unwrap()).collect();
            let mut keys: Vec<u32> = Vec::new();
            for input in &inputs {
                let seen = |key: &&u32| input.visible.contains(self.token(**key));
                keys.extend(self.contents[&input.id].iter().filter(seen));
            }
            keys.sort_unstable();
            let progress = Progress::new(inputs, &choice, FileId(0));
            self.jobs.push(Running { choice, progress, keys, done: 0 });
        }
    }

    /// Lets each job handle `records` records: those of one key together, a fragment at a time.
    fn run_jobs(&mut self, records: usize) {
        let fragment = (self.history.options.fragment_bytes / RECORD_BYTES) as usize;
        let mut jobs = std::mem::take(&mut self.jobs);
        for job in &mut jobs {
            let mut budget = records;
            while !job.progress.is_done() && budget > 0 {
                let mut kept: Vec<u32> = Vec::new();
                let start = job.done;
                while let Some(&key) = job.keys.get(job.done) {
                    if kept.last() != Some(&key) {
                        if kept.len() == fragment {
                            break;
                        }
                        kept.push(key);
                    }
                    job.done += 1;
                }
                budget = budget.saturating_sub(job.done - start);
                let last = *kept.last().unwrap();
                let output = self.table(kept);
                let edit = if job.done < job.keys.len() {
                    job.progress.pass(self.token(last), Some(&output))
                } else {
                    job.progress.pass_all(Some(&output))
                };
                self.apply(&edit);
            }
        }
        jobs.retain(|job| !job.progress.is_done());
        self.jobs = jobs;
    }

    /// Records in files, for each key.
    fn space(&self) -> f64 {
        let records: usize = self.contents.values().map(Vec::len).sum();
        records as f64 / f64::from(self.history.keys)
    }

    /// Tables that may hold `key`.
    fn asked(&self, key: u32) -> usize {
        let token = self.token(key);
        self.version.tables().filter(|it| it.visible.contains(token)).count()
    }

    /// Loads all keys, then writes `rounds` times as many, at random.
    fn run(mut self, rng: &mut Rng, rounds: u32) -> Cost {
        let History { keys, memtable, job_speed, .. } = self.history;
        let mut load: Vec<u32> = (0..keys).collect();
        rng.shuffle(&mut load);
        let mut cost = Cost::default();
        let (mut writes, mut reads) = (0, Vec::new());
        let overwrites = std::iter::repeat_with(|| None).take((rounds * keys / memtable) as usize);
        let loads = load.chunks(memtable as usize).map(Some);
        for batch in loads.chain(overwrites) {
            let is_load = batch.is_some();
            let random = || (0..memtable).map(|_| rng.u32(..keys)).collect();
            let batch = batch.map_or_else(random, <[u32]>::to_vec);
            self.flush(batch);
            self.start_jobs();
            self.run_jobs(job_speed);
            self.start_jobs();
            if is_load {
                // The load is counted by itself: nothing is dead then.
                self.written = 0;
                continue;
            }
            writes += u64::from(memtable);
            cost.space_peak = cost.space_peak.max(self.space());
            reads.push(self.asked(rng.u32(..keys)));
        }
        cost.write = self.written as f64 / writes as f64;
        cost.read_mean = reads.iter().sum::<usize>() as f64 / reads.len() as f64;
        cost.read_max = reads.into_iter().max().unwrap();
        for turn in 0.. {
            self.start_jobs();
            if self.jobs.is_empty() {
                break;
            }
            self.run_jobs(usize::MAX);
            assert!(turn < 100, "compaction comes to rest");
        }
        cost.space_rest = self.space();
        cost
    }
}

fn history(keys: u32, memtable: u32, job_speed: usize) -> History {
    let fragment_bytes = u64::from(keys / 100) * RECORD_BYTES;
    let options = CompactionOptions { fragment_bytes, ..CompactionOptions::default() };
    History { keys, memtable, job_speed, options }
}

/// Data of a hundred memtables; jobs handle ten records while one is written, then five, which is
/// about what they have to.
#[test]
fn overwriting_ten_times_costs_little_space_writes_and_reads() {
    for (job_speed, space_peak, read_mean) in [(5_000, 1.3, 7.0), (2_500, 1.4, 8.5)] {
        let cost = Simulation::new(history(50_000, 500, job_speed)).run(&mut Rng::with_seed(1), 10);
        assert!(cost.write < 6.0, "{cost:?}");
        assert!(cost.space_rest < 1.26 && cost.space_peak < space_peak, "{cost:?}");
        assert!(cost.read_mean < read_mean && cost.read_max < 16, "{cost:?}");
    }
}

/// With a thousand memtables runs are merged once more on their way.
#[test]
fn much_data_costs_one_more_write() {
    let cost = Simulation::new(history(100_000, 100, 1_000)).run(&mut Rng::with_seed(1), 2);
    assert!(cost.write < 7.5 && cost.space_rest < 1.26 && cost.space_peak < 1.4, "{cost:?}");
    assert!(cost.read_mean < 10.0 && cost.read_max < 25, "{cost:?}");
}

/// What fits in a memtable is written over again and again, and hardly ever to the disk.
#[test]
fn little_data_costs_few_writes() {
    let cost = Simulation::new(history(1_000, 10_000, 10_000)).run(&mut Rng::with_seed(1), 1_000);
    assert!(cost.write < 0.5 && cost.space_rest <= 1.26, "{cost:?}");
    assert!(cost.read_max <= 3, "{cost:?}");
}

//! Power cuts at chosen points of everything that a disk was asked to do while servers ran on it:
//! what it had flushed by then is there, of the rest some. The file system is mounted as it was
//! left, a server starts on it, and nothing is missing that was acknowledged before that point.
//!
//! The servers' lives are made so that the log has in it what a disk gets from kvcore: a new node,
//! flushes, compactions, edits of the manifest, segments of the log made and used again, a start
//! after a kill, and starts with another number of cores.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use crate::disks::{Disk, Memory, make};
use crate::history::{History, Position};
use crate::long_forms::number;
use crate::means;
use crate::recorded::{Point, Recorded};
use crate::server::{Server, Start, eventually};

/// Points of the short form.
const POINTS: u64 = 200;

/// Points for each start that is recorded after one.
const POINTS_PER_START: u64 = 50;

/// Points of such a start.
const POINTS_OF_START: u64 = 8;

/// Size of the disk that is written to; some 300 MiB of it are.
const DISK_BYTES: u64 = 1 << 30;

/// More than the disk, its log and what workers need.
const MEMORY_BYTES: u64 = 4 * DISK_BYTES;

/// One run of a server, under writes.
struct Life {
    cores: usize,
    durability: &'static str,
    /// When it has done enough.
    until: fn(&Server, &Path) -> bool,
    end: fn(Server),
}

/// What servers did to a new disk, and what was written to them.
struct Lives {
    history: History,
    recorded: Recorded,
    memory: Memory,
}

impl Lives {
    fn live(seed: u64, lives: &[Life]) -> Self {
        let memory = Memory::take(MEMORY_BYTES);
        let image = memory.path().join("empty");
        make(&image, DISK_BYTES);
        let mut history = History::new(3, seed);
        let recorded = Recorded::make(memory.path(), &image, |disk, length| {
            for life in lives {
                let flags = ["--durability", life.durability];
                let server = Start::on(&disk.data()).cores(life.cores).flags(&flags).serve();
                // What was made durable before the length is asked for lies within it.
                history.write_while(server.clients(), length, || {
                    eventually("it has done enough", || (life.until)(&server, &disk.data()));
                    (life.end)(server);
                });
            }
        });
        Self { history, recorded, memory }
    }

    /// Holds a server that was started after a cut at `point` against what was acknowledged.
    fn judge(&self, server: &Server, point: Point) -> Result<(), String> {
        let reads = self.history.read(server).map_err(|wrong| wrong.to_string())?;
        if let Some(error) = reads.errors().first() {
            return Err(format!("unreadable: {error}"));
        }
        let position = self.recorded.position(point);
        self.history.check(&reads, position).map_err(|wrong| wrong.to_string())
    }

    fn wrong_at(&self, points: &[Point], seed: u64) -> Vec<(Point, String)> {
        self.recorded.cut_at(points, seed, |server, point| self.judge(server, point))
    }

    fn figures(&self) -> String {
        let acknowledged = self.history.acknowledged(Position::MAX);
        format!("{}, {acknowledged} writes acknowledged", self.recorded.figures())
    }

    /// So many points, as far apart, from where something was acknowledged.
    fn points_under_writes(&self, count: usize) -> Vec<Point> {
        let begins = |point| self.history.acknowledged(self.recorded.position(point)) > 0;
        self.recorded.points_from(begins, count)
    }

    /// Cuts the power at `point`, and again at points of the start after that, on so many cores.
    /// What one start showed, the next one shows: nobody read what the second cut took back.
    fn cut_again(&self, point: Point, cores: usize, seed: u64) -> Vec<(Point, String)> {
        let dir = self.memory.path().join("again");
        fs::create_dir(&dir).unwrap();
        let left = dir.join("left");
        self.recorded.left_at(point, seed, &left);
        let mut seen = None;
        let again = Recorded::make(&dir, &left, |disk: &Disk, _| {
            let server = Start::on(&disk.data()).cores(cores).serve();
            self.judge(&server, point).unwrap_or_else(|what| panic!("{point:?}: {what}"));
            seen = Some(self.history.read(&server).unwrap_or_else(|wrong| panic!("{wrong}")));
            server.kill();
        });
        let points = again.points(POINTS_OF_START, &mut Rng::with_seed(seed));
        let wrong = again.cut_at(&points, seed, |server, _| {
            let reads = self.history.read(server).map_err(|wrong| wrong.to_string())?;
            let same = seen.as_ref().is_some_and(|seen| seen.values_are_those_of(&reads));
            if same { Ok(()) } else { Err("it shows what the start before did not".to_owned()) }
        });
        fs::remove_dir_all(dir).unwrap();
        wrong
    }

    /// Leaves the disk as it was at `point` to whoever looks into what was wrong.
    fn keep(&self, point: Point, seed: u64) -> PathBuf {
        let image = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cut-{}.img", point.cut));
        self.recorded.left_at(point, seed, &image);
        image
    }
}

fn has_flushed(server: &Server, _: &Path) -> bool {
    server.metric_if_told("kvcore_flushes_total").is_some_and(|flushes| flushes >= 2.0)
}

/// Whether it has compacted, and a segment of the log was used again under another name.
fn has_compacted_and_recycled(server: &Server, data: &Path) -> bool {
    let compacted = server.metric_if_told("kvcore_compactions_total").is_some_and(|n| n >= 1.0);
    compacted && !data.join("gen-0003/shard-000/0003000000000001.log").exists()
}

fn has_written(server: &Server, _: &Path) -> bool {
    server.metric_if_told("kvcore_puts_acknowledged_total").is_some_and(|puts| puts >= 200.0)
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut_at_any_point() {
    if !means::at_hand("power cuts at points of the block log") {
        return;
    }
    let seed = number("KVCORE_TEST_SEED", || fastrand::u64(..));
    println!("KVCORE_TEST_SEED={seed} draws the same writes again, and points as far apart");
    let life = |cores, until, end| Life { cores, durability: "sync", until, end };
    let lives = [
        life(1, has_flushed, Server::kill),
        life(2, has_flushed, Server::stop),
        life(1, has_compacted_and_recycled, Server::kill),
    ];
    let lives = Lives::live(seed, &lives);
    let count = number("KVCORE_TEST_POINTS", || POINTS);
    let mut rng = Rng::with_seed(seed);
    let points = lives.recorded.points(count, &mut rng);
    println!("{count} points of {}", lives.figures());
    let wrong = lives.wrong_at(&points, seed);
    let kept = wrong.first().map(|&(point, _)| lives.keep(point, seed));
    assert!(wrong.is_empty(), "{wrong:#?}; the first is left in {kept:?}");

    for start in 0..count / POINTS_PER_START {
        let (point, cores) = (points[rng.usize(..points.len())], rng.usize(1..=2));
        let wrong = lives.cut_again(point, cores, seed ^ start);
        let kept = (!wrong.is_empty()).then(|| lives.keep(point, seed ^ start));
        assert!(wrong.is_empty(), "on {cores} cores: {wrong:#?}; the first is left in {kept:?}");
    }
}

/// A check that cannot fail is worth nothing: a server that does not sync, and a disk that does
/// not do what it is asked to with a flush, are both found out.
#[test]
fn writes_that_were_not_made_durable_are_found_to_be_lost() {
    if !means::at_hand("whether a check of power cuts can fail") {
        return;
    }
    let live = |durability| {
        let life = Life { cores: 1, durability, until: has_written, end: Server::stop };
        Lives::live(7, &[life])
    };
    let lives = live("none");
    let wrong = lives.wrong_at(&[lives.recorded.end()], 7);
    assert!(wrong.is_empty(), "stopped and unmounted, all of it is there: {wrong:?}");
    let points = lives.points_under_writes(12);
    let wrong = lives.wrong_at(&points, 7);
    assert!(!wrong.is_empty(), "a server that does not sync passes {points:?}");
    drop(lives);

    let lives = live("sync");
    // None of the entries since twelve points ago is flushed.
    let honest = lives.points_under_writes(24);
    let lies = honest[..12].iter().zip(&honest[12..]);
    let lies = lies.map(|(early, late)| Point { cut: late.cut, durable: early.durable });
    let lies: Vec<Point> = lies.collect();
    let wrong = lives.wrong_at(&lies, 7);
    assert!(!wrong.is_empty(), "a disk that does not flush passes {lies:?}");
}

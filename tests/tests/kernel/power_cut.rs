//! Power cuts at chosen points of everything that a disk was asked to do while servers ran on it:
//! what it had flushed by then is there, of the rest some. The file system is mounted as it was
//! left, a server starts on it, and nothing is missing that was acknowledged before that point.
//!
//! The servers' lives are made so that the log has in it what a disk gets from kvcore: a new node,
//! flushes, compactions, edits of the manifest, segments of the log made and used again, a start
//! after a kill, and a start with another number of cores.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use fastrand::Rng;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::block_log::{BlockLog, SECTOR};
use crate::daemon::Daemon;
use crate::disks::{Disk, Memory, make};
use crate::history::{History, Position};
use crate::long_forms::number;
use crate::means;
use crate::mounts::printed;
use crate::server::{Server, Start, eventually};

/// Points of the short form.
const POINTS: u64 = 200;

/// Size of the disk that is written to; some 300 MiB of it are.
const DISK_BYTES: u64 = 1 << 30;

/// Memory for the disk, its log, and for each worker the disk as it was at a point, twice.
const MEMORY_BYTES: u64 = 4 * DISK_BYTES;

/// Points that are looked at at once.
const WORKERS_MAX: usize = 2;

/// One run of a server, under writes.
struct Life {
    cores: usize,
    durability: &'static str,
    /// When it has done enough.
    until: fn(&Server, &Path) -> bool,
    end: fn(Server),
}

/// What servers did to a disk.
struct Recorded {
    history: History,
    log: BlockLog,
    /// The disk, empty; what is replayed goes on from here.
    image: PathBuf,
    memory: Memory,
}

/// Where the power is cut: of the first `cut` entries of the log the first `durable` are there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Point {
    cut: usize,
    durable: usize,
}

impl Recorded {
    fn make(seed: u64, lives: &[Life]) -> Self {
        let memory = Memory::take(MEMORY_BYTES);
        let at = |name: &str| memory.path().join(name);
        let (disk_image, image) = (at("disk"), at("image"));
        make(&disk_image, DISK_BYTES);
        copy(&disk_image, &image);
        File::create(at("log")).unwrap();
        let daemon = Daemon::start(
            memory.path(),
            &[
                "driver=file,node-name=disk,filename=disk",
                "driver=file,node-name=log,filename=log",
                &format!(
                    "driver=blklogwrites,node-name=top,file=disk,log=log,log-sector-size={SECTOR}"
                ),
            ],
        );
        let disk = Disk::mount(daemon.export(), &at("root"));
        let mut history = History::new(3, seed);
        let log = File::open(at("log")).unwrap();
        for life in lives {
            let flags = ["--durability", life.durability];
            let server = Start::on(&disk.data()).cores(life.cores).flags(&flags).serve();
            // What was made durable before its length is asked for lies within that length.
            let length = || log.metadata().unwrap().len();
            history.write_while(server.clients(), length, || {
                eventually("it has done enough", || (life.until)(&server, &disk.data()));
                (life.end)(server);
            });
        }
        disk.unmount();
        daemon.stop();
        let recorded = Self { history, log: BlockLog::read(&at("log")), image, memory };
        recorded.assert_replays_to(&disk_image);
        fs::remove_file(&disk_image).unwrap();
        recorded
    }

    /// The log has all that was done to the disk, and is understood.
    fn assert_replays_to(&self, disk: &Path) {
        let whole = self.memory.path().join("whole");
        copy(&self.image, &whole);
        self.log.replay(0, self.log.len(), &writable(&whole));
        printed(Command::new("cmp").args([disk, &whole]));
        fs::remove_file(whole).unwrap();
    }

    fn figures(&self) -> String {
        let Self { log, history, .. } = self;
        let (entries, flushes) = (log.len(), log.flushes().len());
        let acknowledged = history.acknowledged(Position::MAX);
        format!("{entries} entries, {flushes} flushes, {acknowledged} writes acknowledged")
    }

    /// The point at `cut` of a disk that does as it is told.
    fn point(&self, cut: usize) -> Point {
        let flushes = self.log.flushes();
        let before = flushes.partition_point(|&flush| flush <= cut);
        Point { cut, durable: before.checked_sub(1).map_or(0, |last| flushes[last]) }
    }

    /// So many points, as far apart, from where something was acknowledged.
    fn points_under_writes(&self, count: usize) -> Vec<Point> {
        let end = self.log.len();
        let acknowledged = |&cut: &usize| self.history.acknowledged(self.log.length_at(cut)) > 0;
        let start = (0..end).find(acknowledged).expect("something was");
        (0..count).map(|index| self.point(start + (end - start) * index / count)).collect()
    }

    /// So many points, in order: half of them right before or behind a flush.
    fn points(&self, count: u64, rng: &mut Rng) -> Vec<Point> {
        let flushes = self.log.flushes();
        let drawn = |_| {
            let cut = match rng.u8(..4) {
                0 => flushes[rng.usize(..flushes.len())],
                1 => flushes[rng.usize(..flushes.len())] - 1,
                _ => rng.usize(..=self.log.len()),
            };
            self.point(cut)
        };
        let mut points: Vec<Point> = (0..count).map(drawn).collect();
        points.sort_unstable();
        points
    }

    /// Cuts the power at each of `points`, in order, and starts a server on what is left: those
    /// where something was wrong, and what. Two are looked at at once, where there are two CPUs.
    fn cut_at(&self, points: &[Point], seed: u64) -> Vec<(Point, String)> {
        let mut allowed = allowed_cpus();
        allowed.truncate(WORKERS_MAX);
        thread::scope(|scope| {
            let looks = |(worker, &cpu): (usize, &usize)| {
                let share = points.iter().skip(worker).step_by(allowed.len());
                scope.spawn(move || self.cut_on(cpu, share, seed))
            };
            let workers: Vec<_> = allowed.iter().enumerate().map(looks).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    }

    /// The same, one after the other, on this CPU.
    fn cut_on<'a>(
        &self,
        cpu: usize,
        points: impl Iterator<Item = &'a Point>,
        seed: u64,
    ) -> Vec<(Point, String)> {
        let dir = self.memory.path().join(format!("cpu {cpu}"));
        fs::create_dir_all(&dir).unwrap();
        let (image, left) = (dir.join("image"), dir.join("left"));
        copy(&self.image, &image);
        let disk = writable(&image);
        let mut durable = 0;
        let mut wrong = Vec::new();
        for &point in points {
            self.log.replay(durable, point.durable, &disk);
            durable = point.durable;
            copy(&image, &left);
            self.replay_cache(point, seed, &left);
            let outcome = self.started_on(&left, &dir.join("root"), cpu, point);
            wrong.extend(outcome.err().map(|what| (point, what)));
        }
        fs::remove_file(image).unwrap();
        wrong
    }

    /// Does to the disk in `image`, where all that is durable at `point` is, what its cache did.
    fn replay_cache(&self, point: Point, seed: u64, image: &Path) {
        let mut rng = Rng::with_seed(seed ^ point.cut as u64);
        self.log.replay_some(point.durable, point.cut, &writable(image), &mut rng);
    }

    /// Leaves the disk as it was at `point` to whoever looks into what was wrong.
    fn keep(&self, point: Point, seed: u64) -> PathBuf {
        let image = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cut-{}.img", point.cut));
        copy(&self.image, &image);
        self.log.replay(0, point.durable, &writable(&image));
        self.replay_cache(point, seed, &image);
        image
    }

    /// Mounts the disk in `image`, and holds a server on it against what was acknowledged.
    fn started_on(&self, image: &Path, root: &Path, cpu: usize, at: Point) -> Result<(), String> {
        let disk = Disk::mount(image, root);
        let start = Start::on(&disk.data()).cpu(cpu);
        let server = start.attempt().map_err(|ended| format!("{ended:?}"))?;
        let reads = self.history.read(&server).map_err(|wrong| wrong.to_string())?;
        if let Some(error) = reads.errors().first() {
            return Err(format!("unreadable: {error}"));
        }
        let position = self.log.length_at(at.cut);
        self.history.check(&reads, position).map_err(|wrong| wrong.to_string())?;
        server.kill();
        disk.unmount();
        Ok(())
    }
}

fn writable(image: &Path) -> File {
    OpenOptions::new().write(true).open(image).unwrap()
}

/// Copies a file; its holes stay holes.
fn copy(from: &Path, to: &Path) {
    printed(Command::new("cp").arg("--sparse=auto").args([from, to]));
}

/// The CPUs that this process may use.
fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
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
    let recorded = Recorded::make(seed, &lives);
    let count = number("KVCORE_TEST_POINTS", || POINTS);
    let points = recorded.points(count, &mut Rng::with_seed(seed));
    println!("{count} points of {}", recorded.figures());
    let wrong = recorded.cut_at(&points, seed);
    let kept = wrong.first().map(|&(point, _)| recorded.keep(point, seed));
    assert!(wrong.is_empty(), "{wrong:#?}; the first is left in {kept:?}");
}

/// A check that cannot fail is worth nothing: a server that does not sync, and a disk that does
/// not do what it is asked to with a flush, are both found out.
#[test]
fn writes_that_were_not_made_durable_are_found_to_be_lost() {
    if !means::at_hand("whether a check of power cuts can fail") {
        return;
    }
    let record = |durability| {
        let life = Life { cores: 1, durability, until: has_written, end: Server::stop };
        Recorded::make(7, &[life])
    };
    let recorded = record("none");
    let end = Point { cut: recorded.log.len(), durable: recorded.log.len() };
    let kept = recorded.cut_at(&[end], 7);
    assert!(kept.is_empty(), "stopped and unmounted, all of it is there: {kept:?}");
    let points = recorded.points_under_writes(12);
    let wrong = recorded.cut_at(&points, 7);
    assert!(!wrong.is_empty(), "a server that does not sync passes {points:?}");
    drop(recorded);

    let recorded = record("sync");
    // None of the entries since twelve points ago is flushed.
    let honest = recorded.points_under_writes(24);
    let lies = honest[..12].iter().zip(&honest[12..]);
    let lies = lies.map(|(early, late)| Point { cut: late.cut, durable: early.durable });
    let lies: Vec<Point> = lies.collect();
    let wrong = recorded.cut_at(&lies, 7);
    assert!(!wrong.is_empty(), "a disk that does not flush passes {lies:?}");
}

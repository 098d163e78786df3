//! What servers did to a disk, entry by entry, and servers started on the disk as a power cut at
//! any point of that may have left it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use fastrand::Rng;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::block_log::{BlockLog, SECTOR};
use crate::daemon::Daemon;
use crate::disks::Disk;
use crate::history::Position;
use crate::mounts::printed;
use crate::server::{Server, Start};

/// Points that are looked at at once: each takes memory for two disks.
const WORKERS_MAX: usize = 2;

/// Where the power is cut: of the first `cut` entries of the log the first `durable` are there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Point {
    pub(crate) cut: usize,
    pub(crate) durable: usize,
}

/// What was wrong, and where.
pub(crate) type Findings = Vec<(Point, String)>;

/// A disk as it was, and what was done to it then.
pub(crate) struct Recorded {
    log: BlockLog,
    /// The disk before that.
    image: PathBuf,
    dir: PathBuf,
}

impl Recorded {
    /// Records in `dir`, which is in memory, what `run` does to the mounted file system in `image`;
    /// `run` is told how to ask for the length of the log.
    pub(crate) fn make(
        dir: &Path,
        image: &Path,
        run: impl FnOnce(&Disk, &(dyn Fn() -> Position + Sync)),
    ) -> Self {
        let changed = dir.join("disk");
        copy(image, &changed);
        let log = File::create_new(dir.join("log")).unwrap();
        let top = "driver=blklogwrites,node-name=top,file=disk,log=log";
        let daemon = Daemon::start(
            dir,
            &[
                "driver=file,node-name=disk,filename=disk",
                "driver=file,node-name=log,filename=log",
                &format!("{top},log-sector-size={SECTOR}"),
            ],
        );
        let disk = Disk::mount(daemon.export(), &dir.join("root"));
        run(&disk, &|| log.metadata().unwrap().len());
        disk.unmount();
        daemon.stop();
        let log = BlockLog::read(&dir.join("log"));
        let recorded = Self { log, image: image.to_owned(), dir: dir.to_owned() };
        recorded.assert_replays_to(&changed);
        fs::remove_file(&changed).unwrap();
        recorded
    }

    /// The log has all that was done to the disk, and is understood.
    fn assert_replays_to(&self, disk: &Path) {
        let whole = self.dir.join("whole");
        copy(&self.image, &whole);
        self.log.replay(0, self.log.len(), &writable(&whole));
        printed(Command::new("cmp").args([disk, &whole]));
        fs::remove_file(whole).unwrap();
    }

    pub(crate) fn figures(&self) -> String {
        format!("{} entries, {} flushes", self.log.len(), self.log.flushes().len())
    }

    /// How long the log was at `point`.
    pub(crate) fn position(&self, point: Point) -> Position {
        self.log.length_at(point.cut)
    }

    /// The point at the end.
    pub(crate) fn end(&self) -> Point {
        Point { cut: self.log.len(), durable: self.log.len() }
    }

    /// The point at `cut` of a disk that does as it is told.
    fn point(&self, cut: usize) -> Point {
        let flushes = self.log.flushes();
        let before = flushes.partition_point(|&flush| flush <= cut);
        Point { cut, durable: before.checked_sub(1).map_or(0, |last| flushes[last]) }
    }

    /// So many points, as far apart, from the first on that `begins`.
    pub(crate) fn points_from(&self, begins: impl Fn(Point) -> bool, count: usize) -> Vec<Point> {
        let end = self.log.len();
        let start = (0..end).find(|&cut| begins(self.point(cut))).expect("it begins");
        (0..count).map(|index| self.point(start + (end - start) * index / count)).collect()
    }

    /// So many points, in order: half of them right before or behind a flush.
    pub(crate) fn points(&self, count: u64, rng: &mut Rng) -> Vec<Point> {
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

    /// Makes in `image` the disk as a cut at `point` left it; what of it follows from `seed`.
    pub(crate) fn left_at(&self, point: Point, seed: u64, image: &Path) {
        copy(&self.image, image);
        self.log.replay(0, point.durable, &writable(image));
        self.replay_cache(point, seed, image);
    }

    /// Does to the disk in `image`, where all that is durable at `point` is, what its cache did.
    fn replay_cache(&self, point: Point, seed: u64, image: &Path) {
        let mut rng = Rng::with_seed(seed ^ point.cut as u64);
        self.log.replay_some(point.durable, point.cut, &writable(image), &mut rng);
    }

    /// Cuts the power at each of `points`, in order, starts a server on what is left, and lets
    /// `judge` look at it. Two are looked at at once, where there are two CPUs.
    pub(crate) fn cut_at(
        &self,
        points: &[Point],
        seed: u64,
        judge: impl Fn(&Server, Point) -> Result<(), String> + Sync,
    ) -> Findings {
        let mut allowed = allowed_cpus();
        allowed.truncate(WORKERS_MAX);
        thread::scope(|scope| {
            let looks = |(worker, &cpu): (usize, &usize)| {
                let share = points.iter().copied().skip(worker).step_by(allowed.len());
                let judge = &judge;
                scope.spawn(move || self.cut_on(cpu, share, seed, judge))
            };
            let workers: Vec<_> = allowed.iter().enumerate().map(looks).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    }

    /// The same, one after the other, on this CPU.
    fn cut_on(
        &self,
        cpu: usize,
        points: impl Iterator<Item = Point>,
        seed: u64,
        judge: &impl Fn(&Server, Point) -> Result<(), String>,
    ) -> Findings {
        let dir = self.dir.join(format!("cpu {cpu}"));
        fs::create_dir_all(&dir).unwrap();
        let (image, left) = (dir.join("image"), dir.join("left"));
        copy(&self.image, &image);
        let disk = writable(&image);
        let mut durable = 0;
        let mut findings = Findings::new();
        for point in points {
            self.log.replay(durable, point.durable, &disk);
            durable = point.durable;
            copy(&image, &left);
            self.replay_cache(point, seed, &left);
            let judged = Disk::attempt(&left, &dir.join("root")).and_then(|disk| {
                let started = Start::on(&disk.data()).cpu(cpu).attempt();
                let server = started.map_err(|ended| format!("{ended:?}"))?;
                let judged = judge(&server, point);
                server.kill();
                disk.unmount();
                judged
            });
            findings.extend(judged.err().map(|what| (point, what)));
        }
        fs::remove_dir_all(dir).unwrap();
        findings
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

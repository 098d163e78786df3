//! The real world: glommio's executor and `O_DIRECT` files, read and written on the core's own
//! ring.
//!
//! - Made inside the executor it belongs to, with that core's [`Ring`]; everything stays there.
//! - Somebody looks after the ring while anything is awaited: a core's loop, or [`with_ring`].
//! - Before any other file is opened, a non-empty file of the data directory is: glommio asks the
//!   first file it sees of a device whether the device can be polled, by reading it, and remembers
//!   the answer for the thread; an empty file gives the wrong one, and every read fails with
//!   `EOPNOTSUPP` from then on.
//! - Directory operations run on the executor's blocking thread: they are rare, and the kernel has
//!   no asynchronous form for most of them.

mod closer;
mod file;
mod give_way;
mod system;
mod with_ring;

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glommio::io::{DmaFile, OpenOptions};
use glommio::{Latency, Shares, TaskQueueHandle};

use self::closer::Closer;
pub use self::file::DirectFile;
pub use self::give_way::{PREEMPT_TIMER, give_way, with_heartbeat};
pub use self::with_ring::with_ring;
use super::ring::Ring;
use super::{ALIGN, Class, Done, Env, Open, Space};

/// The file that answers glommio's question; see the module's documentation. It holds nothing.
pub const PROBE_FILE: &str = "PROBE";

/// A background task gives way after so long, as the foreground does. With 100 us the slowest
/// hundredth of reads beside a flush took twice as long.
const SLICE: Duration = Duration::from_micros(50);

/// One core's world, over directory `root`.
#[derive(Clone)]
pub struct DirectEnv(Rc<Inner>);

struct Inner {
    root: PathBuf,
    ring: Ring,
    queues: Queues,
    closer: Closer,
    start: Instant,
    random: RefCell<fastrand::Rng>,
    /// When the background task that runs now began to.
    slice_start: Cell<Instant>,
}

/// glommio's task queues, with the shares of the architecture's section 2.
struct Queues {
    log: TaskQueueHandle,
    flush: TaskQueueHandle,
    compaction: TaskQueueHandle,
    idle: TaskQueueHandle,
}

impl Queues {
    fn new() -> Self {
        let queue = |shares, name| {
            glommio::executor().create_task_queue(
                Shares::Static(shares),
                Latency::NotImportant,
                name,
            )
        };
        Self {
            log: queue(500, "log"),
            flush: queue(300, "flush"),
            compaction: queue(150, "compaction"),
            idle: queue(50, "idle"),
        }
    }

    fn of(&self, class: Class) -> TaskQueueHandle {
        match class {
            Class::Log => self.log,
            Class::Flush => self.flush,
            Class::Compaction => self.compaction,
            Class::Idle => self.idle,
        }
    }
}

impl DirectEnv {
    /// The world of the current executor over data directory `root`, which exists. `seed` starts
    /// the generator behind [`Env::random`].
    ///
    /// # Errors
    /// The directory cannot be written, its file system has no direct I/O, or there is no thread.
    pub async fn new(root: &Path, ring: Ring, seed: u64) -> io::Result<Self> {
        let probe = root.join(PROBE_FILE);
        blocking({
            let probe = probe.clone();
            move || system::make_probe(&probe)
        })
        .await?;
        let file = DmaFile::open(&probe).await.map_err(file::system_error)?;
        file.read_at_aligned(0, ALIGN).await.map_err(file::system_error)?;
        file.close().await.map_err(file::system_error)?;
        Ok(Self(Rc::new(Inner {
            root: root.to_path_buf(),
            ring,
            queues: Queues::new(),
            closer: Closer::start()?,
            start: now(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            slice_start: Cell::new(now()),
        })))
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.root.join(relative)
    }
}

impl Env for DirectEnv {
    type File = DirectFile;

    async fn open(&self, path: &str, how: Open) -> io::Result<DirectFile> {
        let mut options = OpenOptions::new();
        match how {
            Open::Read => options.read(true),
            Open::ReadWrite => options.read(true).write(true),
            Open::Create => options.read(true).write(true).create_new(true),
        };
        let file = options.dma_open(self.path(path)).await.map_err(file::system_error)?;
        Ok(DirectFile::new(file, self.0.ring.clone(), self.0.closer.clone()))
    }

    async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let path = self.path(path);
        blocking(move || system::list(&path)).await
    }

    async fn create_dir(&self, path: &str) -> io::Result<()> {
        let path = self.path(path);
        blocking(move || system::create_dir(&path)).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        blocking(move || system::rename(&from, &to)).await
    }

    async fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        let (a, b) = (self.path(a), self.path(b));
        blocking(move || system::exchange(&a, &b)).await
    }

    async fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        blocking(move || system::link(&from, &to)).await
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.path(path);
        blocking(move || system::remove(&path)).await
    }

    async fn sync_dir(&self, path: &str) -> io::Result<()> {
        let path = self.path(path);
        blocking(move || system::sync_dir(&path)).await
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.0.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { available: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }

    fn monotonic_us(&self) -> u64 {
        (now() - self.0.start).as_micros() as u64
    }

    fn wall_ms(&self) -> u64 {
        wall_ms()
    }

    fn random(&self) -> u64 {
        self.0.random.borrow_mut().u64(..)
    }

    fn spawn(&self, class: Class, task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local_into(task, self.0.queues.of(class))
            .expect("the queue is this executor's, and never removed")
            .detach();
    }

    async fn pause(&self) {
        let now_at = now();
        if now_at - self.0.slice_start.get() >= SLICE || self.0.ring.taskrun() {
            give_way().await;
            self.0.slice_start.set(now());
        }
    }

    async fn sleep_us(&self, us: u64) {
        glommio::timer::sleep(Duration::from_micros(us)).await;
    }

    fn poll(&self, done: &mut Vec<Done>) {
        self.0.ring.poll(done);
    }

    fn wake(&self) {
        self.0.ring.waker().wake();
    }
}

/// Runs `work` on the executor's blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    glommio::executor().spawn_blocking(work).await
}

#[expect(clippy::disallowed_methods, reason = "this is where the monotonic clock comes in")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is where the wall clock comes in")]
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

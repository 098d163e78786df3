//! The seeded executor: one thread, virtual time, tasks polled in seeded order.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use fastrand::Rng;
use slab::Slab;

use super::disk::SimDisk;
use super::files::SimEnv;

/// Steps after which a run is taken to have no end.
const STEPS_MAX: u64 = 200_000_000;

/// 2026-01-01T00:00:00Z, where every simulation's wall clock starts.
const WALL_START_MS: u64 = 1_767_225_600_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A seeded executor with virtual time. Dropping it drops its tasks where they stand.
pub struct Sim {
    core: Rc<Core>,
}

impl Sim {
    /// An executor whose every choice follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            core: Rc::new(Core {
                rng: RefCell::new(Rng::with_seed(seed)),
                now_us: Cell::new(0),
                wall_offset_ms: Cell::new(0),
                tasks: RefCell::new(Slab::new()),
                timers: RefCell::new(BinaryHeap::new()),
                timers_made: Cell::new(0),
                disks: RefCell::new(Vec::new()),
                woken: Woken::default(),
            }),
        }
    }

    /// An environment whose files are on `disk`.
    #[must_use]
    pub fn env(&self, disk: &SimDisk) -> SimEnv {
        self.core.disks.borrow_mut().push(disk.clone());
        SimEnv::new(&self.core, disk)
    }

    /// Runs until `future` ends, beside all tasks spawned; `None` if the power of a disk was cut
    /// before it did.
    ///
    /// # Panics
    /// If nothing can run any more, or the run has no end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut main = pin!(future);
        let main_waker = self.core.waker(MAIN);
        self.core.woken.push(MAIN);
        for _ in 0..STEPS_MAX {
            if self.core.disks.borrow().iter().any(SimDisk::is_dead) {
                return None;
            }
            self.core.fire_timers();
            let Some(id) = self.core.pick() else {
                assert!(self.core.skip_to_next_timer(), "stalled: nothing is left to wait for");
                continue;
            };
            self.core.now_us.set(self.core.now_us.get() + 1);
            if id == MAIN {
                if let Poll::Ready(value) =
                    main.as_mut().poll(&mut Context::from_waker(&main_waker))
                {
                    return Some(value);
                }
            } else {
                self.core.poll_task(id);
            }
        }
        panic!("no end after {STEPS_MAX} steps");
    }

    /// [`Sim::run`] where no power is cut.
    ///
    /// # Panics
    /// As `run`, and if the power was cut.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.run(future).expect("the power was cut")
    }

    /// Virtual time since the start, in microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.core.now_us.get()
    }

    /// Moves the wall clock, and only it, by `ms` from where it would be.
    pub fn jump_wall_clock(&self, ms: i64) {
        self.core.wall_offset_ms.set(self.core.wall_offset_ms.get() + ms);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // Tasks hold environments, which hold the core: without this they keep each other alive.
        // Dropping a task may spawn another.
        while !self.core.tasks.borrow().is_empty() {
            let tasks = std::mem::take(&mut *self.core.tasks.borrow_mut());
            drop(tasks);
        }
        self.core.timers.borrow_mut().clear();
        self.core.disks.borrow_mut().clear();
    }
}

/// The future given to [`Sim::run`], among task numbers.
const MAIN: usize = usize::MAX;

/// What environments share with the executor.
pub(super) struct Core {
    rng: RefCell<Rng>,
    now_us: Cell<u64>,
    wall_offset_ms: Cell<i64>,
    /// `None` while the task is being polled.
    tasks: RefCell<Slab<Option<Task>>>,
    timers: RefCell<BinaryHeap<Reverse<Timer>>>,
    timers_made: Cell<u64>,
    disks: RefCell<Vec<SimDisk>>,
    woken: Woken,
}

impl Core {
    pub(super) fn random(&self) -> u64 {
        self.rng.borrow_mut().u64(..)
    }

    /// A number in `low..high`.
    pub(super) fn random_in(&self, low: u64, high: u64) -> u64 {
        self.rng.borrow_mut().u64(low..high)
    }

    pub(super) fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    pub(super) fn wall_ms(&self) -> u64 {
        (WALL_START_MS + self.now_us.get() / 1000).saturating_add_signed(self.wall_offset_ms.get())
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let id = self.tasks.borrow_mut().insert(Some(Box::pin(task)));
        self.woken.push(id);
    }

    /// Waits `us` microseconds of virtual time. Whoever polled it last is woken.
    pub(super) async fn sleep_us(&self, us: u64) {
        let at = self.now_us.get() + us;
        let mut set: Option<Rc<RefCell<Waker>>> = None;
        poll_fn(|context| {
            if self.now_us.get() >= at {
                return Poll::Ready(());
            }
            match &set {
                Some(waker) => waker.borrow_mut().clone_from(context.waker()),
                None => {
                    let made = self.timers_made.get() + 1;
                    self.timers_made.set(made);
                    let waker = Rc::new(RefCell::new(context.waker().clone()));
                    set = Some(Rc::clone(&waker));
                    let order = (self.random(), made);
                    self.timers.borrow_mut().push(Reverse(Timer { at, order, waker }));
                }
            }
            Poll::Pending
        })
        .await;
    }

    fn waker(&self, id: usize) -> Waker {
        Waker::from(Arc::new(TaskWaker { id, woken: self.woken.clone() }))
    }

    fn fire_timers(&self) {
        let mut timers = self.timers.borrow_mut();
        while timers.peek().is_some_and(|Reverse(timer)| timer.at <= self.now_us.get()) {
            if let Some(Reverse(timer)) = timers.pop() {
                timer.waker.borrow().wake_by_ref();
            }
        }
    }

    fn skip_to_next_timer(&self) -> bool {
        let timers = self.timers.borrow();
        let Some(Reverse(next)) = timers.peek() else { return false };
        self.now_us.set(next.at);
        true
    }

    fn pick(&self) -> Option<usize> {
        let mut woken = self.woken.0.lock().expect("nothing panics while it is locked");
        if woken.is_empty() {
            return None;
        }
        let index = self.rng.borrow_mut().usize(..woken.len());
        Some(woken.swap_remove(index))
    }

    fn poll_task(&self, id: usize) {
        let Some(mut task) = self.tasks.borrow_mut().get_mut(id).and_then(Option::take) else {
            return; // woken once more after it ended
        };
        let waker = self.waker(id);
        let ended = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if ended {
            // Before the number is free again: a task's end may wake and spawn others.
            drop(task);
            self.tasks.borrow_mut().remove(id);
        } else {
            self.tasks.borrow_mut()[id] = Some(task);
        }
    }
}

struct Timer {
    at: u64,
    /// Between timers of one moment: seeded, then by age.
    order: (u64, u64),
    waker: Rc<RefCell<Waker>>,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Tasks to poll. Locked only because wakers must be `Send`: there is one thread.
#[derive(Clone, Default)]
struct Woken(Arc<Mutex<Vec<usize>>>);

impl Woken {
    fn push(&self, id: usize) {
        let mut woken = self.0.lock().expect("nothing panics while it is locked");
        if !woken.contains(&id) {
            woken.push(id);
        }
    }
}

struct TaskWaker {
    id: usize,
    woken: Woken,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.woken.push(self.id);
    }
}

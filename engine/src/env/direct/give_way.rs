//! Giving way to the executor's other tasks, without falling asleep over it.
//!
//! Two properties of glommio 0.9 meet here.
//!
//! **It can sleep although tasks are ready.** It sets its preemption timer, and if that has fired
//! before the first queue gets its turn, `run_task_queues` says that it ran nothing, and the
//! executor sleeps until some event comes. That takes a thread that the kernel holds up for as
//! long as the timer, at a bad moment. With a timer of 500 us and a busy machine it is a matter of
//! seconds; a core in that state answers nobody. So executors keep glommio's default, 100 ms
//! ([`PREEMPT_TIMER`]), which only a stopped process exceeds, and [`with_heartbeat`] has a thread
//! that wakes the executor ten times a second. A timer of the executor would not do: it may fire
//! into the same bad moment, and then there is none.
//!
//! **It reaps its rings only when it is idle or preempted**: with a timer of 100 ms, a busy
//! foreground would hold up every flush by that long. What preempts it as well is anything that
//! happens in its latency ring. So there is a socket that a task receives from, in that ring, and
//! [`give_way`] sends to it every [`REAP_EVERY`]. There are two, in turn: what a task asks of a
//! ring goes out when the rings are next looked after, so a receive that was made for one pulse is
//! in place two pulses later.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::thread;
use std::time::{Duration, Instant};

use glommio::net::UnixDatagram;

use super::now;

/// For how long an executor runs tasks before it looks after its rings unasked. Not shorter; see
/// the module's documentation.
pub const PREEMPT_TIMER: Duration = Duration::from_millis(100);

/// An executor whose tasks are busy looks after its rings this often.
const REAP_EVERY: Duration = Duration::from_micros(500);

/// Whatever is ready runs at least so soon. Ten wake-ups a second are no load.
const HEARTBEAT: Duration = Duration::from_millis(100);

thread_local! {
    /// The pulse of this thread's executor.
    static PULSE: RefCell<Option<Rc<Pulse>>> = const { RefCell::new(None) };
}

/// What makes an executor look after its rings.
struct Pulse {
    sides: [Side; 2],
    last: Cell<Instant>,
}

struct Side {
    socket: UnixDatagram,
    /// Rings were looked after since its receive was made: it is in place.
    armed: Cell<bool>,
}

impl Pulse {
    /// A pulse, and where its two sides are felt.
    fn new() -> glommio::Result<(Rc<Self>, [UnixDatagram; 2]), ()> {
        let side = |socket| Side { socket, armed: Cell::new(false) };
        let ((left, left_felt), (right, right_felt)) =
            (UnixDatagram::pair()?, UnixDatagram::pair()?);
        let sides = [side(left), side(right)];
        Ok((Rc::new(Self { sides, last: Cell::new(now()) }), [left_felt, right_felt]))
    }

    /// Receives the pulse on one side, again and again. That it came says that the rings were
    /// looked after, and the other side is in place.
    async fn feel(self: Rc<Self>, side: usize, felt: UnixDatagram) {
        while felt.recv(&mut [0]).await.is_ok() {
            self.sides[side].armed.set(false);
            self.sides[1 - side].armed.set(true);
        }
    }

    /// Sends one if it is time.
    async fn beat(&self) {
        let now_at = now();
        if now_at - self.last.get() < REAP_EVERY {
            return;
        }
        if let Some(side) = self.sides.iter().find(|side| side.armed.get()) {
            self.last.set(now_at);
            side.armed.set(false);
            // Does not wait: there is room for one. If it fails, rings are looked after later.
            let _sent = side.socket.send(&[0]).await;
        }
    }
}

/// Lets the executor's other task queues have their share, and the executor its rings.
pub async fn give_way() {
    if let Some(pulse) = PULSE.with_borrow(Clone::clone) {
        pulse.beat().await;
    }
    glommio::executor().yield_task_queue_now().await;
}

/// Runs `work`; while it goes on, the executor never sleeps for long, and whoever gives way in it
/// makes it look after its rings.
///
/// # Errors
/// The system gives no thread.
pub async fn with_heartbeat<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let mut tasks = Vec::new();
    // Without descriptors for it the executor works, its files more slowly.
    if let Ok((pulse, felt)) = Pulse::new() {
        for (side, felt) in felt.into_iter().enumerate() {
            tasks.push(glommio::spawn_local(pulse.clone().feel(side, felt)));
        }
        PULSE.set(Some(pulse));
    }
    let heart = Arc::new(Heart::default());
    tasks.push(glommio::spawn_local(heart.clone().feel()));
    let beating = thread::Builder::new().name("heartbeat".to_owned()).spawn({
        let heart = heart.clone();
        move || heart.beat()
    })?;
    let done = work.await;
    PULSE.set(None);
    for task in tasks {
        task.cancel().await;
    }
    heart.stopped.store(true, Ordering::Relaxed);
    beating.thread().unpark();
    beating.join().expect("a heart does not panic");
    Ok(done)
}

/// What wakes an executor from outside.
#[derive(Default)]
struct Heart {
    task: Mutex<Option<task::Waker>>,
    stopped: AtomicBool,
}

impl Heart {
    /// Wakes the executor again and again. On a thread of its own.
    fn beat(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            thread::park_timeout(HEARTBEAT);
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            task.iter().for_each(task::Waker::wake_by_ref);
        }
    }

    /// Lives in the executor to be woken, and starts the pulse if it has stopped: each time, rings
    /// were looked after.
    async fn feel(self: Arc<Self>) {
        poll_fn(|context| {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            *task = Some(context.waker().clone());
            PULSE.with_borrow(|pulse| {
                if let Some(Pulse { sides, .. }) = pulse.as_deref()
                    && !sides.iter().any(|side| side.armed.get())
                {
                    sides[0].armed.set(true);
                }
            });
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use glommio::{Latency, LocalExecutorBuilder, Shares};

    use super::*;

    /// Found under load: a server stopped answering with replies queued in its ring, asleep in the
    /// executor, for ever. A preemption timer of a few microseconds makes the bad moment frequent;
    /// each time, it is the heart that wakes it.
    #[test]
    fn a_task_that_gives_way_always_comes_back() {
        let (done, ended) = channel();
        let builder = LocalExecutorBuilder::default()
            .io_memory(64 << 10)
            .preempt_timer(Duration::from_micros(50));
        let handle = builder.spawn(move || async move {
            with_heartbeat(async {
                for _ in 0..2000 {
                    give_way().await;
                }
            })
            .await
            .unwrap();
            done.send(()).unwrap();
        });
        let handle = handle.unwrap();
        ended.recv_timeout(Duration::from_secs(60)).expect("the executor sleeps over its tasks");
        handle.join().unwrap();
    }

    /// Without the pulse it is one read each 100 ms.
    #[test]
    fn files_are_read_beside_a_foreground_that_never_sleeps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        crate::env::direct::system::make_probe(&path).unwrap();
        let builder =
            LocalExecutorBuilder::default().io_memory(64 << 10).preempt_timer(PREEMPT_TIMER);
        let handle = builder.spawn(move || {
            with_heartbeat(async move {
                let file = glommio::io::DmaFile::open(&path).await.unwrap();
                let read = Rc::new(Cell::new(0u32));
                let counter = read.clone();
                let background = glommio::executor().create_task_queue(
                    Shares::Static(100),
                    Latency::NotImportant,
                    "background",
                );
                let reader = glommio::spawn_local_into(
                    async move {
                        loop {
                            file.read_at_aligned(0, 4096).await.unwrap();
                            counter.set(counter.get() + 1);
                        }
                    },
                    background,
                );
                let start = now();
                let mut rounds = 0u64;
                while now() - start < Duration::from_secs(1) {
                    rounds += 1;
                    let slice = now();
                    while now() - slice < Duration::from_micros(50) {
                        std::hint::spin_loop();
                    }
                    give_way().await;
                }
                reader.unwrap().cancel().await;
                assert!(read.get() > 100, "{} reads in {rounds} rounds", read.get());
            })
        });
        handle.unwrap().join().unwrap().unwrap();
    }
}

//! Keeps the ceiling of the node's stamps ahead of them: a write in place and a sync each time half
//! of the lead is used, on a thread of its own, so that neither a core nor the admin port ever
//! waits for it.
//!
//! Cores are told of a ceiling only once it is on disk. A clean stop writes the greatest stamp that
//! was given, so that the next start is not ahead of the clock.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::limits::CEILING_LEAD_MS;
use cluster::version::next_ceiling;
use engine::data_dir::{CLOCK_FILE, Clock};
use schemas::ids::Hlc;

use super::exit::{Exit, Refusal};
use crate::server::Ceiling;

/// How often the keeper looks: a renewal is due each `CEILING_LEAD_MS / 2`, and then as much of the
/// lead again is left for the write.
const LOOK_EVERY: Duration = Duration::from_millis(CEILING_LEAD_MS / 8);

/// Writes ceilings.
#[derive(Debug)]
struct Writer {
    file: File,
    clock: Clock,
    floor: Hlc,
    shared: Arc<Ceiling>,
}

/// A thread that keeps the ceiling, until it is stopped.
#[derive(Debug)]
pub(super) struct CeilingKeeper {
    shared: Arc<Ceiling>,
    stop: Sender<()>,
    thread: JoinHandle<Result<(), Refusal>>,
}

impl CeilingKeeper {
    /// Opens CLOCK of `data_dir`, which says what `clock` does, writes the first ceiling, above all
    /// that was given before and above the wall clock, and starts to keep it. `failed` is called
    /// if the disk refuses later: soon no stamp can be given then, and the process should end.
    ///
    /// # Errors
    /// The disk refuses now.
    pub(super) fn start(
        data_dir: &Path,
        clock: Clock,
        cores: usize,
        failed: impl FnOnce(&Refusal) + Send + 'static,
    ) -> Result<Self, Refusal> {
        let opened = OpenOptions::new().write(true).open(data_dir.join(CLOCK_FILE));
        let file = opened.map_err(|error| refused(&error))?;
        let floor = clock.ceiling();
        let shared = Arc::new(Ceiling::new(floor, cores));
        let mut writer = Writer { file, clock, floor, shared: Arc::clone(&shared) };
        let first = next_ceiling(floor, floor, wall_ms());
        writer.raise(first.expect("nothing of the lead is left at the floor"))?;
        let (stop, stopped) = channel();
        let keep = move || {
            let kept = writer.keep(&stopped);
            kept.inspect_err(failed)
        };
        let thread = thread::Builder::new().name("ceiling".to_owned()).spawn(keep);
        let thread = thread.map_err(|error| refused(&error))?;
        Ok(Self { shared, stop, thread })
    }

    /// What the cores read.
    #[must_use]
    pub(super) fn shared(&self) -> Arc<Ceiling> {
        Arc::clone(&self.shared)
    }

    /// Ends the thread, and writes the greatest stamp that was given: no more will be.
    ///
    /// # Errors
    /// The disk refuses. The ceiling that is there is higher, so nothing is at risk.
    pub(super) fn stop(self) -> Result<(), Refusal> {
        drop(self.stop);
        self.thread.join().expect("a panic ends the process")
    }
}

impl Writer {
    fn keep(&mut self, stopped: &Receiver<()>) -> Result<(), Refusal> {
        while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            if let Some(due) = next_ceiling(self.shared.get(), self.shared.used(), wall_ms()) {
                self.raise(due)?;
            }
        }
        self.put(self.shared.used().max(self.floor))
    }

    fn raise(&mut self, ceiling: Hlc) -> Result<(), Refusal> {
        self.put(ceiling)?;
        self.shared.raise(ceiling);
        Ok(())
    }

    fn put(&mut self, ceiling: Hlc) -> Result<(), Refusal> {
        let slot = self.clock.set(ceiling);
        let written = self.file.write_all_at(&slot.bytes, slot.offset);
        written.and_then(|()| self.file.sync_data()).map_err(|error| refused(&error))
    }
}

fn refused(error: &io::Error) -> Refusal {
    let sentence =
        format!("cannot write {CLOCK_FILE} in the data directory: {error}; check the disk");
    Refusal::new(Exit::WriteFailed, sentence)
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

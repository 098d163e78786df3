//! From a source to the server.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kvclient::{Bytes, Client, Error};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::retry::patiently;
use super::source::{Item, Source};
use super::watermark::Watermark;
use crate::encoding::show;
use crate::entry::{Entry, Outcome, Problem};
use crate::limits::{IN_FLIGHT_BYTES_MAX, READ_AHEAD_ENTRIES, UNTOLD_MAX};
use crate::progress::Progress;
use crate::summary::Summary;

/// How an import is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ImportOptions {
    /// Writes under way at once.
    pub(crate) concurrency: usize,
    /// Time to live of records that name no expiry; zero for ever.
    pub(crate) ttl: Duration,
}

/// A write that ended.
struct Written {
    key: Bytes,
    bytes: usize,
    result: Result<(), Error>,
}

/// Writes all that the source has which `open` makes, on the thread that reads it. An interrupt
/// ends it when the writes under way have ended, a second one at once.
///
/// # Errors
/// The source's; what a server refuses is in the summary.
pub(crate) async fn import<S: Source>(
    client: &Client,
    open: impl FnOnce() -> anyhow::Result<S> + Send + 'static,
    options: ImportOptions,
    progress: &Progress,
) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let mut interrupts = signal(SignalKind::interrupt())?;
    let interrupted = async || interrupts.recv().await.unwrap_or_default();
    let import = Import::new(|entry, ttl| write(client.clone(), entry, ttl), options, progress);
    let mut summary = import.run(read_ahead(open)?, interrupted).await?;
    summary.took = started.elapsed();
    Ok(summary)
}

/// An import that goes on. Of two entries with one key the later one stays: it waits until the
/// write of the earlier one has ended, however often that is tried.
struct Import<'a, W> {
    write: W,
    options: ImportOptions,
    progress: &'a Progress,
    summary: Summary,
    writes: JoinSet<Written>,
    /// The keys of `writes`.
    keys: BTreeSet<Bytes>,
    in_flight_bytes: usize,
    watermark: Watermark,
    /// What comes next, while its key is in `keys`.
    held: Option<Entry>,
    reading: bool,
    interrupted: bool,
}

impl<'a, W, F> Import<'a, W>
where
    W: Fn(Entry, Duration) -> F,
    F: Future<Output = Written> + Send + 'static,
{
    fn new(write: W, options: ImportOptions, progress: &'a Progress) -> Self {
        Self {
            write,
            options,
            progress,
            summary: Summary::default(),
            writes: JoinSet::new(),
            keys: BTreeSet::new(),
            in_flight_bytes: 0,
            watermark: Watermark::default(),
            held: None,
            reading: true,
            interrupted: false,
        }
    }

    async fn run(
        mut self,
        mut items: mpsc::Receiver<anyhow::Result<Item>>,
        mut interrupted: impl AsyncFnMut(),
    ) -> anyhow::Result<Summary> {
        while self.reading || !self.writes.is_empty() {
            let room = self.held.is_none()
                && self.writes.len() < self.options.concurrency
                && self.in_flight_bytes < IN_FLIGHT_BYTES_MAX
                && self.watermark.len() < UNTOLD_MAX;
            tokio::select! {
                biased;
                () = interrupted() => self.interrupt(),
                Some(ended) = self.writes.join_next() => match ended {
                    Ok(written) => self.settle(written),
                    Err(given_up) if given_up.is_cancelled() => {}
                    Err(panicked) => return Err(panicked.into()),
                },
                item = items.recv(), if self.reading && room => match item {
                    None => self.reading = false,
                    Some(Ok(Item::Entry(entry))) => self.take(entry),
                    Some(Ok(Item::Problem(problem))) => self.left_out(problem),
                    Some(Ok(Item::EmptyDirectory)) => self.summary.empty_directories += 1,
                    Some(Err(error)) => {
                        self.summary.ended = Some(format!("{error:#}"));
                        self.reading = false;
                    }
                },
            }
        }
        for key in std::mem::take(&mut self.keys) {
            let why = "given up; whether it was written is unknown";
            self.left_out(Problem::new(Outcome::Failed, show(&key), why));
        }
        self.summary.last_of_whole = self.watermark.last();
        Ok(self.summary)
    }

    /// Writes `entry`, now or as soon as no other write of its key is under way.
    fn take(&mut self, entry: Entry) {
        if self.keys.contains(&entry.key) {
            self.held = Some(entry);
            return;
        }
        let Some(ttl) = time_to_live(&entry, self.options.ttl) else {
            let what = show(&entry.key);
            return self.left_out(Problem::new(Outcome::Skipped, what, "it has expired"));
        };
        self.keys.insert(entry.key.clone());
        self.watermark.begun(entry.key.clone());
        self.in_flight_bytes += entry.value.len();
        self.writes.spawn((self.write)(entry, ttl));
    }

    /// Counts a write that ended.
    fn settle(&mut self, written: Written) {
        let Written { key, bytes, result } = written;
        self.keys.remove(&key);
        self.in_flight_bytes -= bytes;
        self.watermark.ended(&key, result.is_ok());
        match result {
            Ok(()) => self.summary.moved(bytes),
            Err(error) => {
                self.left_out(Problem::new(Outcome::Failed, show(&key), error.to_string()));
                // After half a minute of patience the next record would fare no better.
                if error.is_retryable() {
                    self.stop(format!("the server does not take writes: {error}"));
                }
            }
        }
        self.progress.moved(self.summary.records, self.summary.bytes);
        if let Some(next) = self.held.take() {
            self.take(next);
        }
    }

    fn interrupt(&mut self) {
        if std::mem::replace(&mut self.interrupted, true) {
            self.writes.abort_all();
        } else if self.reading || self.held.is_some() {
            self.stop("interrupted".to_owned());
        }
    }

    /// Begins no further write.
    fn stop(&mut self, why: String) {
        self.summary.ended.get_or_insert(why);
        self.reading = false;
        self.held = None;
    }

    fn left_out(&mut self, problem: Problem) {
        self.progress.problem(&problem);
        self.summary.left_out(problem);
    }
}

/// Opens a source in a thread of its own, and reads it, a bounded number of records ahead.
fn read_ahead<S: Source>(
    open: impl FnOnce() -> anyhow::Result<S> + Send + 'static,
) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Item>>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_ENTRIES);
    thread::Builder::new().name("read-ahead".to_owned()).spawn(move || {
        let mut source = match open() {
            Ok(source) => source,
            // Nobody listens any more: the import ended early.
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        while let Some(item) = source.next().transpose() {
            let over = item.is_err();
            // Nobody listens any more: the import ended early.
            if sender.blocking_send(item).is_err() || over {
                break;
            }
        }
    })?;
    Ok(receiver)
}

async fn write(client: Client, entry: Entry, ttl: Duration) -> Written {
    let Entry { key, value, .. } = entry;
    let put = || client.put(&key, value.clone()).ttl(ttl).send();
    let result = patiently(put).await.map(|_| ());
    Written { key, bytes: value.len(), result }
}

/// How long a record has left to live, zero for ever; `None` if its time is over.
fn time_to_live(entry: &Entry, otherwise: Duration) -> Option<Duration> {
    let Some(expires_at_ms) = entry.expires_at_ms else { return Some(otherwise) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_millis(expires_at_ms).checked_sub(now)?;
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::pending;
    use std::sync::{Arc, Mutex};

    use tokio::sync::Notify;
    use tokio::task::yield_now;

    use super::*;

    const OPTIONS: ImportOptions = ImportOptions { concurrency: 8, ttl: Duration::ZERO };

    /// Records, and word when all of them have been read.
    struct Records(VecDeque<(&'static str, &'static str)>, Arc<Notify>);

    impl Source for Records {
        fn next(&mut self) -> anyhow::Result<Option<Item>> {
            let Some((key, value)) = self.0.pop_front() else {
                self.1.notify_one();
                return Ok(None);
            };
            let entry = Entry { key: key.into(), value: value.into(), expires_at_ms: None };
            Ok(Some(Item::Entry(entry)))
        }
    }

    async fn never() {
        pending().await
    }

    /// The first of two lines with one key was refused for now and tried again later, when the
    /// second had long been written: the older value stayed.
    #[tokio::test]
    async fn of_two_records_with_one_key_the_later_one_is_written_last() {
        let read = Arc::new(Notify::new());
        let records = [("k", "1"), ("other", "x"), ("k", "2"), ("k", "3"), ("last", "y")];
        let source = Records(records.into(), Arc::clone(&read));
        let log = Arc::new(Mutex::new(Vec::new()));
        let write = |entry: Entry, _: Duration| {
            let (log, read) = (Arc::clone(&log), Arc::clone(&read));
            async move {
                let Entry { key, value, .. } = entry;
                if value == "1" {
                    // By then every other record could have been begun.
                    read.notified().await;
                    for _ in 0..100 {
                        yield_now().await;
                    }
                }
                log.lock().unwrap().push(value.clone());
                Written { key, bytes: value.len(), result: Ok(()) }
            }
        };
        let progress = Progress::new(true);
        let import = Import::new(write, OPTIONS, &progress);
        let summary = import.run(read_ahead(|| Ok(source)).unwrap(), never).await.unwrap();
        assert!(summary.is_complete());
        assert_eq!((summary.records, summary.bytes), (5, 5));
        assert_eq!(summary.last_of_whole.as_deref(), Some(&b"last"[..]));
        assert_eq!(log.lock().unwrap()[..], ["x", "1", "2", "3", "y"], "other keys do not wait");
    }

    /// After the first interrupt the import waited for its writes, and heard no second one: a
    /// server that was gone held it for half a minute.
    #[tokio::test]
    async fn a_second_interrupt_gives_up_the_writes_under_way_and_lists_them() {
        let hung = Arc::new(Notify::new());
        let records = [("done", "1"), ("stuck", "2"), ("hung", "3"), ("stuck", "never begun")];
        let source = Records(records.into(), Arc::default());
        let write = |entry: Entry, _: Duration| {
            let hung = Arc::clone(&hung);
            async move {
                let Entry { key, value, .. } = entry;
                match &key[..] {
                    b"done" => {}
                    b"stuck" => pending().await,
                    _ => {
                        hung.notify_one();
                        pending().await
                    }
                }
                Written { key, bytes: value.len(), result: Ok(()) }
            }
        };
        let mut interrupts = 0;
        let interrupted = async || {
            match interrupts {
                0 => hung.notified().await,
                1 => {}
                _ => pending().await,
            }
            interrupts += 1;
        };
        let progress = Progress::new(true);
        let import = Import::new(write, OPTIONS, &progress);
        let summary = import.run(read_ahead(|| Ok(source)).unwrap(), interrupted).await.unwrap();
        assert_eq!(summary.last_of_whole.as_deref(), Some(&b"done"[..]), "behind it one hangs");
        let json: serde_json::Value = serde_json::from_str(&summary.json("import")).unwrap();
        assert_eq!(json["ended_early"], "interrupted");
        assert_eq!((&json["records"], &json["failed"]), (&1.into(), &2.into()));
        assert_eq!(json["problems"][0]["what"], "hung");
        assert_eq!(json["problems"][1]["what"], "stuck");
    }

    #[test]
    fn an_expiry_in_the_past_is_told_from_none_at_all() {
        let entry = |expires_at_ms| Entry { key: "a".into(), value: "b".into(), expires_at_ms };
        let ttl = Duration::from_secs(9);
        assert_eq!(time_to_live(&entry(None), ttl), Some(ttl));
        assert_eq!(time_to_live(&entry(Some(1)), ttl), None);
        let left = time_to_live(&entry(Some(u64::MAX)), ttl).unwrap();
        assert!(left > Duration::from_secs(1 << 40));
    }
}

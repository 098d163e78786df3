//! From a source to the server.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kvclient::{Client, Error};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::retry::patiently;
use super::source::{Item, Source};
use crate::encoding::show;
use crate::entry::{Entry, Outcome, Problem};
use crate::limits::{IN_FLIGHT_BYTES_MAX, READ_AHEAD_ENTRIES};
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
    key: String,
    bytes: usize,
    result: Result<(), Error>,
}

/// Writes all that `source` has.
///
/// # Errors
/// The source's; what a server refuses is in the summary.
pub(crate) async fn import(
    client: &Client,
    source: impl Source + 'static,
    options: ImportOptions,
    progress: &Progress,
) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let mut items = read_ahead(source)?;
    let mut summary = Summary::default();
    let mut writes = JoinSet::new();
    let mut in_flight_bytes = 0;
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut reading = true;
    while reading || !writes.is_empty() {
        let room = writes.len() < options.concurrency && in_flight_bytes < IN_FLIGHT_BYTES_MAX;
        tokio::select! {
            biased;
            _ = &mut interrupt, if reading => {
                summary.ended = Some("interrupted".to_owned());
                reading = false;
            }
            Some(written) = writes.join_next() => {
                let written: Written = written?;
                in_flight_bytes -= written.bytes;
                if let Some(why) = settle(written, &mut summary, progress) {
                    summary.ended.get_or_insert(why);
                    reading = false;
                }
                progress.moved(summary.records, summary.bytes);
            }
            item = items.recv(), if reading && room => match item {
                None => reading = false,
                Some(Ok(Item::Entry(entry))) => match time_to_live(&entry, options.ttl) {
                    Some(ttl) => {
                        in_flight_bytes += entry.value.len();
                        writes.spawn(write(client.clone(), entry, ttl));
                    }
                    None => {
                        let what = show(&entry.key);
                        let problem = Problem::new(Outcome::Skipped, what, "it has expired");
                        left_out(problem, &mut summary, progress);
                    }
                },
                Some(Ok(Item::Problem(problem))) => left_out(problem, &mut summary, progress),
                Some(Ok(Item::EmptyDirectory)) => summary.empty_directories += 1,
                Some(Err(error)) => {
                    summary.ended = Some(format!("{error:#}"));
                    reading = false;
                }
            },
        }
    }
    summary.took = started.elapsed();
    Ok(summary)
}

/// Reads `source` in a thread of its own, a bounded number of records ahead.
fn read_ahead(
    mut source: impl Source + 'static,
) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Item>>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_ENTRIES);
    thread::Builder::new().name("read-ahead".to_owned()).spawn(move || {
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
    Written { key: show(&key), bytes: value.len(), result }
}

/// Counts a write that ended; says why no further one should be made, if so.
fn settle(written: Written, summary: &mut Summary, progress: &Progress) -> Option<String> {
    let Written { key, bytes, result } = written;
    let error = match result {
        Ok(()) => {
            summary.moved(bytes);
            return None;
        }
        Err(error) => error,
    };
    left_out(Problem::new(Outcome::Failed, key, error.to_string()), summary, progress);
    // After half a minute of patience the next record would fare no better.
    error.is_retryable().then(|| format!("the server does not take writes: {error}"))
}

fn left_out(problem: Problem, summary: &mut Summary, progress: &Progress) {
    progress.problem(&problem);
    summary.left_out(problem);
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
    use super::*;

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

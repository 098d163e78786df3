//! From the server to a sink.

use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use kvclient::{Client, Error, Record, Scan};
use tokio::sync::{mpsc, oneshot};

use super::retry::patiently;
use super::sink::Sink;
use crate::entry::Entry;
use crate::limits::READ_AHEAD_PAGES;
use crate::progress::Progress;
use crate::summary::Summary;

/// Parts of the ring that the bar counts: tokens are spread evenly, so the place of a scan says how
/// far it is.
const BAR_LENGTH: u64 = 1_000;

type Pages = mpsc::Sender<Vec<Record>>;

/// Reads all records of the namespace into `sink`.
///
/// # Errors
/// The sink's; what the server refuses is in the summary.
pub(crate) async fn export(
    client: &Client,
    sink: impl Sink + 'static,
    progress: &Progress,
) -> anyhow::Result<Summary> {
    let started = Instant::now();
    progress.goal(BAR_LENGTH);
    let (pages, written) = write_behind(sink, progress.clone())?;
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut scan = client.scan();
    let ended = loop {
        let page = tokio::select! {
            biased;
            _ = &mut interrupt => break Some("interrupted".to_owned()),
            page = next_page(&mut scan) => page,
        };
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        };
        if let Some(record) = page.last() {
            let token = client.route().token(&record.key).0;
            progress.at(((u128::from(token) * u128::from(BAR_LENGTH)) >> 64) as u64);
        }
        // A writer that is gone has left its error.
        if pages.send(page).await.is_err() {
            break None;
        }
    };
    drop(pages);
    let mut summary = written.await.context("the thread that writes is gone")??;
    summary.ended = ended;
    summary.took = started.elapsed();
    Ok(summary)
}

/// The next page, patiently. A scan that fails stays where it was.
async fn next_page(scan: &mut Scan) -> Result<Option<Vec<Record>>, Error> {
    let (after, page) = patiently(|| {
        let mut scan = scan.clone();
        async move {
            let page = scan.next_page().await?;
            Ok((scan, page))
        }
    })
    .await?;
    *scan = after;
    Ok(page)
}

/// Writes pages in a thread of its own, a bounded number behind.
fn write_behind(
    mut sink: impl Sink + 'static,
    progress: Progress,
) -> anyhow::Result<(Pages, oneshot::Receiver<anyhow::Result<Summary>>)> {
    let (sender, mut pages) = mpsc::channel::<Vec<Record>>(READ_AHEAD_PAGES);
    let (done, written) = oneshot::channel();
    thread::Builder::new().name("write-behind".to_owned()).spawn(move || {
        let mut write = || {
            let mut summary = Summary::default();
            while let Some(page) = pages.blocking_recv() {
                for record in page {
                    take(record, &mut sink, &mut summary, &progress)?;
                }
                progress.moved(summary.records, summary.bytes);
            }
            sink.finish()?;
            Ok(summary)
        };
        let result = write();
        drop(pages);
        // The other end is gone only where the export was given up.
        let _ = done.send(result);
    })?;
    Ok((sender, written))
}

fn take(
    record: Record,
    sink: &mut impl Sink,
    summary: &mut Summary,
    progress: &Progress,
) -> anyhow::Result<()> {
    let Record { key, value, expires_at_ms, .. } = record;
    let entry = Entry { key, value, expires_at_ms };
    match sink.write(&entry)? {
        Ok(()) => summary.moved(entry.value.len()),
        Err(problem) => {
            progress.problem(&problem);
            summary.left_out(problem);
        }
    }
    Ok(())
}

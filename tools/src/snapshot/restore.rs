//! A snapshot as the source of an import: its live records, in order.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use engine::inspect::{ReadOnly, now};
use engine::record::{Kind, Record, lww};
use engine::snapshot::{SnapshotError, SnapshotReader, SnapshotRecords};
use kvclient::{Bytes, Client};

use crate::cli::RestoreArgs;
use crate::encoding::show;
use crate::entry::{Entry, Outcome, Problem};
use crate::progress::Progress;
use crate::summary::{SourceRead, Summary};
use crate::transfer::{ImportOptions, Item, Source, import};

/// Parts of the ring that the bar counts.
const BAR_LENGTH: u64 = 1_000;

/// What is to be restored, of a snapshot that is complete.
pub(crate) struct Plan {
    dir: PathBuf,
    namespace: u32,
    after: Option<Vec<u8>>,
    overwrite: bool,
    concurrency: usize,
}

impl Plan {
    /// What `args` say.
    ///
    /// # Errors
    /// The snapshot is incomplete, or what says what it has is damaged.
    pub(crate) fn new(args: &RestoreArgs) -> anyhow::Result<Self> {
        open(&args.dir)?;
        Ok(Self {
            dir: args.dir.clone(),
            namespace: args.from,
            after: args.after_key()?,
            overwrite: args.overwrite,
            concurrency: args.concurrency as usize,
        })
    }
}

/// Writes what `plan` says into the client's namespace.
///
/// # Errors
/// The namespace holds records and may not be overwritten, or the server cannot be asked; what the
/// server refuses is in the summary, and so is what of the snapshot cannot be read.
pub(crate) async fn restore(
    client: &Client,
    plan: Plan,
    progress: &Progress,
) -> anyhow::Result<Summary> {
    if !plan.overwrite && plan.after.is_none() {
        let first = client.scan().keys_only().page_records(1).next_page().await;
        if first.context("cannot look into the namespace")?.is_some() {
            bail!("the namespace holds records: --overwrite writes over those with the same keys");
        }
    }
    let options = ImportOptions { concurrency: plan.concurrency, ttl: Duration::ZERO };
    let read = Arc::<Mutex<SourceRead>>::default();
    let source = (Arc::clone(&read), progress.clone());
    let summary = import(client, move || SnapshotSource::new(&plan, source), options, progress);
    let mut summary = summary.await?;
    summary.source = Some(*read.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(summary)
}

/// The live records of a namespace of a snapshot.
struct SnapshotSource {
    records: SnapshotRecords<ReadOnly>,
    namespace: u32,
    read: Arc<Mutex<SourceRead>>,
    progress: Progress,
}

impl SnapshotSource {
    fn new(
        plan: &Plan,
        (read, progress): (Arc<Mutex<SourceRead>>, Progress),
    ) -> anyhow::Result<Self> {
        progress.goal(BAR_LENGTH);
        let reader = open(&plan.dir)?;
        let after = plan.after.as_deref().map(|key| reader.key(plan.namespace, key));
        let records = now(reader.records(after.as_ref(), lww)).map_err(sentence)?;
        Ok(Self { records, namespace: plan.namespace, read, progress })
    }
}

impl Source for SnapshotSource {
    fn next(&mut self) -> anyhow::Result<Option<Item>> {
        loop {
            let Some(record) = self.records.current() else { return Ok(None) };
            let is_wanted = record.key.namespace.0 == self.namespace && !record.is_dead(unix_ms());
            let item = is_wanted.then(|| item(&record));
            let (token, bytes) = (record.key.token.0, record.value.len() as u64);
            now(self.records.advance()).map_err(sentence)?;
            let Some(item) = item else { continue };
            self.progress.at(((u128::from(token) * u128::from(BAR_LENGTH)) >> 64) as u64);
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.records += 1;
            read.bytes += bytes;
            return Ok(Some(item));
        }
    }
}

/// A record as what is to be written.
fn item(record: &Record<'_>) -> Item {
    let key = record.key.bytes;
    if record.kind != Kind::Value {
        let why = "it has values that were written without knowing of each other";
        return Item::Problem(Problem::new(Outcome::Refused, show(key), why));
    }
    Item::Entry(Entry {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(record.value),
        expires_at_ms: Some(record.expires_at_ms).filter(|&at| at != 0),
    })
}

fn open(dir: &Path) -> anyhow::Result<SnapshotReader<ReadOnly>> {
    let reader = now(SnapshotReader::open(&ReadOnly::new(dir), ""));
    reader.map_err(sentence).with_context(|| format!("cannot restore {}", dir.display()))
}

/// The error as the one sentence that it is: its source is in it.
fn sentence(error: SnapshotError) -> anyhow::Error {
    anyhow::Error::msg(error.to_string())
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

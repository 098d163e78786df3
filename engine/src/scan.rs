//! Ordered reads: pages of the live records of a namespace, in order of (token, key).
//!
//! - A page is a consistent view: the rows of the memtables are copied when it starts, and tables
//!   do not change. Pages of one scan are views of different moments; a record that stays put for
//!   as long as the scan lasts is in exactly one.
//! - A page ends when it is full, when enough was looked at, or where the copied rows end; it says
//!   where to go on. So the work of a page is bounded, whatever is deleted or of other namespaces.
//! - Tables are read around the cache, by a background task that gives way.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod rows;

use std::cmp::Ordering;

use schemas::ids::{NamespaceId, Token};

pub use self::rows::Rows;
use crate::env::Env;
use crate::limits::{SCAN_EXAMINED_MAX, SCAN_ROWS_BYTES_MAX};
use crate::memtable::Memtable;
use crate::merge_scan::{MergeScan, Run, Source};
use crate::record::{Key, LastKey, Merge};
use crate::sstable::{Table, TableError, TokenRange};

/// Keys that are looked at between two looks at the clock.
const SCANNED_AT_ONCE: usize = 32;

/// A place in a namespace's order: strictly after `after_key` of `token`; an empty key is before
/// the token's first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanPlace {
    /// The token.
    pub token: Token,
    /// The last key that was seen of it.
    pub after_key: Box<[u8]>,
}

/// What a page is wanted of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanRequest {
    /// The records' namespace.
    pub namespace: NamespaceId,
    /// Where the page starts.
    pub from: ScanPlace,
    /// The last token wanted.
    pub to: Token,
    /// Records of the page, at least 1.
    pub records_max: usize,
    /// Bytes of the rows of a page; one row is always taken.
    pub bytes_max: usize,
    /// Records past their time at this moment, in Unix milliseconds, are not there.
    pub now_ms: u64,
}

impl ScanRequest {
    fn first(&self) -> Key<'_> {
        let ScanPlace { token, after_key } = &self.from;
        Key { token: *token, namespace: self.namespace, bytes: after_key }
    }

    /// The tokens of what was asked for; `None` if there are none.
    pub(crate) fn tokens(&self) -> Option<TokenRange> {
        TokenRange::new(self.from.token, self.to)
    }

    /// Whether `key` lies past the end of what was asked for.
    fn is_past(&self, key: &Key<'_>) -> bool {
        key.token > self.to
    }
}

/// A page: live records in order.
#[derive(Debug)]
pub struct Page {
    /// The records.
    pub rows: Rows,
    /// Where the next page starts; `None` if nothing is left.
    pub next: Option<ScanPlace>,
}

/// The rows of a memtable that a page may need, copied.
pub(crate) struct MemtableRows {
    rows: Rows,
    /// Every row up to this place is there; `None`: up to the end of the request.
    covered: Option<(Token, NamespaceId, Box<[u8]>)>,
}

impl MemtableRows {
    /// Copies the rows of `memtable` after the start of `request`, up to a bound of bytes.
    pub(crate) fn copy(memtable: &Memtable, request: &ScanRequest) -> Self {
        let mut rows = Rows::default();
        for record in memtable.iter_from(request.from.token) {
            if request.is_past(&record.key) {
                break;
            }
            if record.key <= request.first() {
                continue;
            }
            rows.push(&record);
            if rows.bytes() >= SCAN_ROWS_BYTES_MAX {
                let Key { token, namespace, bytes } = record.key;
                return Self { rows, covered: Some((token, namespace, bytes.into())) };
            }
        }
        Self { rows, covered: None }
    }
}

/// Reads the page of `request` from what the memtables held and from `runs`, which are where the
/// page starts or before. Gives back the runs, where the page ends.
///
/// # Errors
/// A table cannot be read: the page is not to be had.
pub(crate) async fn page<E: Env>(
    env: &E,
    request: &ScanRequest,
    memtables: Vec<MemtableRows>,
    runs: Vec<Box<Run<E>>>,
    merge: Merge,
) -> Result<(Page, Vec<Box<Run<E>>>), TableError> {
    let covered = memtables.iter().filter_map(|it| it.covered.clone()).min();
    let is_covered = |key: &Key<'_>| {
        covered.as_ref().is_none_or(|(token, namespace, bytes)| {
            *key <= Key { token: *token, namespace: *namespace, bytes }
        })
    };
    let rows = memtables.into_iter().map(|it| Source::Rows(it.rows, 0));
    let mut scan = MergeScan::new(rows.chain(runs.into_iter().map(Source::Run)).collect(), merge);
    while scan.current().is_some_and(|record| record.key <= request.first()) {
        scan.advance().await?;
    }
    let mut page = Page { rows: Rows::default(), next: Some(request.from.clone()) };
    let mut last = LastKey::default();
    for examined in 0..SCAN_EXAMINED_MAX {
        if examined % SCANNED_AT_ONCE == 0 {
            env.pause().await;
        }
        let Some(record) = scan.current() else {
            if covered.is_none() {
                page.next = None;
                return Ok((page, Vec::new()));
            }
            break;
        };
        if !is_covered(&record.key) {
            break;
        }
        if record.key.namespace == request.namespace && !record.is_dead(request.now_ms) {
            let full = page.rows.len() == request.records_max
                || page.rows.bytes() + record.row_len() > request.bytes_max;
            if full && !page.rows.is_empty() {
                break;
            }
            page.rows.push(&record);
        }
        last.set(&record.key);
        scan.advance().await?;
    }
    if let Some(key) = last.key() {
        page.next = place_after(&key, request.namespace);
    }
    let runs = scan.into_sources().into_iter().filter_map(|source| match source {
        Source::Run(run) => Some(run),
        Source::Rows(..) => None,
    });
    Ok((page, runs.collect()))
}

/// Opens `runs` of tables that share no token where the page of `request` starts.
///
/// # Errors
/// A table cannot be read.
pub(crate) async fn open_runs<E: Env>(
    env: &E,
    request: &ScanRequest,
    runs: Vec<Vec<Table<E>>>,
) -> Result<Vec<Box<Run<E>>>, TableError> {
    let mut opened = Vec::new();
    if let Some(range) = request.tokens() {
        for tables in runs {
            opened.extend(Run::new(env, tables, range).await?);
        }
    }
    Ok(opened)
}

/// The place in `namespace`'s order that is just after `key`, which may be of another: those
/// before it have nothing of the token yet, for those after it the token is done. `None` if that
/// is the end.
fn place_after(key: &Key<'_>, namespace: NamespaceId) -> Option<ScanPlace> {
    let (token, after_key) = match key.namespace.cmp(&namespace) {
        Ordering::Less => (key.token, Box::default()),
        Ordering::Equal => (key.token, key.bytes.into()),
        Ordering::Greater => (Token(key.token.0.checked_add(1)?), Box::default()),
    };
    Some(ScanPlace { token, after_key })
}

#[cfg(test)]
mod tests;

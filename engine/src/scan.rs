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
mod walk;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use schemas::ids::{NamespaceId, Token};

pub use self::rows::Rows;
pub use self::walk::WalkPlace;
use self::walk::walk;
pub(crate) use self::walk::{MemtableRows, walk_all};
use crate::env::Env;
use crate::merge_scan::Run;
use crate::record::{Key, Merge, Record};
use crate::sstable::{Table, TableError, TokenRange};

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
    /// The page is of what is behind this key.
    pub(crate) fn first(&self) -> Key<'_> {
        let ScanPlace { token, after_key } = &self.from;
        Key { token: *token, namespace: self.namespace, bytes: after_key }
    }

    /// The tokens of what was asked for; `None` if there are none.
    pub(crate) fn tokens(&self) -> Option<TokenRange> {
        TokenRange::new(self.from.token, self.to)
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
    let mut rows = Rows::default();
    let visit = |record: &Record<'_>| {
        if record.key.namespace == request.namespace && !record.is_dead(request.now_ms) {
            let full = rows.len() == request.records_max
                || rows.bytes() + record.row_len() > request.bytes_max;
            if full && !rows.is_empty() {
                return ControlFlow::Break(());
            }
            rows.push(record);
        }
        ControlFlow::Continue(())
    };
    let walked = walk(env, &request.first(), memtables, runs, merge, visit).await?;
    if walked.is_end {
        return Ok((Page { rows, next: None }, Vec::new()));
    }
    let next = match walked.last.key() {
        Some(key) => place_after(&key, request.namespace),
        None => Some(request.from.clone()),
    };
    Ok((Page { rows, next }, walked.runs))
}

/// Opens `runs` of tables that share no token at the first record with a token of `range`, if any.
///
/// # Errors
/// A table cannot be read.
pub(crate) async fn open_runs<E: Env>(
    env: &E,
    range: Option<TokenRange>,
    runs: Vec<Vec<Table<E>>>,
) -> Result<Vec<Box<Run<E>>>, TableError> {
    let mut opened = Vec::new();
    if let Some(range) = range {
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

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
use std::rc::Rc;

use schemas::ids::{NamespaceId, Token};

pub use self::rows::Rows;
use crate::env::Env;
use crate::limits::{SCAN_EXAMINED_MAX, SCAN_ROWS_BYTES_MAX};
use crate::memtable::Memtable;
use crate::record::{Key, Merge, Record};
use crate::sstable::{Table, TableError, TableScan, TokenRange};

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

    fn covers(&self, key: &Key<'_>) -> bool {
        self.covered.as_ref().is_none_or(|(token, namespace, bytes)| {
            *key <= Key { token: *token, namespace: *namespace, bytes }
        })
    }
}

/// Where the merge of a page stands in one of its sources.
enum Cursor<E: Env> {
    Rows { source: MemtableRows, at: usize },
    Run(RunScan<E>),
}

/// Tables that share no token, read one after the other.
struct RunScan<E: Env> {
    env: E,
    range: TokenRange,
    /// Those still to come, the next one last.
    tables: Vec<Rc<Table<E>>>,
    scan: Option<TableScan<E>>,
}

impl<E: Env> RunScan<E> {
    /// Starts after `first`, which is the first of `range` or in its first token.
    async fn new(
        env: &E,
        mut tables: Vec<Rc<Table<E>>>,
        range: TokenRange,
        first: &Key<'_>,
    ) -> Result<Self, TableError> {
        tables.reverse();
        let mut run = Self { env: env.clone(), range, tables, scan: None };
        run.settle().await?;
        while run.current().is_some_and(|record| record.key <= *first) {
            run.advance().await?;
        }
        Ok(run)
    }

    fn current(&self) -> Option<Record<'_>> {
        self.scan.as_ref()?.current()
    }

    async fn advance(&mut self) -> Result<(), TableError> {
        if let Some(scan) = &mut self.scan {
            scan.advance().await?;
        }
        self.settle().await
    }

    /// Goes to the next table that has a record, if this one has none left.
    async fn settle(&mut self) -> Result<(), TableError> {
        while self.current().is_none() {
            let Some(table) = self.tables.pop() else { return Ok(()) };
            self.scan = Some(TableScan::new(&self.env, &table, self.range).await?);
        }
        Ok(())
    }
}

impl<E: Env> Cursor<E> {
    fn current(&self) -> Option<Record<'_>> {
        match self {
            Self::Rows { source, at } => source.rows.get(*at),
            Self::Run(run) => run.current(),
        }
    }

    async fn advance(&mut self) -> Result<(), TableError> {
        match self {
            Self::Rows { at, .. } => *at += 1,
            Self::Run(run) => run.advance().await?,
        }
        Ok(())
    }

    fn covers_all(&self) -> bool {
        match self {
            Self::Rows { source, .. } => source.covered.is_none(),
            Self::Run(_) => true,
        }
    }

    fn covers(&self, key: &Key<'_>) -> bool {
        match self {
            Self::Rows { source, .. } => source.covers(key),
            Self::Run(_) => true,
        }
    }
}

/// Reads a page from what the memtables held and from `runs` of tables that share no token, in
/// their order.
///
/// # Errors
/// A table cannot be read: the page is not to be had.
pub(crate) async fn page<E: Env>(
    env: &E,
    request: &ScanRequest,
    memtables: Vec<MemtableRows>,
    runs: Vec<Vec<Rc<Table<E>>>>,
    merge: Merge,
) -> Result<Page, TableError> {
    let mut cursors = memtables
        .into_iter()
        .map(|source| Cursor::Rows { source, at: 0 })
        .collect::<Vec<Cursor<E>>>();
    if let Some(range) = TokenRange::new(request.from.token, request.to) {
        for run in runs {
            let scan = RunScan::new(env, run, range, &request.first()).await?;
            cursors.push(Cursor::Run(scan));
        }
    }
    let mut page = Page { rows: Rows::default(), next: None };
    let mut next = Some(request.from.clone());
    for _ in 0..SCAN_EXAMINED_MAX {
        let Some(winner) = standing(&cursors, merge) else {
            if cursors.iter().all(Cursor::covers_all) {
                return Ok(page);
            }
            break;
        };
        if !cursors.iter().all(|cursor| cursor.covers(&winner.key)) {
            break;
        }
        let wanted = winner.key.namespace == request.namespace && !winner.is_dead(request.now_ms);
        if wanted {
            let full = page.rows.len() == request.records_max
                || page.rows.bytes() + winner.row_len() > request.bytes_max;
            if full && !page.rows.is_empty() {
                break;
            }
            page.rows.push(&winner);
        }
        next = place_after(&winner.key, request.namespace);
        let key = (winner.key.token, winner.key.namespace, Box::<[u8]>::from(winner.key.bytes));
        pass(&mut cursors, Key { token: key.0, namespace: key.1, bytes: &key.2 }).await?;
        env.pause().await;
    }
    page.next = next;
    Ok(page)
}

/// Of the records of the least key that any cursor is at, the one that stands.
fn standing<E: Env>(cursors: &[Cursor<E>], merge: Merge) -> Option<Record<'_>> {
    cursors.iter().filter_map(Cursor::current).reduce(|best, other| {
        let order = other.key.cmp(&best.key).then_with(|| merge(&best, &other));
        if order == Ordering::Less { other } else { best }
    })
}

/// Moves every cursor past `key`.
async fn pass<E: Env>(cursors: &mut [Cursor<E>], key: Key<'_>) -> Result<(), TableError> {
    for cursor in cursors {
        while cursor.current().is_some_and(|record| record.key <= key) {
            cursor.advance().await?;
        }
    }
    Ok(())
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

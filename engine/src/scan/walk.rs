//! [`walk`]: the records of a range of tokens as they stand, of all namespaces, dead or alive: what
//! replicas compare and hand to each other. A client's page shows less of it.
//!
//! Bounded, and a view of its moment.

use std::ops::ControlFlow;

use schemas::ids::{NamespaceId, Token};

use super::open_runs;
use super::rows::Rows;
use crate::env::Env;
use crate::limits::{SCAN_EXAMINED_MAX, SCAN_ROWS_BYTES_MAX};
use crate::memtable::Memtable;
use crate::merge_scan::{MergeScan, Run, Source};
use crate::record::{Key, LastKey, Merge, Record};
use crate::sstable::{Table, TableError, TokenRange};

/// Keys that are looked at between two looks at the clock.
const WALKED_AT_ONCE: usize = 32;

/// A place in the order of all records: strictly after this key; an empty one is before the token's
/// first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WalkPlace {
    /// The token.
    pub token: Token,
    /// The namespace of the last key that was seen of it.
    pub namespace: NamespaceId,
    /// That key.
    pub after_key: Box<[u8]>,
}

impl WalkPlace {
    /// Before the first key of `token`.
    #[must_use]
    pub fn before(token: Token) -> Self {
        Self { token, namespace: NamespaceId(0), after_key: Box::default() }
    }

    /// After `key`.
    #[must_use]
    pub fn after(key: &Key<'_>) -> Self {
        Self { token: key.token, namespace: key.namespace, after_key: key.bytes.into() }
    }

    pub(crate) fn key(&self) -> Key<'_> {
        Key { token: self.token, namespace: self.namespace, bytes: &self.after_key }
    }
}

/// The rows of a memtable that a walk may need, copied.
pub(crate) struct MemtableRows {
    rows: Rows,
    /// Every row up to this place is there; `None`: up to the end of what was asked for.
    covered: Option<WalkPlace>,
}

impl MemtableRows {
    /// Copies the rows of `memtable` after key `after` with tokens up to `to`, up to a bound of
    /// bytes.
    pub(crate) fn copy(memtable: &Memtable, after: &Key<'_>, to: Token) -> Self {
        let mut rows = Rows::default();
        for record in memtable.iter_from(after.token) {
            if record.key.token > to {
                break;
            }
            if record.key <= *after {
                continue;
            }
            rows.push(&record);
            if rows.bytes() >= SCAN_ROWS_BYTES_MAX {
                return Self { rows, covered: Some(WalkPlace::after(&record.key)) };
            }
        }
        Self { rows, covered: None }
    }
}

/// Where a walk ended.
pub(super) struct Walked<E: Env> {
    /// The last key that it passed.
    pub(super) last: LastKey,
    /// Whether nothing is left.
    pub(super) is_end: bool,
    /// What it read, where it ended.
    pub(super) runs: Vec<Box<Run<E>>>,
}

/// Shows `visit` the records after key `after`, in order, of what the memtables held and of `runs`,
/// which are there or before. Ends where enough was looked at, where the copied rows end, and
/// before the record at which `visit` breaks.
///
/// # Errors
/// A table cannot be read.
pub(super) async fn walk<E: Env>(
    env: &E,
    after: &Key<'_>,
    memtables: Vec<MemtableRows>,
    runs: Vec<Box<Run<E>>>,
    merge: Merge,
    mut visit: impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<Walked<E>, TableError> {
    let covered: Vec<&WalkPlace> = memtables.iter().filter_map(|it| it.covered.as_ref()).collect();
    let covered = covered.into_iter().min_by(|a, b| a.key().cmp(&b.key())).cloned();
    let rows = memtables.into_iter().map(|it| Source::Rows(it.rows, 0));
    let mut scan = MergeScan::new(rows.chain(runs.into_iter().map(Source::Run)).collect(), merge);
    while scan.current().is_some_and(|record| record.key <= *after) {
        scan.advance().await?;
    }
    let (mut last, mut is_end) = (LastKey::default(), false);
    for examined in 0..SCAN_EXAMINED_MAX {
        if examined % WALKED_AT_ONCE == 0 {
            env.pause().await;
        }
        let Some(record) = scan.current() else {
            is_end = covered.is_none();
            break;
        };
        let is_covered = covered.as_ref().is_none_or(|place| record.key <= place.key());
        if !is_covered || visit(&record).is_break() {
            break;
        }
        last.set(&record.key);
        scan.advance().await?;
    }
    let runs = scan.into_sources().into_iter().filter_map(|source| match source {
        Source::Run(run) => Some(run),
        Source::Rows(..) => None,
    });
    Ok(Walked { last, is_end, runs: runs.collect() })
}

/// Shows `visit` the records after `from` with tokens up to `to`, as [`walk`] does, of what the
/// memtables held and of `runs` of tables that share no token. Returns where to go on; `None` at
/// the end.
///
/// # Errors
/// A table cannot be read.
pub(crate) async fn walk_all<E: Env>(
    env: &E,
    from: &WalkPlace,
    to: Token,
    memtables: Vec<MemtableRows>,
    runs: Vec<Vec<Table<E>>>,
    merge: Merge,
    visit: impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<Option<WalkPlace>, TableError> {
    let runs = open_runs(env, TokenRange::new(from.token, to), runs).await?;
    let Walked { last, is_end, .. } = walk(env, &from.key(), memtables, runs, merge, visit).await?;
    let next = last.key().map_or_else(|| from.clone(), |key| WalkPlace::after(&key));
    Ok((!is_end).then_some(next))
}

//! [`walk`]: the records of a range of tokens as they stand, of all namespaces, dead or alive: what
//! replicas compare and hand to each other. A client's scan shows less.
//!
//! Bounded like a page of a scan, and a view of its moment like one.

use std::ops::ControlFlow;
use std::rc::Rc;

use schemas::ids::{NamespaceId, Token};

use super::rows::Rows;
use super::{Cursor, MemtableRows, RunScan, pass, standing};
use crate::env::Env;
use crate::limits::{SCAN_EXAMINED_MAX, SCAN_ROWS_BYTES_MAX};
use crate::memtable::Memtable;
use crate::record::{Key, Merge, Record};
use crate::sstable::{Table, TableError, TokenRange};

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

impl MemtableRows {
    /// Copies the rows of `memtable` after `from` with tokens up to `to`, up to a bound of bytes.
    pub(crate) fn copy_all(memtable: &Memtable, from: &WalkPlace, to: Token) -> Self {
        let mut rows = Rows::default();
        for record in memtable.iter_from(from.token) {
            if record.key.token > to {
                break;
            }
            if record.key <= from.key() {
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

/// Shows `visit` the records after `from` with tokens up to `to`, in order, of what the memtables
/// held and of `runs` of tables that share no token. Ends where enough was looked at, where the
/// copied rows end, and before the record at which `visit` breaks. Returns where to go on; `None`
/// at the end.
///
/// # Errors
/// A table cannot be read.
pub(crate) async fn walk<E: Env>(
    env: &E,
    from: &WalkPlace,
    to: Token,
    memtables: Vec<MemtableRows>,
    runs: Vec<Vec<Rc<Table<E>>>>,
    merge: Merge,
    mut visit: impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<Option<WalkPlace>, TableError> {
    let rows = memtables.into_iter().map(|source| Cursor::Rows { source, at: 0 });
    let mut cursors = rows.collect::<Vec<Cursor<E>>>();
    let Some(range) = TokenRange::new(from.token, to) else { return Ok(None) };
    for run in runs {
        cursors.push(Cursor::Run(RunScan::new(env, run, range, &from.key()).await?));
    }
    let mut next = from.clone();
    for _ in 0..SCAN_EXAMINED_MAX {
        let Some(winner) = standing(&cursors, merge) else {
            let is_end = cursors.iter().all(Cursor::covers_all);
            return Ok((!is_end).then_some(next));
        };
        let is_covered = cursors.iter().all(|cursor| cursor.covers(&winner.key));
        if !is_covered || visit(&winner).is_break() {
            break;
        }
        next = WalkPlace::after(&winner.key);
        pass(&mut cursors, next.key()).await?;
        env.pause().await;
    }
    Ok(Some(next))
}

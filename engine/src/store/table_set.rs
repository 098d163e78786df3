//! [`TableSet`]: the open tables of a version, in the order in which reads want them.
//!
//! A set never changes; a new version is a new set. Whoever holds one holds its files open.

use std::cmp::Reverse;
use std::rc::Rc;

use schemas::ids::Hlc;

use crate::env::Env;
use crate::record::Key;
use crate::sstable::{Table, TokenRange, last_at_most};

/// Tables that share no token, in the order of their tokens: a level, or one table of the top.
struct Run<E: Env> {
    firsts: Box<[u64]>,
    tables: Box<[Rc<Table<E>>]>,
    hlc_max: Hlc,
}

/// The open tables of a version: runs, those with the greatest stamps first.
pub(crate) struct TableSet<E: Env> {
    runs: Box<[Run<E>]>,
}

impl<E: Env> TableSet<E> {
    /// A set of `runs`, each of tables that share no visible token.
    pub(crate) fn new(runs: Vec<Vec<Rc<Table<E>>>>) -> Self {
        let run = |mut tables: Vec<Rc<Table<E>>>| {
            tables.retain(|table| table.range().is_some());
            let first = |table: &Rc<Table<E>>| table.range().map_or(0, |range| range.first().0);
            tables.sort_by_key(first);
            let hlc_max = tables.iter().map(|table| table.properties().hlc_max).max()?;
            let firsts = tables.iter().map(first).collect();
            Some(Run { firsts, tables: tables.into(), hlc_max })
        };
        let mut runs: Vec<Run<E>> = runs.into_iter().filter_map(run).collect();
        runs.sort_by_key(|run| Reverse(run.hlc_max));
        Self { runs: runs.into() }
    }

    /// How many runs there are.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The first run from `from` on that may have a record of `key` stamped `hlc` or later, and
    /// its table. Asks no filter.
    #[inline]
    pub(crate) fn next(
        &self,
        key: &Key<'_>,
        from: usize,
        hlc: Option<Hlc>,
    ) -> Option<(usize, &Rc<Table<E>>)> {
        for (index, run) in self.runs.iter().enumerate().skip(from) {
            // Two records of one stamp differ by their dots: an equal stamp may still win.
            if hlc.is_some_and(|hlc| run.hlc_max < hlc) {
                return None;
            }
            let firsts = &run.firsts;
            let at = last_at_most(firsts.len(), key.token.0, |index| firsts[index]);
            if let Some(at) = at {
                let table = &run.tables[at];
                if hlc.is_none_or(|hlc| table.properties().hlc_max >= hlc) {
                    return Some((index, table));
                }
            }
        }
        None
    }

    /// The tables that may have records with tokens of `range`, run by run, each in order.
    pub(crate) fn overlapping(&self, range: TokenRange) -> Vec<Vec<Table<E>>> {
        let overlaps = |table: &&Rc<Table<E>>| table.range().is_some_and(|it| it.overlaps(range));
        let tables = |run: &Run<E>| {
            run.tables.iter().filter(overlaps).map(|table| Table::clone(table)).collect()
        };
        self.runs.iter().map(tables).filter(|run: &Vec<_>| !run.is_empty()).collect()
    }
}

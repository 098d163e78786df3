//! [`MergeScan`]: the records of many tables in the order of keys, those of one key together.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::env::Env;
use crate::record::{Key, Merge, Record};
use crate::sstable::{Table, TableError, TableScan, TokenRange};

/// Tables that share no visible token, read one after the other.
struct Run<E: Env> {
    env: E,
    scan: TableScan<E>,
    waiting: VecDeque<Table<E>>,
}

impl<E: Env> Run<E> {
    async fn new(env: &E, tables: Vec<Table<E>>) -> Result<Option<Self>, TableError> {
        let mut waiting = VecDeque::from(tables);
        let Some(first) = waiting.pop_front() else { return Ok(None) };
        let scan = TableScan::new(env, &first, TokenRange::ALL).await?;
        let mut run = Self { env: env.clone(), scan, waiting };
        run.skip_ended().await?;
        Ok(Some(run))
    }

    async fn advance(&mut self) -> Result<(), TableError> {
        self.scan.advance().await?;
        self.skip_ended().await
    }

    async fn skip_ended(&mut self) -> Result<(), TableError> {
        while self.scan.current().is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            self.scan = TableScan::new(&self.env, &next, TokenRange::ALL).await?;
        }
        Ok(())
    }
}

/// The records of many tables in the order of keys.
///
/// It is at one key, the least of those that the runs are at; of the records of that key one
/// stands.
pub(super) struct MergeScan<E: Env> {
    runs: Vec<Run<E>>,
    merge: Merge,
    /// Runs that are at the key.
    group: Vec<usize>,
    /// The run whose record stands; `None` at the end.
    winner: Option<usize>,
}

impl<E: Env> MergeScan<E> {
    /// Starts at the least key of `runs`, each of tables that share no visible token, in order.
    pub(super) async fn new(
        env: &E,
        runs: Vec<Vec<Table<E>>>,
        merge: Merge,
    ) -> Result<Self, TableError> {
        let mut scan = Self { runs: Vec::new(), merge, group: Vec::new(), winner: None };
        for tables in runs {
            scan.runs.extend(Run::new(env, tables).await?);
        }
        scan.find_group();
        Ok(scan)
    }

    /// The record that stands of the key it is at; `None` at the end.
    #[inline]
    pub(super) fn current(&self) -> Option<Record<'_>> {
        self.runs[self.winner?].scan.current()
    }

    /// Goes to the next key.
    pub(super) async fn advance(&mut self) -> Result<(), TableError> {
        for &index in &self.group {
            self.runs[index].advance().await?;
        }
        self.find_group();
        Ok(())
    }

    /// Finds the key to be at, the runs that are at it, and whose record stands.
    fn find_group(&mut self) {
        self.group.clear();
        let mut least: Option<Key<'_>> = None;
        for (index, run) in self.runs.iter().enumerate() {
            let Some(record) = run.scan.current() else { continue };
            match least.map_or(Ordering::Less, |least| record.key.cmp(&least)) {
                Ordering::Less => {
                    least = Some(record.key);
                    self.group.clear();
                    self.group.push(index);
                }
                Ordering::Equal => self.group.push(index),
                Ordering::Greater => {}
            }
        }
        let record = |index: &usize| self.runs[*index].scan.current().expect("it is at the key");
        let stands = |a: &usize, b: &usize| (self.merge)(&record(a), &record(b));
        self.winner = self.group.iter().copied().max_by(stands);
    }
}

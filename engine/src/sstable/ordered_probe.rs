//! [`OrderedProbe`]: asks tables for many keys in their order, beside a merge, and reads each of
//! their partitions at most once for all of them.
//!
//! It holds a request's worth of partitions of each table that is around the key, of no others.

use std::cmp::Reverse;
use std::rc::Rc;

use schemas::ids::Token;

use super::partition::Partition;
use super::partition_walk::PartitionWalk;
use super::table::Table;
use crate::env::Env;
use crate::record::Key;

/// Asks tables for keys in their order.
pub(crate) struct OrderedProbe<E: Env> {
    /// Tables that begin after the key that was asked for last, the first of them last.
    ahead: Vec<Table<E>>,
    around: Vec<One<E>>,
}

/// A table that has tokens on both sides.
struct One<E: Env> {
    table: Table<E>,
    walk: PartitionWalk<E>,
    /// The partition that was asked last; `None` if it cannot be read.
    at: Option<(usize, Option<Rc<Partition>>)>,
}

fn first<E: Env>(table: &Table<E>) -> Option<Token> {
    table.range.map(|range| range.first())
}

impl<E: Env> OrderedProbe<E> {
    /// Asks `tables`.
    pub(crate) fn new(mut tables: Vec<Table<E>>) -> Self {
        tables.retain(|table| table.range.is_some());
        tables.sort_by_key(|table| Reverse(first(table)));
        Self { ahead: tables, around: Vec::new() }
    }

    /// Whether one of the tables may have `key` where it can be seen. Keys come in order. Never
    /// false for a key that is there, so true if that cannot be read.
    pub(crate) async fn may_contain(&mut self, key: &Key<'_>) -> bool {
        while let Some(table) = self.ahead.pop_if(|table| first(table) <= Some(key.token)) {
            let walk = PartitionWalk::new(&table.contents, 0..table.partitions());
            self.around.push(One { table, walk, at: None });
        }
        let is_over = |it: &One<E>| it.table.range.is_none_or(|range| range.last() < key.token);
        self.around.retain(|it| !is_over(it));
        for one in &mut self.around {
            if one.may_contain(key).await {
                return true;
            }
        }
        false
    }
}

impl<E: Env> One<E> {
    async fn may_contain(&mut self, key: &Key<'_>) -> bool {
        let number = self.table.partition_of(key.token).filter(|_| self.table.is_seen(key.token));
        let Some(number) = number else { return false };
        if self.at.as_ref().is_none_or(|(at, _)| *at != number) {
            self.walk.skip_while(|it| it < number);
            let read = self.walk.next().await;
            let partition = read.unwrap_or_else(|error| {
                tracing::warn!(%error, "whether tombstones may go cannot be told");
                None
            });
            self.at = Some((number, partition));
        }
        let partition = self.at.as_ref().and_then(|(_, partition)| partition.as_ref());
        partition.is_none_or(|partition| partition.may_contain(key))
    }
}

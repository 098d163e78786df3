//! [`MergeScan`]: the records of many sorted sources in the order of keys, those of one key
//! together.

use schemas::ids::Token;

use crate::env::Env;
use crate::record::{Key, MERGED, Merge, Record, Stands};
use crate::scan::Rows;
use crate::sstable::{Table, TableError, TableScan, TokenRange};

/// Tables that share no visible token, read one after the other.
pub(crate) struct Run<E: Env> {
    env: E,
    range: TokenRange,
    scan: TableScan<E>,
    /// Those still to come, the next one last.
    waiting: Vec<Table<E>>,
}

impl<E: Env> Run<E> {
    /// Starts at the first record of `tables`, which are in order, with a token of `range`. `None`
    /// if there is none.
    ///
    /// # Errors
    /// A table cannot be read.
    pub(crate) async fn new(
        env: &E,
        mut tables: Vec<Table<E>>,
        range: TokenRange,
    ) -> Result<Option<Box<Self>>, TableError> {
        tables.reverse();
        let Some(first) = tables.pop() else { return Ok(None) };
        let scan = TableScan::new(env, &first, range).await?;
        let mut run = Box::new(Self { env: env.clone(), range, scan, waiting: tables });
        run.skip_ended().await?;
        Ok(run.scan.current().is_some().then_some(run))
    }

    async fn skip_ended(&mut self) -> Result<(), TableError> {
        while self.scan.current().is_none()
            && let Some(next) = self.waiting.pop()
        {
            self.scan = TableScan::new(&self.env, &next, self.range).await?;
        }
        Ok(())
    }
}

/// Where sorted records come from.
pub(crate) enum Source<E: Env> {
    /// Tables.
    Run(Box<Run<E>>),
    /// Copies, and the one it is at.
    Rows(Rows, usize),
}

impl<E: Env> Source<E> {
    #[inline]
    fn current(&self) -> Option<Record<'_>> {
        match self {
            Self::Run(run) => run.scan.current(),
            Self::Rows(rows, at) => rows.get(*at),
        }
    }

    /// Goes to the next record if that takes no disk; whether it did.
    #[inline]
    fn advance_in_memory(&mut self) -> bool {
        match self {
            Self::Run(run) => run.scan.advance_within_block(),
            Self::Rows(_, at) => {
                *at += 1;
                true
            }
        }
    }

    async fn advance(&mut self) -> Result<(), TableError> {
        if !self.advance_in_memory()
            && let Self::Run(run) = self
        {
            run.scan.advance().await?;
            run.skip_ended().await?;
        }
        Ok(())
    }
}

/// The records of many sources in the order of keys.
///
/// It is at one key, the least of those that the sources are at; of the records of that key one
/// stands.
pub(crate) struct MergeScan<E: Env> {
    sources: Vec<Source<E>>,
    merge: Merge,
    /// Sources that are not at their end, by the token each is at; the least is last. Most keys
    /// are told apart by their tokens, so records are hardly looked at here.
    heads: Vec<Head>,
    /// Sources that are at the key, a part of the last of `heads`.
    group: Vec<usize>,
    /// Whose record stands; `None` at the end.
    winner: Option<Winner>,
    /// The row that a merge made.
    merged: Vec<u8>,
    /// Room for the next.
    spare: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Winner {
    Source(usize),
    Merged,
}

#[derive(Clone, Copy)]
struct Head {
    token: Token,
    source: usize,
}

impl<E: Env> MergeScan<E> {
    /// Starts at the least key of `sources`.
    pub(crate) fn new(sources: Vec<Source<E>>, merge: Merge) -> Self {
        let (heads, group, winner) = (Vec::new(), Vec::new(), None);
        let (merged, spare) = (Vec::new(), Vec::new());
        let mut scan = Self { sources, merge, heads, group, winner, merged, spare };
        for source in 0..scan.sources.len() {
            scan.put_head(source);
        }
        scan.find_group();
        scan
    }

    /// The sources, each where it is.
    pub(crate) fn into_sources(self) -> Vec<Source<E>> {
        self.sources
    }

    /// The record that stands of the key it is at; `None` at the end.
    #[inline]
    pub(crate) fn current(&self) -> Option<Record<'_>> {
        match self.winner? {
            Winner::Source(source) => self.sources[source].current(),
            Winner::Merged => Record::from_row(&self.merged),
        }
    }

    /// Goes to the next key.
    ///
    /// # Errors
    /// A table cannot be read. It is of no more use then.
    #[inline]
    pub(crate) async fn advance(&mut self) -> Result<(), TableError> {
        let group = std::mem::take(&mut self.group);
        match (&*group, self.heads.last()) {
            (&[source], Some(head)) if head.source == source => drop(self.heads.pop()),
            _ => self.heads.retain(|head| !group.contains(&head.source)),
        }
        for &source in &group {
            if !self.sources[source].advance_in_memory() {
                self.sources[source].advance().await?;
            }
            self.put_head(source);
        }
        self.group = group;
        self.find_group();
        Ok(())
    }

    /// Puts `source` among the heads, unless it is at its end.
    fn put_head(&mut self, source: usize) {
        let Some(record) = self.sources[source].current() else { return };
        let token = record.key.token;
        // From the least on: a source that is ahead of others by little stays near.
        let at = self.heads.iter().rposition(|head| head.token >= token).map_or(0, |at| at + 1);
        self.heads.insert(at, Head { token, source });
    }

    /// Finds the key to be at, the sources that are at it, and whose record stands.
    fn find_group(&mut self) {
        self.group.clear();
        self.winner = None;
        let Some(&Head { token, source }) = self.heads.last() else { return };
        let sharing = self.heads.iter().rev().take_while(|head| head.token == token).count();
        if sharing == 1 {
            self.group.push(source);
            self.winner = Some(Winner::Source(source));
            return;
        }
        let record = |source: usize| self.sources[source].current().expect("it is at a record");
        let mut least: Option<Key<'_>> = None;
        for head in &self.heads[self.heads.len() - sharing..] {
            let key = record(head.source).key;
            if least.is_none_or(|least| key < least) {
                self.group.clear();
                least = Some(key);
            }
            if least == Some(key) {
                self.group.push(head.source);
            }
        }
        self.find_winner();
    }

    /// Finds what stands of the records of the group.
    fn find_winner(&mut self) {
        self.winner = None;
        for &source in &self.group {
            let mut spare = std::mem::take(&mut self.spare);
            let record = self.sources[source].current().expect("it is at a record");
            let stands = match self.current() {
                Some(winner) => (self.merge)(&record, &winner, &mut spare),
                None => Stands::First,
            };
            self.spare = spare;
            match stands {
                Stands::First => self.winner = Some(Winner::Source(source)),
                Stands::Second => {}
                Stands::Third => {
                    assert!(Record::from_row(&self.spare).is_some(), "{MERGED}");
                    std::mem::swap(&mut self.merged, &mut self.spare);
                    self.winner = Some(Winner::Merged);
                }
            }
        }
    }
}

//! Digests: what is known of a leaf is told from memory, the rest is scanned beside the foreground,
//! a bounded piece at a time.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;
use std::sync::Arc;

use super::Store;
use super::answer::{DigestError, DigestRefused, DigestTicket, Done};
use super::background::News;
use crate::digest::{Digest, DigestRequest, Digests, LEAF_BITS, Leaves, Sum};
use crate::env::{Class, Env};
use crate::limits;
use crate::record::Record;
use crate::scan::{self, WalkPlace};
use crate::sstable::{TableError, TokenRange};

/// Requests that are not answered.
#[derive(Default)]
pub(super) struct DigestJobs {
    next: u64,
    jobs: BTreeMap<u64, Job>,
}

/// A leaf, as far as it is wanted.
struct Cell {
    tokens: TokenRange,
    /// `None`: still to be scanned.
    digest: Option<Digest>,
}

struct Job {
    request: DigestRequest,
    /// The number of the first cell's leaf; the others follow.
    first: u64,
    cells: Vec<Cell>,
}

/// Cells that are scanned together, and how far that is.
pub(crate) struct DigestPiece {
    cells: Range<usize>,
    sums: Vec<Sum>,
    /// `None` at the end.
    from: Option<WalkPlace>,
}

/// What came of a part of a scan.
pub(crate) type Scanned = Result<DigestPiece, TableError>;

impl Job {
    fn new(request: DigestRequest, leaves: Leaves) -> Self {
        let range = request.range;
        let (first, last) = (leaves.of(range.first()), leaves.of(range.last()));
        let cell = |leaf| {
            let tokens = leaves.tokens(leaf).intersection(range);
            Cell { tokens: tokens.expect("it holds a token of the range"), digest: None }
        };
        Self { request, first, cells: (first..=last).map(cell).collect() }
    }

    fn leaf(&self, cell: usize) -> u64 {
        self.first + cell as u64
    }

    /// The first cells that are not known and follow each other.
    fn unknown(&self) -> Option<Range<usize>> {
        let first = self.cells.iter().position(|cell| cell.digest.is_none())?;
        let known = self.cells[first..].iter().position(|cell| cell.digest.is_some());
        Some(first..known.map_or(self.cells.len(), |known| first + known))
    }

    /// The answer, of leaves as coarse as they are wanted.
    fn answer(&self, wanted: Leaves) -> Digests {
        let mut leaves: Vec<(TokenRange, Digest)> = Vec::new();
        for cell in &self.cells {
            let digest = cell.digest.unwrap_or_default();
            let leaf = wanted.of(cell.tokens.first());
            match leaves.last_mut().filter(|(range, _)| wanted.of(range.first()) == leaf) {
                Some((range, sum)) => (*range, *sum) = (range.hull(cell.tokens), sum.and(digest)),
                None => leaves.push((cell.tokens, digest)),
            }
        }
        Digests { leaves }
    }
}

impl<E: Env> Store<E> {
    /// Starts to make the digests that `request` describes; [`Done::Digest`] will name the ticket.
    /// Each record that stays put meanwhile is in them as it is; one that is written meanwhile may
    /// be in them as before or as after.
    ///
    /// # Errors
    /// [`DigestRefused`]: nothing was begun.
    ///
    /// # Panics
    /// If the depth is more than [`LEAF_BITS`].
    pub fn digest_now(&mut self, request: DigestRequest) -> Result<DigestTicket, DigestRefused> {
        assert!(request.depth <= LEAF_BITS, "no leaves are finer");
        if self.digests.jobs.len() == limits::DIGESTS_IN_FLIGHT_MAX {
            return Err(DigestRefused::Busy { retry_after_us: limits::RETRY_AFTER_READS_US });
        }
        let (purge_below, horizon) = (request.view.purge_below, self.purge_horizon);
        if purge_below < horizon {
            return Err(DigestRefused::BelowHorizon { purge_below, horizon });
        }
        let leaves = self.vnodes.leaves.leaves();
        let (first, last) = (leaves.of(request.range.first()), leaves.of(request.range.last()));
        let (got, max) = (last - first + 1, limits::DIGEST_LEAVES_MAX);
        if got > max {
            return Err(DigestRefused::TooWide { got, max });
        }
        let ticket = self.digests.next;
        self.digests.next += 1;
        self.stats.digests += 1;
        let mut job = Job::new(request, leaves);
        for at in 0..job.cells.len() {
            let leaf = job.leaf(at);
            let is_whole = job.cells[at].tokens == leaves.tokens(leaf);
            let known = self.vnodes.leaves.get(leaf).filter(|_| is_whole);
            job.cells[at].digest = known.and_then(|sum| sum.as_of(request.view));
            self.stats.digest_leaves_known += u64::from(job.cells[at].digest.is_some());
        }
        self.digests.jobs.insert(ticket, job);
        self.go_on_digesting(ticket);
        Ok(DigestTicket(ticket))
    }

    /// Begins the next cells of a request, or ends it.
    fn go_on_digesting(&mut self, ticket: u64) {
        let Some(job) = self.digests.jobs.get(&ticket) else { return };
        let Some(cells) = job.unknown() else {
            return self.office.post(News::Digested(ticket, None));
        };
        for cell in cells.clone() {
            let leaf = job.leaf(cell);
            if job.cells[cell].tokens == self.vnodes.leaves.leaves().tokens(leaf) {
                self.vnodes.leaves.scanning(leaf, ticket);
            }
        }
        let from = Some(WalkPlace::before(job.cells[cells.start].tokens.first()));
        let sums = vec![Sum::default(); cells.len()];
        self.scan_cells(ticket, DigestPiece { cells, sums, from });
    }

    /// Scans on from where `piece` is.
    fn scan_cells(&mut self, ticket: u64, mut piece: DigestPiece) {
        let job = &self.digests.jobs[&ticket];
        let Some(from) = piece.from.take() else { return };
        let to = job.cells[piece.cells.end - 1].tokens.last();
        let rows = self.copy_rows(&from.key(), to);
        let range = TokenRange::new(from.token, to);
        let runs = range.map_or_else(Vec::new, |range| self.tables.overlapping(range));
        let (merge, view) = (self.merge, job.request.view);
        let (leaves, first) = (self.vnodes.leaves.leaves(), job.leaf(piece.cells.start));
        let office = Rc::clone(&self.office);
        let namespaces = Arc::clone(&self.config.namespaces);
        self.office.spawn(Class::Idle, async move {
            let sums = &mut piece.sums;
            let visit = |record: &Record<'_>| {
                if namespaces.is_dropped(record.key.namespace) {
                    return ControlFlow::Continue(());
                }
                sums[(leaves.of(record.key.token) - first) as usize].add(record, view);
                ControlFlow::Continue(())
            };
            let next = scan::walk_all(&office.env, &from, to, rows, runs, merge, visit).await;
            let scanned = next.map(|from| DigestPiece { from, ..piece });
            office.post(News::Digested(ticket, Some(scanned)));
        });
    }

    /// Part of a scan for digests ended, or, with `None`, all that was to scan.
    pub(super) fn digested(&mut self, ticket: u64, scanned: Option<Scanned>) {
        let Some(job) = self.digests.jobs.get_mut(&ticket) else { return };
        let piece = match scanned {
            // What has been purged meanwhile may be in it or not.
            _ if job.request.view.purge_below < self.purge_horizon => {
                return self.end_digesting(ticket, Err(DigestError::HorizonPassed));
            }
            Some(Err(error)) => return self.end_digesting(ticket, Err(error.into())),
            Some(Ok(piece)) => piece,
            None => {
                let bits = self.vnodes.bits().get();
                let answer = job.answer(Leaves::new(bits, job.request.depth));
                return self.end_digesting(ticket, Ok(answer));
            }
        };
        if piece.from.is_some() {
            return self.scan_cells(ticket, piece);
        }
        for (cell, sum) in piece.cells.zip(&piece.sums) {
            job.cells[cell].digest = Some(sum.digest());
            let leaf = job.leaf(cell);
            self.vnodes.leaves.scanned(leaf, ticket, sum);
            self.stats.digest_leaves_scanned += 1;
        }
        self.go_on_digesting(ticket);
    }

    fn end_digesting(&mut self, ticket: u64, result: Result<Digests, DigestError>) {
        self.digests.jobs.remove(&ticket);
        self.untold.push(Done::Digest(DigestTicket(ticket), result));
    }
}

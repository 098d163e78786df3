//! Scans: each page is a task beside the foreground, over what the store holds when it starts.
//!
//! A page leaves behind a cursor where it ended, with what was read ahead. The next page goes on
//! from there if it is of the same tables; else, and after a while, it opens them anew. Nobody can
//! tell but by the time it takes.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;

use schemas::ids::{NamespaceId, Token};

use super::Store;
use super::answer::{Done, ExportTicket, ScanBusy, ScanTicket};
use super::background::News;
use super::table_set::TableSet;
use crate::env::{Class, Env};
use crate::limits;
use crate::merge_scan::Run;
use crate::record::{Key, Merge, Record};
use crate::scan::{self, MemtableRows, Page, Rows, ScanPlace, ScanRequest};
use crate::sstable::{TableError, TokenRange};
use crate::transfer::{Chunk, ExportRequest};

/// Pages being read, and where those before ended.
pub(super) struct Scans<E: Env> {
    next: u64,
    in_flight: usize,
    /// The oldest first.
    cursors: VecDeque<Cursor<E>>,
}

/// Where a page ended.
pub(crate) struct Cursor<E: Env> {
    namespace: NamespaceId,
    from: ScanPlace,
    to: Token,
    tables: Rc<TableSet<E>>,
    runs: Vec<Box<Run<E>>>,
    since_us: u64,
}

impl<E: Env> Default for Scans<E> {
    fn default() -> Self {
        Self { next: 0, in_flight: 0, cursors: VecDeque::new() }
    }
}

impl<E: Env> Scans<E> {
    /// The runs of `tables` where the page of `request` starts, if the one before left them.
    fn take_cursor(
        &mut self,
        request: &ScanRequest,
        tables: &Rc<TableSet<E>>,
    ) -> Option<Vec<Box<Run<E>>>> {
        let at = self.cursors.iter().position(|cursor| {
            cursor.namespace == request.namespace
                && cursor.from == request.from
                && cursor.to == request.to
                && Rc::ptr_eq(&cursor.tables, tables)
        })?;
        self.cursors.remove(at).map(|cursor| cursor.runs)
    }

    /// Keeps a cursor, the only one or with others, as there is room.
    fn keep(&mut self, cursor: Cursor<E>, bytes_max: usize) {
        let places = pages_max(&cursor.tables, bytes_max).saturating_sub(self.in_flight);
        let cursors = places.min(limits::SCAN_CURSORS_MAX);
        self.cursors.push_back(cursor);
        while self.cursors.len() > cursors {
            self.cursors.pop_front();
        }
    }

    /// Whether a page of `tables` may be read beside those that are: cursors make way for it, and
    /// for none that is turned away.
    fn has_room(&self, tables: &TableSet<E>, bytes_max: usize) -> bool {
        self.in_flight < pages_max(tables, bytes_max).min(limits::SCANS_IN_FLIGHT_MAX)
    }

    /// Counts a page of `tables` for which there is room; the cursor that it goes on from was taken
    /// before, and leaves it its place.
    fn begin(&mut self, tables: &TableSet<E>, bytes_max: usize) -> u64 {
        let pages = pages_max(tables, bytes_max);
        self.in_flight += 1;
        while !self.cursors.is_empty() && self.in_flight + self.cursors.len() > pages {
            self.cursors.pop_front();
        }
        self.next += 1;
        self.next - 1
    }

    /// Drops cursors that hold tables which are not in use any more, and those nobody came back
    /// for.
    pub(super) fn tick(&mut self, tables: &Rc<TableSet<E>>, now_us: u64) {
        self.cursors.retain(|cursor| {
            Rc::ptr_eq(&cursor.tables, tables)
                && now_us.saturating_sub(cursor.since_us) < limits::SCAN_CURSOR_US
        });
    }
}

/// Pages of `tables` being read, and cursors, that `bytes_max` bytes are enough for: one always is.
fn pages_max<E: Env>(tables: &TableSet<E>, bytes_max: usize) -> usize {
    (bytes_max / (tables.runs().max(1) * limits::SCAN_BYTES_A_RUN)).max(1)
}

impl<E: Env> Store<E> {
    /// Starts to read the page that `request` describes; [`Done::Scan`] will name the ticket.
    ///
    /// # Errors
    /// [`ScanBusy`]: as many pages as there may be are being read. Where the page before ended is
    /// not forgotten for that.
    pub fn scan_now(&mut self, request: ScanRequest) -> Result<ScanTicket, ScanBusy> {
        let bytes_max = self.config.scans_bytes_max;
        if !self.scans.has_room(&self.tables, bytes_max) {
            return Err(ScanBusy { retry_after_us: limits::RETRY_AFTER_READS_US });
        }
        let runs = self.scans.take_cursor(&request, &self.tables);
        let ticket = ScanTicket(self.scans.begin(&self.tables, bytes_max));
        self.stats.scans += 1;
        let rows = self.copy_rows(&request.first(), request.to);
        let (tables, merge) = (Rc::clone(&self.tables), self.merge);
        let office = Rc::clone(&self.office);
        if self.config.namespaces.is_dropped(request.namespace) {
            let page = Page { rows: Rows::default(), next: None };
            office.post(News::Scanned(ticket, Ok((page, None))));
            return Ok(ticket);
        }
        self.office.spawn(Class::Idle, async move {
            let page = read_page(&office.env, request, tables, runs, rows, merge).await;
            office.post(News::Scanned(ticket, page));
        });
        Ok(ticket)
    }

    /// Starts to read the chunk that `request` describes, to be handed to another store, which puts
    /// its records one by one; [`Done::Export`] will name the ticket. Each chunk is a view of its
    /// moment: what is written after it was read is for whoever writes to both stores. Records of
    /// namespaces that were dropped are among them: whoever puts them is told that they were.
    ///
    /// # Errors
    /// [`ScanBusy`]: as many pages and chunks as there may be are being read.
    pub fn export_now(&mut self, request: ExportRequest) -> Result<ExportTicket, ScanBusy> {
        let bytes_max = self.config.scans_bytes_max;
        if !self.scans.has_room(&self.tables, bytes_max) {
            return Err(ScanBusy { retry_after_us: limits::RETRY_AFTER_READS_US });
        }
        let ticket = ExportTicket(self.scans.begin(&self.tables, bytes_max));
        let ExportRequest { from, to, bytes_max } = request;
        let rows = self.copy_rows(&from.key(), to);
        let range = TokenRange::new(from.token, to);
        let runs = range.map_or_else(Vec::new, |range| self.tables.overlapping(range));
        let (merge, office) = (self.merge, Rc::clone(&self.office));
        self.office.spawn(Class::Idle, async move {
            let mut taken = Rows::default();
            let take = |record: &Record<'_>| {
                if !taken.is_empty() && taken.bytes() + record.row_len() > bytes_max {
                    return ControlFlow::Break(());
                }
                taken.push(record);
                ControlFlow::Continue(())
            };
            let next = scan::walk_all(&office.env, &from, to, rows, runs, merge, take).await;
            let chunk = next.map(|next| Chunk { rows: taken, more: next.is_some() });
            office.post(News::Exported(ticket, chunk));
        });
        Ok(ticket)
    }

    /// Copies of what the memtables hold after key `after` with tokens up to `to`.
    pub(super) fn copy_rows(&self, after: &Key<'_>, to: Token) -> Vec<MemtableRows> {
        let frozen = self.frozen.iter().map(|frozen| &*frozen.memtable);
        let memtables = frozen.chain([&self.active]);
        memtables.map(|memtable| MemtableRows::copy(memtable, after, to)).collect()
    }

    /// A chunk ended: the next poll tells.
    pub(super) fn exported(&mut self, ticket: ExportTicket, chunk: Result<Chunk, TableError>) {
        self.scans.in_flight -= 1;
        self.untold.push(Done::Export(ticket, chunk));
    }

    /// A page ended: the next poll tells.
    pub(super) fn scanned(
        &mut self,
        ticket: ScanTicket,
        page: Result<(Page, Option<Cursor<E>>), TableError>,
    ) {
        self.scans.in_flight -= 1;
        let page = page.map(|(page, cursor)| {
            let bytes_max = self.config.scans_bytes_max;
            cursor.into_iter().for_each(|cursor| self.scans.keep(cursor, bytes_max));
            page
        });
        self.untold.push(Done::Scan(ticket, page));
    }
}

async fn read_page<E: Env>(
    env: &E,
    request: ScanRequest,
    tables: Rc<TableSet<E>>,
    runs: Option<Vec<Box<Run<E>>>>,
    rows: Vec<MemtableRows>,
    merge: Merge,
) -> Result<(Page, Option<Cursor<E>>), TableError> {
    let runs = match runs {
        Some(runs) => runs,
        None => {
            let range = request.tokens();
            let overlapping = range.map(|range| tables.overlapping(range));
            scan::open_runs(env, range, overlapping.unwrap_or_default()).await?
        }
    };
    let (page, runs) = scan::page(env, &request, rows, runs, merge).await?;
    let cursor = page.next.clone().map(|from| {
        let ScanRequest { namespace, to, .. } = request;
        Cursor { namespace, from, to, tables, runs, since_us: env.monotonic_us() }
    });
    Ok((page, cursor))
}

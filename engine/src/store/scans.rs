//! Scans: each page is a task beside the foreground, over what the store holds when it starts.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::Store;
use super::answer::{Done, ExportTicket, ScanBusy, ScanTicket};
use super::background::News;
use crate::env::{Class, Env};
use crate::limits;
use crate::record::Record;
use crate::scan::{self, MemtableRows, Page, Rows, ScanRequest};
use crate::sstable::{TableError, TokenRange};
use crate::transfer::{Chunk, ExportRequest};

/// Pages being read.
#[derive(Default)]
pub(super) struct Scans {
    next: u64,
    in_flight: usize,
}

impl<E: Env> Store<E> {
    /// Starts to read the page that `request` describes; [`Done::Scan`] will name the ticket.
    ///
    /// # Errors
    /// [`ScanBusy`]: as many pages as there may be are being read.
    pub fn scan_now(&mut self, request: ScanRequest) -> Result<ScanTicket, ScanBusy> {
        if self.scans.in_flight == limits::SCANS_IN_FLIGHT_MAX {
            return Err(ScanBusy { retry_after_us: limits::RETRY_AFTER_READS_US });
        }
        let ticket = ScanTicket(self.scans.next);
        self.scans.next += 1;
        self.scans.in_flight += 1;
        self.stats.scans += 1;
        let frozen = self.frozen.iter().map(|frozen| &*frozen.memtable);
        let memtables = frozen.chain([&self.active]);
        let rows = memtables.map(|memtable| MemtableRows::copy(memtable, &request)).collect();
        let (tables, merge) = (Rc::clone(&self.tables), self.merge);
        let office = Rc::clone(&self.office);
        self.office.spawn(Class::Idle, async move {
            let range = TokenRange::new(request.from.token, request.to);
            let runs = range.map_or_else(Vec::new, |range| tables.overlapping(range));
            let page = scan::page(&office.env, &request, rows, runs, merge).await;
            office.post(News::Scanned(ticket, page));
        });
        Ok(ticket)
    }

    /// Starts to read the chunk that `request` describes, to be handed to another store, which puts
    /// its records one by one; [`Done::Export`] will name the ticket. Each chunk is a view of its
    /// moment: what is written after it was read is for whoever writes to both stores.
    ///
    /// # Errors
    /// [`ScanBusy`]: as many pages and chunks as there may be are being read.
    pub fn export_now(&mut self, request: ExportRequest) -> Result<ExportTicket, ScanBusy> {
        if self.scans.in_flight == limits::SCANS_IN_FLIGHT_MAX {
            return Err(ScanBusy { retry_after_us: limits::RETRY_AFTER_READS_US });
        }
        let ticket = ExportTicket(self.scans.next);
        self.scans.next += 1;
        self.scans.in_flight += 1;
        let ExportRequest { from, to, bytes_max } = request;
        let frozen = self.frozen.iter().map(|frozen| &*frozen.memtable);
        let memtables = frozen.chain([&self.active]);
        let rows = memtables.map(|memtable| MemtableRows::copy_all(memtable, &from, to)).collect();
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
            let next = scan::walk(&office.env, &from, to, rows, runs, merge, take).await;
            let chunk = next.map(|next| Chunk { rows: taken, more: next.is_some() });
            office.post(News::Exported(ticket, chunk));
        });
        Ok(ticket)
    }

    /// A chunk ended: the next poll tells.
    pub(super) fn exported(&mut self, ticket: ExportTicket, chunk: Result<Chunk, TableError>) {
        self.scans.in_flight -= 1;
        self.untold.push(Done::Export(ticket, chunk));
    }

    /// A page ended: the next poll tells.
    pub(super) fn scanned(&mut self, ticket: ScanTicket, page: Result<Page, TableError>) {
        self.scans.in_flight -= 1;
        self.untold.push(Done::Scan(ticket, page));
    }
}

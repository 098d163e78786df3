//! Scans: each page is a task beside the foreground, over what the store holds when it starts.

use std::rc::Rc;

use super::Store;
use super::answer::{Done, ScanBusy, ScanTicket};
use super::background::News;
use crate::env::{Class, Env};
use crate::limits;
use crate::scan::{self, MemtableRows, Page, ScanRequest};
use crate::sstable::{TableError, TokenRange};

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

    /// A page ended: the next poll tells.
    pub(super) fn scanned(&mut self, ticket: ScanTicket, page: Result<Page, TableError>) {
        self.scans.in_flight -= 1;
        self.untold.push(Done::Scan(ticket, page));
    }
}

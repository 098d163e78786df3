//! Reading records in order: a page of what one core owns.
//!
//! The core that owns the first token of the page answers it, and no further than its own tokens
//! go: the reply says where to ask next. A page is read beside the foreground, never in it.

use engine::env::Env;
use engine::scan::{Page, ScanPlace, ScanRequest};
use engine::sstable::TableError;
use engine::store::{ScanBusy, ScanTicket};
use schemas::ids::Token;
use schemas::limits::SCAN_PAGE_BYTES_MAX;
use schemas::message::{self, Scan, ScanRecord, ScanReplyWriter};
use schemas::status::Status;

use super::service::{Context, Origin, Outcome, Replies, Request};
use super::shard::{Refusal, Shard, ShardMessage, admit};
use crate::runtime::Tick;

/// A page that is being read, and for whom.
pub(super) struct PendingScan {
    origin: Origin,
    deadline_us: u64,
    key_only: bool,
    /// The last token that was asked for, which may be another core's.
    to: Token,
}

impl<E: Env> Shard<E> {
    /// Starts to read a page that begins with a token of this core.
    pub(super) fn scan(
        &mut self,
        scan: &Scan<'_>,
        request: &Request<'_>,
        context: &Context<'_, ShardMessage>,
    ) -> Result<Outcome, Refusal> {
        admit(request, context)?;
        let page = ScanRequest {
            namespace: scan.namespace,
            from: ScanPlace { token: scan.from.token, after_key: scan.from.after_key.into() },
            to: scan.to.min(self.last_token()),
            records_max: scan.records_max,
            bytes_max: SCAN_PAGE_BYTES_MAX,
            now_ms: context.tick.wall_ms,
        };
        let started = self.store.scan_now(page);
        let ticket = started.map_err(|ScanBusy { retry_after_us }| Refusal {
            status: Status::Overloaded,
            retry_after_us,
        })?;
        let &Request { origin, deadline_us, .. } = request;
        let pending = PendingScan { origin, deadline_us, key_only: scan.key_only, to: scan.to };
        self.scans.insert(ticket, pending);
        Ok(Outcome::UnderWay)
    }

    /// A page was read, or not.
    pub(super) fn scanned(
        &mut self,
        ticket: ScanTicket,
        page: &Result<Page, TableError>,
        tick: Tick,
        replies: &mut Replies<'_, ShardMessage>,
    ) {
        let own = self.identity.own;
        if let Err(error) = page {
            tracing::error!(shard = own.0, %error, "a scan failed");
        }
        let pending = self.scans.remove(&ticket).expect("a page that ended was begun");
        let PendingScan { origin, deadline_us, key_only, to } = pending;
        let last = self.last_token();
        replies.reply(&origin, |out, room| match page {
            _ if deadline_us <= tick.now_us => origin.refuse(own, Status::DeadlineExceeded, out),
            Err(TableError::Io { .. }) => origin.refuse(own, Status::Unreadable, out),
            Err(_) => origin.refuse(own, Status::Corrupt, out),
            Ok(page) if page.rows.bytes() > room => {
                origin.refuse_overloaded(own, out);
            }
            Ok(page) => {
                let next = next_place(page, to, last);
                let next = next.as_ref().map(|place| message::ScanPlace {
                    token: place.token,
                    after_key: &place.after_key,
                });
                write(page, key_only).encode(&origin.reply_header(own), next, out);
            }
        });
    }

    /// The last token of this core.
    fn last_token(&self) -> Token {
        let (_, last) = self.identity.tokens().expect("a shard owns a part of the ring");
        last
    }
}

/// Where to go on after `page`: with the token after this core's `last`, once its own are done.
fn next_place(page: &Page, to: Token, last: Token) -> Option<ScanPlace> {
    let after_own = || {
        let token = Token(last.0.checked_add(1).filter(|next| *next <= to.0)?);
        Some(ScanPlace { token, after_key: Box::default() })
    };
    page.next.clone().or_else(after_own)
}

/// The records of a page as they are sent.
fn write(page: &Page, key_only: bool) -> ScanReplyWriter {
    let mut writer = ScanReplyWriter::default();
    for record in page.rows.iter() {
        let taken = writer.push(&ScanRecord {
            token: record.key.token,
            key: record.key.bytes,
            version: record.version,
            expires_at_ms: record.expires_at_ms,
            value: if key_only { &[] } else { record.value },
        });
        assert!(taken, "a page of the store has no more than a page of the wire");
    }
    writer
}

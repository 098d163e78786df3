//! Reading all records in order, a page at a time.
//!
//! The order is that of (token, key): fixed, but not that of the keys. A scan sees every record
//! that is there from its start to its end; of what is written meanwhile it may see some.

use bytes::Bytes;
use tokio::time::Instant;

use crate::call::CallOptions;
use crate::client::Client;
use crate::error::Error;
use crate::protocol::{Consistency, Token, Version, limits::SCAN_RECORDS_MAX};
use crate::request::{Answer, Request};
use crate::retry::Effect;

/// A key with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The key.
    pub key: Bytes,
    /// The value; empty if only keys were asked for.
    pub value: Bytes,
    /// Stamp and dot of the write that made it.
    pub version: Version,
    /// Unix milliseconds at which it expires, if it does.
    pub expires_at_ms: Option<u64>,
}

/// A place between two records: where a scan goes on, in this client or another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    pub(crate) token: Token,
    pub(crate) after_key: Bytes,
}

impl Position {
    const START: Self = Self { token: Token(0), after_key: Bytes::new() };
}

/// One page, as a server answered it.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    pub(crate) next: Option<Position>,
}

/// A walk over all records: [`Client::scan`].
#[derive(Clone, Debug)]
#[must_use = "nothing is read before a page is asked for"]
pub struct Scan {
    client: Client,
    options: CallOptions,
    keys_only: bool,
    records_max: usize,
    next: Option<Position>,
}

impl Scan {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            options: client.options(),
            keys_only: false,
            records_max: SCAN_RECORDS_MAX,
            next: Some(Position::START),
        }
    }

    /// Leaves the values where they are.
    pub fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }

    /// At most so many records a page; the server's limit at most, 1 at least.
    pub fn page_records(mut self, records_max: usize) -> Self {
        self.records_max = records_max.clamp(1, SCAN_RECORDS_MAX);
        self
    }

    /// Goes on where another scan was.
    pub fn from(mut self, position: Position) -> Self {
        self.next = Some(position);
        self
    }

    /// Replicas that must answer, instead of the client's setting.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.options.consistency = consistency;
        self
    }

    /// Where the next page starts; `None` after the last.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.next.as_ref()
    }

    /// The next page, never an empty one; `None` after the last. The client's deadline is for each
    /// page.
    ///
    /// # Errors
    /// See [`Error`]. The scan stays where it was: the page can be asked for again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Record>>, Error> {
        let deadline = Instant::now() + self.options.deadline;
        while let Some(position) = &self.next {
            let page = self.page(position, deadline).await?;
            if page.next.as_ref() == self.next.as_ref() {
                return Err(Error::protocol("a page of a scan ends where it starts"));
            }
            self.next = page.next;
            if !page.records.is_empty() {
                return Ok(Some(page.records));
            }
        }
        Ok(None)
    }

    async fn page(&self, position: &Position, deadline: Instant) -> Result<Page, Error> {
        let request = Request::Scan {
            from: position.clone(),
            records_max: self.records_max,
            key_only: self.keys_only,
            consistency: self.options.consistency,
        };
        match self.client.request(position.token, Effect::Read, &request, deadline).await? {
            Answer::Scan(page) => Ok(page),
            other => Err(Error::protocol(format!("a scan was answered with {other:?}"))),
        }
    }
}

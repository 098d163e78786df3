//! The client for code that does not await.
//!
//! Each client has a small runtime of its own, which runs on the calling thread while an operation
//! is under way and rests between operations. Threads may share a client: one of them drives the
//! connections for all. It may not be used inside an asynchronous runtime: there, use
//! [`crate::Client`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{self, Runtime};

use crate::builder::Builder;
use crate::call::{self, Operation};
use crate::error::Error;
use crate::protocol::Consistency;
use crate::read_path::{Exists, Get, MultiGet};
use crate::scan::{self, Position, Record};
use crate::write_path::{Delete, Put};

/// A client of a kvcore cluster: a handle that is cheap to clone and may be shared by threads.
///
/// ```no_run
/// let client = kvclient::blocking::Client::connect(kvclient::Client::builder())?;
/// client.put("carts/17", "two apples").send()?;
/// assert!(client.exists("carts/17").send()?);
/// # Ok::<(), kvclient::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    // Dropped before the runtime that its connections live in.
    client: crate::Client,
    runtime: Arc<Runtime>,
}

impl Client {
    /// Connects by the settings of `builder`.
    ///
    /// # Errors
    /// Those of [`Builder::build`].
    pub fn connect(builder: Builder) -> Result<Self, Error> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error::invalid(format!("no runtime can be made: {error}")))?;
        let client = runtime.block_on(builder.build())?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// Reads a key's value.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Call<'_, Get> {
        self.call(self.client.get(key))
    }

    /// Asks whether a key has a value.
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Call<'_, Exists> {
        self.call(self.client.exists(key))
    }

    /// Reads the values of several keys; each may fail alone. The outcomes are in the order of the
    /// keys.
    pub fn multi_get<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Call<'_, MultiGet> {
        self.call(self.client.multi_get(keys))
    }

    /// Writes a key's value.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Call<'_, Put> {
        self.call(self.client.put(key, value))
    }

    /// Deletes a key, whether it has a value or not.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Call<'_, Delete> {
        self.call(self.client.delete(key))
    }

    /// Reads all records of the namespace, a page at a time.
    pub fn scan(&self) -> Scan<'_> {
        Scan { runtime: &self.runtime, scan: self.client.scan() }
    }

    fn call<O>(&self, call: call::Call<O>) -> Call<'_, O> {
        Call { runtime: &self.runtime, call }
    }
}

/// An operation to be sent. Nothing happens before [`Call::send`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before it is sent"]
pub struct Call<'a, O> {
    runtime: &'a Runtime,
    call: call::Call<O>,
}

impl<O: Operation> Call<'_, O> {
    /// Replicas that must answer, instead of the client's setting.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.call = self.call.consistency(consistency);
        self
    }

    /// Time for all of it, retries included, instead of the client's setting.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.call = self.call.deadline(deadline);
        self
    }

    /// Does it, and waits for the outcome, at most until the deadline.
    ///
    /// # Errors
    /// See [`Error`]; of a write, [`Error::applied`] tells whether it was applied all the same.
    pub fn send(self) -> Result<O::Output, Error> {
        self.runtime.block_on(self.call.send())
    }
}

impl Call<'_, Put> {
    /// The value is gone after `ttl`, in milliseconds, rounded up. Without it, or with zero, it
    /// stays.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.call = self.call.ttl(ttl);
        self
    }
}

/// A walk over all records; an iterator of pages.
#[derive(Clone, Debug)]
#[must_use = "nothing is read before a page is asked for"]
pub struct Scan<'a> {
    runtime: &'a Runtime,
    scan: scan::Scan,
}

impl Scan<'_> {
    /// Leaves the values where they are.
    pub fn keys_only(mut self) -> Self {
        self.scan = self.scan.keys_only();
        self
    }

    /// At most so many records a page; the server's limit at most, 1 at least.
    pub fn page_records(mut self, records_max: usize) -> Self {
        self.scan = self.scan.page_records(records_max);
        self
    }

    /// Goes on where another scan was.
    pub fn from(mut self, position: Position) -> Self {
        self.scan = self.scan.from(position);
        self
    }

    /// Where the next page starts; `None` after the last.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.scan.position()
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Vec<Record>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.block_on(self.scan.next_page()).transpose()
    }
}

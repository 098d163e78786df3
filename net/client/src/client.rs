//! The asynchronous client.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::builder::Builder;
use crate::call::{Call, CallOptions};
use crate::error::Error;
use crate::limits::{REFRESH_TIMEOUT, ROUTE_INTERVAL};
use crate::links::Links;
use crate::protocol::{Applied, Token};
use crate::read_path::{Exists, Get, MultiGet};
use crate::request::{Answer, Request};
use crate::retry::{self, Budget, Effect};
use crate::routing::Route;
use crate::scan::Scan;
use crate::session::Session;
use crate::write_path::{Delete, Put};

/// A client of a kvcore cluster: a handle that is cheap to clone and may be shared by threads and
/// tasks.
///
/// It keeps one connection to each core of each node it talks to, sends each request to a core
/// that owns its key, and follows the ring as it changes. It lives in the tokio runtime it was
/// built in; its connections close when the last clone is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), kvclient::Error> {
/// let client = kvclient::Client::builder().seeds(["127.0.0.1:7400"]).build().await?;
/// client.put("carts/17", "two apples").send().await?;
/// let cart = client.get("carts/17").send().await?.expect("it was just put");
/// assert_eq!(cart.value, "two apples");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Arc<Session>,
    links: Links,
    options: CallOptions,
    budget: Budget,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The task that keeps the route ends when it finds that nobody is left.
        self.session.route_is_old.notify_one();
    }
}

impl Client {
    /// Settings of a client to be built.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Reads a key's value.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Call<Get> {
        Call::new(self, Get { key: Bytes::copy_from_slice(key.as_ref()) })
    }

    /// Asks whether a key has a value.
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Call<Exists> {
        Call::new(self, Exists { key: Bytes::copy_from_slice(key.as_ref()) })
    }

    /// Reads the values of several keys; each may fail alone. The outcomes are in the order of the
    /// keys.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Call<MultiGet> {
        let copied = keys.into_iter().map(|key| Bytes::copy_from_slice(key.as_ref()));
        Call::new(self, MultiGet { keys: copied.collect() })
    }

    /// Writes a key's value.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Call<Put> {
        let key = Bytes::copy_from_slice(key.as_ref());
        Call::new(self, Put { key, value: value.into(), ttl: Duration::ZERO })
    }

    /// Deletes a key, whether it has a value or not.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Call<Delete> {
        Call::new(self, Delete { key: Bytes::copy_from_slice(key.as_ref()) })
    }

    /// Reads all records of the namespace, a page at a time.
    pub fn scan(&self) -> Scan {
        Scan::new(self)
    }

    /// Who holds what, as far as this client knows.
    #[must_use]
    pub fn route(&self) -> Arc<Route> {
        self.inner.links.route()
    }

    pub(crate) fn new(session: Arc<Session>, links: Links, options: CallOptions) -> Self {
        let inner = Arc::new(Inner { session, links, options, budget: Budget::full() });
        tokio::spawn(keep_route(Arc::downgrade(&inner), Arc::clone(&inner.session)));
        Self { inner }
    }

    pub(crate) fn options(&self) -> CallOptions {
        self.inner.options
    }

    pub(crate) fn token(&self, key: &[u8]) -> Token {
        self.inner.links.route().token(key)
    }

    /// Makes attempts until one succeeds, until no other is worth making, or until the deadline.
    /// Each goes to the next of the key's owners.
    pub(crate) async fn request(
        &self,
        token: Token,
        effect: Effect,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let Inner { links, budget, .. } = &*self.inner;
        budget.earn();
        let mut attempts = 0;
        loop {
            let (link, shard) = links.owner(token, attempts);
            let error = match link.call(request.clone(), shard, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempts += 1;
            let remaining = deadline.saturating_duration_since(Instant::now());
            let chance = fastrand::u32(..);
            match retry::delay(effect, attempts, &error, remaining, chance, budget) {
                Some(delay) => sleep(delay).await,
                None => return Err(error),
            }
        }
    }
}

/// Asks for the route whenever somebody saw that it is old, until the client is gone. Errors are
/// not told: the next operation that meets the old route asks again.
async fn keep_route(client: Weak<Inner>, session: Arc<Session>) {
    let mut failures = 0;
    loop {
        session.route_is_old.notified().await;
        let Some(inner) = client.upgrade() else { return };
        match inner.links.refresh(Instant::now() + REFRESH_TIMEOUT).await {
            Ok(()) => failures = 0,
            Err(_) => failures += 1,
        }
        drop(inner);
        sleep(ROUTE_INTERVAL.max(retry::reconnect_delay(failures, fastrand::u32(..)))).await;
    }
}

/// No seed answered; what each of them said.
pub(crate) fn no_seed(failures: &[(String, Error)]) -> Error {
    let said: Vec<String> = failures.iter().map(|(_, error)| error.to_string()).collect();
    // Somebody who answered and refused says more than those who did not answer.
    let refused = failures.iter().find(|(_, error)| !error.is_retryable());
    match refused {
        Some((seed, error)) => error.clone().at(seed),
        None => Error::unavailable(
            Applied::No,
            format!("no server of the cluster can be reached: {}", said.join("; ")),
        ),
    }
}

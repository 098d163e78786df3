//! The builder that every operation starts as.

use std::future::Future;
use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::limits::DEADLINE_MAX;
use crate::protocol::Consistency;

/// An operation to be sent: what it is, and how. Nothing happens before [`Call::send`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before it is sent"]
pub struct Call<O> {
    pub(crate) client: Client,
    pub(crate) options: CallOptions,
    pub(crate) operation: O,
}

/// How one operation is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallOptions {
    /// Replicas that must answer.
    pub consistency: Consistency,
    /// Time for all of it, retries included.
    pub deadline: Duration,
}

impl<O> Call<O> {
    pub(crate) fn new(client: &Client, operation: O) -> Self {
        Self { client: client.clone(), options: client.options(), operation }
    }

    /// Replicas that must answer, instead of the client's setting.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.options.consistency = consistency;
        self
    }

    /// Time for all of it, retries included, instead of the client's setting; at most an hour.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = deadline.min(DEADLINE_MAX);
        self
    }
}

impl<O: Operation> Call<O> {
    /// Does it, and waits for the outcome, at most until the deadline.
    ///
    /// # Errors
    /// See [`Error`]; of a write, [`Error::applied`] tells whether it was applied all the same.
    pub async fn send(self) -> Result<O::Output, Error> {
        self.operation.run(&self.client, self.options).await
    }
}

/// Something a client can do: `Get`, `Exists`, `MultiGet`, `Put`, `Delete`. Not to be implemented
/// elsewhere.
pub trait Operation: sealed::Sealed {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run(
        self,
        client: &Client,
        options: CallOptions,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

pub(crate) mod sealed {
    /// Only this crate has operations.
    pub trait Sealed {}
}

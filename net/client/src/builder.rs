//! Settings of a client, checked before it connects.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::call::CallOptions;
use crate::client::Client;
use crate::error::Error;
use crate::limits::{DEADLINE_DEFAULT, DEADLINE_MAX};
use crate::links::Links;
use crate::protocol::{Consistency, limits::NAME_BYTES_MAX};
use crate::session::Session;

/// The seed of clients that name none and have no `KVCORE_SEEDS` in their environment.
pub const SEED_DEFAULT: &str = "127.0.0.1:7400";

/// The environment variable that names seeds: `host:port`, separated by commas.
pub const SEEDS_VARIABLE: &str = "KVCORE_SEEDS";

/// Settings of a client: [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before it is built"]
pub struct Builder {
    seeds: Vec<String>,
    cluster_name: String,
    client_name: String,
    namespace: String,
    options: CallOptions,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            seeds: Vec::new(),
            cluster_name: String::new(),
            client_name: concat!("kvclient ", env!("CARGO_PKG_VERSION")).to_owned(),
            namespace: String::new(),
            options: CallOptions { consistency: Consistency::Default, deadline: DEADLINE_DEFAULT },
        }
    }

    /// Servers to ask for the others, `host:port` each. Without any, those of the environment
    /// variable `KVCORE_SEEDS`, and without that `127.0.0.1:7400`.
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds.extend(seeds.into_iter().map(Into::into));
        self
    }

    /// The cluster that the seeds must be of; without it, any.
    pub fn cluster_name(mut self, name: impl Into<String>) -> Self {
        self.cluster_name = name.into();
        self
    }

    /// A name for the servers' logs and statistics.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    /// The namespace of all keys; without it, `default`.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = name.into();
        self
    }

    /// Replicas that must answer, where an operation does not say otherwise; without it, what the
    /// namespace says.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.options.consistency = consistency;
        self
    }

    /// Time for each operation, retries included, where it does not say otherwise; at most an
    /// hour. Without it, 5 seconds.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = deadline.min(DEADLINE_MAX);
        self
    }

    /// Connects to the first seed that answers, and learns the ring from it. To be called in a
    /// tokio runtime with time and I/O.
    ///
    /// # Errors
    /// `Invalid` for settings that break a rule, `WrongServer` where the seeds are of another
    /// cluster or version, `Unavailable` where none answers before the deadline.
    pub async fn build(self) -> Result<Client, Error> {
        let seeds = self.resolved_seeds(std::env::var(SEEDS_VARIABLE).ok())?;
        for (what, name) in [
            ("cluster name", &self.cluster_name),
            ("client name", &self.client_name),
            ("namespace", &self.namespace),
        ] {
            if name.len() > NAME_BYTES_MAX {
                let text = format!("the {what} has {} bytes, at most {NAME_BYTES_MAX}", name.len());
                return Err(Error::invalid(text));
            }
        }
        let Self { cluster_name, client_name, namespace, options, .. } = self;
        let session = Arc::new(Session::new(cluster_name, client_name, namespace));
        let deadline = Instant::now() + options.deadline;
        let links = Links::connect(Arc::clone(&session), seeds, deadline).await?;
        Ok(Client::new(session, links, options))
    }

    fn resolved_seeds(&self, variable: Option<String>) -> Result<Vec<String>, Error> {
        let named = match variable {
            _ if !self.seeds.is_empty() => self.seeds.clone(),
            Some(text) if !text.trim().is_empty() => split(&text),
            _ => vec![SEED_DEFAULT.to_owned()],
        };
        for seed in &named {
            let port = seed.rsplit_once(':').and_then(|(host, port)| {
                port.parse::<u16>().ok().filter(|port| *port != 0 && !host.is_empty())
            });
            if port.is_none() {
                return Err(Error::invalid(format!("`{seed}` is no host:port of a server")));
            }
        }
        Ok(named)
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|seed| seed.trim().to_owned()).filter(|seed| !seed.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn seeds_come_from_the_caller_then_the_environment_then_the_default() {
        let variable = || Some(" a:1, b:2 ,".to_owned());
        let named = Client::builder().seeds(["c:3"]);
        assert_eq!(named.resolved_seeds(variable()).unwrap(), ["c:3"]);
        let plain = Client::builder();
        assert_eq!(plain.resolved_seeds(variable()).unwrap(), ["a:1", "b:2"]);
        assert_eq!(plain.resolved_seeds(None).unwrap(), [SEED_DEFAULT]);
        assert_eq!(plain.resolved_seeds(Some(" ".to_owned())).unwrap(), [SEED_DEFAULT]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for seed in ["", "host", ":7400", "host:", "host:0", "host:99999", "host:x"] {
            let error = Client::builder().seeds([seed]).resolved_seeds(None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{seed}");
        }
        for seed in ["host:1", "[::1]:7400", "10.0.0.1:65535"] {
            assert!(Client::builder().seeds([seed]).resolved_seeds(None).is_ok(), "{seed}");
        }
    }
}

//! One connection as the generator's driver sees it: requests by number in, answers by number out.
//!
//! The protocol is `kvclient`'s sans-IO core, the same that applications use. Here its slots are
//! matched with the generator's ids, and its replies reduced to what a benchmark asks of them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use kvclient::protocol::{
    Connection, Consistency, ErrorReply, Event, Get, Hello, Hlc, Put, Reply, RequestOptions,
    SendError, ServerInfo, ShardId,
};
use kvclient::routing::Route;

use crate::generator::{Answer, Failure, Nanos, Request};
use crate::limits::CONNECT_TIMEOUT;
use crate::workload::key;

/// What all requests of a run have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Replicas that must answer.
    pub consistency: Consistency,
    /// Milliseconds that written values live; 0 for ever.
    pub ttl_ms: u64,
    /// Microseconds until the server may give a request up; 0 for never.
    pub deadline_us: u32,
}

/// What came of bytes that were received.
#[derive(Debug)]
pub enum Heard<'a> {
    /// Request `id` was answered.
    Answer {
        /// The generator's id.
        id: u64,
        /// The answer.
        answer: Answer<'a>,
    },
    /// The server takes no new requests on this connection.
    Closing,
    /// Nothing that a benchmark cares for.
    Nothing,
    /// The connection is of no further use.
    Broken(Failure),
}

/// One connection's protocol.
#[derive(Debug)]
pub struct Wire {
    connection: Connection,
    /// The generator's id of the request in each of the connection's slots.
    ids: Vec<u64>,
    server: ServerInfo,
    terms: Terms,
}

impl Wire {
    /// Connects to `address` and does the handshake. Blocking, a few seconds at most.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn connect(
        address: SocketAddr,
        namespace: &str,
        wanted_shard: Option<ShardId>,
        terms: Terms,
    ) -> anyhow::Result<(TcpStream, Self)> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        let hello = Hello {
            client_name: concat!("kvbench ", env!("CARGO_PKG_VERSION")).to_owned(),
            wanted_shard,
            namespace: namespace.to_owned(),
            ..Hello::default()
        };
        let mut out = Vec::new();
        let mut connection = Connection::new(hello, &mut out);
        wait_for(&mut stream, &mut connection, &out, |event| match event {
            Event::Ready => Some(Ok(())),
            Event::Refused(refusal) => Some(Err(sentence(&refusal))),
            _ => None,
        })
        .with_context(|| format!("no handshake with {address}"))?;
        let server = connection.server().expect("known once the handshake is done").clone();
        Ok((stream, Self { connection, ids: Vec::new(), server, terms }))
    }

    /// Connects, as [`Wire::connect`], to the first of `seeds` that answers.
    ///
    /// # Errors
    /// A sentence for a person: of the last that did not.
    pub fn find(
        seeds: &[String],
        namespace: &str,
        terms: Terms,
    ) -> anyhow::Result<(SocketAddr, TcpStream, Self)> {
        let mut last = anyhow!("no seed was given");
        for seed in seeds {
            let addresses = match seed.to_socket_addrs() {
                Ok(addresses) => addresses,
                Err(error) => {
                    last = anyhow!(error).context(format!("{seed} is no address"));
                    continue;
                }
            };
            for address in addresses {
                match Self::connect(address, namespace, None, terms) {
                    Ok((stream, wire)) => return Ok((address, stream, wire)),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    /// Asks the server who owns what. Blocking, while nothing else is in flight.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn route(&mut self, stream: &mut TcpStream) -> anyhow::Result<Route> {
        let mut out = Vec::new();
        self.connection.route(RequestOptions::default(), &mut out)?;
        let mut table = None;
        wait_for(stream, &mut self.connection, &out, |event| match event {
            Event::Reply { reply: Reply::Route(route), .. } => {
                table = Some(*route);
                Some(Ok(()))
            }
            Event::Reply { reply: Reply::Error(refusal), .. } => Some(Err(sentence(&refusal))),
            _ => None,
        })
        .context("the server did not tell its route")?;
        let table = table.expect("set where the wait ended well");
        Ok(Route::new(table, self.server.ring_seed, &stream.peer_addr()?.to_string()))
    }

    /// What the server said of itself.
    #[must_use]
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }

    /// Whether the server takes `pipeline` requests in flight on this connection.
    ///
    /// # Errors
    /// A sentence for a person, if it does not.
    pub fn takes_in_flight(&self, pipeline: usize) -> anyhow::Result<()> {
        let most = self.connection.slots_max();
        if pipeline > most {
            bail!("the server takes at most {most} requests in flight a connection");
        }
        Ok(())
    }

    /// Appends `request` to `out`; `value` is what it writes, if it does.
    ///
    /// # Errors
    /// The connection takes no more requests.
    #[inline]
    pub fn send(
        &mut self,
        request: &Request,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let Terms { consistency, ttl_ms, deadline_us } = self.terms;
        let options = RequestOptions { deadline_us, ..RequestOptions::default() };
        let key = key::key(request.key);
        let namespace = self.server.namespace;
        let slot = if request.write {
            let put = Put {
                namespace,
                key: &key,
                context: &[],
                value,
                ttl_ms,
                consistency,
                hlc_seen: Hlc::default(),
            };
            self.connection.put(options, &put, out)?
        } else {
            let get = Get {
                namespace,
                key: &key,
                consistency,
                hlc_seen: Hlc::default(),
                key_only: false,
            };
            self.connection.get(options, &get, out)?
        };
        if slot.index() >= self.ids.len() {
            self.ids.resize(slot.index() + 1, 0);
        }
        self.ids[slot.index()] = request.id;
        Ok(())
    }

    /// What `input` says next; it moves past what was taken. `None` once it is used up.
    #[inline]
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Heard<'a>> {
        let Self { connection, ids, .. } = self;
        match connection.next(input) {
            Ok(Some(Event::Reply { slot, reply, .. })) => Some(match answer(reply) {
                Some(answer) => Heard::Answer { id: ids[slot.index()], answer },
                None => Heard::Broken(Failure::ProtocolBroken),
            }),
            Ok(Some(Event::Draining { .. })) => Some(Heard::Closing),
            Ok(Some(Event::Refused(refusal))) => {
                Some(Heard::Broken(Failure::Refused(refusal.code)))
            }
            Ok(Some(Event::RingChanged { .. } | Event::Ignored | Event::Ready)) => {
                Some(Heard::Nothing)
            }
            Ok(None) => None,
            Err(_) => Some(Heard::Broken(Failure::ProtocolBroken)),
        }
    }
}

#[inline]
fn answer(reply: Reply<'_>) -> Option<Answer<'_>> {
    match reply {
        Reply::Get(get) if get.found => Some(Answer::Value(get.value)),
        Reply::Get(_) => Some(Answer::Absent),
        Reply::Put(_) => Some(Answer::Done),
        Reply::Error(refusal) => {
            let retry_after = Nanos::from(refusal.retry_after_us) * 1_000;
            Some(Answer::Refused {
                failure: Failure::Refused(refusal.code),
                retry_after: refusal.retryable.then_some(retry_after),
            })
        }
        _ => None,
    }
}

/// Sends `out` and receives until `on_event` says how it ended.
fn wait_for(
    stream: &mut TcpStream,
    connection: &mut Connection,
    out: &[u8],
    mut on_event: impl FnMut(Event<'_>) -> Option<Result<(), String>>,
) -> anyhow::Result<()> {
    stream.write_all(out)?;
    let mut buffer = vec![0; 16 << 10];
    let mut ended = None;
    let started = Instant::now();
    while ended.is_none() {
        if started.elapsed() > CONNECT_TIMEOUT {
            bail!("the server did not answer within {} s", CONNECT_TIMEOUT.as_secs());
        }
        let received = match stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("the server did not answer within {} s", CONNECT_TIMEOUT.as_secs())
            }
            received => received?,
        };
        let mut input = &buffer[..received];
        while let Some(event) = connection.next(&mut input)? {
            ended = ended.or(on_event(event));
        }
    }
    match ended {
        Some(Err(refusal)) => bail!("the server refused: {refusal}"),
        _ => Ok(()),
    }
}

fn sentence(refusal: &ErrorReply) -> String {
    match (&refusal.detail, refusal.status()) {
        (Some(detail), _) if !detail.text.is_empty() => detail.text.clone(),
        (_, Some(status)) => status.to_string(),
        _ => format!("status {}", refusal.code),
    }
}

//! The connections of a verification, on one thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kvclient::protocol::ShardId;

use super::findings::Findings;
use super::survey::Survey;
use crate::generator::{Failure, Nanos};
use crate::ledger::Ledger;
use crate::limits::VALUE_BYTES_MAX;
use crate::ring::{Event, Ring};
use crate::wire::{Heard, Terms, Wire};
use crate::workload::{HEADER_BYTES, ValueBytes, Values};

/// How often an idle reader looks up: for its patience, and for Ctrl-C.
const TICK: Nanos = 50_000_000;

/// How a server is read.
#[derive(Clone, PartialEq, Debug)]
pub struct VerifySpec {
    /// `host:port`s to find it by; the first that answers is used.
    pub seeds: Vec<String>,
    /// The namespace.
    pub namespace: String,
    /// Consistency and deadline.
    pub terms: Terms,
    /// Connections.
    pub connections: usize,
    /// Reads in flight on each.
    pub pipeline: usize,
    /// How long nothing may be heard before the rest counts as unreadable.
    pub patience: Duration,
}

/// Reads every key of `ledger`, calling `on_second` once a second with the seconds and what was
/// found so far. Gives what was found, and the ledger narrowed to what was seen.
///
/// # Errors
/// A sentence for a person: no server, not enough connections, interrupted by `stop`.
pub fn verify(
    spec: &VerifySpec,
    ledger: &Ledger,
    stop: &AtomicBool,
    mut on_second: impl FnMut(u64, &Findings),
) -> anyhow::Result<(Findings, Ledger)> {
    let bytes = ValueBytes::new(HEADER_BYTES, VALUE_BYTES_MAX).expect("within the limit");
    let mut reader = Reader {
        survey: Survey::new(ledger, Values::new(bytes), spec.connections, spec.pipeline),
        ring: Ring::new(spec.connections)
            .context("no io_uring: kvbench needs Linux 6.1 or newer, and permission")?,
        wires: Vec::with_capacity(spec.connections),
        origin: Instant::now(),
    };
    reader.connect(spec)?;
    let patience = spec.patience.as_nanos() as Nanos;
    let (mut heard, mut second) = (reader.now(), 1);
    while !reader.survey.is_over() {
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let now = reader.now();
        if now >= heard + patience {
            return Ok(reader.survey.finish(Failure::NoReply));
        }
        reader.ask(now);
        let deadline = reader.survey.deadline().unwrap_or(Nanos::MAX);
        let wait = Duration::from_nanos(deadline.saturating_sub(now).min(TICK));
        reader.ring.turn(Some(wait))?;
        let now = reader.now();
        if reader.hear(now)? {
            heard = now;
        }
        if now / 1_000_000_000 >= second {
            on_second(second, reader.survey.findings());
            second += 1;
        }
    }
    Ok(reader.survey.finish(Failure::ConnectionLost))
}

struct Reader<'a> {
    survey: Survey<'a>,
    ring: Ring,
    wires: Vec<Wire>,
    origin: Instant,
}

impl Reader<'_> {
    fn connect(&mut self, spec: &VerifySpec) -> anyhow::Result<()> {
        let (address, stream, wire) = Wire::find(&spec.seeds, &spec.namespace, spec.terms)?;
        wire.takes_in_flight(spec.pipeline)?;
        let shards = usize::from(wire.server().shards);
        drop(stream);
        for number in 0..spec.connections {
            let wanted = ShardId((number % shards) as u16);
            let (stream, wire) = Wire::connect(address, &spec.namespace, Some(wanted), spec.terms)?;
            self.ring.add(stream)?;
            self.wires.push(wire);
        }
        Ok(())
    }

    fn now(&self) -> Nanos {
        self.origin.elapsed().as_nanos() as Nanos
    }

    /// Writes all reads that may go out at `now`.
    fn ask(&mut self, now: Nanos) {
        while let Some(request) = self.survey.next(now) {
            let out = self.ring.out(request.connection);
            if self.wires[request.connection].send(&request, &[], out).is_err() {
                self.ring.close(request.connection);
                self.survey.disconnected(now, request.connection, Failure::ConnectionClosing);
            }
        }
    }

    /// Takes in all that happened at `now`; whether anything had.
    fn hear(&mut self, now: Nanos) -> std::io::Result<bool> {
        let mut any = false;
        while let Some(event) = self.ring.event()? {
            any = true;
            let lost = match event {
                Event::Received { socket, bytes } => {
                    let (wire, survey) = (&mut self.wires[socket], &mut self.survey);
                    take(wire, survey, now, socket, bytes).err().map(|why| (socket, why))
                }
                Event::Closed { socket, .. } => Some((socket, Failure::ConnectionLost)),
            };
            if let Some((socket, failure)) = lost {
                self.ring.close(socket);
                self.survey.disconnected(now, socket, failure);
            }
        }
        Ok(any)
    }
}

/// Takes in what was received on a connection.
fn take(
    wire: &mut Wire,
    survey: &mut Survey<'_>,
    now: Nanos,
    connection: usize,
    mut bytes: &[u8],
) -> Result<(), Failure> {
    while let Some(heard) = wire.next(&mut bytes) {
        match heard {
            Heard::Answer { id, answer } => {
                survey.reply(now, connection, id, answer).map_err(|_| Failure::ProtocolBroken)?
            }
            Heard::Closing => survey.retire(connection),
            Heard::Nothing => {}
            Heard::Broken(failure) => return Err(failure),
        }
    }
    Ok(())
}

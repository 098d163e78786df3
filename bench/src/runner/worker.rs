//! One generator thread: the ring's events to the generator, the generator's requests to the ring.
//!
//! The clock is read twice a turn and once for every receive, never for each operation. A reply
//! ended when its turn's completions were collected; a request was sent when it was written, which
//! is before the kernel has it. So a latency is never understated, and overstated by at most the
//! rest of the turn.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::conductor::Message;
use crate::generator::{Failure, Generator, Nanos, Tally};
use crate::ledger::Account;
use crate::ring::{Event, Ring};
use crate::wire::{Heard, Wire};
use crate::workload::Values;

const SECOND: Nanos = 1_000_000_000;

/// How often an idle thread looks up: for the end of the run, and for Ctrl-C.
const TICK: Nanos = 50_000_000;

/// A wait shorter than this is spun: a sleep ends some tens of microseconds late.
const SPIN: Nanos = 100_000;

/// What a thread leaves behind.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) tally: Tally,
    pub(super) ended: Nanos,
    /// Time with nothing to do, of a run with a schedule.
    pub(super) idle: Nanos,
    /// What became of the writes, where a ledger is kept.
    pub(super) account: Option<Account>,
}

pub(super) struct Worker<'a> {
    pub(super) ring: Ring,
    pub(super) wires: Vec<Wire>,
    pub(super) generator: Generator,
    pub(super) values: Values,
    /// Whether a lane has a schedule: then idle time is told apart from sending.
    pub(super) open_loop: bool,
    pub(super) origin: Instant,
    pub(super) until: Nanos,
    pub(super) patience: Nanos,
    pub(super) stop: &'a AtomicBool,
    pub(super) messages: &'a Sender<Message>,
}

impl Worker<'_> {
    /// Runs until all is done, the patience is over, or no connection is left.
    pub(super) fn run(mut self) -> io::Result<Left> {
        let mut now = self.now();
        let (mut idle, mut stopped, mut second) = (0, false, SECOND);
        let mut value = Vec::new();
        let mut quiet = false;
        loop {
            self.issue(now, &mut value);
            if !stopped && (now >= self.until || self.stop.load(Ordering::Relaxed)) {
                stopped = true;
                self.until = self.until.min(now);
                self.generator.stop(now);
            }
            if self.generator.is_done(now) || now >= self.until.saturating_add(self.patience) {
                break;
            }
            // With a schedule, only a turn with nothing to send and nothing just received waits,
            // so that waiting is told apart from working.
            let waits = !self.open_loop || (quiet && !self.ring.has_output());
            let wait = if waits { self.wait(now) } else { None };
            self.ring.turn(wait)?;
            let reaped = self.now();
            if self.open_loop && waits {
                idle += reaped - now;
            }
            quiet = !self.handle(reaped, &mut value)?;
            now = self.now();
            if now >= second {
                second += SECOND;
                // A main thread that is gone has its own reasons.
                let _ = self.messages.send(Message::Second(self.generator.snapshot()));
            }
        }
        let account = self.generator.close_account();
        Ok(Left { tally: self.generator.finish(now), ended: now, idle, account })
    }

    #[inline]
    fn now(&self) -> Nanos {
        self.origin.elapsed().as_nanos() as Nanos
    }

    /// How long a turn with nothing else to do waits; `None` for spinning.
    fn wait(&self, now: Nanos) -> Option<Duration> {
        let end = if now < self.until { self.until } else { Nanos::MAX };
        let deadline = self.generator.deadline(now).unwrap_or(Nanos::MAX);
        let wait = deadline.min(end).saturating_sub(now).min(TICK);
        if self.open_loop {
            (wait > SPIN).then(|| Duration::from_nanos(wait - SPIN))
        } else {
            Some(Duration::from_nanos(wait))
        }
    }

    /// Takes in all that happened; whether anything had.
    fn handle(&mut self, reaped: Nanos, value: &mut Vec<u8>) -> io::Result<bool> {
        let mut any = false;
        while let Some(event) = self.ring.event()? {
            any = true;
            let lost = match event {
                Event::Received { socket, bytes } => {
                    let (wire, generator) = (&mut self.wires[socket], &mut self.generator);
                    hear(wire, generator, reaped, socket, bytes).err().map(|why| (socket, why))
                }
                Event::Closed { socket, .. } => Some((socket, Failure::ConnectionLost)),
            };
            if let Some((socket, failure)) = lost {
                self.ring.close(socket);
                self.generator.disconnected(reaped, socket, failure);
            }
            let now = self.now();
            self.issue(now, value);
        }
        Ok(any)
    }

    /// Writes all requests that may go out at `now`.
    fn issue(&mut self, now: Nanos, value: &mut Vec<u8>) {
        while let Some(request) = self.generator.next(now) {
            value.clear();
            if request.write {
                self.values.append(request.key, request.sequence, value);
            }
            let out = self.ring.out(request.connection);
            if self.wires[request.connection].send(&request, value, out).is_err() {
                self.ring.close(request.connection);
                let failure = Failure::ConnectionClosing;
                self.generator.disconnected(now, request.connection, failure);
            }
        }
    }
}

/// Takes in what was received on a connection.
#[inline]
fn hear(
    wire: &mut Wire,
    generator: &mut Generator,
    now: Nanos,
    connection: usize,
    mut bytes: &[u8],
) -> Result<(), Failure> {
    while let Some(heard) = wire.next(&mut bytes) {
        match heard {
            Heard::Answer { id, answer } => {
                generator.reply(now, connection, id, answer).map_err(|_| Failure::ProtocolBroken)?
            }
            Heard::Closing => generator.retire(now, connection),
            Heard::Nothing => {}
            Heard::Broken(failure) => return Err(failure),
        }
    }
    Ok(())
}

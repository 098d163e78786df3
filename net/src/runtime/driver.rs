//! One core's round: what came in is answered, what has ended goes out.
//!
//! ```text
//! enter the ring -> events -> messages of other cores -> commands -> service -> settle -> publish
//! ```
//!
//! Runs to completion and never waits. All requests that came in together are answered together:
//! one clock reading, one submission, and one send for each connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;

use engine::env::ring::{Event, ListenerId, Ring};
use engine::store::Failure;
use schemas::handshake::ServerIdentity;
use schemas::ids::ShardId;

use super::clock::{Clock, Tick};
use super::command::Command;
use crate::limits;
use crate::server::{
    Admission, Connections, CoreStats, Listener, Message, Outbox, Parts, Replies, Service,
};

/// Messages of other cores taken in one round: more wait for the next, after this core's own
/// clients had their turn.
const MESSAGES_A_ROUND: usize = 256;

/// A round takes no more events after so long, in microseconds. A commit of the log takes some
/// six rounds from its request to its reply, since the disk, the kernel's thread that syncs and
/// this core wait for each other; so a round is not as long as what there is to do.
const ROUND_US: u64 = 150;

/// Events between two looks at the clock.
const EVENTS_A_LOOK: u32 = 4;

/// How long a listener that could not accept is left alone, in microseconds.
const ACCEPT_PAUSE_US: u64 = 50_000;

/// Why a core has to end.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The kernel's ring failed.
    #[error("core {}: io_uring failed: {source}", .shard.0)]
    Ring {
        /// Whose.
        shard: ShardId,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store failed: nothing more can be acknowledged.
    #[error("core {}: {failure}", .shard.0)]
    Store {
        /// Whose.
        shard: ShardId,
        /// What it said.
        failure: Failure,
    },
}

/// How far a core is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// Everything is made; nobody can connect yet.
    Waiting,
    Serving,
    /// Ends what is under way, at the latest then.
    Draining {
        until_us: u64,
    },
    /// Has nothing under way, but serves the other cores until none has.
    Drained,
    Done,
}

/// What a core's driver is made of.
pub struct DriverConfig<S: Service> {
    /// The core.
    pub own: ShardId,
    /// Its ring.
    pub ring: Ring,
    /// Its way to the others.
    pub outbox: Outbox<S::Message>,
    /// Commands of the control thread.
    pub commands: Receiver<Command>,
    /// Its listening socket.
    pub listener: Listener,
    /// What it admits.
    pub admission: Admission,
    /// Who the server is.
    pub identity: Arc<ServerIdentity>,
    /// The server's clock.
    pub clock: Clock,
    /// Cores that still have something under way, all of them at first.
    pub undrained: Arc<AtomicUsize>,
    /// What answers its requests.
    pub service: S,
}

/// One core's round.
pub struct Driver<S: Service> {
    own: ShardId,
    ring: Ring,
    outbox: Outbox<S::Message>,
    commands: Receiver<Command>,
    /// One that came just before the core wanted to sleep.
    seen_command: Option<Command>,
    listener: Option<Listener>,
    listening: Option<ListenerId>,
    /// When to accept again, after accepting failed.
    accept_again_us: Option<u64>,
    identity: Arc<ServerIdentity>,
    clock: Clock,
    undrained: Arc<AtomicUsize>,
    service: S,
    connections: Connections,
    stage: Stage,
    /// The time of the last round, if it found work.
    worked_us: Option<u64>,
    ticks: u64,
    parks: u64,
    busy_us: u64,
    stalls: u64,
}

impl<S: Service> Driver<S> {
    /// A driver that waits for [`Command::Serve`].
    #[must_use]
    pub fn new(config: DriverConfig<S>) -> Self {
        let cores = config.outbox.cores();
        let connections =
            Connections::new(config.ring.clone(), config.admission, config.own, cores);
        Self {
            own: config.own,
            ring: config.ring,
            outbox: config.outbox,
            commands: config.commands,
            seen_command: None,
            listener: Some(config.listener),
            listening: None,
            accept_again_us: None,
            identity: config.identity,
            clock: config.clock,
            undrained: config.undrained,
            service: config.service,
            connections,
            stage: Stage::Waiting,
            worked_us: None,
            ticks: 0,
            parks: 0,
            busy_us: 0,
            stalls: 0,
        }
    }

    /// One round; its time, and whether there was anything to do.
    ///
    /// # Errors
    /// The core has to end.
    pub fn round(&mut self) -> Result<(Tick, bool), CoreError> {
        self.ring.enter().map_err(|source| self.ring_error(source))?;
        let tick = self.clock.tick();
        self.last_round_ended(tick);
        let mut worked = false;
        let mut events = 0u32;
        while let Some(event) = self.ring.next_event() {
            worked = true;
            self.event(event, tick);
            events += 1;
            if events.is_multiple_of(EVENTS_A_LOOK) && self.clock.since_us(tick) >= ROUND_US {
                break;
            }
        }
        worked |= self.messages(tick);
        while let Some(command) = self.next_command() {
            worked = true;
            self.command(command, tick);
        }
        let mut replies =
            Replies { own: self.own, connections: &mut self.connections, outbox: &mut self.outbox };
        self.service
            .tick(tick, &mut replies)
            .map_err(|failure| CoreError::Store { shard: self.own, failure })?;
        worked |= !self.connections.is_settled();
        self.with_parts(tick, |connections, parts| connections.settle(parts));
        self.outbox.publish();
        self.progress(tick);
        self.worked_us = worked.then_some(tick.now_us);
        Ok((tick, worked))
    }

    /// Submits what the last round queued, when others are going to run before the next; among
    /// them the kernel's thread that syncs the log.
    ///
    /// # Errors
    /// The core has to end.
    pub fn submit(&self) -> Result<(), CoreError> {
        self.ring.submit().map_err(|source| self.ring_error(source))?;
        if self.ring.needs_worker() {
            thread::yield_now();
        }
        Ok(())
    }

    /// What the last round has answered is on its way now, and what it took is known.
    #[inline]
    fn last_round_ended(&mut self, tick: Tick) {
        self.connections.tick(tick);
        if let Some(worked_us) = self.worked_us {
            let took_us = tick.now_us - worked_us;
            self.ticks += 1;
            self.busy_us += took_us;
            self.stalls += u64::from(took_us > limits::STALL_US);
        }
    }

    /// The error of a ring that failed.
    #[must_use]
    pub fn ring_error(&self, source: io::Error) -> CoreError {
        CoreError::Ring { shard: self.own, source }
    }

    fn with_parts<R>(
        &mut self,
        tick: Tick,
        act: impl FnOnce(&mut Connections, &mut Parts<'_, S>) -> R,
    ) -> R {
        let mut parts = Parts {
            tick,
            own: self.own,
            identity: &self.identity,
            service: &mut self.service,
            outbox: &mut self.outbox,
        };
        act(&mut self.connections, &mut parts)
    }

    #[inline]
    fn event(&mut self, event: Event, tick: Tick) {
        match event {
            Event::Received(id, data) => {
                self.with_parts(tick, |connections, parts| connections.received(id, &data, parts));
            }
            Event::Sent(id, buf, result) => self.connections.sent(id, buf, result),
            Event::Ended(id, result) => self.connections.ended(id, result),
            // One that came in while this core was told to drain is closed.
            Event::Accepted(listener, socket) if self.stage <= Stage::Serving => {
                self.connections.accept(socket, tick);
                self.ring.accept(listener);
            }
            Event::Accepted(..) => {}
            Event::AcceptFailed(_, error) => {
                tracing::warn!(shard = self.own.0, %error, "cannot accept a connection");
                self.accept_again_us = Some(tick.now_us + ACCEPT_PAUSE_US);
            }
        }
    }

    fn messages(&mut self, tick: Tick) -> bool {
        for taken in 0..MESSAGES_A_ROUND {
            let Some((from, message)) = self.outbox.try_recv() else { return taken > 0 };
            match message {
                Message::Service(message) => {
                    let mut replies = Replies {
                        own: self.own,
                        connections: &mut self.connections,
                        outbox: &mut self.outbox,
                    };
                    self.service.message(from, message, tick, &mut replies);
                }
                Message::Reply { origin, frame, transit } => {
                    let mut replies = Replies {
                        own: self.own,
                        connections: &mut self.connections,
                        outbox: &mut self.outbox,
                    };
                    replies.reply_from(from, &origin, &frame);
                    drop(transit);
                }
                // One that comes over while this core drains is closed.
                Message::Connection(handover) if self.stage <= Stage::Serving => {
                    self.with_parts(tick, |connections, parts| {
                        connections.arrive(*handover, parts);
                    });
                }
                Message::Connection(_) => {}
            }
        }
        true
    }

    fn next_command(&mut self) -> Option<Command> {
        self.seen_command.take().or_else(|| self.commands.try_recv().ok())
    }

    fn command(&mut self, command: Command, tick: Tick) {
        match command {
            Command::Serve if self.stage == Stage::Waiting => {
                let listener = self.listener.take().expect("a core is told to serve once");
                self.listening = Some(self.ring.listen(listener.into_socket()));
                self.stage = Stage::Serving;
            }
            Command::Abandon => self.stage = Stage::Done,
            Command::Drain if matches!(self.stage, Stage::Waiting | Stage::Serving) => {
                if let Some(listening) = self.listening.take() {
                    self.ring.stop_listening(listening);
                }
                let grace_us = limits::DRAIN_GRACE.as_micros() as u64;
                self.stage = Stage::Draining { until_us: tick.now_us + grace_us };
                self.connections.drain(grace_us as u32);
            }
            Command::Serve | Command::Drain => {}
            Command::Scrape(reply) => reply(self.stats()),
            Command::Compact => self.service.compact(),
            Command::Snapshot(step, reply) => self.service.snapshot(step, reply),
        }
    }

    fn stats(&self) -> CoreStats {
        CoreStats {
            shard: self.own,
            ticks: self.ticks,
            parks: self.parks,
            busy_us: self.busy_us,
            stalls: self.stalls,
            front: self.connections.stats(),
            answers: self.connections.answer_stats(),
            store: self.service.stats().cloned(),
        }
    }

    /// What only time brings.
    fn progress(&mut self, tick: Tick) {
        if let Some(listening) = self.listening
            && self.accept_again_us.take_if(|at_us| tick.now_us >= *at_us).is_some()
        {
            self.ring.accept(listening);
        }
        if let Stage::Draining { until_us } = self.stage {
            let late = tick.now_us >= until_us;
            if late {
                self.connections.close_all();
            }
            if late || (self.connections.is_empty() && self.service.drained()) {
                self.undrained.fetch_sub(1, Ordering::Relaxed);
                self.stage = Stage::Drained;
            }
        }
        if self.stage == Stage::Drained && self.undrained.load(Ordering::Relaxed) == 0 {
            self.stage = Stage::Done;
        }
    }

    /// Whether the core has drained: on no core is anything under way, and nobody is connected.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether nothing is to be done until something happens outside. Asked when a round found
    /// nothing, and after wakers see this core as parked: what was brought before is seen here.
    pub fn try_park(&mut self) -> bool {
        self.seen_command = self.next_command();
        let idle = self.seen_command.is_none()
            && self.service.idle()
            && self.outbox.is_empty()
            && self.connections.is_settled();
        let parked = idle && self.outbox.port().try_park();
        self.parks += u64::from(parked);
        parked
    }

    /// The core is awake again.
    pub fn unpark(&mut self) {
        self.outbox.port().unpark();
    }

    /// Sees to it that a parked core wakes when the next time limit may have passed.
    pub fn set_timer(&self) {
        let timed = self.connections.timer_us();
        let accept = self.accept_again_us.map(|_| ACCEPT_PAUSE_US);
        let drain = (self.stage > Stage::Serving).then_some(ACCEPT_PAUSE_US);
        if let Some(after_us) = [timed, accept, drain].into_iter().flatten().min() {
            self.ring.set_timer(after_us);
        }
    }

    /// What answered the requests, to be closed.
    pub fn into_service(self) -> S {
        self.service
    }
}

//! The connections of one core: sockets on one side, sessions on the other.
//!
//! What they keep true:
//!
//! - A connection has one buffer that replies are written to, and at most one that is being sent:
//!   all replies of a tick go out in one send.
//! - A connection whose session waits is not received from; one that takes nothing of what it is
//!   sent, or does not finish what it began to say, is closed after a while.
//! - What all of them hold, input and output, is counted, and bounded by [`Admission`].
//! - A connection is closed only after its last answer was sent and, if the server ended it, the
//!   client was given time to read it.
//! - A reply for a connection that is gone is dropped; it never reaches another.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::time::Duration;

use engine::env::ring::{Receive, RecvBuffer, Ring};
use schemas::frame;
use schemas::handshake::ServerIdentity;
use schemas::header::Header;
use schemas::ids::ShardId;
use schemas::kind::Kind;
use schemas::status::Status;

use super::admission::{Admission, Held};
use super::answers::{AnswerStats, Answers};
use super::outbox::{Handover, Message, Outbox};
use super::service::{Context, EPOCH, Origin, Service, SocketId};
use super::session::{Input, Next, Session};
use super::stats::FrontStats;
use crate::limits;
use crate::runtime::Tick;

/// How often connections are looked at for time limits, in microseconds.
const SWEEP_US: u64 = 250_000;

/// Output buffers kept for reuse, and the most bytes of each.
const SPARE_BUFFERS: usize = 256;
const SPARE_BUFFER_BYTES: usize = 64 << 10;

/// Connections past the limit that may be told so at once; more are closed without a word.
const REFUSALS_MAX: usize = 64;

/// What the connections are given with what happens on them.
pub struct Parts<'a, S: Service> {
    /// The time of this tick.
    pub tick: Tick,
    /// The core.
    pub own: ShardId,
    /// Who the server is.
    pub identity: &'a ServerIdentity,
    /// Answers the requests.
    pub service: &'a mut S,
    /// The way to other cores.
    pub outbox: &'a mut Outbox<S::Message>,
}

/// How a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Serving,
    /// Ends when everything was answered and sent.
    Ending,
    /// Was told the end; goes on until the client has seen it, or this time.
    Lingering {
        until_us: u64,
    },
}

struct Connection {
    id: SocketId,
    session: Session,
    fate: Fate,
    /// Replies that were not sent yet.
    out: Vec<u8>,
    /// Bytes that are being sent; 0 for none.
    sending: usize,
    /// How many of them the client was seen to have taken.
    sent: usize,
    /// When that began, or more was taken.
    sending_since_us: u64,
    /// When the connection was made.
    made_us: u64,
    /// Where it goes if it asks for no core.
    default_core: ShardId,
    /// How it is received from at the moment.
    receiving: Option<Receive>,
    /// The session takes no input.
    waiting: bool,
    /// Nothing more will come in.
    ended: bool,
    /// Whether it is counted among those to be settled.
    dirty: bool,
    /// Whether it is counted as one the core has admitted.
    admitted: bool,
    /// What it is counted to hold.
    held: Held,
}

/// The connections of one core.
pub struct Connections {
    ring: Ring,
    own: ShardId,
    cores: u16,
    /// The core for the next connection that asks for none: each in turn.
    next_default: u16,
    table: Vec<Option<Box<Connection>>>,
    dirty: Vec<SocketId>,
    spare: Vec<Vec<u8>>,
    admission: Admission,
    refusals: usize,
    /// Whether any connection may be within a time limit.
    timed: bool,
    next_sweep_us: u64,
    stats: FrontStats,
    answers: Answers,
}

impl Connections {
    /// None yet, on the `ring` of core `own` of `cores`.
    #[must_use]
    pub fn new(ring: Ring, admission: Admission, own: ShardId, cores: u16) -> Self {
        Self {
            ring,
            own,
            cores,
            next_default: own.0,
            table: Vec::new(),
            dirty: Vec::new(),
            spare: Vec::new(),
            admission,
            refusals: 0,
            timed: false,
            next_sweep_us: 0,
            stats: FrontStats::default(),
            answers: Answers::default(),
        }
    }

    /// A tick begins: what was answered in the one before has gone out.
    #[inline]
    pub fn tick(&mut self, tick: Tick) {
        self.answers.tick(tick.now_us);
    }

    /// What the core has taken on.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What happened on them so far.
    #[must_use]
    pub fn stats(&self) -> FrontStats {
        FrontStats {
            connections: self.admission.connections() as u64,
            in_flight: self.admission.in_flight() as u64,
            ..self.stats
        }
    }

    /// What was answered on them before this tick.
    #[must_use]
    pub fn answer_stats(&self) -> AnswerStats {
        self.answers.stats()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.admission.connections() == 0 && self.refusals == 0
    }

    /// Whether replies wait to be sent.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.dirty.is_empty()
    }

    /// In how many microseconds the core has to look at time limits; `None` if there are none.
    #[must_use]
    pub fn timer_us(&self) -> Option<u64> {
        self.timed.then_some(SWEEP_US)
    }

    /// A client connected.
    pub fn accept(&mut self, socket: OwnedFd, tick: Tick) {
        self.stats.accepted += 1;
        let Some(mut connection) = self.admit(socket, Session::new(false), tick) else { return };
        connection.default_core = self.next_default_core();
        self.receive(&mut connection, Receive::Once);
        self.put_back(connection);
    }

    /// Makes a connection of a socket. One too many is told so, unless too many are told already.
    fn admit(&mut self, socket: OwnedFd, session: Session, tick: Tick) -> Option<Box<Connection>> {
        let admitted = self.admission.connect();
        if !admitted {
            self.stats.refused += 1;
            if self.refusals >= REFUSALS_MAX {
                return None;
            }
            self.refusals += 1;
        }
        let mut connection = self.add(socket, session, tick, admitted);
        if admitted {
            return Some(connection);
        }
        let Connection { session, out, .. } = &mut *connection;
        session.refuse(0, Status::TooManyConnections, &mut self.answers, out);
        connection.fate = Fate::Ending;
        self.put_back(connection);
        None
    }

    /// A connection came over from another core.
    pub fn arrive<S: Service>(&mut self, handover: Handover, parts: &mut Parts<'_, S>) {
        self.stats.moved_in += 1;
        // It was admitted where it was accepted; that it wants to be here makes no room here.
        let admitted = self.admit(handover.socket, Session::new(true), parts.tick);
        let Some(mut connection) = admitted else { return };
        let next = self.feed(&mut connection, parts, |session, input| {
            session.receive(&handover.received, input)
        });
        self.follow(connection, next, parts);
    }

    fn add(
        &mut self,
        socket: OwnedFd,
        session: Session,
        tick: Tick,
        admitted: bool,
    ) -> Box<Connection> {
        let id = self.ring.adopt(socket);
        if self.table.len() <= id.index() {
            self.table.resize_with(id.index() + 1, || None);
        }
        self.timed = true;
        Box::new(Connection {
            id,
            session,
            fate: Fate::Serving,
            out: Vec::new(),
            sending: 0,
            sent: 0,
            sending_since_us: 0,
            made_us: tick.now_us,
            default_core: self.own,
            receiving: None,
            waiting: false,
            ended: false,
            dirty: false,
            admitted,
            held: Held::default(),
        })
    }

    fn next_default_core(&mut self) -> ShardId {
        let core = ShardId(self.next_default);
        self.next_default = (self.next_default + 1) % self.cores;
        core
    }

    fn take(&mut self, id: SocketId) -> Option<Box<Connection>> {
        self.table.get_mut(id.index())?.take_if(|connection| connection.id == id)
    }

    /// Back into the table, to be settled at the end of the tick.
    fn put_back(&mut self, mut connection: Box<Connection>) {
        self.count(&mut connection);
        if !mem::replace(&mut connection.dirty, true) {
            self.dirty.push(connection.id);
        }
        let index = connection.id.index();
        self.table[index] = Some(connection);
    }

    /// Counts what a connection holds.
    #[inline]
    fn count(&self, connection: &mut Connection) {
        let Connection { session, out, sending, held, .. } = connection;
        let now = Held { input: session.memory(), output: out.len() + *sending };
        self.admission.holds(mem::replace(held, now), now);
    }

    fn receive(&self, connection: &mut Connection, how: Receive) {
        if connection.receiving.is_none() && !connection.ended {
            connection.receiving = Some(how);
            self.ring.receive(connection.id, how);
        }
    }

    /// Bytes came in.
    #[inline]
    pub fn received<S: Service>(
        &mut self,
        id: SocketId,
        data: &RecvBuffer,
        parts: &mut Parts<'_, S>,
    ) {
        let Some(mut connection) = self.take(id) else { return };
        self.stats.bytes_in += data.len() as u64;
        connection.receiving = connection.receiving.filter(|how| *how == Receive::Stream);
        let unheard = matches!(connection.fate, Fate::Lingering { .. });
        if unheard || !connection.session.is_serving() {
            self.receive(&mut connection, Receive::Stream);
            return self.put_back(connection);
        }
        let next = self.feed(&mut connection, parts, |session, input| session.receive(data, input));
        self.follow(connection, next, parts);
    }

    /// Gives a session input.
    #[inline]
    fn feed<S: Service>(
        &mut self,
        connection: &mut Connection,
        parts: &mut Parts<'_, S>,
        give: impl FnOnce(&mut Session, &mut Input<'_, '_, S>) -> Next,
    ) -> Next {
        if connection.out.capacity() == 0 {
            connection.out = self.spare.pop().unwrap_or_default();
        }
        let mut input = Input {
            connection: connection.id,
            identity: parts.identity,
            default_core: connection.default_core,
            service: parts.service,
            context: Context {
                tick: parts.tick,
                own: parts.own,
                admission: &self.admission,
                outbox: parts.outbox,
            },
            unsent_bytes: connection.sending,
            answers: &mut self.answers,
            out: &mut connection.out,
        };
        let next = give(&mut connection.session, &mut input);
        self.count(connection);
        self.timed |= connection.session.unfinished_since_us().is_some();
        if matches!(next, Next::More | Next::Wait) && !self.admission.keeps(connection.held.input) {
            let Connection { session, out, .. } = connection;
            return session.refuse(0, Status::Overloaded, &mut self.answers, out);
        }
        next
    }

    /// Does what a session said has to be done.
    #[inline]
    fn follow<S: Service>(
        &mut self,
        mut connection: Box<Connection>,
        next: Next,
        parts: &mut Parts<'_, S>,
    ) {
        match next {
            Next::More => {
                connection.waiting = false;
                let greeting = connection.session.is_greeting();
                let how = if greeting { Receive::Once } else { Receive::Stream };
                self.receive(&mut connection, how);
            }
            Next::Wait => {
                connection.waiting = true;
                if connection.receiving.take().is_some() {
                    self.ring.stop_receiving(connection.id);
                }
            }
            Next::Refused => {
                connection.waiting = false;
                connection.fate = Fate::Ending;
                // What comes in is dropped, but heard: to close with it unread would reset the
                // connection, and with it the refusal.
                self.receive(&mut connection, Receive::Stream);
            }
            Next::Move(core) => return self.hand_over(connection, core, parts),
        }
        self.put_back(connection);
    }

    /// Hands a connection to another core; if that has no room for it, it stays.
    #[cold]
    fn hand_over<S: Service>(
        &mut self,
        mut connection: Box<Connection>,
        core: ShardId,
        parts: &mut Parts<'_, S>,
    ) {
        let received = connection.session.take_received();
        let quiet = connection.out.is_empty();
        let socket = if quiet { self.ring.release(connection.id) } else { None };
        let returned = match socket {
            Some(socket) => {
                let message = Message::Connection(Box::new(Handover { socket, received }));
                match parts.outbox.try_send(core, message) {
                    Ok(()) => {
                        self.stats.moved_out += 1;
                        return self.forget(&connection);
                    }
                    Err(full) => match full.0 {
                        Message::Connection(handover) => *handover,
                        _ => unreachable!("what was sent comes back"),
                    },
                }
            }
            None => {
                let next = self
                    .feed(&mut connection, parts, |session, input| session.stay(&received, input));
                return self.follow(connection, next, parts);
            }
        };
        self.forget(&connection);
        self.arrive(returned, parts);
    }

    /// Nothing more will come in.
    pub fn ended(&mut self, id: SocketId, result: io::Result<()>) {
        let Some(mut connection) = self.take(id) else { return };
        connection.ended = true;
        connection.receiving = None;
        match result {
            Ok(()) => self.put_back(connection),
            Err(_) => self.close(&connection),
        }
    }

    /// A send has ended; `buf` is what was sent.
    pub fn sent(&mut self, id: SocketId, buf: Vec<u8>, result: io::Result<()>) {
        self.recycle(buf);
        let Some(mut connection) = self.take(id) else { return };
        connection.sending = 0;
        match result {
            Ok(()) => self.put_back(connection),
            Err(_) => self.close(&connection),
        }
    }

    fn recycle(&mut self, mut buf: Vec<u8>) {
        if buf.capacity() <= SPARE_BUFFER_BYTES && self.spare.len() < SPARE_BUFFERS {
            buf.clear();
            self.spare.push(buf);
        }
    }

    /// Answers a request that was under way: `write` appends the reply, and is told for how many
    /// bytes of values there is room.
    #[inline]
    pub fn reply(&mut self, origin: &Origin, write: impl FnOnce(&mut Vec<u8>, usize)) {
        self.admission.end(origin.bytes);
        let Some(mut connection) = self.take(origin.connection) else {
            return self.answers.unheard();
        };
        connection.session.ended();
        if connection.out.capacity() == 0 {
            connection.out = self.spare.pop().unwrap_or_default();
        }
        let room = self.admission.value_room(connection.out.len() + connection.sending);
        let reply_at = connection.out.len();
        write(&mut connection.out, room);
        self.answers.replied(origin, &connection.out[reply_at..]);
        self.put_back(connection);
    }

    /// A request was answered by another core.
    pub(crate) fn forwarded(&mut self) {
        self.answers.forwarded();
    }

    /// At the end of a tick: resumes sessions that have room again, sends what there is to send,
    /// closes what is done.
    pub fn settle<S: Service>(&mut self, parts: &mut Parts<'_, S>) {
        if self.timed && parts.tick.now_us >= self.next_sweep_us {
            self.next_sweep_us = parts.tick.now_us + SWEEP_US;
            self.sweep(parts.tick);
        }
        // A connection that is resumed may become dirty once more.
        for _ in 0..2 {
            let mut dirty = mem::take(&mut self.dirty);
            for id in dirty.drain(..) {
                if let Some(mut connection) = self.take(id) {
                    connection.dirty = false;
                    self.settle_one(connection, parts);
                }
            }
            if self.dirty.is_empty() {
                self.dirty = dirty;
                break;
            }
        }
    }

    fn settle_one<S: Service>(
        &mut self,
        mut connection: Box<Connection>,
        parts: &mut Parts<'_, S>,
    ) {
        let share = self.admission.output_share();
        if connection.waiting
            && connection.out.len() + connection.sending <= share / 2
            && connection.session.has_room()
        {
            let next = self.feed(&mut connection, parts, Session::resume);
            return self.follow(connection, next, parts);
        }
        if connection.sending == 0 {
            if !connection.out.is_empty() {
                self.send(&mut connection, parts.tick);
            } else if connection.out.capacity() > 0 {
                let unused = mem::take(&mut connection.out);
                self.recycle(unused);
            }
        }
        let quiet = connection.sending == 0
            && connection.session.in_flight() == 0
            && !connection.session.has_backlog();
        if quiet && connection.ended {
            return self.close(&connection);
        }
        if quiet && connection.fate == Fate::Ending {
            self.ring.shut_down_sending(connection.id);
            let until_us = parts.tick.now_us + limits::LINGER.as_micros() as u64;
            connection.fate = Fate::Lingering { until_us };
            self.timed = true;
            self.receive(&mut connection, Receive::Stream);
        }
        let index = connection.id.index();
        self.table[index] = Some(connection);
    }

    fn send(&mut self, connection: &mut Connection, tick: Tick) {
        let out = mem::take(&mut connection.out);
        (connection.sending, connection.sent) = (out.len(), 0);
        connection.sending_since_us = tick.now_us;
        self.timed = true;
        self.stats.bytes_out += out.len() as u64;
        self.stats.sends += 1;
        self.ring.send(connection.id, out);
    }

    /// Tells every client that the server is going, and ends what is idle. `closing_us` is when
    /// the rest will be closed, in microseconds from now.
    pub fn drain(&mut self, closing_us: u32) {
        let ids: Vec<_> = self.table.iter().flatten().map(|connection| connection.id).collect();
        for id in ids {
            let Some(mut connection) = self.take(id) else { continue };
            if connection.session.is_greeting() {
                self.close(&connection);
                continue;
            }
            if connection.session.drain() {
                let header = Header { deadline_us: closing_us, ..Header::reply(0, EPOCH) };
                frame::append(&header, &Kind::Draining, &mut connection.out);
                connection.fate = Fate::Ending;
            }
            self.put_back(connection);
        }
    }

    /// Closes every connection, whatever it waits for.
    pub fn close_all(&mut self) {
        let all: Vec<_> = self.table.iter_mut().filter_map(Option::take).collect();
        for connection in all {
            self.close(&connection);
        }
    }

    /// Looks at every connection's time limit.
    fn sweep(&mut self, tick: Tick) {
        self.timed = false;
        for index in 0..self.table.len() {
            let Some(mut connection) = self.table[index].take() else { continue };
            if connection.sending > 0 {
                let sent = self.ring.sent(connection.id);
                if mem::replace(&mut connection.sent, sent) < sent {
                    connection.sending_since_us = tick.now_us;
                }
            }
            let Connection { fate, sending, session, .. } = &*connection;
            let past = |since_us: u64, limit: Duration| {
                tick.now_us.saturating_sub(since_us) >= limit.as_micros() as u64
            };
            let unfinished_us = session.unfinished_since_us().filter(|_| !connection.waiting);
            let stalled = (*sending > 0 && past(connection.sending_since_us, limits::WRITE_STALL))
                || unfinished_us.is_some_and(|since_us| past(since_us, limits::FRAME_TIMEOUT));
            let late = session.is_greeting() && past(connection.made_us, limits::HANDSHAKE_TIMEOUT);
            match *fate {
                Fate::Lingering { until_us } if tick.now_us >= until_us => {
                    self.close(&connection);
                    continue;
                }
                _ if stalled => {
                    self.stats.stalled += 1;
                    self.close(&connection);
                    continue;
                }
                Fate::Serving if late => {
                    let Connection { session, out, .. } = &mut *connection;
                    session.refuse(0, Status::HandshakeTimeout, &mut self.answers, out);
                    connection.fate = Fate::Ending;
                    self.timed = true;
                    self.put_back(connection);
                    continue;
                }
                Fate::Lingering { .. } => self.timed = true,
                _ => {
                    let unfinished = session.unfinished_since_us().is_some();
                    self.timed |= *sending > 0 || session.is_greeting() || unfinished;
                }
            }
            self.table[index] = Some(connection);
        }
    }

    fn close(&mut self, connection: &Connection) {
        self.ring.close(connection.id);
        self.forget(connection);
    }

    fn forget(&mut self, connection: &Connection) {
        self.stats.closed += 1;
        self.admission.holds(connection.held, Held::default());
        if connection.admitted {
            self.admission.disconnect();
        } else {
            self.refusals -= 1;
        }
    }
}

#[cfg(test)]
mod tests;

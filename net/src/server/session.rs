//! One connection's protocol, apart from its socket: bytes in, frames answered, bytes out.
//!
//! ```text
//! WRITE and READ, step 2: frame in, admission.
//! 1 net/client/src/{write,read}_path.rs   pick the replica's core; stamp id and deadline
//! 2 net/src/server/session.rs             <- here
//! 3 net/src/server/{write,read}_path.rs   route; straight to the engine, or to another core
//! 6 engine/src/{write,read}_path.rs
//!
//! Greeting --handshake--> Open --drain--> Draining     any --fatal error--> Refused
//! ```
//!
//! What it keeps true:
//!
//! - Before the handshake is done a stranger holds at most one small frame, what came in with it,
//!   and few refusals that it did not read; nothing is served.
//! - Every frame gets exactly one answer, a reply or a typed error. An error that says the stream
//!   cannot be trusted is the last thing the session answers.
//! - Input is taken frame after frame as long as replies and requests under way are within their
//!   bounds; the rest is kept until they are again, and is the caller's reason to stop reading.

use std::mem;

use schemas::decoder::Decoder;
use schemas::frame::{self, Frame, FrameError};
use schemas::handshake::ServerIdentity;
use schemas::header::Header;
use schemas::ids::ShardId;
use schemas::kind::Kind;
use schemas::limits::{HANDSHAKE_FRAME_BYTES_MAX, IN_FLIGHT_MAX};
use schemas::message::{ErrorDetail, Handshake, RouteNode, RouteReply, RouteRequest};
use schemas::status::Status;

use super::answers::Answers;
use super::operation::Operation;
use super::service::{Context, EPOCH, Origin, Outcome, Request, Service, SocketId};
use crate::limits::{BACKLOG_BYTES_MAX, STRANGER_OUTPUT_BYTES_MAX};

/// What the caller has to do after it gave a session bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing: more bytes are welcome.
    More,
    /// Give no more until [`Session::resume`] says so.
    Wait,
    /// Send what is in the output, then close.
    Refused,
    /// Hand the connection, with [`Session::take_received`], to this core.
    Move(ShardId),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Greeting,
    Open,
    Draining,
    Refused,
}

/// One connection's protocol.
pub struct Session {
    state: State,
    /// While greeting: what was received. Later: what waits for [`Session::resume`].
    kept: Vec<u8>,
    /// How much of `kept` was taken already.
    kept_from: usize,
    /// When the first of `kept` came in.
    kept_since_us: u64,
    /// Whether the connection stays on this core, whatever it wants.
    placed: bool,
    decoder: Decoder,
    /// Since when the decoder holds the frame that is not whole.
    unfinished_since_us: Option<u64>,
    in_flight: usize,
}

/// What a session is given with its input.
pub struct Input<'a, 'c, S: Service> {
    /// Whose session it is.
    pub connection: SocketId,
    /// Who the server is.
    pub identity: &'a ServerIdentity,
    /// The core for a connection that does not ask for one.
    pub default_core: ShardId,
    /// Answers the requests.
    pub service: &'a mut S,
    /// Goes with them.
    pub context: Context<'c, S::Message>,
    /// Replies, this connection's, that are being sent: they count with the output.
    pub unsent_bytes: usize,
    /// Counts them.
    pub answers: &'a mut Answers,
    /// Where replies go.
    pub out: &'a mut Vec<u8>,
}

impl Session {
    /// A session with a stranger. One that is `placed` stays on this core.
    #[must_use]
    pub fn new(placed: bool) -> Self {
        Self {
            state: State::Greeting,
            kept: Vec::new(),
            kept_from: 0,
            kept_since_us: 0,
            placed,
            decoder: Decoder::new(),
            unfinished_since_us: None,
            in_flight: 0,
        }
    }

    /// Whether the handshake is still to come.
    #[must_use]
    pub fn is_greeting(&self) -> bool {
        self.state == State::Greeting
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Bytes of memory that it holds of what came in.
    #[inline]
    #[must_use]
    pub fn memory(&self) -> usize {
        self.kept.capacity() + self.decoder.memory()
    }

    /// Since when a frame that is not whole is waited for, on the clock of `Tick::now_us`.
    #[inline]
    #[must_use]
    pub fn unfinished_since_us(&self) -> Option<u64> {
        self.unfinished_since_us
    }

    /// Whether input waits for [`Session::resume`].
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.state != State::Greeting && !self.kept.is_empty()
    }

    /// A request of this session was answered.
    #[inline]
    pub fn ended(&mut self) {
        self.in_flight -= 1;
    }

    /// From now on requests are answered `Draining`. Returns whether the client should be told.
    pub fn drain(&mut self) -> bool {
        let tell = self.state == State::Open;
        if tell {
            self.state = State::Draining;
        }
        tell
    }

    /// Ends the session: `status` is its last answer.
    pub fn refuse(
        &mut self,
        request_id: u64,
        status: Status,
        answers: &mut Answers,
        out: &mut Vec<u8>,
    ) -> Next {
        answers.refused(status);
        self.state = State::Refused;
        (self.kept, self.kept_from) = (Vec::new(), 0);
        (self.decoder, self.unfinished_since_us) = (Decoder::new(), None);
        let header = Header::error(request_id, EPOCH, status, 0);
        ErrorDetail::text(status.text()).encode(&header, out);
        Next::Refused
    }

    /// All that was received, of a session that is to go on elsewhere.
    #[must_use]
    pub fn take_received(&mut self) -> Vec<u8> {
        mem::take(&mut self.kept)
    }

    /// Whether its requests are served, or answered `Draining`.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        matches!(self.state, State::Greeting | State::Open | State::Draining)
    }

    /// Whether enough of the requests under way have ended to take more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight <= IN_FLIGHT_MAX / 2
    }

    /// Stays here after all, because the other core had no room: goes on with `received`, what
    /// [`Session::take_received`] gave.
    pub fn stay<S: Service>(&mut self, received: &[u8], input: &mut Input<'_, '_, S>) -> Next {
        self.placed = true;
        self.receive(received, input)
    }

    /// Takes `bytes` that came in, all of them.
    #[inline]
    pub fn receive<S: Service>(&mut self, bytes: &[u8], input: &mut Input<'_, '_, S>) -> Next {
        match self.state {
            State::Open | State::Draining if self.kept.is_empty() => {
                self.requests(bytes, input.context.tick.now_us, input)
            }
            State::Open | State::Draining => self.keep(bytes, self.kept_since_us, input),
            State::Greeting => self.greet(bytes, input),
            State::Refused => Next::Refused,
        }
    }

    /// Goes on with what was kept, if there is room for replies again.
    pub fn resume<S: Service>(&mut self, input: &mut Input<'_, '_, S>) -> Next {
        let kept = mem::take(&mut self.kept);
        // The rest of a frame may not have been read for as long.
        self.unfinished_since_us = None;
        let mut rest = &kept[self.kept_from..];
        let next = self.take_requests(&mut rest, self.kept_since_us, input);
        self.kept_from = 0;
        if next == Next::Wait {
            self.kept_from = kept.len() - rest.len();
            self.kept = kept;
        }
        next
    }

    #[inline]
    fn requests<S: Service>(
        &mut self,
        mut bytes: &[u8],
        arrived_us: u64,
        input: &mut Input<'_, '_, S>,
    ) -> Next {
        match self.take_requests(&mut bytes, arrived_us, input) {
            Next::Wait => self.keep(bytes, arrived_us, input),
            next => next,
        }
    }

    /// Takes requests off the front of `bytes`, which came in at `arrived_us`, until nothing is
    /// left or, with [`Next::Wait`], a bound is reached.
    #[inline]
    fn take_requests<S: Service>(
        &mut self,
        bytes: &mut &[u8],
        arrived_us: u64,
        input: &mut Input<'_, '_, S>,
    ) -> Next {
        let output_max = input.context.admission.output_share();
        let mut shown = 0;
        let mut taken = false;
        loop {
            if shown == 0 && self.decoder.held() == 0 {
                shown = input.service.look_ahead(frame::ahead(bytes));
            }
            shown = shown.saturating_sub(1);
            if self.in_flight >= IN_FLIGHT_MAX || input.out.len() + input.unsent_bytes >= output_max
            {
                return Next::Wait;
            }
            match self.decoder.next(bytes) {
                Ok(Some(frame)) => {
                    taken = true;
                    let draining = self.state == State::Draining;
                    if answer(&frame, arrived_us, draining, input) == Outcome::UnderWay {
                        self.in_flight += 1;
                        input.context.admission.begin(frame.body.len() as u32);
                    }
                }
                Ok(None) => {
                    self.unfinished_since_us = match self.unfinished_since_us {
                        _ if self.decoder.held() == 0 => None,
                        Some(since_us) if !taken => Some(since_us),
                        _ => Some(input.context.tick.now_us),
                    };
                    return Next::More;
                }
                Err(FrameError { status, request_id }) => {
                    return self.refuse(request_id, status, input.answers, input.out);
                }
            }
        }
    }

    /// Keeps what cannot be taken now.
    #[cold]
    fn keep<S: Service>(
        &mut self,
        bytes: &[u8],
        arrived_us: u64,
        input: &mut Input<'_, '_, S>,
    ) -> Next {
        if self.kept.len() - self.kept_from + bytes.len() > BACKLOG_BYTES_MAX {
            return self.refuse(0, Status::Overloaded, input.answers, input.out);
        }
        self.kept_since_us = arrived_us;
        self.kept.extend_from_slice(bytes);
        Next::Wait
    }

    #[cold]
    fn greet<S: Service>(&mut self, bytes: &[u8], input: &mut Input<'_, '_, S>) -> Next {
        self.kept.extend_from_slice(bytes);
        let received = mem::take(&mut self.kept);
        let mut rest = &received[..];
        while self.state == State::Greeting {
            let (frame, len) = match frame::read(rest, HANDSHAKE_FRAME_BYTES_MAX) {
                Ok(Some(whole)) => whole,
                Ok(None) => {
                    self.kept = rest.to_vec();
                    return Next::More;
                }
                Err(FrameError { status, request_id }) => {
                    return self.refuse(request_id, status, input.answers, input.out);
                }
            };
            match self.handshake(&frame, input) {
                Ok(core) if core == input.context.own => rest = &rest[len..],
                Ok(core) => {
                    self.kept = rest.to_vec();
                    return Next::Move(core);
                }
                Err(status) => {
                    let request_id = frame.header.request_id;
                    return self.refuse(request_id, status, input.answers, input.out);
                }
            }
        }
        self.requests(rest, input.context.tick.now_us, input)
    }

    /// Answers a handshake, or says where else it has to be answered.
    fn handshake<S: Service>(
        &mut self,
        frame: &Frame<'_>,
        input: &mut Input<'_, '_, S>,
    ) -> Result<ShardId, Status> {
        if frame.kind() != Ok(Kind::Handshake) {
            return Err(Status::HandshakeRequired);
        }
        let own = input.context.own;
        let request_id = frame.header.request_id;
        let handshake = Handshake::decode(frame.body)?;
        let core = input.identity.place(&handshake, input.default_core);
        if !self.placed && core != own {
            return Ok(core);
        }
        match input.identity.answer(&handshake, own, EPOCH, |_| None) {
            Ok(reply) => {
                reply.encode(&Header::reply(request_id, EPOCH), input.out);
                self.state = State::Open;
                self.placed = true;
            }
            // Another handshake may follow, but not one after the other with the answers unread.
            Err(status) => {
                let unread = input.out.len() + input.unsent_bytes;
                if status.closes() || unread > STRANGER_OUTPUT_BYTES_MAX {
                    return Err(status);
                }
                error(request_id, status, input);
            }
        }
        Ok(own)
    }
}

/// Answers one frame of an open session.
#[inline]
fn answer<S: Service>(
    frame: &Frame<'_>,
    arrived_us: u64,
    draining: bool,
    input: &mut Input<'_, '_, S>,
) -> Outcome {
    let header = &frame.header;
    let refusal = match frame.kind() {
        Ok(kind) => match Operation::of(kind, frame.body) {
            Some(operation) => return request(operation, frame, arrived_us, draining, input),
            None => other(kind, frame, input),
        },
        Err(status) => Some(status),
    };
    if let Some(status) = refusal {
        error(header.request_id, status, input);
    }
    Outcome::Answered
}

#[inline]
fn request<S: Service>(
    operation: Operation,
    frame: &Frame<'_>,
    arrived_us: u64,
    draining: bool,
    input: &mut Input<'_, '_, S>,
) -> Outcome {
    let header = &frame.header;
    let deadline_us = match header.deadline_us {
        0 => u64::MAX,
        patience_us => arrived_us + u64::from(patience_us),
    };
    let origin = Origin {
        core: input.context.own,
        connection: input.connection,
        request_id: header.request_id,
        bytes: frame.body.len() as u32,
        operation,
        arrived_us,
    };
    let request = Request { body: frame.body, origin, deadline_us };
    let outcome = if draining || deadline_us <= input.context.tick.now_us {
        let status = if draining { Status::Draining } else { Status::DeadlineExceeded };
        request.origin.refuse(input.context.own, status, input.out);
        Outcome::Refused(status)
    } else {
        input.service.request(&request, &mut input.context, input.out)
    };
    match outcome {
        Outcome::Answered => input.answers.answered(operation, arrived_us),
        Outcome::Refused(status) => input.answers.answered_with(operation, status, arrived_us),
        Outcome::UnderWay => {}
    }
    outcome
}

/// Answers what is no operation, or says why not.
#[cold]
fn other<S: Service>(
    kind: Kind,
    frame: &Frame<'_>,
    input: &mut Input<'_, '_, S>,
) -> Option<Status> {
    let request_id = frame.header.request_id;
    match kind {
        Kind::Route => match RouteRequest::decode(frame.body) {
            Ok(_) => route(request_id, input),
            Err(status) => return Some(status),
        },
        Kind::Ping => {
            frame::append(&Header::reply(request_id, EPOCH), &Kind::Pong, input.out);
        }
        _ => return Some(Status::OutOfOrder),
    }
    None
}

/// Answers who holds what: a node on its own holds everything.
fn route<S: Service>(request_id: u64, input: &mut Input<'_, '_, S>) {
    let ServerIdentity { node_id: id, shards, vnode_bits, .. } = *input.identity;
    let node = RouteNode { id, address: String::new(), shards };
    let route = RouteReply::single(EPOCH, vnode_bits, node);
    route.encode(&Header::reply(request_id, EPOCH), input.out);
}

/// Refuses something that is no operation.
#[cold]
fn error<S: Service>(request_id: u64, status: Status, input: &mut Input<'_, '_, S>) {
    input.answers.refused(status);
    let header = Header::error(request_id, EPOCH, status, 0);
    frame::append(&header, &Kind::Error, input.out);
}

#[cfg(test)]
mod tests;

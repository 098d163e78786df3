//! What answers the requests of one core: the border between the wire and the store.
//!
//! Sessions, connections and the core loop are generic over a [`Service`], so the limit that the
//! data path is measured against, a server with a fixed answer, is the same server in all else.
//!
//! What it keeps true: a request is answered exactly once, at once (into the output it was given
//! with) or later (through [`Replies`]); it is counted as under way in between.

use engine::store::{Failure, SnapshotStep, Stats};
use schemas::frame;
use schemas::header::Header;
use schemas::ids::ShardId;
use schemas::kind::Kind;
use schemas::status::Status;

use super::admission::Admission;
use super::connections::Connections;
use super::operation::Operation;
use super::outbox::{Message, Outbox};
use crate::limits::RETRY_AFTER_US;
use crate::runtime::{SnapshotReply, Tick};

pub use engine::env::ring::SocketId;

/// The epoch of the ring of a node on its own: it never changes.
pub const EPOCH: u32 = 1;

/// Where a request came from, which is where its reply goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The core that has the connection.
    pub core: ShardId,
    /// The connection.
    pub connection: SocketId,
    /// The client's name for the request.
    pub request_id: u64,
    /// What it counts for while it is under way, in bytes.
    pub bytes: u32,
    /// What it asks for.
    pub operation: Operation,
    /// When its core took it up, on the clock of [`Tick::now_us`].
    pub arrived_us: u64,
}

impl Origin {
    /// The header of a reply from core `own`: with a hint at itself if the request had to be
    /// forwarded to it.
    #[inline]
    #[must_use]
    pub fn reply_header(&self, own: ShardId) -> Header {
        self.hinted(own, Header::reply(self.request_id, EPOCH))
    }

    /// Appends a refusal of the request by core `own` to `out`.
    #[cold]
    pub fn refuse(&self, own: ShardId, status: Status, out: &mut Vec<u8>) {
        self.refuse_for(own, status, 0, out);
    }

    /// Appends a refusal that names the time after which to try again, in microseconds.
    #[cold]
    pub fn refuse_for(&self, own: ShardId, status: Status, retry_after_us: u32, out: &mut Vec<u8>) {
        let header = Header::error(self.request_id, EPOCH, status, retry_after_us);
        frame::append(&self.hinted(own, header), &Kind::Error, out);
    }

    /// Appends a refusal for want of room, with the usual time to wait.
    #[cold]
    pub fn refuse_overloaded(&self, own: ShardId, out: &mut Vec<u8>) {
        self.refuse_for(own, Status::Overloaded, RETRY_AFTER_US, out);
    }

    fn hinted(&self, own: ShardId, header: Header) -> Header {
        if self.core == own { header } else { header.with_route_hint(own) }
    }
}

/// A request whose frame was sound.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The body of its frame: not checked yet.
    pub body: &'a [u8],
    /// Where it came from, and what it asks for.
    pub origin: Origin,
    /// When its client gives up, on the clock of [`Tick::now_us`]; `u64::MAX` for never.
    pub deadline_us: u64,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// Its reply is in the output.
    Answered,
    /// A refusal with this status is in the output.
    Refused(Status),
    /// Its reply will go through [`Replies`].
    UnderWay,
}

/// What a service is given with each call.
pub struct Context<'a, M> {
    /// The time of this tick.
    pub tick: Tick,
    /// The core.
    pub own: ShardId,
    /// What may be under way.
    pub admission: &'a Admission,
    /// The way to other cores.
    pub outbox: &'a mut Outbox<M>,
}

impl<M> Context<'_, M> {
    /// For how many bytes of values there is room in the reply to a request of `origin`, whose
    /// other replies are in `out`.
    #[inline]
    #[must_use]
    pub fn value_room(&self, origin: &Origin, out: &[u8]) -> usize {
        if origin.core != self.own {
            transit_room(self.outbox, self.admission)
        } else if self.admission.has_output_room() {
            // The session takes no request while the connection is past its share.
            usize::MAX
        } else {
            self.admission.value_room(out.len())
        }
    }
}

/// For how many bytes of values there is room on the way to other cores: what these do not take is
/// bounded by as much memory as the requests under way.
#[inline]
fn transit_room<M>(outbox: &Outbox<M>, admission: &Admission) -> usize {
    if outbox.in_transit() < admission.bytes_max() { usize::MAX } else { 0 }
}

/// Whether `frame` is the reply to a request that only reads.
#[cold]
fn is_read(frame: &[u8]) -> bool {
    let kind = frame::ahead(frame).next().map(|(kind, _)| kind);
    kind == Some(Kind::GetReply as u8) || kind == Some(Kind::ScanReply as u8)
}

/// The way of replies that come later.
pub struct Replies<'a, M> {
    pub(crate) own: ShardId,
    pub(crate) connections: &'a mut Connections,
    pub(crate) outbox: &'a mut Outbox<M>,
}

impl<M> Replies<'_, M> {
    /// The context of a request that came from another core.
    pub(crate) fn context(&mut self, tick: Tick) -> Context<'_, M> {
        Context {
            tick,
            own: self.own,
            admission: self.connections.admission(),
            outbox: self.outbox,
        }
    }

    /// Answers a request that is under way: `write` appends the reply's frame, if anybody still
    /// waits for it. It is told for how many bytes of values there is room; for more it appends a
    /// refusal.
    #[inline]
    pub fn reply(&mut self, origin: &Origin, write: impl FnOnce(&mut Vec<u8>, usize)) {
        if origin.core == self.own {
            self.connections.reply(origin, write);
        } else {
            let mut frame = Vec::new();
            write(&mut frame, transit_room(self.outbox, self.connections.admission()));
            self.reply_frame(origin, frame);
        }
    }

    /// Answers a request of another core with a whole frame.
    pub fn reply_frame(&mut self, origin: &Origin, frame: Vec<u8>) {
        let transit = self.outbox.transit(frame.len());
        self.outbox.deliver(origin.core, Message::Reply { origin: *origin, frame, transit });
    }

    /// Answers a request with the frame that core `owner` made of it. Whether there is room for a
    /// value is known here alone: what was read can be refused, what was written can not.
    pub(crate) fn reply_from(&mut self, owner: ShardId, origin: &Origin, frame: &[u8]) {
        let mut heard = false;
        self.connections.reply(origin, |out, room| {
            heard = true;
            if frame.len() > room && is_read(frame) {
                origin.refuse_overloaded(owner, out);
            } else {
                out.extend_from_slice(frame);
            }
        });
        if heard {
            self.connections.forwarded();
        }
    }
}

/// What answers the requests of one core.
pub trait Service: Sized + 'static {
    /// What services on different cores tell each other.
    type Message: Send + 'static;

    /// Answers a request, by appending its reply's frame to `out`, or starts to. What it starts
    /// it is admitted to by [`Context::admission`].
    fn request(
        &mut self,
        request: &Request<'_>,
        context: &mut Context<'_, Self::Message>,
        out: &mut Vec<u8>,
    ) -> Outcome;

    /// Is shown requests that come next, by kind and body, so that it can load what they are
    /// going to need. Nothing of them was checked. Returns how many it looked at: when those are
    /// served, it is shown more.
    fn look_ahead<'a>(&self, requests: impl Iterator<Item = (u8, &'a [u8])>) -> usize {
        drop(requests);
        usize::MAX
    }

    /// Takes a message of core `from`.
    fn message(
        &mut self,
        from: ShardId,
        message: Self::Message,
        tick: Tick,
        replies: &mut Replies<'_, Self::Message>,
    );

    /// Once a tick, after its requests: answers what has ended, starts what was collected.
    ///
    /// # Errors
    /// Nothing more can be acknowledged: the process has to end.
    fn tick(&mut self, tick: Tick, replies: &mut Replies<'_, Self::Message>)
    -> Result<(), Failure>;

    /// Has the store behind it, if there is one, write all its tables anew.
    fn compact(&mut self) {}

    /// Starts a step of a snapshot of the store behind it, and has `reply` told how it went. Where
    /// there is none, nobody is told.
    fn snapshot(&mut self, step: SnapshotStep, reply: SnapshotReply) {
        drop((step, reply));
    }

    /// Whether nothing is to be done until something happens outside: the core may sleep.
    fn idle(&self) -> bool;

    /// Whether nothing is under way any more: the core may close.
    fn drained(&self) -> bool;

    /// Makes durable what was taken, and ends.
    ///
    /// # Errors
    /// It cannot be made durable.
    fn close(self) -> impl Future<Output = Result<(), Failure>>;

    /// What the store behind it has done, if there is one.
    fn stats(&self) -> Option<&Stats>;
}

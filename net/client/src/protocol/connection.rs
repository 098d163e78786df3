//! One connection: requests in, bytes out; bytes in, events out.

use std::time::Duration;

use schemas::consistency::Consistency;
use schemas::decoder::Decoder;
use schemas::frame::{self, Frame, Message};
use schemas::handshake::{self, FEATURES};
use schemas::header::{ANY_SHARD, Header, PROTOCOL_VERSION};
use schemas::ids::{ClusterId, Hlc, NamespaceId, ShardId};
use schemas::kind::Kind;
use schemas::limits::IN_FLIGHT_MAX;
use schemas::message::{
    Delete, ErrorReply, Get, GetReply, Handshake, HandshakeReply, MultiGet, MultiGetReply, Put,
    RouteReply, RouteRequest, Scan, ScanReply, WriteReply, check_key,
};
use schemas::status::Status;

use super::event::{ConnectionError, Event, Reply, ReplyHeader, SendError, ServerInfo};
use super::slots::{Due, Slot, Slots};

/// What a client says of itself and wants of a server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// The cluster to be connected to; empty for any.
    pub cluster_name: String,
    /// Its id, once known; `None` for any.
    pub cluster_id: Option<ClusterId>,
    /// A name for the server's logs and statistics.
    pub client_name: String,
    /// The shard to be connected to; `None` for any.
    pub wanted_shard: Option<ShardId>,
    /// The namespace; empty for `default`.
    pub namespace: String,
}

impl Hello {
    fn handshake(&self) -> Handshake<'_> {
        Handshake {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            features: FEATURES,
            cluster_name: &self.cluster_name,
            cluster_id: self.cluster_id,
            client_name: &self.client_name,
            wanted_shard: self.wanted_shard,
            namespace: &self.namespace,
        }
    }
}

/// What a multi-get asks for beside its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MultiGetRequest {
    /// The namespace of the keys.
    pub namespace: NamespaceId,
    /// Replicas that must answer for each.
    pub consistency: Consistency,
    /// The greatest stamp the client has seen; 0 for none.
    pub hlc_seen: Hlc,
    /// Whether the values may stay where they are (`exists`).
    pub key_only: bool,
}

/// What the header of a request says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestOptions {
    /// Microseconds the client still waits; 0 for no deadline.
    pub deadline_us: u32,
    /// The owner as the client sees it.
    pub shard: ShardId,
    /// The epoch of the client's route; 0 without one.
    pub epoch: u32,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self { deadline_us: 0, shard: ANY_SHARD, epoch: 0 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Handshaking,
    Open,
    /// Requests in flight are still answered; new ones are not taken.
    Closing,
}

/// The state of one connection to one shard of one server.
///
/// The contract: [`Connection::new`] puts the handshake into `out`; whoever drives the connection
/// sends all of `out`, in order, and clears it. Whatever is received goes through
/// [`Connection::next`] until that returns `None`. After an error, or after [`Event::Refused`], the
/// socket is closed and [`Connection::abandon`] tells what was in flight.
#[derive(Debug)]
pub struct Connection {
    state: State,
    hello: Hello,
    decoder: Decoder,
    server: Option<ServerInfo>,
    slots: Slots,
}

impl Connection {
    /// A connection whose handshake is in `out`.
    #[must_use]
    pub fn new(hello: Hello, out: &mut Vec<u8>) -> Self {
        hello.handshake().encode(&Header::request(0), out);
        Self {
            state: State::Handshaking,
            hello,
            decoder: Decoder::new(),
            server: None,
            slots: Slots::new(0),
        }
    }

    /// The server, once [`Event::Ready`] was seen.
    #[must_use]
    pub fn server(&self) -> Option<&ServerInfo> {
        self.server.as_ref()
    }

    /// Whether requests are taken.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Requests without a reply yet.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.slots.in_flight()
    }

    /// Requests that may be in flight at once: the server's limit, at most `IN_FLIGHT_MAX`; 0
    /// before the handshake is done. Every [`Slot`]'s index is below it.
    #[must_use]
    pub fn slots_max(&self) -> usize {
        self.slots.max()
    }

    /// Asks for a key's value.
    ///
    /// # Errors
    /// The request was not sent; `out` is unchanged.
    #[inline]
    pub fn get(
        &mut self,
        options: RequestOptions,
        get: &Get<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Slot, SendError> {
        check_key(get.key).map_err(SendError::Refused)?;
        self.send(options, Kind::GetReply, get, out)
    }

    /// Writes a key's value.
    ///
    /// # Errors
    /// The request was not sent; `out` is unchanged.
    #[inline]
    pub fn put(
        &mut self,
        options: RequestOptions,
        put: &Put<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Slot, SendError> {
        put.check().map_err(SendError::Refused)?;
        self.send(options, Kind::PutReply, put, out)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// The request was not sent; `out` is unchanged.
    #[inline]
    pub fn delete(
        &mut self,
        options: RequestOptions,
        delete: &Delete<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Slot, SendError> {
        delete.check().map_err(SendError::Refused)?;
        self.send(options, Kind::DeleteReply, delete, out)
    }

    /// Asks for the values of several keys, or only whether they have one.
    ///
    /// # Errors
    /// The request was not sent; `out` is unchanged.
    pub fn multi_get<'k>(
        &mut self,
        options: RequestOptions,
        request: &MultiGetRequest,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<Slot, SendError> {
        let (slot, header) = self.take(options, Kind::MultiGetReply)?;
        let MultiGetRequest { namespace, consistency, hlc_seen, key_only } = *request;
        MultiGet::encode(&header, namespace, consistency, hlc_seen, key_only, keys, out).map_err(
            |status| {
                self.slots.free(slot);
                SendError::Refused(status)
            },
        )?;
        Ok(slot)
    }

    /// Asks for a page of records in order.
    ///
    /// # Errors
    /// The request was not sent; `out` is unchanged.
    pub fn scan(
        &mut self,
        options: RequestOptions,
        scan: &Scan<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Slot, SendError> {
        let (slot, header) = self.take(options, Kind::ScanReply)?;
        scan.encode(&header, out);
        Ok(slot)
    }

    /// Asks who holds what.
    ///
    /// # Errors
    /// The request was not sent; `out` is unchanged.
    pub fn route(&mut self, options: RequestOptions, out: &mut Vec<u8>) -> Result<Slot, SendError> {
        let (slot, header) = self.take(options, Kind::RouteReply)?;
        RouteRequest { epoch: options.epoch }.encode(&header, out);
        Ok(slot)
    }

    /// Asks whether the server is there.
    ///
    /// # Errors
    /// The request was not sent; `out` is unchanged.
    pub fn ping(&mut self, options: RequestOptions, out: &mut Vec<u8>) -> Result<Slot, SendError> {
        self.send(options, Kind::Pong, &Kind::Ping, out)
    }

    /// Nobody waits for the reply of `slot` any more: no event will tell of it. The slot is free
    /// again once the reply is there.
    pub fn forget(&mut self, slot: Slot) {
        self.slots.forget(slot);
    }

    /// Ends the connection; the slots of the requests that somebody still waits for. What became
    /// of those is unknown.
    pub fn abandon(&mut self) -> Vec<Slot> {
        self.state = State::Closing;
        self.slots.drain()
    }

    /// The next event in what was received; `input` moves past what was taken. `None` once it is
    /// used up.
    ///
    /// # Errors
    /// The connection is of no further use.
    #[inline]
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'a>>, ConnectionError> {
        let Self { state, hello, decoder, server, slots } = self;
        let Some(frame) = decoder.next(input)? else { return Ok(None) };
        let kind = match frame.kind() {
            Ok(kind) => kind,
            Err(_) if is_push(frame.kind_byte) => return Ok(Some(Event::Ignored)),
            Err(status) => return Err(broken("an unknown kind of frame", status)),
        };
        match kind {
            Kind::RingChanged => Ok(Some(Event::RingChanged { epoch: frame.header.epoch })),
            Kind::Draining => {
                *state = State::Closing;
                let closes_in = Duration::from_micros(u64::from(frame.header.deadline_us));
                Ok(Some(Event::Draining { closes_in }))
            }
            Kind::HandshakeReply if *state == State::Handshaking => {
                let info = check_handshake(hello, &frame)?;
                slots.set_max(IN_FLIGHT_MAX.min(info.limits.in_flight_max as usize));
                *server = Some(info);
                *state = State::Open;
                Ok(Some(Event::Ready))
            }
            Kind::Error if frame.header.request_id == 0 => {
                *state = State::Closing;
                let refusal = ErrorReply::decode(&frame);
                Ok(Some(Event::Refused(refusal.map_err(|e| broken("a malformed error", e))?)))
            }
            _ => {
                let due = slots
                    .find(frame.header.request_id)
                    .ok_or_else(|| broken("a reply to nobody", Status::OutOfOrder))?;
                let event = answer(kind, due, &frame)?;
                // Only now: a request whose reply could not be read is still in flight.
                slots.free(due.slot);
                Ok(Some(event))
            }
        }
    }

    #[inline]
    fn send(
        &mut self,
        options: RequestOptions,
        due: Kind,
        message: &impl Message,
        out: &mut Vec<u8>,
    ) -> Result<Slot, SendError> {
        let (slot, header) = self.take(options, due)?;
        frame::append(&header, message, out);
        Ok(slot)
    }

    #[inline]
    fn take(&mut self, options: RequestOptions, due: Kind) -> Result<(Slot, Header), SendError> {
        match self.state {
            State::Open => {}
            State::Handshaking => return Err(SendError::NotReady),
            State::Closing => return Err(SendError::Closing),
        }
        let (slot, request_id) = self.slots.take(due).ok_or(SendError::Full)?;
        let RequestOptions { deadline_us, shard, epoch } = options;
        Ok((slot, Header { shard, epoch, deadline_us, ..Header::request(request_id) }))
    }
}

#[cold]
const fn broken(what: &'static str, status: Status) -> ConnectionError {
    ConnectionError::Protocol { what, status }
}

/// Pushes that a later version may send; nobody waits for them.
const fn is_push(kind_byte: u8) -> bool {
    matches!(kind_byte, 0x40..0x60)
}

fn check_handshake(hello: &Hello, frame: &Frame<'_>) -> Result<ServerInfo, ConnectionError> {
    let reply = HandshakeReply::decode(frame.body)
        .map_err(|status| broken("a malformed handshake", status))?;
    handshake::check_reply(&hello.handshake(), &reply).map_err(ConnectionError::Handshake)?;
    Ok(ServerInfo::from(&reply))
}

/// The event for the reply to a request.
#[inline]
fn answer<'a>(kind: Kind, due: Due, frame: &Frame<'a>) -> Result<Event<'a>, ConnectionError> {
    let malformed = |status| broken("a malformed reply", status);
    if kind != due.reply && kind != Kind::Error {
        return Err(broken("a reply to another kind of request", Status::OutOfOrder));
    }
    if due.forgotten {
        return Ok(Event::Ignored);
    }
    let body = frame.body;
    let reply = match kind {
        Kind::GetReply => Reply::Get(GetReply::decode(body).map_err(malformed)?),
        Kind::PutReply => Reply::Put(WriteReply::decode(kind, body).map_err(malformed)?),
        Kind::DeleteReply => Reply::Delete(WriteReply::decode(kind, body).map_err(malformed)?),
        Kind::MultiGetReply => Reply::MultiGet(MultiGetReply::decode(body).map_err(malformed)?),
        Kind::RouteReply => Reply::Route(Box::new(RouteReply::decode(body).map_err(malformed)?)),
        Kind::ScanReply => Reply::Scan(ScanReply::decode(body).map_err(malformed)?),
        Kind::Pong => Reply::Pong,
        _ => Reply::Error(Box::new(ErrorReply::decode(frame).map_err(malformed)?)),
    };
    Ok(Event::Reply { slot: due.slot, header: ReplyHeader::from(&frame.header), reply })
}

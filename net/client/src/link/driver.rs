//! The task that owns a connection.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::answers;
use super::connect::{self, Connected, Target};
use crate::error::Error;
use crate::limits::{
    BATCH_OPERATIONS, DEAD_AFTER, OUT_BYTES_KEPT, OUT_BYTES_MAX, PING_AFTER, RECEIVE_BYTES,
};
use crate::protocol::{
    Applied, Connection, Delete, Event, Get, MultiGetRequest, Put, RequestOptions, Scan, ScanPlace,
    SendError, ServerInfo, ShardId, Slot, Status,
};
use crate::request::{Answer, Job, Request};
use crate::retry::reconnect_delay;
use crate::session::Session;

pub(super) struct Driver {
    session: Arc<Session>,
    target: Arc<Target>,
    queue: mpsc::Receiver<Job>,
    /// Connections in a row that were lost before they answered anything.
    failures: u32,
}

impl Driver {
    pub(super) fn new(
        session: Arc<Session>,
        target: Arc<Target>,
        queue: mpsc::Receiver<Job>,
    ) -> Self {
        Self { session, target, queue, failures: 0 }
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            match connect::connect(&self.session, &self.target).await {
                Ok(connected) => {
                    let mut wire = Wire::new(&self.session, &self.target, connected);
                    wire.send(first);
                    let end = wire.run(&mut self.queue).await;
                    self.failures = if wire.answered { 0 } else { self.failures + 1 };
                    wire.lose(&end);
                    if matches!(end, End::Unused) {
                        return;
                    }
                }
                Err(error) => {
                    self.failures += 1;
                    let _gone = first.answer.send(Err(error));
                }
            }
            if self.failures > 0 {
                self.session.route_is_old.notify_one();
                self.back_off().await;
            }
        }
    }

    /// Refuses everything for a while.
    async fn back_off(&mut self) {
        let until = Instant::now() + reconnect_delay(self.failures, fastrand::u32(..));
        loop {
            let job = tokio::select! {
                job = self.queue.recv() => job,
                () = sleep_until(until) => return,
            };
            let Some(job) = job else { return };
            let text = format!("{} cannot be reached just now", self.target.address);
            let error = Error::unavailable(Applied::No, text)
                .with_retry_after(until.saturating_duration_since(Instant::now()));
            let _gone = job.answer.send(Err(error));
        }
    }
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// Nobody holds a handle any more.
    Unused,
    /// The server said that it goes, and all is answered.
    Drained,
    /// Something broke.
    Lost(String),
}

/// A request in flight.
struct Waiting {
    answer: oneshot::Sender<Result<Answer, Error>>,
    shard: ShardId,
    /// Where its bytes begin in all that this connection ever had to send.
    start: u64,
}

/// A connection that takes requests.
struct Wire {
    session: Arc<Session>,
    stream: TcpStream,
    connection: Connection,
    server: ServerInfo,
    /// By slot.
    waiting: Vec<Option<Waiting>>,
    out: Vec<u8>,
    /// Bytes of `out` that the kernel has.
    written: usize,
    /// Bytes that were in `out` before its first.
    flushed: u64,
    input: Vec<u8>,
    answered: bool,
    /// The last time that the server was heard, or that the first of the requests in flight went.
    heard: Instant,
    pinged: Option<Instant>,
}

impl Wire {
    fn new(session: &Arc<Session>, target: &Target, connected: Connected) -> Self {
        let Connected { stream, connection, server } = connected;
        session.saw_epoch(server.epoch);
        if target.shard.is_some_and(|wanted| wanted != server.shard) {
            session.route_is_old.notify_one();
        }
        Self {
            session: Arc::clone(session),
            stream,
            connection,
            server,
            waiting: Vec::new(),
            out: Vec::new(),
            written: 0,
            flushed: 0,
            input: vec![0; RECEIVE_BYTES],
            answered: false,
            heard: Instant::now(),
            pinged: None,
        }
    }

    async fn run(&mut self, queue: &mut mpsc::Receiver<Job>) -> End {
        let mut batch = Vec::with_capacity(BATCH_OPERATIONS);
        loop {
            if let Err(error) = self.flush() {
                return End::Lost(error.to_string());
            }
            if !self.connection.is_open() && self.connection.in_flight() == 0 {
                return End::Drained;
            }
            let check_at = self.pinged.map_or(self.heard + PING_AFTER, |at| at + DEAD_AFTER);
            let room = self.room();
            tokio::select! {
                count = queue.recv_many(&mut batch, room), if room > 0 => {
                    if count == 0 {
                        return End::Unused;
                    }
                    batch.drain(..).for_each(|job| self.send(job));
                }
                ready = self.stream.readable() => {
                    if let Err(lost) = ready.map_err(|e| e.to_string()).and_then(|()| self.receive()) {
                        return End::Lost(lost);
                    }
                }
                ready = self.stream.writable(), if !self.out.is_empty() => {
                    if let Err(error) = ready {
                        return End::Lost(error.to_string());
                    }
                }
                () = sleep_until(check_at), if self.connection.in_flight() > 0 => {
                    if let Err(lost) = self.receive().and_then(|()| self.check_silence()) {
                        return End::Lost(lost);
                    }
                }
            }
        }
    }

    /// Operations that may be taken now. A draining connection takes them to refuse them.
    fn room(&self) -> usize {
        let slots = self.connection.slots_max() - self.connection.in_flight();
        if !self.connection.is_open() {
            BATCH_OPERATIONS
        } else if self.out.len() - self.written >= OUT_BYTES_MAX {
            0
        } else {
            slots.min(BATCH_OPERATIONS)
        }
    }

    /// Puts one operation into the output, unless nobody waits for it any more.
    fn send(&mut self, job: Job) {
        if job.answer.is_closed() || !job.claim.send() {
            return;
        }
        let remaining = job.deadline.saturating_duration_since(Instant::now());
        let start = self.flushed + self.out.len() as u64;
        let options = RequestOptions {
            deadline_us: u32::try_from(remaining.as_micros()).unwrap_or(u32::MAX).max(1),
            shard: job.shard,
            epoch: self.session.epoch(),
        };
        match self.encode(&job.request, options) {
            Ok(slot) => {
                if self.connection.in_flight() == 1 {
                    self.heard = Instant::now();
                }
                let waiting = Waiting { answer: job.answer, shard: job.shard, start };
                if self.waiting.len() <= slot.index() {
                    self.waiting.resize_with(slot.index() + 1, || None);
                }
                self.waiting[slot.index()] = Some(waiting);
            }
            Err(error) => {
                let _gone = job.answer.send(Err(unsent(error)));
            }
        }
    }

    fn encode(&mut self, request: &Request, options: RequestOptions) -> Result<Slot, SendError> {
        let (namespace, hlc_seen) = (self.server.namespace, self.session.hlc_seen());
        let (connection, out) = (&mut self.connection, &mut self.out);
        match request {
            Request::Get { key, consistency, key_only } => {
                let (consistency, key_only) = (*consistency, *key_only);
                connection.get(
                    options,
                    &Get { namespace, key, consistency, hlc_seen, key_only },
                    out,
                )
            }
            Request::MultiGet { keys, consistency } => {
                let consistency = *consistency;
                let request = MultiGetRequest { namespace, consistency, hlc_seen, key_only: false };
                connection.multi_get(options, &request, keys.iter().map(AsRef::as_ref), out)
            }
            Request::Scan { from, to, records_max, key_only, consistency } => {
                let scan = Scan {
                    namespace,
                    consistency: *consistency,
                    key_only: *key_only,
                    from: ScanPlace { token: from.token, after_key: &from.after_key },
                    to: *to,
                    records_max: *records_max,
                };
                connection.scan(options, &scan, out)
            }
            Request::Put { key, value, ttl_ms, consistency } => {
                let put = Put {
                    namespace,
                    key,
                    context: &[],
                    value,
                    ttl_ms: *ttl_ms,
                    consistency: *consistency,
                    hlc_seen,
                };
                connection.put(options, &put, out)
            }
            Request::Delete { key, consistency } => {
                let consistency = *consistency;
                let delete = Delete { namespace, key, context: &[], consistency, hlc_seen };
                connection.delete(options, &delete, out)
            }
            Request::Route => connection.route(options, out),
        }
    }

    /// Hands the kernel as much of the output as it takes.
    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.try_write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.flushed += self.out.len() as u64;
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(OUT_BYTES_KEPT);
        Ok(())
    }

    /// Takes what was received, if anything was.
    fn receive(&mut self) -> Result<(), String> {
        let received = match self.stream.try_read(&mut self.input) {
            Ok(0) => return Err("the server closed the connection".to_owned()),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        self.heard = Instant::now();
        self.pinged = None;
        let Self { session, connection, server, waiting, input, answered, .. } = self;
        let mut bytes = &input[..received];
        while let Some(event) = connection.next(&mut bytes).map_err(|error| error.to_string())? {
            match event {
                Event::Reply { slot, header, reply } => {
                    *answered = true;
                    if let Some(waiting) = waiting.get_mut(slot.index()).and_then(Option::take) {
                        session.saw_reply(&header, waiting.shard);
                        let _gone = waiting.answer.send(answers::answer(reply, server, session));
                    }
                }
                Event::RingChanged { epoch } => session.saw_epoch(epoch),
                Event::Draining { .. } => session.route_is_old.notify_one(),
                Event::Refused(reply) => return Err(Error::reply(&reply).to_string()),
                Event::Ready | Event::Ignored => {}
            }
        }
        Ok(())
    }

    /// Nothing was heard for a while and replies are due.
    fn check_silence(&mut self) -> Result<(), String> {
        let now = Instant::now();
        match self.pinged {
            Some(at) if now >= at + DEAD_AFTER => Err("the server fell silent".to_owned()),
            None if now >= self.heard + PING_AFTER => {
                self.pinged = Some(now);
                // Full or closing: then a reply is due anyway, and silence means the same.
                if let Ok(slot) = self.connection.ping(RequestOptions::default(), &mut self.out) {
                    self.connection.forget(slot);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tells all that still wait what became of their requests.
    fn lose(&mut self, end: &End) {
        let handed_over = self.flushed + self.written as u64;
        let why = match end {
            End::Lost(why) => why,
            End::Unused | End::Drained => "the connection was closed",
        };
        for waiting in self.waiting.drain(..).flatten() {
            let sent = waiting.start < handed_over;
            let applied = if sent { Applied::Unknown } else { Applied::No };
            let _gone = waiting.answer.send(Err(Error::unavailable(applied, why)));
        }
    }
}

/// A request that was never put into the output.
fn unsent(error: SendError) -> Error {
    match error {
        SendError::Refused(status) => Error::refused(status).not_applied(),
        SendError::Full => Error::refused(Status::Overloaded),
        SendError::NotReady | SendError::Closing => Error::refused(Status::Draining),
    }
}

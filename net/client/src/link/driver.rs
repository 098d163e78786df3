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
    SendError, ServerInfo, ShardId, Slot, Status, Token,
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
    /// Whether the next connection is not the first.
    reconnects: bool,
}

impl Driver {
    pub(super) fn new(
        session: Arc<Session>,
        target: Arc<Target>,
        queue: mpsc::Receiver<Job>,
    ) -> Self {
        Self { session, target, queue, failures: 0, reconnects: false }
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            match connect::connect(&self.session, &self.target).await {
                Ok(connected) => {
                    let mut wire = Wire::new(&self.session, &self.target, connected);
                    if std::mem::replace(&mut self.reconnects, true) {
                        // The server may have come back with other cores.
                        self.session.route_is_old.notify_one();
                    }
                    wire.send(first);
                    let end = wire.run(&mut self.queue).await;
                    self.failures = if wire.answered { 0 } else { self.failures + 1 };
                    wire.lose(&end, &self.target.address);
                    if matches!(end, End::Unused) {
                        return;
                    }
                }
                Err(error) => {
                    self.failures += 1;
                    // The node may be gone for good. Who asks for the route knows that already.
                    if !matches!(first.request, Request::Route) {
                        self.session.route_is_old.notify_one();
                    }
                    let _gone = first.answer.send(Err(error));
                }
            }
            if self.failures > 0 {
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
            let why = format!("{} cannot be reached just now", self.target.address);
            let error = Error::unavailable(Applied::No, why)
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
        self.serve(queue).await.unwrap_or_else(End::Lost)
    }

    /// An error says why the connection is lost.
    async fn serve(&mut self, queue: &mut mpsc::Receiver<Job>) -> Result<End, String> {
        loop {
            self.flush().map_err(text)?;
            if !self.connection.is_open() && self.connection.in_flight() == 0 {
                return Ok(End::Drained);
            }
            let check_at = self.pinged.map_or(self.heard + PING_AFTER, |at| at + DEAD_AFTER);
            tokio::select! {
                job = queue.recv(), if self.has_room() => match job {
                    Some(job) => self.send_all(job, queue),
                    None => return Ok(End::Unused),
                },
                ready = self.stream.readable() => {
                    ready.map_err(text)?;
                    self.receive()?;
                }
                ready = self.stream.writable(), if !self.out.is_empty() => ready.map_err(text)?,
                () = sleep_until(check_at), if self.connection.in_flight() > 0 => {
                    self.receive()?;
                    self.check_silence()?;
                }
            }
        }
    }

    /// Whether operations may be taken. A draining connection takes them to refuse them.
    fn has_room(&self) -> bool {
        let connection = &self.connection;
        let output = self.out.len() - self.written < OUT_BYTES_MAX;
        !connection.is_open() || (output && connection.in_flight() < connection.slots_max())
    }

    /// Takes what is queued behind `first` as well, to be written in one go.
    fn send_all(&mut self, first: Job, queue: &mut mpsc::Receiver<Job>) {
        self.send(first);
        for _ in 1..BATCH_OPERATIONS {
            if !self.has_room() {
                return;
            }
            let Ok(job) = queue.try_recv() else { return };
            self.send(job);
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
            Request::Scan { from, records_max, key_only, consistency } => {
                let scan = Scan {
                    namespace,
                    consistency: *consistency,
                    key_only: *key_only,
                    from: ScanPlace { token: from.token, after_key: &from.after_key },
                    to: Token(u64::MAX),
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
            Err(error) => return Err(text(error)),
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
    fn lose(&mut self, end: &End, address: &str) {
        let handed_over = self.flushed + self.written as u64;
        let why = match end {
            End::Lost(why) => why,
            End::Unused | End::Drained => "the connection was closed",
        };
        for waiting in self.waiting.drain(..).flatten() {
            let sent = waiting.start < handed_over;
            let applied = if sent { Applied::Unknown } else { Applied::No };
            let error = Error::unavailable(applied, format!("{address}: {why}"));
            let _gone = waiting.answer.send(Err(error));
        }
    }
}

fn text(error: io::Error) -> String {
    error.to_string()
}

/// A request that was never put into the output.
fn unsent(error: SendError) -> Error {
    match error {
        SendError::Refused(status) => Error::refused(status).not_applied(),
        SendError::Full => Error::refused(Status::Overloaded),
        SendError::NotReady | SendError::Closing => Error::refused(Status::Draining),
    }
}

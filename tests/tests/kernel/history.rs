//! What was written, in which order, and since when it has to be there: what a server that was
//! started after a power cut is held against.
//!
//! Each writer has keys of its own and one write under way at a time. So what a server shows of a
//! writer's keys has to be the state after some number of its writes: no fewer than were
//! acknowledged before the cut, no more than were sent. A write that was not answered is sent
//! again until it is, so that what follows it is a state too.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use kvclient::blocking::Client;
use kvclient::{Bytes, Error, ErrorKind};

use crate::clients::client;
use crate::server::{PATIENCE, Server};

/// How long the log of a disk was; the greatest stands for the end.
pub(crate) type Position = u64;

/// The position of a disk without a log.
pub(crate) fn nowhere() -> Position {
    0
}

/// Keys of each writer: few, so that most writes overwrite.
const KEYS: usize = 40;

/// Those of them that have large values, so that few bytes have to be read.
const LARGE_KEYS: usize = 4;

/// Bytes in front of each value that say whose and which write it is of.
const HEADER: usize = 8;

/// How long a writer waits for one answer before it asks again, for the server may be gone.
const DEADLINE: Duration = Duration::from_secs(2);

/// One write of a writer.
#[derive(Clone, Copy, Debug)]
struct Write {
    key: usize,
    /// Bytes of the value; `None` deletes.
    length: Option<usize>,
    /// The disk was at least here when it was sent first.
    sent: Position,
    /// The disk was at most here when it was acknowledged.
    acknowledged: Option<Position>,
}

#[derive(Debug)]
struct Writer {
    number: u32,
    rng: Rng,
    writes: Vec<Write>,
}

/// What one read gave.
type Read = Result<Option<Bytes>, Error>;

/// What it means: the value of the write of this index, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Unreadable,
    Absent,
    Write(usize),
}

/// What all keys were read as, by the writers' numbers.
pub(crate) struct Reads(Vec<Vec<Read>>);

impl Reads {
    pub(crate) fn errors(&self) -> Vec<&Error> {
        self.0.iter().flatten().filter_map(|read| read.as_ref().err()).collect()
    }

    pub(crate) fn values(&self) -> usize {
        self.0.iter().flatten().filter(|read| matches!(read, Ok(Some(_)))).count()
    }

    /// Whether others gave the same, and none of either failed.
    pub(crate) fn values_are_those_of(&self, others: &Self) -> bool {
        let mut pairs = self.0.iter().flatten().zip(others.0.iter().flatten());
        pairs.all(|pair| matches!(pair, (Ok(value), Ok(other)) if value == other))
    }
}

/// Why what was read cannot be.
#[derive(Debug)]
pub(crate) struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that was written.
#[derive(Debug)]
pub(crate) struct History {
    writers: Vec<Writer>,
}

impl History {
    /// Of so many writers, whose writes are drawn from `seed`.
    pub(crate) fn new(writers: u32, seed: u64) -> Self {
        let writer = |number| {
            let rng = Rng::with_seed(seed ^ u64::from(number) << 32);
            Writer { number, rng, writes: Vec::new() }
        };
        Self { writers: (0..writers).map(writer).collect() }
    }

    /// Writes to the server at `clients`, in a thread for each writer, while `meanwhile` runs;
    /// `position` is where the disk's log is.
    pub(crate) fn write_while<T>(
        &mut self,
        clients: SocketAddr,
        position: impl Fn() -> Position + Sync,
        meanwhile: impl FnOnce() -> T,
    ) -> T {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Also when `meanwhile` panics: the scope waits for them.
            let _stops = Sets(&over);
            for writer in &mut self.writers {
                let (over, position) = (&over, &position);
                let is_over = |_| over.load(Ordering::Relaxed);
                scope.spawn(move || writer.write(clients, position, is_over));
            }
            meanwhile()
        })
    }

    /// Has each writer write to the server at `clients` until so many more are acknowledged.
    pub(crate) fn write(&mut self, clients: SocketAddr, each: usize) {
        thread::scope(|scope| {
            for writer in &mut self.writers {
                scope.spawn(move || writer.write(clients, nowhere, |done| done == each));
            }
        });
    }

    /// Writes acknowledged up to `position`.
    pub(crate) fn acknowledged(&self, position: Position) -> usize {
        self.writers.iter().map(|writer| writer.acknowledged(position)).sum()
    }

    /// Reads all keys, errors included; fails where a scan says otherwise.
    pub(crate) fn read(&self, server: &Server) -> Result<Reads, Wrong> {
        let client = client(server.clients());
        let read = |writer: &Writer| (0..KEYS).map(|key| get(&client, &writer.key(key))).collect();
        let reads = Reads(self.writers.iter().map(read).collect());
        if reads.errors().is_empty() {
            self.check_scan(&client, &reads)?;
        }
        Ok(reads)
    }

    /// Holds reads, those that did not fail, against what may be there after a cut at `position`.
    pub(crate) fn check(&self, reads: &Reads, position: Position) -> Result<(), Wrong> {
        let mut pairs = self.writers.iter().zip(&reads.0);
        pairs.try_for_each(|(writer, reads)| writer.check(reads, position))
    }

    /// Asserts that `server` has all that was acknowledged, and nothing that was not sent.
    pub(crate) fn assert_kept(&self, server: &Server) {
        let reads = self.read(server).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(reads.errors().is_empty(), "{:?}", reads.errors());
        self.check(&reads, Position::MAX).unwrap_or_else(|wrong| panic!("{wrong}"));
    }

    fn check_scan(&self, client: &Client, reads: &Reads) -> Result<(), Wrong> {
        let mut expected = BTreeMap::new();
        for (writer, reads) in self.writers.iter().zip(&reads.0) {
            let values = reads.iter().map(|read| read.as_ref().ok().and_then(Option::as_ref));
            let present = values.enumerate().filter_map(|(key, value)| Some((key, value?)));
            expected.extend(present.map(|(key, value)| (writer.key(key), value)));
        }
        let rows = expected.len();
        let mut scanned = 0;
        for page in client.scan() {
            for record in page.map_err(|error| Wrong(format!("a scan: {error}")))? {
                let key = String::from_utf8_lossy(&record.key);
                if expected.get(key.as_ref()) != Some(&&record.value) {
                    return Err(Wrong(format!("a scan says otherwise of {key}")));
                }
                scanned += 1;
            }
        }
        let all = scanned == rows;
        if all { Ok(()) } else { Err(Wrong(format!("a scan has {scanned} records of {rows}"))) }
    }
}

impl Writer {
    fn key(&self, key: usize) -> String {
        format!("writer {} key {key}", self.number)
    }

    /// The bytes that the write of this index puts.
    fn value(&self, index: usize) -> Option<Bytes> {
        let length = self.writes[index].length?;
        let header = u64::from(self.number) << 32 | index as u64;
        let mut value = vec![0; length];
        value[..HEADER].copy_from_slice(&header.to_le_bytes());
        Rng::with_seed(header).fill(&mut value[HEADER..]);
        Some(value.into())
    }

    /// Writes until `is_over`, which is told how many were acknowledged.
    fn write(
        &mut self,
        server: SocketAddr,
        position: impl Fn() -> Position,
        is_over: impl Fn(usize) -> bool,
    ) {
        let (mut done, mut last) = (0, Instant::now());
        let client = loop {
            match connect(server) {
                Ok(client) => break client,
                // It may be gone already.
                Err(_) if is_over(done) => return,
                Err(error) => assert!(last.elapsed() < PATIENCE, "{error}"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        while !is_over(done) {
            assert!(last.elapsed() < PATIENCE, "writer {} gets no answer", self.number);
            if self.writes.last().is_none_or(|last| last.acknowledged.is_some()) {
                let write = self.drawn(position());
                self.writes.push(write);
            }
            let index = self.writes.len() - 1;
            let key = self.key(self.writes[index].key);
            let outcome = match self.value(index) {
                Some(value) => client.put(&key, value).send().map(drop),
                None => client.delete(&key).send().map(drop),
            };
            match outcome {
                Ok(()) => {
                    self.writes[index].acknowledged = Some(position());
                    (done, last) = (done + 1, Instant::now());
                }
                Err(error) => {
                    let kind = error.kind();
                    assert!(
                        kind != ErrorKind::Invalid && kind != ErrorKind::WrongServer,
                        "{error}"
                    );
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// The next write: most are small, most bytes are those of large ones.
    fn drawn(&mut self, sent: Position) -> Write {
        let rng = &mut self.rng;
        let large = rng.u32(..5) == 0;
        let key = if large { rng.usize(..LARGE_KEYS) } else { rng.usize(LARGE_KEYS..KEYS) };
        let length = if large { 64 << 10..448 << 10 } else { HEADER..2_000 };
        let length = (rng.u32(..10) > 0).then(|| rng.usize(length));
        Write { key, length, sent, acknowledged: None }
    }

    fn acknowledged(&self, position: Position) -> usize {
        let by_then = |write: &&Write| write.acknowledged.is_some_and(|mark| mark <= position);
        self.writes.iter().take_while(by_then).count()
    }

    fn check(&self, reads: &[Read], position: Position) -> Result<(), Wrong> {
        let least = self.acknowledged(position);
        let most = self.writes.iter().take_while(|write| write.sent <= position).count();
        let found = (0..KEYS).map(|key| self.found(key, &reads[key]));
        let found = found.collect::<Result<Vec<Found>, Wrong>>()?;
        let mut wrong = Wrong(format!("{least} writes acknowledged at {position}, {most} sent"));
        for count in least..=most {
            let state = self.state(count);
            let differs =
                |&key: &usize| found[key] != Found::Unreadable && found[key] != state[key];
            let Some(key) = (0..KEYS).find(differs) else { return Ok(()) };
            wrong = Wrong(format!(
                "{}: {:?} in place of {:?}, with {count} writes of {least} to {most} at {position}",
                self.key(key),
                found[key],
                state[key]
            ));
        }
        Err(wrong)
    }

    /// Which write what was read of `key` is of.
    fn found(&self, key: usize, read: &Read) -> Result<Found, Wrong> {
        let Ok(value) = read else { return Ok(Found::Unreadable) };
        let Some(value) = value else { return Ok(Found::Absent) };
        let header = value.first_chunk::<HEADER>().map(|bytes| u64::from_le_bytes(*bytes));
        let index = header.map_or(usize::MAX, |header| header as u32 as usize);
        let put = self.writes.get(index).filter(|write| write.key == key);
        if put.is_some() && self.value(index).as_ref() == Some(value) {
            return Ok(Found::Write(index));
        }
        Err(Wrong(format!("{}: {} bytes that nobody wrote", self.key(key), value.len())))
    }

    /// What each key has after so many writes.
    fn state(&self, count: usize) -> [Found; KEYS] {
        let mut state = [Found::Absent; KEYS];
        for (index, write) in self.writes[..count].iter().enumerate() {
            state[write.key] = write.length.map_or(Found::Absent, |_| Found::Write(index));
        }
        state
    }
}

/// Sets a flag when dropped.
struct Sets<'a>(&'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn connect(server: SocketAddr) -> Result<Client, Error> {
    let builder = kvclient::Client::builder().seeds([server.to_string()]);
    Client::connect(builder.deadline(DEADLINE))
}

/// Reads a key, again while the server has too much to do.
fn get(client: &Client, key: &str) -> Read {
    let mut tries = 0;
    loop {
        match client.get(key).send() {
            Ok(entry) => return Ok(entry.map(|entry| entry.value)),
            Err(error) => {
                tries += 1;
                let busy = matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::Timeout);
                if !busy || tries > 20 {
                    return Err(error);
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

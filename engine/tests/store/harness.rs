//! A store, the client that drives it, and the ledger of what the client was told.
//!
//! The ledger is outside the simulation: it is there after a power cut. A store is right if what
//! it shows is the state after some prefix of the writes it took, no shorter than what it
//! acknowledged.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::rc::Rc;

use engine::commit_log::LogConfig;
use engine::digest::{DigestRequest, Digests};
use engine::env::Env;
use engine::env::sim::{Sim, SimDisk, SimEnv};
use engine::record::{Key, Kind, Record, lww};
use engine::scan::{Page, ScanPlace, ScanRequest};
use engine::sstable::TableError;
use engine::store::{
    DigestError, DigestTicket, Done, DropTicket, ExportTicket, Failure, Get, GetTicket, OpenError,
    OpenReport, PutError, ScanTicket, SnapshotResult, SnapshotStep, SnapshotTicket, Store,
    StoreConfig,
};
use engine::transfer::Chunk;
use schemas::ids::{
    Actor, Dot, Hlc, NamespaceId, NodeId, ShardId, Token, Version, Vnode, VnodeBits,
};

use crate::ledger::{Answer, DroppedVnode, Shown};
pub(crate) use crate::ledger::{Ledger, Write};

/// Where the store lies on its disk.
pub(crate) const DIR: &str = "shard";

pub(crate) const KEYS: u32 = 24;

/// A store of small everything, so that little work makes many flushes and compactions.
pub(crate) fn small_config() -> StoreConfig {
    let all = (Token(0), Token(u64::MAX));
    let mut config = StoreConfig::new(1, ShardId(0), all, 64 << 10);
    // A start makes a line of memory for each, a flush writes each: thousands are what most of a
    // simulated life would be spent on.
    config.vnodes = VnodeBits::new(4).unwrap();
    config.memtable_bytes = 24 << 10;
    config.memtables_bytes_max = 256 << 10;
    config.cache_bytes = 32 << 10;
    config.log_bytes_max = 96 << 10;
    config.log = LogConfig {
        segment_bytes: 64 << 10,
        batch_bytes_max: 32 << 10,
        spare_segments: 1,
        ..LogConfig::default()
    };
    config.compaction.level0_tables = 2;
    config.compaction.runs_max = 1;
    config.compaction.fragment_bytes = 16 << 10;
    config
}

/// A simulation on `disk` whose wall clock goes on where the ledger's ended.
pub(crate) fn simulate(seed: u64, disk: &SimDisk, ledger: &Ledger) -> (Sim, SimEnv) {
    let sim = Sim::new(seed);
    let env = sim.env(disk);
    sim.jump_wall_clock(ledger.wall_ms.saturating_sub(env.wall_ms()) as i64);
    (sim, env)
}

/// Keys in pairs that share a token, every other pair in two namespaces.
fn key_bytes(key: u32) -> [u8; 5] {
    let mut bytes = *b"k....";
    bytes[1..].copy_from_slice(&key.to_be_bytes());
    bytes
}

/// The key whose bytes these are.
pub(crate) fn number_of(bytes: &[u8; 5]) -> u32 {
    u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]])
}

fn key_of<'a>(key: u32, bytes: &'a [u8; 5]) -> Key<'a> {
    Key { token: token_of(key), namespace: namespace_of(key), bytes }
}

pub(crate) fn token_of(key: u32) -> Token {
    Token::of(&(key / 2).to_le_bytes(), 9)
}

pub(crate) fn namespace_of(key: u32) -> NamespaceId {
    NamespaceId(if key % 4 == 3 { 7 } else { 2 })
}

/// A store and its client.
pub(crate) struct Client {
    pub(crate) store: Store<SimEnv>,
    pub(crate) env: SimEnv,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    /// The write that has the store's first ticket.
    first: usize,
    done: Vec<Done>,
    answers: Vec<(GetTicket, Answer)>,
    pub(crate) pages: Vec<(ScanTicket, Result<Page, TableError>)>,
    pub(crate) chunks: Vec<(ExportTicket, Result<Chunk, TableError>)>,
    pub(crate) digests: Vec<(DigestTicket, Result<Digests, DigestError>)>,
    pub(crate) snapshots: Vec<(SnapshotTicket, SnapshotResult)>,
    /// Drops under way, and which of the ledger's each is.
    drops: Vec<(DropTicket, usize)>,
    scanning: bool,
}

impl Client {
    pub(crate) async fn open(
        env: &SimEnv,
        config: StoreConfig,
        ledger: &Rc<RefCell<Ledger>>,
    ) -> Result<(Self, OpenReport), OpenError> {
        let (store, report) = Store::open(env.clone(), DIR, config, lww).await?;
        let client = Self {
            store,
            env: env.clone(),
            ledger: Rc::clone(ledger),
            first: ledger.borrow().writes.len(),
            done: Vec::new(),
            answers: Vec::new(),
            pages: Vec::new(),
            chunks: Vec::new(),
            digests: Vec::new(),
            snapshots: Vec::new(),
            drops: Vec::new(),
            scanning: false,
        };
        Ok((client, report))
    }

    /// How many writes were taken: the index of the next.
    pub(crate) fn taken(&self) -> usize {
        self.ledger.borrow().writes.len()
    }

    /// Gives the store a write, and notes it if it was taken.
    pub(crate) fn write(&mut self, write: Write) -> Result<(), PutError> {
        let bytes = key_bytes(write.key);
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
        self.store.put_now(&Record {
            key: key_of(write.key, &bytes),
            version: Version {
                hlc: Hlc(write.hlc),
                dot: Dot { actor, counter: write.index as u64 },
            },
            kind: if write.value.is_some() { Kind::Value } else { Kind::Tombstone },
            expires_at_ms: write.expires_at_ms,
            value: write.value.as_deref().unwrap_or_default(),
        })?;
        self.ledger.borrow_mut().writes.push(write);
        Ok(())
    }

    /// Gives the store a write again and again until it is taken.
    pub(crate) async fn write_until_taken(&mut self, write: Write) -> Result<(), Failure> {
        while let Err(error) = self.write(write.clone()) {
            assert!(
                matches!(error, PutError::Busy { .. } | PutError::DiskFull | PutError::Failed),
                "{error}"
            );
            self.store.tick();
            self.env.sleep_us(200).await;
            self.poll()?;
        }
        Ok(())
    }

    /// One round of a core's loop.
    pub(crate) fn poll(&mut self) -> Result<(), Failure> {
        let polled = self.store.poll(&mut self.done);
        self.ledger.borrow_mut().wall_ms = self.env.wall_ms();
        for done in self.done.drain(..) {
            match done {
                Done::PutsUpto(ticket) => {
                    let acknowledged = self.first + ticket.0 as usize + 1;
                    let ledger = &mut self.ledger.borrow_mut();
                    assert!(acknowledged > ledger.acknowledged, "each put is acknowledged once");
                    assert!(acknowledged <= ledger.writes.len(), "only what was taken is");
                    ledger.acknowledged = acknowledged;
                }
                Done::Scan(ticket, page) => self.pages.push((ticket, page)),
                Done::Export(ticket, chunk) => self.chunks.push((ticket, chunk)),
                Done::Digest(ticket, digests) => self.digests.push((ticket, digests)),
                Done::Snapshot(ticket, result) => self.snapshots.push((ticket, result)),
                Done::Dropped(ticket) => {
                    let at = self.drops.iter().position(|(it, _)| *it == ticket);
                    let (_, drop) = self.drops.swap_remove(at.expect("it was asked for"));
                    self.ledger.borrow_mut().drops[drop].done = true;
                }
                Done::Get(ticket, found) => {
                    let value =
                        found.map(|found| found.record().map(|record| record.value.to_vec()));
                    self.answers.push((ticket, value));
                }
            }
        }
        polled
    }

    /// Begins to drop the vnodes of `keys`. Their keys are not to be written until that is done.
    pub(crate) fn drop_vnodes_of(&mut self, keys: &[u32], bits: VnodeBits) {
        let at = self.taken();
        let vnodes: BTreeSet<Vnode> = keys.iter().map(|&key| token_of(key).vnode(bits)).collect();
        for vnode in vnodes {
            let drop =
                self.ledger.borrow_mut().note_drop(DroppedVnode { vnode, bits, at, done: false });
            self.drops.push((self.store.drop_vnode(vnode), drop));
        }
    }

    /// Asks anew for the drops that were not done when the store ended.
    pub(crate) fn drop_again(&mut self) {
        let pending: Vec<(usize, Vnode)> = self.ledger.borrow().pending_drops().collect();
        for (drop, vnode) in pending {
            self.drops.push((self.store.drop_vnode(vnode), drop));
        }
    }

    /// Goes on until everything taken is acknowledged.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        while self.ledger.borrow().acknowledged < self.taken() {
            self.round().await?;
        }
        Ok(())
    }

    /// A round of a core's loop, which parks when the store has nothing to do.
    pub(crate) async fn round(&mut self) -> Result<(), Failure> {
        self.store.tick();
        let is_waiting = self.ledger.borrow().acknowledged < self.taken()
            || self.store.stats().reads_in_flight > 0
            || self.scanning;
        if !self.store.idle() {
            self.env.pause().await;
        } else if is_waiting {
            self.env.parked().await;
        } else {
            self.env.sleep_us(50).await;
        }
        self.poll()
    }

    /// Lets virtual time pass, on a disk that works.
    pub(crate) async fn rest(&mut self, ms: u64) {
        let until_us = self.env.monotonic_us() + ms * 1000;
        while self.env.monotonic_us() < until_us {
            self.env.sleep_us(1000).await;
            self.round().await.expect("the disk works");
        }
    }

    /// Reads a key as of `now_ms`. `None`: the store failed.
    pub(crate) async fn read(&mut self, key: u32, now_ms: u64) -> Option<Answer> {
        let bytes = key_bytes(key);
        let ticket = loop {
            match self.store.get_now(&key_of(key, &bytes), now_ms) {
                Get::Hit(record) => return Some(Ok(Some(record.value.to_vec()))),
                Get::Absent => return Some(Ok(None)),
                Get::Miss(ticket) => break ticket,
                Get::Busy { retry_after_us } => {
                    self.env.sleep_us(u64::from(retry_after_us)).await;
                    self.poll().ok()?;
                }
            }
        };
        self.answer(ticket).await
    }

    /// Starts to read a key.
    pub(crate) fn get(&mut self, key: u32) -> Get<'_> {
        let bytes = key_bytes(key);
        self.store.get_now(&key_of(key, &bytes), 0)
    }

    /// Waits for a read that had to wait. `None`: the store failed.
    pub(crate) async fn answer(&mut self, ticket: GetTicket) -> Option<Answer> {
        loop {
            if let Some(at) = self.answers.iter().position(|(it, _)| *it == ticket) {
                return Some(self.answers.swap_remove(at).1);
            }
            self.round().await.ok()?;
        }
    }

    /// What the store shows of all keys as of `now_ms`. `None`: it failed, or cannot read one.
    pub(crate) async fn shown(&mut self, now_ms: u64) -> Option<Shown> {
        let keys = self.ledger.borrow().keys;
        let mut shown = Shown::new();
        for key in 0..keys {
            shown.insert(key, self.read(key, now_ms).await?.ok()?);
        }
        Some(shown)
    }

    /// Checks what the store shows right after it was opened; see [`Ledger::recovered`].
    pub(crate) async fn check_recovered(&mut self) -> Result<usize, String> {
        let now_ms = self.env.wall_ms();
        let shown = self.shown(now_ms).await.ok_or("it opens and cannot be read")?;
        self.check_shown(&shown, now_ms)
    }

    /// As [`check_recovered`](Self::check_recovered), where `shown` was read from `now_ms` on.
    pub(crate) fn check_shown(&mut self, shown: &Shown, now_ms: u64) -> Result<usize, String> {
        let later_ms = self.env.wall_ms();
        let kept = self.ledger.borrow_mut().recovered(shown, now_ms, later_ms)?;
        self.first = kept;
        Ok(kept)
    }

    /// After [`check_recovered`](Self::check_recovered): the store has the first `count` writes,
    /// of which the last may not show.
    pub(crate) fn has_kept(&mut self, count: usize) {
        let ledger = &mut self.ledger.borrow_mut();
        ledger.writes.truncate(count);
        (ledger.acknowledged, self.first) = (count, count);
    }

    /// Digests, once nothing waits.
    pub(crate) async fn digest(&mut self, request: DigestRequest) -> Result<Digests, DigestError> {
        let ticket = self.store.digest_now(request).expect("one at a time");
        loop {
            self.env.sleep_us(50).await;
            self.round().await.expect("the log works");
            if let Some(at) = self.digests.iter().position(|(it, _)| *it == ticket) {
                return self.digests.swap_remove(at).1;
            }
        }
    }

    /// Does a step of a snapshot. `None`: the store failed.
    pub(crate) async fn snapshot(&mut self, step: SnapshotStep) -> Option<SnapshotResult> {
        let ticket = self.store.snapshot_now(step).expect("one at a time, and room on the disk");
        self.snapshot_ended(ticket).await
    }

    /// Waits for a step of a snapshot. `None`: the store failed.
    pub(crate) async fn snapshot_ended(
        &mut self,
        ticket: SnapshotTicket,
    ) -> Option<SnapshotResult> {
        loop {
            if let Some(at) = self.snapshots.iter().position(|(it, _)| *it == ticket) {
                return Some(self.snapshots.swap_remove(at).1);
            }
            self.env.sleep_us(50).await;
            self.round().await.ok()?;
        }
    }

    /// Scans everything, in pages of a few records, and checks it against the ledger, of which
    /// everything is acknowledged. Says whether all could be read.
    pub(crate) async fn check_scan(&mut self, records_max: usize, bytes_max: usize) -> bool {
        for namespace in [namespace_of(0), namespace_of(3), NamespaceId(1), NamespaceId(9)] {
            let before_ms = self.env.wall_ms();
            let dropping: Vec<u32> = {
                let ledger = self.ledger.borrow();
                (0..ledger.keys).filter(|&key| ledger.is_dropping(key)).collect()
            };
            let Some(scanned) = self.scan(namespace, records_max, bytes_max).await else {
                return false;
            };
            let ledger = self.ledger.borrow();
            let all = ledger.writes.len();
            let before = ledger.after(all, before_ms);
            let after = ledger.after(all, self.env.wall_ms());
            // What expires under the scan, or is dropped, may be in it or not.
            let is_sure = |bytes: &[u8; 5]| {
                let key = number_of(bytes);
                before[&key] == after[&key] && !dropping.contains(&key)
            };
            let mut expected: Vec<_> = (0..ledger.keys)
                .filter(|&key| namespace_of(key) == namespace)
                .filter_map(|key| Some((key_bytes(key), after[&key].clone()?)))
                .collect();
            expected.sort_by_key(|(bytes, _)| (key_of(number_of(bytes), bytes).token, *bytes));
            let scanned: Vec<_> = scanned.into_iter().filter(|(it, _)| is_sure(it)).collect();
            expected.retain(|(it, _)| is_sure(it));
            assert!(scanned == expected, "{} records, expected {}", scanned.len(), expected.len());
        }
        true
    }

    pub(crate) async fn scan(
        &mut self,
        namespace: NamespaceId,
        records_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<([u8; 5], Vec<u8>)>> {
        let mut next = Some(ScanPlace { token: Token(0), after_key: Box::default() });
        let mut scanned = Vec::new();
        while let Some(from) = next {
            let (to, now_ms) = (Token(u64::MAX), self.env.wall_ms());
            let request = ScanRequest { namespace, from, to, records_max, bytes_max, now_ms };
            let ticket = self.store.scan_now(request).expect("one scan at a time");
            self.scanning = true;
            let page = loop {
                if let Some(at) = self.pages.iter().position(|(it, _)| *it == ticket) {
                    break self.pages.swap_remove(at).1;
                }
                self.round().await.ok()?;
            };
            self.scanning = false;
            let page = page.ok()?;
            assert!(page.rows.len() <= records_max);
            assert!(page.rows.bytes() <= bytes_max || page.rows.len() == 1);
            for record in page.rows.iter() {
                let key = record.key.bytes.try_into().expect("a key of ours");
                scanned.push((key, record.value.to_vec()));
            }
            next = page.next;
        }
        Some(scanned)
    }

    /// Reads a key and checks that what is shown is what the client may see now: all that was
    /// acknowledged before, and nothing that was not given. Says whether there was an answer.
    pub(crate) async fn check_read(&mut self, key: u32) -> bool {
        let (acknowledged, is_dropping) = {
            let ledger = self.ledger.borrow();
            (ledger.acknowledged, ledger.is_dropping(key))
        };
        let now_ms = self.env.wall_ms();
        let Some(Ok(value)) = self.read(key, now_ms).await else { return false };
        if is_dropping {
            return true; // as before or as after
        }
        let ledger = self.ledger.borrow();
        let later_ms = self.env.wall_ms();
        let known = (acknowledged..=ledger.writes.len()).any(|count| {
            [now_ms, later_ms].iter().any(|&at_ms| ledger.after(count, at_ms)[&key] == value)
        });
        assert!(known, "key {key} shows {value:?} after {acknowledged} acknowledged writes");
        true
    }
}

/// Opens the store that is on `disk`, reads everything, and checks it against the ledger.
pub(crate) fn check_disk(
    disk: &SimDisk,
    seed: u64,
    config: &StoreConfig,
    ledger: &Ledger,
) -> Result<(), String> {
    let (sim, env) = simulate(seed, disk, ledger);
    let shared = Rc::new(RefCell::new(ledger.clone()));
    sim.block_on(async {
        let opened = Client::open(&env, config.clone(), &shared).await;
        let (mut client, _) = opened.map_err(|error| error.to_string())?;
        client.check_recovered().await.map(|_| ())
    })
}

/// The number in the environment variable `name`: tests have short forms and long ones.
pub(crate) fn asked_for<T: std::str::FromStr>(name: &str) -> Option<T> {
    #[expect(clippy::disallowed_methods, reason = "a person asks for the long form of a test")]
    let asked = std::env::var(name).ok()?;
    asked.parse().ok()
}

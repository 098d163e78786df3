//! The store's side: replicas, their clocks, and what is on its way to them.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use schemas::ids::{Actor, Dot, Hlc, NodeId, Version};
use tests::history::{ABSENT, Kind, Level, Policy};

use super::record::{Context, Record, Top};
use super::{Mistake, SKEW_MS, Setup};

pub(crate) const REPLICAS: usize = 3;
pub(crate) const KEYS: u64 = 3;

/// A write as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) key: u64,
    pub(crate) value: u64,
    pub(crate) expires_ns: u64,
    pub(crate) seen: Hlc,
    pub(crate) context: Context,
}

pub(crate) struct Replicas {
    setup: Setup,
    records: [BTreeMap<u64, Record>; REPLICAS],
    clocks: [(u64, Hlc); REPLICAS],
    dots: u64,
}

impl Replicas {
    pub(crate) fn new(setup: &Setup, rng: &mut fastrand::Rng) -> Self {
        let ahead = setup.mistake == Some(Mistake::ClockAhead);
        let mut off_ms = |at: usize| match (setup.skewed, ahead && at == 0) {
            (_, true) => 20 * SKEW_MS,
            (true, _) => rng.u64(0..2 * SKEW_MS),
            (false, _) => SKEW_MS,
        };
        let clocks = [0, 1, 2].map(|at| (off_ms(at), Hlc(0)));
        Self { setup: *setup, records: Default::default(), clocks, dots: 0 }
    }

    /// A replica's clock: one that is right is [`SKEW_MS`] ahead of simulated time, so that none is
    /// behind it. Parts of a millisecond are counted too, so that right clocks never disagree.
    fn clock(&self, replica: usize, now_ns: u64) -> Hlc {
        let now = Hlc::from_millis(now_ns / 1_000_000 + self.clocks[replica].0);
        Hlc(now.0 + (now_ns % 1_000_000) * 65_536 / 1_000_000)
    }

    /// Writes at one replica: what it has afterwards, to be sent to all, and the version.
    pub(crate) fn write(&mut self, at: usize, asked: &Asked, now_ns: u64) -> (Record, Version) {
        let ignores_seen = self.setup.mistake == Some(Mistake::IgnoresSeen);
        let seen = if ignores_seen { Hlc(0) } else { asked.seen };
        let last = self.clocks[at].1.max(seen);
        let hlc = self.clock(at, now_ns).max(Hlc(last.0 + 1));
        self.clocks[at].1 = hlc;
        self.dots += 1;
        let node = NodeId(NonZeroU64::new(at as u64 + 1).expect("counted from one"));
        let dot = Dot { actor: Actor { node, boot: 1 }, counter: self.dots };
        let version = Version { hlc, dot };
        let record = match self.setup.policy {
            Policy::Lww => {
                let value = if asked.kind == Kind::Put { asked.value } else { ABSENT };
                let top = Top { version, value, expires_ns: asked.expires_ns };
                Record { top: Some(top), ..Record::default() }
            }
            Policy::Siblings => self.merged(at, asked),
        };
        (record, version)
    }

    fn merged(&self, at: usize, asked: &Asked) -> Record {
        let mut record = self.records[at].get(&asked.key).cloned().unwrap_or_default();
        match self.setup.mistake {
            Some(Mistake::DropsSiblings) => record.live.clear(),
            Some(Mistake::KeepsSiblings) => {}
            _ => record.live.retain(|value| !asked.context.known.contains(value)),
        }
        record.known.extend(&asked.context.known);
        record.known.insert(asked.value);
        if asked.kind == Kind::Put {
            record.live.insert(asked.value);
        }
        record
    }

    /// A record arrives at a replica.
    pub(crate) fn apply(&mut self, at: usize, key: u64, record: &Record) {
        let own = self.records[at].entry(key).or_default();
        own.merge(record);
        if self.setup.mistake == Some(Mistake::DropsTombstones) && own.is_removed() {
            *own = Record::default();
        }
    }

    /// What a replica has of a key.
    pub(crate) fn read(&mut self, at: usize, key: u64, now_ns: u64) -> Record {
        let own = self.records[at].entry(key).or_default();
        let expired = own.top.is_some_and(|top| top.expires_ns <= now_ns);
        if self.setup.mistake == Some(Mistake::ExpiredUncovers) && expired {
            *own = Record::default();
        }
        own.clone()
    }

    /// A value as a node's clock has it: it may have expired.
    pub(crate) fn value_of(&self, at: usize, record: &Record, now_ns: u64) -> u64 {
        let off_ns = self.clocks[at].0 * 1_000_000;
        record.value_at((now_ns + off_ns).saturating_sub(SKEW_MS * 1_000_000))
    }

    /// All replicas come to agree; nothing is on its way any more. Records of what is removed go.
    pub(crate) fn settle(&mut self) -> BTreeMap<u64, Record> {
        let mut all: BTreeMap<u64, Record> =
            (0..KEYS).map(|key| (key, Record::default())).collect();
        for (key, record) in self.records.iter().flatten() {
            all.get_mut(key).expect("one of the keys").merge(record);
        }
        self.records = [(); REPLICAS].map(|()| all.clone());
        all
    }

    /// Tombstones are purged everywhere, as they may be when everybody has them.
    pub(crate) fn purge(&mut self) {
        for records in &mut self.records {
            records.retain(|_, record| !record.is_removed());
        }
    }

    /// How many replicas a write waits for, and a read asks.
    pub(crate) fn quorum(&self) -> usize {
        if self.setup.level == Level::Weak { 1 } else { 2 }
    }
}

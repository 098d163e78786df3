//! [`Records`]: what each node last told of itself.
//!
//! - A record counts only for the boot that its node is known to be in, and only if its sequence
//!   is above that of the one held: older and doubled ones, those of an ended boot and those of
//!   a boot nobody has heard of change nothing.
//! - Records are kept of members and of the few strangers, one each.
//!
//! ```text
//! record  node u64 | boot u32 | sequence u64 | epoch u32 | wall_ms u64 | cpu_permille u32
//!         | disk_used u64 | disk_total u64 | p99_us u64 | ops_per_s u64
//!         | promise: epoch u32, below u64, last u64
//!         | what a later version adds
//! ```
//! Integers are little-endian.

use std::collections::BTreeMap;

use schemas::ids::{Actor, Hlc, NodeId};

use super::identity::Identity;
use super::wire::{Malformed, Reader};
use crate::horizon::Promise;
use crate::limits::RECORD_BYTES_MAX;
use crate::time::Instant;
use crate::topology::Epoch;

/// How busy and how full a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Busy permille of its cores, 0 to 1,000.
    pub cpu_permille: u32,
    /// Bytes used on its data disks, at most `disk_total_bytes`.
    pub disk_used_bytes: u64,
    /// Bytes of its data disks.
    pub disk_total_bytes: u64,
    /// The 99th percentile of the latency of its clients' requests, in microseconds.
    pub p99_us: u64,
    /// Requests of clients a second.
    pub ops_per_s: u64,
}

/// What a node tells of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// The epoch of the topology that is durable there.
    pub epoch: Epoch,
    /// Its wall clock when it told so: Unix milliseconds, below 2^48.
    pub wall_ms: u64,
    /// How busy it is.
    pub load: Load,
    /// What it promises of what is old; nothing by default.
    pub promise: Promise,
}

impl Record {
    /// Within the ranges: what is measured may be a little beside them.
    pub(super) fn limited(mut self) -> Self {
        self.wall_ms = self.wall_ms.min((1 << 48) - 1);
        self.load.cpu_permille = self.load.cpu_permille.min(1_000);
        self.load.disk_used_bytes = self.load.disk_used_bytes.min(self.load.disk_total_bytes);
        self
    }
}

/// A record as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Whose it is.
    pub actor: Actor,
    /// Which of the records of this actor, from 1.
    pub sequence: u64,
    /// What it says.
    pub record: Record,
    /// When it arrived, by the clock of the node that keeps it.
    pub received_at: Instant,
}

/// A record on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) actor: Actor,
    pub(super) sequence: u64,
    pub(super) record: Record,
}

impl Told {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Record { epoch, wall_ms, load, promise } = self.record;
        let mut out = Vec::with_capacity(RECORD_BYTES_MAX);
        out.extend_from_slice(&self.actor.node.0.get().to_le_bytes());
        out.extend_from_slice(&self.actor.boot.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&epoch.0.to_le_bytes());
        out.extend_from_slice(&wall_ms.to_le_bytes());
        out.extend_from_slice(&load.cpu_permille.to_le_bytes());
        for value in [load.disk_used_bytes, load.disk_total_bytes, load.p99_us, load.ops_per_s] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&promise.epoch.0.to_le_bytes());
        out.extend_from_slice(&promise.below.0.to_le_bytes());
        out.extend_from_slice(&promise.last.0.to_le_bytes());
        out
    }

    /// `None` unless its values are ones that a record may have.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut it = Reader(bytes);
        let actor = Actor { node: it.node()?, boot: it.u32()? };
        let sequence = it.u64()?;
        let (epoch, wall_ms, cpu_permille) = (Epoch(it.u32()?), it.u64()?, it.u32()?);
        let (disk_used_bytes, disk_total_bytes) = (it.u64()?, it.u64()?);
        let (p99_us, ops_per_s) = (it.u64()?, it.u64()?);
        let load = Load { cpu_permille, disk_used_bytes, disk_total_bytes, p99_us, ops_per_s };
        let (of, below, last) = (Epoch(it.u32()?), Hlc(it.u64()?), Hlc(it.u64()?));
        let promise = Promise { epoch: of, below, last };
        let record = Record { epoch, wall_ms, load, promise };
        let sound = record == record.limited() && actor.boot > 0 && sequence > 0;
        if sound && bytes.len() <= RECORD_BYTES_MAX {
            Ok(Self { actor, sequence, record })
        } else {
            Err(Malformed)
        }
    }
}

/// The last record of each node.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(BTreeMap<NodeId, Heard>);

impl Records {
    /// Keeps `told` if it is newer than what is held of the node; says whether it was.
    pub(super) fn keep(&mut self, now: Instant, told: Told) -> bool {
        let Told { actor, sequence, record } = told;
        let held = self.0.get(&actor.node).map(|it| (it.actor.boot, it.sequence));
        if held.is_some_and(|it| it >= (actor.boot, sequence)) {
            return false;
        }
        self.0.insert(actor.node, Heard { actor, sequence, record, received_at: now });
        true
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Heard> {
        self.0.get(&node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Heard> {
        self.0.values()
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }
}

/// What foca spreads: a record replaces the older ones of its node that are not yet spread.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordKey {
    actor: Actor,
    sequence: u64,
}

impl foca::Invalidates for RecordKey {
    fn invalidates(&self, other: &Self) -> bool {
        let rank = |it: &Self| (it.actor.boot, it.sequence);
        self.actor.node == other.actor.node && rank(self) >= rank(other)
    }
}

/// What foca asks about the records it is given. It is given only those to be spread: the machine
/// takes them out of the datagrams and decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread;

impl foca::BroadcastHandler<Identity> for Spread {
    type Key = RecordKey;
    type Error = Malformed;

    fn receive_item(
        &mut self,
        data: &[u8],
        _sender: Option<&Identity>,
    ) -> Result<Option<RecordKey>, Malformed> {
        let Told { actor, sequence, .. } = Told::decode(data)?;
        Ok(Some(RecordKey { actor, sequence }))
    }
}

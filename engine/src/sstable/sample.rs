//! Records and tables for tests.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use fastrand::Rng;
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version};

use super::{FileId, TableInfo, TableWriter};
use crate::env::Env;
use crate::record::{Key, Kind, Record};

const WORKS: &str = "the disk works";

/// A record that owns its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    pub(crate) token: Token,
    pub(crate) namespace: NamespaceId,
    pub(crate) key: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) kind: Kind,
    pub(crate) expires_at_ms: u64,
    pub(crate) value: Vec<u8>,
}

/// A key's place, owned: what orders samples.
pub(crate) type Place = (Token, NamespaceId, Vec<u8>);

impl Sample {
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            key: self.key(),
            version: self.version,
            kind: self.kind,
            expires_at_ms: self.expires_at_ms,
            value: &self.value,
        }
    }

    pub(crate) fn key(&self) -> Key<'_> {
        Key { token: self.token, namespace: self.namespace, bytes: &self.key }
    }

    pub(crate) fn place(&self) -> Place {
        (self.token, self.namespace, self.key.clone())
    }

    pub(crate) fn of(record: &Record<'_>) -> Self {
        Self {
            token: record.key.token,
            namespace: record.key.namespace,
            key: record.key.bytes.to_vec(),
            version: record.version,
            kind: record.kind,
            expires_at_ms: record.expires_at_ms,
            value: record.value.to_vec(),
        }
    }
}

/// A value for `key` with stamp `hlc` and `value_len` bytes.
pub(crate) fn value(key: &[u8], hlc: u64, value_len: usize) -> Sample {
    Sample {
        token: Token::of(key, 0),
        namespace: NamespaceId::DEFAULT,
        key: key.to_vec(),
        version: Version { hlc: Hlc(hlc), dot: Dot { actor: actor(1), counter: hlc } },
        kind: Kind::Value,
        expires_at_ms: 0,
        value: (0..value_len).map(|at| (at as u64 ^ hlc) as u8).collect(),
    }
}

/// About `count` records in order, of every shape there is: sizes from none to several blocks,
/// tombstones, expiries, several namespaces and actors, keys that share a token.
pub(crate) fn mixed(rng: &mut Rng, count: usize) -> Vec<Sample> {
    let mut samples = BTreeMap::new();
    let mut token = Token(0);
    for _ in 0..count {
        let key_len = if rng.u8(..) == 0 { rng.usize(1..=4096) } else { rng.usize(1..=40) };
        let key: Vec<u8> = (0..key_len).map(|_| rng.u8(..)).collect();
        let value_len = match rng.u8(..40) {
            0 => rng.usize(3000..20_000),
            1 => 0,
            _ => rng.usize(..200),
        };
        let mut sample = value(&key, rng.u64(1..1 << 60), value_len);
        // One in four shares the token of the one before.
        if rng.u8(..4) == 0 {
            sample.token = token;
        }
        token = sample.token;
        sample.namespace = NamespaceId(rng.choice([1, 1, 1, 2, u32::MAX]).expect("some"));
        sample.version.dot = random_dot(rng);
        if rng.u8(..4) == 0 {
            sample.expires_at_ms = rng.u64(1..1 << 41);
        }
        if rng.u8(..4) == 0 {
            sample.kind = Kind::Tombstone;
            sample.value.clear();
        }
        samples.insert(sample.place(), sample);
    }
    samples.into_values().collect()
}

/// The first start of node `node`, which is not 0.
pub(crate) fn actor(node: u64) -> Actor {
    Actor { node: NodeId(NonZeroU64::new(node).expect("not 0")), boot: 1 }
}

fn random_dot(rng: &mut Rng) -> Dot {
    let node = rng.u64(1..5);
    let bits = rng.u32(1..=64);
    Dot {
        actor: Actor { boot: rng.u32(1..3), ..actor(node) },
        counter: rng.u64(..).checked_shr(64 - bits).unwrap_or(0),
    }
}

/// Writes `samples`, which are in order, into table `id` of directory `dir`.
pub(crate) async fn write_table<E: Env>(
    env: &E,
    dir: &str,
    id: FileId,
    samples: &[Sample],
) -> TableInfo {
    let mut writer = TableWriter::create(env, dir, id).await.expect(WORKS);
    for sample in samples {
        writer.add(&sample.record()).await.expect(WORKS);
    }
    writer.finish().await.expect(WORKS)
}

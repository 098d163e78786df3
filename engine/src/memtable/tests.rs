use std::collections::BTreeMap;
use std::num::NonZeroU64;

use proptest::prelude::*;
use schemas::ids::{Actor, Dot, NamespaceId, NodeId, Version, VnodeBits};
use schemas::ids::{Hlc, ShardId, Token};

use super::*;
use crate::record::{Kind, lww};

const ALL: (Token, Token) = (Token(0), Token(u64::MAX));

fn record<'a>(token: u64, bytes: &'a [u8], hlc: u64, value: &'a [u8]) -> Record<'a> {
    let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
    Record {
        key: Key { token: Token(token), namespace: NamespaceId(1), bytes },
        version: Version { hlc: Hlc(hlc), dot: Dot { actor, counter: hlc } },
        kind: Kind::Value,
        expires_at_ms: 0,
        value,
    }
}

proptest! {
    /// Against a map, with colliding tokens, other namespaces, stamps out of order and values
    /// of changing length.
    #[test]
    fn holds_what_stands_of_each_key_in_order(
        puts in prop::collection::vec(
            (0u64..8, 0u8..4, 1u32..3, 0u64..50, 0usize..300), 0..400),
        shard in 0u16..3,
    ) {
        let tokens = ShardId(shard).tokens(VnodeBits::DEFAULT, 3).unwrap();
        let mut memtable = Memtable::new(tokens, 1024, lww);
        let mut model = BTreeMap::new();
        for (i, &(place, key, namespace, hlc, len)) in puts.iter().enumerate() {
            let token = tokens.0.0 + place * ((tokens.1.0 - tokens.0.0) / 8);
            let value = vec![i as u8; len];
            let bytes = [key];
            let mut put = record(token, &bytes, hlc, &value);
            put.key.namespace = NamespaceId(namespace);
            put.version.dot.counter = i as u64;
            memtable.put(&put);
            let entry = model
                .entry((token, namespace, bytes))
                .or_insert_with(|| (put.version, value.clone()));
            if put.version > entry.0 {
                *entry = (put.version, value);
            }
        }
        prop_assert_eq!(memtable.len(), model.len());
        let walked: Vec<_> = memtable
            .iter()
            .map(|r| ((r.key.token.0, r.key.namespace.0, [r.key.bytes[0]]),
                      (r.version, r.value.to_vec())))
            .collect();
        let expected: Vec<_> = model.clone().into_iter().collect();
        prop_assert_eq!(walked, expected);
        for ((token, namespace, bytes), (version, value)) in &model {
            let key = Key {
                token: Token(*token), namespace: NamespaceId(*namespace), bytes,
            };
            let got = memtable.get(&key).unwrap();
            prop_assert_eq!(got.version, *version);
            prop_assert_eq!(got.value, &value[..]);
            let other = memtable.get(&Key { bytes: b"none", ..key });
            prop_assert!(other.is_none());
        }
    }
}

#[test]
fn an_older_write_that_comes_late_is_dropped() {
    let mut memtable = Memtable::new(ALL, 1 << 16, lww);
    memtable.put(&record(7, b"k", 20, b"new"));
    memtable.put(&record(7, b"k", 10, b"old"));
    assert_eq!(memtable.get(&record(7, b"k", 0, b"").key).unwrap().value, b"new");
    assert_eq!(memtable.hlc_min(), Some(Hlc(20)));
}

#[test]
fn overwriting_with_the_same_length_takes_no_memory() {
    let mut memtable = Memtable::new(ALL, 1 << 12, lww);
    memtable.put(&record(7, b"k", 1, &[1; 500]));
    let before = memtable.bytes();
    for hlc in 2..1000 {
        memtable.put(&record(7, b"k", hlc, &[hlc as u8; 500]));
        assert_eq!(memtable.get(&record(7, b"k", 0, b"").key).unwrap().value, [hlc as u8; 500]);
    }
    assert_eq!(memtable.bytes(), before);
    for hlc in 1000..1100 {
        memtable.put(&record(7, b"k", hlc, &vec![1; hlc as usize]));
    }
    assert!(memtable.bytes() > before, "rows of another length are new rows");
}

#[test]
fn bytes_count_every_table_and_chunk() {
    let mut memtable = Memtable::new(ALL, 1 << 12, lww);
    for i in 0..10_000u64 {
        let token = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        memtable.put(&record(token, &i.to_le_bytes(), i, &[0; 20]));
    }
    memtable.put(&record(1, b"large", 1, &vec![7; 1 << 20]));
    let tables: usize = memtable.parts.iter().map(HashTable::allocation_size).sum();
    let headers = PARTS * size_of::<HashTable<Slot>>();
    assert_eq!(memtable.bytes(), memtable.arena.bytes() + tables + headers);
    assert_eq!(memtable.len(), 10_001);
    assert_eq!(memtable.iter().count(), 10_001);
}

#[test]
fn parts_share_the_tokens_of_any_range() {
    let bits = VnodeBits::DEFAULT;
    for shards in [1u16, 3, 16, 63, 4096] {
        let tokens = ShardId(0).tokens(bits, shards).unwrap();
        let memtable = Memtable::new(tokens, 1 << 12, lww);
        let last = memtable.part_of(tokens.1);
        assert_eq!(memtable.part_of(tokens.0), 0);
        assert!((PARTS / 2 - 1..PARTS).contains(&last), "{shards} shards: last part {last}");
    }
    let one = Memtable::new((Token(5), Token(5)), 1 << 12, lww);
    assert_eq!(one.part_of(Token(4)), 0);
    assert_eq!(one.part_of(Token(u64::MAX)), PARTS - 1);
}

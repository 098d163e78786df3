//! What digests say of records, and for which views.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use proptest::prelude::*;
use schemas::ids::{Actor, Dot, NamespaceId, NodeId, Version};

use super::*;
use crate::record::Key;

fn record(key: &[u8], hlc: u64) -> Record<'_> {
    let actor = Actor { node: NodeId(NonZeroU64::new(3).unwrap()), boot: 2 };
    Record {
        key: Key { token: Token(1), namespace: NamespaceId(4), bytes: key },
        version: Version { hlc: Hlc(hlc), dot: Dot { actor, counter: 7 } },
        kind: Kind::Value,
        expires_at_ms: 0,
        value: b"v",
    }
}

fn tombstone(key: &[u8], hlc: u64) -> Record<'_> {
    Record { kind: Kind::Tombstone, value: b"", ..record(key, hlc) }
}

fn expiring(key: &[u8], hlc: u64, expires_at_ms: u64) -> Record<'_> {
    Record { expires_at_ms, ..record(key, hlc) }
}

fn view(purge_below: u64, now_ms: u64) -> View {
    View { purge_below: Hlc(purge_below), now_ms }
}

fn sum(records: &[Record<'_>], view: View) -> Sum {
    let mut sum = Sum::default();
    records.iter().for_each(|record| sum.add(record, view));
    sum
}

/// Nodes of different versions compare them.
#[test]
fn the_hash_is_the_same_for_ever() {
    let value = sum(&[expiring(b"pear", 9, 5000)], view(0, 0)).digest();
    let dead = sum(&[tombstone(b"pear", 9)], view(0, 0)).digest();
    assert_eq!(value.sum, 3_303_311_574_910_095_733_148_698_968_609_657_426);
    assert_eq!(dead.sum, 195_229_238_234_014_646_747_900_961_247_716_299_839);
}

#[test]
fn every_part_of_a_version_tells() {
    let of = |record: Record<'_>| sum(&[record], view(0, 0)).digest().sum;
    let base = record(b"k", 9);
    let mut sums =
        vec![of(base), of(record(b"l", 9)), of(record(b"k", 10)), of(tombstone(b"k", 9))];
    sums.push(of(expiring(b"k", 9, 77)));
    let mut changed = base;
    changed.version.dot.counter = 8;
    sums.push(of(changed));
    changed = base;
    changed.version.dot.actor.boot = 3;
    sums.push(of(changed));
    changed = base;
    changed.key.namespace = NamespaceId(5);
    sums.push(of(changed));
    let count = sums.len();
    sums.sort_unstable();
    sums.dedup();
    assert_eq!(sums.len(), count);
}

#[test]
fn what_compaction_does_in_silence_does_not_show() {
    let (now, horizon) = (1000, 50);
    let view = view(horizon, now);
    let whole =
        [record(b"a", 9), expiring(b"b", 60, 900), tombstone(b"c", 49), tombstone(b"d", 50)];
    let compacted = [record(b"a", 9), tombstone(b"b", 60), tombstone(b"d", 50)];
    assert_eq!(sum(&whole, view).digest(), sum(&compacted, view).digest());
    let digest = sum(&whole, view).digest();
    assert_eq!((digest.records, digest.keys, digest.bytes), (3, 1, 2));
}

proptest! {
    /// A sum that holds for another view is what that view makes of the same records.
    #[test]
    fn a_sum_holds_only_for_views_that_agree(
        records in prop::collection::vec((0u8..30, 0u64..12, 0u64..12, any::<bool>()), 0..12),
        made in (0u64..13, 0u64..13),
        asked in (0u64..13, 0u64..13),
    ) {
        let keys: Vec<[u8; 1]> = records.iter().map(|it| [it.0]).collect();
        let records: Vec<Record<'_>> = records.iter().zip(&keys).map(|(it, key)| match it.3 {
            true => tombstone(key, it.1),
            false => expiring(key, it.1, it.2),
        }).collect();
        let (made, asked) = (view(made.0, made.1), view(asked.0, asked.1));
        let kept = sum(&records, made);
        prop_assert_eq!(kept.as_of(made), Some(kept.digest()));
        if let Some(digest) = kept.as_of(asked) {
            prop_assert_eq!(digest, sum(&records, asked).digest());
        }
    }
}

#[test]
fn leaves_cut_the_ring_without_gap() {
    for (bits, depth) in [(0, 0), (0, 1), (0, 6), (3, 0), (12, 6), (16, 6)] {
        let leaves = Leaves::new(bits, depth);
        let count = 1u64 << (bits + depth);
        let mut next = Some(0);
        for number in BTreeSet::from([0, 1.min(count - 1), count / 2, count - 1]) {
            if number == count {
                continue;
            }
            let tokens = leaves.tokens(number);
            assert_eq!((leaves.of(tokens.first()), leaves.of(tokens.last())), (number, number));
            if number < 2 {
                assert_eq!(Some(tokens.first().0), next);
                next = tokens.last().0.checked_add(1);
            }
        }
        assert_eq!(leaves.tokens(count - 1).last(), Token(u64::MAX));
    }
}

//! [`Filter`]: says of most absent keys that a table has not got them, from memory.
//!
//! Binary fuse filters (Graf and Lemire, 2022) of 8 bits a key: 1.38 bytes a key here, and 0.4 % of
//! absent keys pass. A table's keys are cut by token into partitions, each with a filter of its
//! own: building one takes the core for a tenth of a millisecond, where one filter of a whole table
//! would take it for tens.
//!
//! A key is hashed as `token ^ (namespace x odd constant)`: the token is a hash of the key bytes,
//! and a key in two namespaces is two keys. Where the hashes of a partition do not make a filter,
//! the partition has none and says maybe.
//!
//! ```text
//! | partition, partition, .. |
//! partition: | first_token 8 | keys 4 | fingerprints_len 4 | descriptor 20 | fingerprints |
//! descriptor (xorf's): | seed 8 | segment_length 4 | segment_length_mask 4 |
//!                      | segment_count_length 4 |
//! ```
//! A partition without a filter has no fingerprints and a descriptor of zeros.

use schemas::ids::{NamespaceId, Token};
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter as _, FilterRef};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::search;
use crate::limits;
use crate::record::Key;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PartitionHead {
    first_token: U64,
    keys: U32,
    fingerprints_len: U32,
    descriptor: Descriptor,
}

/// xorf's descriptor, as [`DmaSerializable`] lays it out.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Descriptor {
    seed: U64,
    segment_length: U32,
    segment_length_mask: U32,
    segment_count_length: U32,
}

const _: () = assert!(size_of::<Descriptor>() == BinaryFuse8::DESCRIPTOR_LEN);

impl Descriptor {
    /// Whether every place a lookup computes is among `len` fingerprints. A lookup reads at
    /// `h`, `h + segment_length` and `h + 2 x segment_length`, each with its low bits changed
    /// within the segment, where `h < segment_count_length`.
    fn fits(&self, len: u32) -> bool {
        let segment = self.segment_length.get();
        let count = self.segment_count_length.get();
        let end = count.checked_add(segment).and_then(|it| it.checked_add(segment));
        segment.is_power_of_two()
            && self.segment_length_mask.get() == segment - 1
            && count.is_multiple_of(segment)
            && end == Some(len)
    }
}

/// What a table knows of its keys without reading its blocks.
#[derive(Debug)]
pub(super) struct Filter {
    /// As in the file.
    bytes: Box<[u8]>,
    first_tokens: Box<[u64]>,
    /// Where in `bytes` each partition begins, and where the last one ends.
    starts: Box<[u32]>,
    unfiltered_keys: u64,
}

impl Filter {
    /// Reads the filter that fills `bytes`; `None` unless it is sound.
    pub(super) fn decode(bytes: Box<[u8]>) -> Option<Self> {
        let mut first_tokens = Vec::new();
        let mut starts = vec![0];
        let mut unfiltered_keys = 0;
        let mut rest = &*bytes;
        while !rest.is_empty() {
            let (head, after) = PartitionHead::ref_from_prefix(rest).ok()?;
            let len = head.fingerprints_len.get();
            rest = after.get(len as usize..)?;
            match len {
                0 => unfiltered_keys += u64::from(head.keys.get()),
                _ if head.descriptor.fits(len) => {}
                _ => return None,
            }
            first_tokens.push(head.first_token.get());
            starts.push(u32::try_from(bytes.len() - rest.len()).ok()?);
        }
        let sorted = first_tokens.is_sorted_by(|a, b| a < b);
        let (first_tokens, starts) = (first_tokens.into(), starts.into());
        sorted.then_some(Self { bytes, first_tokens, starts, unfiltered_keys })
    }

    /// Whether the table may have `key`. Never false for a key it has.
    #[inline]
    pub(super) fn may_contain(&self, key: &Key<'_>) -> bool {
        let tokens = &self.first_tokens;
        let at = |index: usize| tokens[index];
        let Some(partition) = search::last_at_most(tokens.len(), key.token.0, at) else {
            return false;
        };
        let partition =
            &self.bytes[self.starts[partition] as usize..self.starts[partition + 1] as usize];
        let (head, fingerprints) = partition.split_at(size_of::<PartitionHead>());
        let descriptor = &head[head.len() - size_of::<Descriptor>()..];
        fingerprints.is_empty()
            || BinaryFuse8Ref::from_dma(descriptor, fingerprints)
                .contains(&hash(key.token, key.namespace))
    }

    /// Keys in partitions that say maybe to everything.
    pub(super) fn unfiltered_keys(&self) -> u64 {
        self.unfiltered_keys
    }

    /// Memory that it takes, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.first_tokens) + size_of_val(&*self.starts)
    }
}

#[inline]
fn hash(token: Token, namespace: NamespaceId) -> u64 {
    token.0 ^ u64::from(namespace.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Builds the filter of a table that is being written.
#[derive(Debug, Default)]
pub(super) struct FilterBuilder {
    bytes: Vec<u8>,
    /// Hashes of the partition that is being filled, and its first and last token.
    hashes: Vec<u64>,
    tokens: Option<(Token, Token)>,
    /// Keys of the partition, those with a hash that was there already included.
    keys: u32,
}

impl FilterBuilder {
    /// Adds `key`, which sorts after all before it. Says whether that ended a partition, which
    /// took some time.
    pub(super) fn push(&mut self, key: &Key<'_>) -> bool {
        let full = self.keys as usize >= limits::FILTER_KEYS_TARGET
            && self.tokens.is_some_and(|(_, last)| last != key.token);
        if full {
            self.end_partition();
        }
        let first = self.tokens.map_or(key.token, |(first, _)| first);
        self.tokens = Some((first, key.token));
        self.keys += 1;
        if self.hashes.len() <= limits::FILTER_KEYS_MAX {
            let hash = hash(key.token, key.namespace);
            // Keys of one token and namespace are neighbours.
            if self.hashes.last() != Some(&hash) {
                self.hashes.push(hash);
            }
        }
        full
    }

    /// Ends the filter: its bytes as they stand in the file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_partition();
        self.bytes
    }

    fn end_partition(&mut self) {
        let Some((first, _)) = self.tokens.take() else { return };
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let small = self.hashes.len() <= limits::FILTER_KEYS_MAX;
        let filter = small.then(|| BinaryFuse8::try_from(&self.hashes).ok()).flatten();
        let fingerprints = filter.as_ref().map_or(&[][..], |it| it.dma_fingerprints());
        let mut descriptor = [0; BinaryFuse8::DESCRIPTOR_LEN];
        if let Some(filter) = &filter {
            filter.dma_copy_descriptor_to(&mut descriptor);
        }
        let fingerprints_len = u32::try_from(fingerprints.len()).expect("a few bytes a key");
        self.bytes.extend_from_slice(&first.0.to_le_bytes());
        self.bytes.extend_from_slice(&self.keys.to_le_bytes());
        self.bytes.extend_from_slice(&fingerprints_len.to_le_bytes());
        self.bytes.extend_from_slice(&descriptor);
        self.bytes.extend_from_slice(fingerprints);
        self.hashes.clear();
        self.keys = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(token: u64, namespace: u32) -> Key<'static> {
        Key { token: Token(token), namespace: NamespaceId(namespace), bytes: b"k" }
    }

    fn filter_of(keys: &[Key<'_>]) -> Filter {
        let mut builder = FilterBuilder::default();
        for key in keys {
            builder.push(key);
        }
        Filter::decode(builder.finish().into()).unwrap()
    }

    fn random_tokens(seed: u64, count: usize) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut tokens: Vec<u64> = (0..count).map(|_| rng.u64(..)).collect();
        tokens.sort_unstable();
        tokens
    }

    #[test]
    fn no_key_is_denied_and_few_absent_ones_pass() {
        for count in [1, 2, 5, 100, limits::FILTER_KEYS_TARGET, 50_000] {
            let tokens = random_tokens(count as u64, count);
            let keys: Vec<_> = tokens.iter().map(|&token| key(token, 1)).collect();
            let filter = filter_of(&keys);
            assert!(keys.iter().all(|key| filter.may_contain(key)));
            let absent = random_tokens(99, 50_000);
            let passed = absent.iter().filter(|&&it| filter.may_contain(&key(it, 1))).count();
            assert!(passed < 50_000 / 150, "{passed} of 50,000 pass with {count} keys");
            assert!(filter.memory_bytes() < count * 14 / 10 + 300, "{count} keys");
        }
    }

    #[test]
    fn a_key_in_another_namespace_is_another_key() {
        let tokens = random_tokens(3, 10_000);
        let filter = filter_of(&tokens.iter().map(|&token| key(token, 1)).collect::<Vec<_>>());
        let passed = tokens.iter().filter(|&&token| filter.may_contain(&key(token, 2))).count();
        assert!(passed < 100, "{passed} of 10,000 pass");
    }

    /// Somebody who knows the seed can find keys that share a token: they stay in one partition,
    /// and past its bound the partition gives up.
    #[test]
    fn runs_of_one_token_stay_together() {
        let names: Vec<[u8; 4]> = (0..30_000u32).map(u32::to_be_bytes).collect();
        let before = random_tokens(4, 3_000).into_iter().map(|token| key(token / 4, 1));
        let same = names.iter().map(|name| Key { bytes: name, ..key(u64::MAX / 2, 1) });
        let many = (1..30_000).map(|namespace| key(u64::MAX / 2 + 1, namespace));
        let keys: Vec<_> = before.chain(same).chain(many).chain([key(u64::MAX, 1)]).collect();
        let filter = filter_of(&keys);
        assert!(keys.iter().all(|key| filter.may_contain(key)));
        assert_eq!(filter.unfiltered_keys(), 29_999);
        assert!(filter.may_contain(&key(u64::MAX / 2 + 1, 77_777)));
        assert!(!filter.may_contain(&key(u64::MAX / 2, 2)));
    }

    #[test]
    fn the_same_keys_make_the_same_bytes() {
        let build = || {
            let mut builder = FilterBuilder::default();
            for token in random_tokens(5, 9_000) {
                builder.push(&key(token, 1));
            }
            builder.finish()
        };
        assert_eq!(build(), build());
    }

    /// xorf trusts its descriptor: no changed one may get past `decode` and read out of bounds.
    #[test]
    fn a_changed_descriptor_is_refused_or_harmless() {
        let mut builder = FilterBuilder::default();
        let tokens = random_tokens(6, 300);
        for &token in &tokens {
            builder.push(&key(token, 1));
        }
        let bytes = builder.finish();
        for at in 0..size_of::<PartitionHead>() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                if let Some(filter) = Filter::decode(bytes.into()) {
                    let passed = tokens.iter().filter(|&&it| filter.may_contain(&key(it, 1)));
                    assert!(passed.count() <= tokens.len());
                }
            }
        }
        for len in 1..bytes.len() {
            assert!(Filter::decode(bytes[..len].into()).is_none(), "cut to {len}");
        }
    }
}

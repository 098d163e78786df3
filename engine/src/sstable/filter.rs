//! [`Filter`]: says of most absent keys that a partition of a table has not got them, from memory.
//!
//! Binary fuse filters (Graf and Lemire, 2022) of 8 bits a key: 1.38 bytes a key here, and 0.4 % of
//! absent keys pass. Each partition has one of its own: building one takes the core for a tenth of
//! a millisecond, where one filter of a whole table would take it for tens.
//!
//! A key is hashed as `token ^ (namespace x odd constant)`: the token is a hash of the key bytes,
//! and a key in two namespaces is two keys. Where the hashes of a partition do not make a filter,
//! the partition has none and says maybe.
//!
//! ```text
//! | descriptor 20 | fingerprints |
//! descriptor (xorf's): | seed 8 | segment_length 4 | segment_length_mask 4 |
//!                      | segment_count_length 4 |
//! ```
//! Without a filter there are no fingerprints and a descriptor of zeros.

use schemas::ids::{NamespaceId, Token};
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter as _, FilterRef};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::limits;
use crate::record::Key;

/// xorf's descriptor, as [`DmaSerializable`] lays it out.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
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
            && count > 0
            && self.segment_length_mask.get() == segment - 1
            && count.is_multiple_of(segment)
            && end == Some(len)
    }
}

/// What a partition knows of its keys without reading their blocks.
#[derive(Debug)]
pub(super) struct Filter {
    descriptor: Descriptor,
    /// None if there is no filter.
    fingerprints: Box<[u8]>,
}

impl Filter {
    /// Reads the filter that fills `bytes`; `None` unless it is sound.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (descriptor, fingerprints) = Descriptor::read_from_prefix(bytes).ok()?;
        let sound = match fingerprints.len() {
            0 => descriptor.as_bytes().iter().all(|&byte| byte == 0),
            len => descriptor.fits(u32::try_from(len).ok()?),
        };
        sound.then(|| Self { descriptor, fingerprints: fingerprints.into() })
    }

    /// Whether `key` may be there. Never false for a key that is.
    #[inline]
    pub(super) fn may_contain(&self, key: &Key<'_>) -> bool {
        self.fingerprints.is_empty()
            || BinaryFuse8Ref::from_dma(self.descriptor.as_bytes(), &self.fingerprints)
                .contains(&hash(key.token, key.namespace))
    }

    /// Memory that it takes besides itself, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.fingerprints.len()
    }
}

#[inline]
fn hash(token: Token, namespace: NamespaceId) -> u64 {
    token.0 ^ u64::from(namespace.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Builds the filters of a table that is being written, one partition after the other.
#[derive(Debug, Default)]
pub(super) struct FilterBuilder {
    /// Of the partition that is being filled.
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// Adds `key`, which sorts after all before it.
    pub(super) fn push(&mut self, key: &Key<'_>) {
        if self.hashes.len() <= limits::FILTER_KEYS_MAX {
            let hash = hash(key.token, key.namespace);
            // Keys of one token and namespace are neighbours.
            if self.hashes.last() != Some(&hash) {
                self.hashes.push(hash);
            }
        }
    }

    /// Ends the filter of a partition: puts it behind `out`, as it stands in the file. Whether it
    /// is one; otherwise everything passes. Takes some time.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let small = self.hashes.len() <= limits::FILTER_KEYS_MAX;
        let filter = small.then(|| BinaryFuse8::try_from(&self.hashes).ok()).flatten();
        self.hashes.clear();
        let mut descriptor = [0; BinaryFuse8::DESCRIPTOR_LEN];
        let Some(filter) = filter else {
            out.extend_from_slice(&descriptor);
            return false;
        };
        filter.dma_copy_descriptor_to(&mut descriptor);
        out.extend_from_slice(&descriptor);
        out.extend_from_slice(filter.dma_fingerprints());
        !filter.dma_fingerprints().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(token: u64, namespace: u32) -> Key<'static> {
        Key { token: Token(token), namespace: NamespaceId(namespace), bytes: b"k" }
    }

    fn bytes_of(keys: &[Key<'_>]) -> Vec<u8> {
        let (mut builder, mut bytes) = (FilterBuilder::default(), Vec::new());
        keys.iter().for_each(|key| builder.push(key));
        builder.finish(&mut bytes);
        bytes
    }

    fn filter_of(keys: &[Key<'_>]) -> Filter {
        Filter::decode(&bytes_of(keys)).unwrap()
    }

    fn random_keys(seed: u64, count: usize) -> Vec<Key<'static>> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut tokens: Vec<u64> = (0..count).map(|_| rng.u64(..)).collect();
        tokens.sort_unstable();
        tokens.into_iter().map(|token| key(token, 1)).collect()
    }

    #[test]
    fn no_key_is_denied_and_few_absent_ones_pass() {
        for count in [1, 2, 5, 100, limits::PARTITION_KEYS_TARGET, limits::FILTER_KEYS_MAX] {
            let keys = random_keys(count as u64, count);
            let filter = filter_of(&keys);
            assert!(
                !filter.fingerprints.is_empty() && keys.iter().all(|key| filter.may_contain(key))
            );
            let absent = random_keys(99, 50_000);
            let passed = absent.iter().filter(|key| filter.may_contain(key)).count();
            assert!(passed < 50_000 / 150, "{passed} of 50,000 pass with {count} keys");
            assert!(filter.memory_bytes() < count * 14 / 10 + 300, "{count} keys");
        }
    }

    #[test]
    fn a_key_in_another_namespace_is_another_key() {
        let keys = random_keys(3, 10_000);
        let filter = filter_of(&keys);
        let others = keys.iter().map(|it| key(it.token.0, 2));
        let passed = others.filter(|key| filter.may_contain(key)).count();
        assert!(passed < 100, "{passed} of 10,000 pass");
    }

    /// A builder is used again, also after keys that make no filter.
    #[test]
    fn too_many_keys_make_no_filter_and_harm_no_other() {
        let (few, many) = (random_keys(4, 100), random_keys(5, limits::FILTER_KEYS_MAX + 1));
        let mut builder = FilterBuilder::default();
        let mut finish = |keys: &[Key<'_>]| {
            let mut bytes = Vec::new();
            keys.iter().for_each(|key| builder.push(key));
            (builder.finish(&mut bytes), bytes)
        };
        let (before, none, after) = (finish(&few), finish(&many), finish(&few));
        assert_eq!(before, after);
        assert!(before.0 && !none.0);
        let none = Filter::decode(&none.1).unwrap();
        assert!(none.fingerprints.is_empty() && none.may_contain(&key(7, 7)));
    }

    /// Keys of one token and namespace have one hash, however many they are.
    #[test]
    fn keys_of_one_token_are_one() {
        let names: Vec<[u8; 4]> = (0..30_000u32).map(u32::to_be_bytes).collect();
        let keys: Vec<_> = names.iter().map(|name| Key { bytes: name, ..key(5, 1) }).collect();
        let filter = filter_of(&keys);
        assert!(!filter.fingerprints.is_empty() && keys.iter().all(|key| filter.may_contain(key)));
        assert!(!filter.may_contain(&key(5, 2)));
    }

    /// A descriptor without a segment for its first fingerprint passed, whose lookups read behind
    /// the last one. Found by the fuzzer.
    #[test]
    fn a_filter_of_two_segments_is_refused() {
        let (segment, count) = (4u32, 0u32);
        let numbers = [segment, segment - 1, count].map(u32::to_le_bytes).concat();
        let bytes = [&7u64.to_le_bytes()[..], &numbers, &[1; 8]].concat();
        assert!(Filter::decode(&bytes).is_none());
        let numbers = [segment, segment - 1, segment].map(u32::to_le_bytes).concat();
        let bytes = [&7u64.to_le_bytes()[..], &numbers, &[1; 12]].concat();
        let filter = Filter::decode(&bytes).unwrap();
        let passed = (0..1000).filter(|token| filter.may_contain(&key(token << 54, 1))).count();
        assert!(passed < 1000, "one fingerprint is not that of all");
    }

    /// xorf trusts its descriptor: no changed one may get past `decode` and read out of bounds.
    #[test]
    fn a_changed_descriptor_is_refused_or_harmless() {
        let keys = random_keys(6, 300);
        let bytes = bytes_of(&keys);
        for at in 0..size_of::<Descriptor>() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                if let Some(filter) = Filter::decode(&bytes) {
                    let passed = keys.iter().filter(|key| filter.may_contain(key));
                    assert!(passed.count() <= keys.len());
                }
            }
        }
        for len in 0..bytes.len() {
            assert!(Filter::decode(&bytes[..len]).is_none(), "cut to {len}");
        }
    }
}

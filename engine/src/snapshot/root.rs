//! [`Root`]: what records are, in a few bytes that do not depend on where they lie.

use xxhash_rust::xxh3::Xxh3;

use crate::digest::{Digest, Sum, View};
use crate::record::Record;

/// What live records are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Root {
    /// The digest of the live records, dots and stamps included: equal for replicas that have the
    /// same writes.
    pub digest: Digest,
    /// The sum of hashes of keys and values alone, modulo 2^128: equal for records that were
    /// written anew elsewhere, in another namespace too.
    pub content: u128,
}

impl Root {
    /// Adds `record`, if it is alive at `now_ms`.
    pub fn add(&mut self, record: &Record<'_>, now_ms: u64) {
        if record.is_dead(now_ms) {
            return;
        }
        let mut sum = Sum::default();
        sum.add(record, View { now_ms, ..View::LIVE });
        let mut hash = Xxh3::new();
        hash.update(&(record.key.bytes.len() as u32).to_le_bytes());
        hash.update(record.key.bytes);
        hash.update(record.value);
        let content = hash.digest128();
        *self = self.and(Self { digest: sum.digest(), content });
    }

    /// That of records without a common one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            digest: self.digest.and(other.digest),
            content: self.content.wrapping_add(other.content),
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::ids::NamespaceId;

    use super::*;
    use crate::sstable::sample;

    #[test]
    fn content_is_that_of_keys_and_values_wherever_they_are() {
        let root = |records: &[Record<'_>]| {
            let mut root = Root::default();
            records.iter().for_each(|record| root.add(record, 1000));
            root
        };
        let (a, b) = (sample::value(b"a", 1, 9), sample::value(b"b", 2, 9));
        let (a, b) = (a.record(), b.record());
        let mut moved = a;
        (moved.key.namespace, moved.version.hlc.0) = (NamespaceId(99), 77);
        assert_eq!(root(&[a]).content, root(&[moved]).content);
        assert_ne!(root(&[a]).digest, root(&[moved]).digest);
        assert_eq!(root(&[a, b]), root(&[b]).and(root(&[a])));
        let dead = Record { expires_at_ms: 1000, ..b };
        assert_eq!(root(&[a, dead]), root(&[a]));
        // Where a key ends and its value begins is part of it.
        let (mut left, mut right) = (a, a);
        (left.key.bytes, left.value) = (b"ab", b"c");
        (right.key.bytes, right.value) = (b"a", b"bc");
        assert_ne!(root(&[left]).content, root(&[right]).content);
    }
}

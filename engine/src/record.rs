//! A record: one version of one key, and its row, the form it has in the commit log and in
//! memory.
//!
//! Records sort by `(token, namespace, key)`. Two records of one key are resolved by a merge
//! function that the engine is given; [`Record::version`] is what last-writer-wins compares.
//!
//! ```text
//! row: | token 8 | hlc 8 | counter 8 | node 8 | boot 4 | namespace 4 | expires_at 8 |
//!      | value_len 4 | key_len 2 | kind 1 | zero 1 | key | value |
//! ```

mod mark;
mod merge;

use std::num::NonZeroU64;

use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version};
use schemas::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use self::mark::Mark;
pub(crate) use self::merge::MERGED;
pub use self::merge::{Merge, Stands, lww};

/// What a reader asks for: a key with its place in the sort order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key<'a> {
    /// Place on the ring.
    pub token: Token,
    /// The namespace it belongs to.
    pub namespace: NamespaceId,
    /// The key itself, 1 to [`schemas::limits::KEY_BYTES_MAX`] bytes.
    pub bytes: &'a [u8],
}

/// The key that a walk in order was at last.
#[derive(Default)]
pub(crate) struct LastKey {
    token: Token,
    namespace: u32,
    bytes: Vec<u8>,
}

impl LastKey {
    /// `None` before the first.
    #[inline]
    pub(crate) fn key(&self) -> Option<Key<'_>> {
        let namespace = NamespaceId(self.namespace);
        let key = Key { token: self.token, namespace, bytes: &self.bytes };
        (!self.bytes.is_empty()).then_some(key)
    }

    #[inline]
    pub(crate) fn set(&mut self, key: &Key<'_>) {
        (self.token, self.namespace) = (key.token, key.namespace.0);
        self.bytes.clear();
        self.bytes.extend_from_slice(key.bytes);
    }
}

/// What a record says of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The key has this value.
    Value = 0,
    /// The key was deleted.
    Tombstone = 1,
    /// Values that were written without knowing of each other, and what each knew of; the engine
    /// does not look into them. Two records of this kind may make a third.
    Siblings = 2,
    /// As [`Siblings`](Self::Siblings), of which none is left: only what they knew of.
    Context = 3,
}

impl Kind {
    /// The kind a stored byte names; `None` for a byte no version of kvcore wrote.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Value),
            1 => Some(Self::Tombstone),
            2 => Some(Self::Siblings),
            3 => Some(Self::Context),
            _ => None,
        }
    }

    /// Whether its key is deleted.
    #[inline]
    #[must_use]
    pub fn is_tombstone(self) -> bool {
        matches!(self, Self::Tombstone | Self::Context)
    }

    /// Whether a record of this kind and one of a lesser stamp may make a third. Otherwise the one
    /// with the greater stamp stands, whatever the other is.
    #[inline]
    #[must_use]
    pub fn is_mergeable(self) -> bool {
        matches!(self, Self::Siblings | Self::Context)
    }
}

/// One version of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// The key and its place.
    pub key: Key<'a>,
    /// Stamp and dot of the write.
    pub version: Version,
    /// What `value` is.
    pub kind: Kind,
    /// Unix milliseconds from which the record counts as deleted; 0 for never.
    pub expires_at_ms: u64,
    /// The value; empty for a tombstone. Not the value alone for the kinds that are merged.
    pub value: &'a [u8],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RowHeader {
    token: U64,
    hlc: U64,
    counter: U64,
    node: U64,
    boot: U32,
    namespace: U32,
    expires_at_ms: U64,
    value_len: U32,
    key_len: U16,
    kind: u8,
    zero: u8,
}

/// Bytes of a row before its key.
pub const ROW_HEADER_BYTES: usize = size_of::<RowHeader>();

impl<'a> Record<'a> {
    /// Whether the record's key has no value at `now_ms`: deleted, or past its time.
    #[inline]
    #[must_use]
    pub fn is_dead(&self, now_ms: u64) -> bool {
        self.kind.is_tombstone() || (self.expires_at_ms != 0 && self.expires_at_ms <= now_ms)
    }

    /// Length of the record's row in bytes.
    #[inline]
    #[must_use]
    pub fn row_len(&self) -> usize {
        ROW_HEADER_BYTES + self.key.bytes.len() + self.value.len()
    }

    /// The row, by itself.
    #[must_use]
    pub fn row(&self) -> Box<[u8]> {
        let mut row = vec![0; self.row_len()];
        self.write_row(&mut row);
        row.into()
    }

    /// Writes the row into `out`, which is exactly [`Record::row_len`] bytes long.
    ///
    /// # Panics
    /// If `out` has another length, or a key or value exceeds its limit: callers check those
    /// where requests enter.
    pub fn write_row(&self, out: &mut [u8]) {
        let header = RowHeader {
            token: U64::new(self.key.token.0),
            hlc: U64::new(self.version.hlc.0),
            counter: U64::new(self.version.dot.counter),
            node: U64::new(self.version.dot.actor.node.0.get()),
            boot: U32::new(self.version.dot.actor.boot),
            namespace: U32::new(self.key.namespace.0),
            expires_at_ms: U64::new(self.expires_at_ms),
            value_len: U32::new(u32::try_from(self.value.len()).expect("value within its limit")),
            key_len: U16::new(u16::try_from(self.key.bytes.len()).expect("key within its limit")),
            kind: self.kind as u8,
            zero: 0,
        };
        let (head, rest) = out.split_at_mut(ROW_HEADER_BYTES);
        head.copy_from_slice(header.as_bytes());
        let (key, value) = rest.split_at_mut(self.key.bytes.len());
        key.copy_from_slice(self.key.bytes);
        value.copy_from_slice(self.value);
    }

    /// Reads the row that fills `row`; `None` unless every length and code in it is sound.
    #[inline]
    #[must_use]
    pub fn from_row(row: &'a [u8]) -> Option<Self> {
        let (header, rest) = RowHeader::ref_from_prefix(row).ok()?;
        let (key, value) = rest.split_at_checked(header.key_len.get() as usize)?;
        if value.len() != header.value_len.get() as usize {
            return None;
        }
        let kind = Kind::from_byte(header.kind)?;
        if !are_sized(kind, key, value) {
            return None;
        }
        let node = NodeId(NonZeroU64::new(header.node.get())?);
        Some(Self {
            key: Key {
                token: Token(header.token.get()),
                namespace: NamespaceId(header.namespace.get()),
                bytes: key,
            },
            version: Version {
                hlc: Hlc(header.hlc.get()),
                dot: Dot {
                    actor: Actor { node, boot: header.boot.get() },
                    counter: header.counter.get(),
                },
            },
            kind,
            expires_at_ms: header.expires_at_ms.get(),
            value,
        })
    }
}

/// Whether a record of `kind` may have such a key and value.
#[inline]
pub(crate) fn are_sized(kind: Kind, key: &[u8], value: &[u8]) -> bool {
    !key.is_empty()
        && key.len() <= KEY_BYTES_MAX
        && value.len() <= VALUE_BYTES_MAX
        && (kind != Kind::Tombstone || value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, key: &[u8], value: &[u8]) -> Vec<u8> {
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
        let record = Record {
            key: Key { token: Token(1), namespace: NamespaceId(1), bytes: key },
            version: Version { hlc: Hlc(1), dot: Dot { actor, counter: 1 } },
            kind,
            expires_at_ms: 0,
            value,
        };
        let mut row = vec![0; record.row_len()];
        record.write_row(&mut row);
        row
    }

    /// The log took what a table refuses: a row without a key, or of a tombstone with a value, was
    /// replayed and flushed, and to read the block it was in was an error or a panic. Found while
    /// the fuzz target of the log was written; both ask the same function since.
    #[test]
    fn a_row_that_no_table_takes_is_no_record() {
        let longest = [7; KEY_BYTES_MAX + 1];
        assert!(Record::from_row(&row(Kind::Value, &longest[1..], b"value")).is_some());
        assert!(Record::from_row(&row(Kind::Tombstone, b"key", b"")).is_some());
        for unsound in [
            row(Kind::Value, b"", b"value"),
            row(Kind::Value, &longest, b"value"),
            row(Kind::Tombstone, b"key", b"value"),
            row(Kind::Value, b"key", &vec![0; VALUE_BYTES_MAX + 1]),
        ] {
            assert_eq!(Record::from_row(&unsound), None);
        }
    }
}

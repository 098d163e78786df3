//! [`Mark`]: what the commit log says of a vnode's clock, between the rows.
//!
//! ```text
//! mark: a row whose node is 0, which no actor's is: token = the vnode, kind, no key, value = the
//!       clock that is joined, or the last of the vnodes that are cleared; all else 0
//! ```
//! In the log's order with the rows: a join speaks of records before it, a clearing of all that was
//! before it.

use schemas::clock::VnodeClock;
use schemas::ids::Vnode;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{ROW_HEADER_BYTES, RowHeader};

const JOIN: u8 = 0x80;
const CLEAR: u8 = 0x81;

/// What the commit log says of a vnode's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// All dots of the clock are there: a complete session with another owner ended.
    Join(Vnode, VnodeClock),
    /// Records of the vnodes from the first to the last were lost: no dot from before counts as
    /// seen.
    Clear(Vnode, Vnode),
}

impl Mark {
    /// Its bytes in the log.
    #[must_use]
    pub fn to_row(&self) -> Vec<u8> {
        let mut row = vec![0; ROW_HEADER_BYTES];
        let (vnode, kind) = match self {
            Self::Join(vnode, clock) => {
                clock.encode(&mut row);
                (vnode, JOIN)
            }
            Self::Clear(first, last) => {
                row.extend_from_slice(&last.0.to_le_bytes());
                (first, CLEAR)
            }
        };
        let mut header = RowHeader::new_zeroed();
        header.token = u64::from(vnode.0).into();
        header.kind = kind;
        let value_len = row.len() - ROW_HEADER_BYTES;
        header.value_len = u32::try_from(value_len).expect("a clock is bounded").into();
        row[..ROW_HEADER_BYTES].copy_from_slice(header.as_bytes());
        row
    }

    /// Reads the mark that fills `row`; `None` unless it is sound, so for every record's row.
    #[must_use]
    pub fn from_row(row: &[u8]) -> Option<Self> {
        let (header, value) = RowHeader::ref_from_prefix(row).ok()?;
        let mut plain = RowHeader::new_zeroed();
        (plain.token, plain.kind, plain.value_len) = (header.token, header.kind, header.value_len);
        let is_whole = value.len() == header.value_len.get() as usize;
        if header.as_bytes() != plain.as_bytes() || !is_whole {
            return None;
        }
        let vnode = Vnode(u16::try_from(header.token.get()).ok()?);
        match header.kind {
            JOIN => {
                let (clock, rest) = VnodeClock::decode(value)?;
                rest.is_empty().then_some(Self::Join(vnode, clock))
            }
            CLEAR => {
                let last = Vnode(u16::from_le_bytes(value.try_into().ok()?));
                (vnode <= last).then_some(Self::Clear(vnode, last))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version};

    use super::*;
    use crate::record::{Key, Kind, Record};

    #[test]
    fn marks_and_records_are_told_apart() {
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
        let dot = Dot { actor, counter: 9 };
        let mut clock = VnodeClock::default();
        clock.insert(dot);
        for mark in [Mark::Join(Vnode(7), clock), Mark::Clear(Vnode(3), Vnode(u16::MAX))] {
            let row = mark.to_row();
            assert_eq!(Record::from_row(&row), None);
            for at in 0..row.len() {
                let mut changed = row.clone();
                changed[at] ^= 0x11;
                assert_ne!(Mark::from_row(&changed).as_ref(), Some(&mark), "byte {at}");
                assert_eq!(Mark::from_row(&row[..at]), None, "cut to {at}");
            }
            assert_eq!(Mark::from_row(&row), Some(mark));
        }
        let record = Record {
            key: Key { token: Token(7), namespace: NamespaceId(0), bytes: b"k" },
            version: Version { hlc: Hlc(0), dot },
            kind: Kind::Value,
            expires_at_ms: 0,
            value: b"",
        };
        let mut row = vec![0; record.row_len()];
        record.write_row(&mut row);
        assert_eq!(Mark::from_row(&row), None);
    }
}

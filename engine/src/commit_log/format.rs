//! The bytes of a segment.
//!
//! A segment is a file of [`ALIGN`]-sized blocks, all zeros when new and full of old batches when
//! recycled. Batches follow each other from its first block, each padded with zeros to a whole
//! number of blocks. All numbers are little-endian.
//!
//! ```text
//! batch: | magic "KVL1" 4 | crc 4 | length 4 | entries 4 | segment 8 | sequence 8 |
//!        | durable_upto 8 | segment_blocks 4 | kind 1 | zero 3 | entry.. | zeros |
//! entry: | length 4 | bytes |
//! ```
//!
//! `length` is that of header and entries, without the padding. `crc` is CRC-32C of everything
//! from `length` on to the end of the entries, seeded with the segment's id and the batch's place
//! in the file: a batch of a recycled segment, or one that the disk put elsewhere, is not valid.
//! `durable_upto` says up to which sequence batches were known to be durable when this one was
//! written; the first batch of a segment is written only when all before it are.

use std::mem::offset_of;

use schemas::ids::ShardId;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Sequence;
use crate::env::ALIGN;
use crate::integrity::checksum;
use crate::limits;

/// "KVL" and the version of the format.
const MAGIC: [u8; 4] = *b"KVL1";

/// Bytes of a batch past which its length is not believed.
pub(super) const BATCH_BYTES_LIMIT: usize = 8 << 20;

/// Bytes of a batch before its first entry.
pub(super) const HEADER_BYTES: usize = size_of::<Header>();

/// Bytes of an entry before its own.
pub(super) const ENTRY_HEADER_BYTES: usize = size_of::<U32>();

const SUMMED_FROM: usize = offset_of!(Header, length);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    crc: U32,
    length: U32,
    entries: U32,
    segment: U64,
    sequence: U64,
    durable_upto: U64,
    segment_blocks: U32,
    kind: u8,
    zero: [u8; 3],
}

/// Tells a log from all others of its node: the top half of its segments' ids. So no two of them
/// have a segment of one id, and a file that is in another's place is noticed.
///
/// ```text
/// segment id: | generation 16 bits | shard 16 bits | number 32 bits |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogId(u32);

impl LogId {
    /// The log of `shard` in `generation` of the data directory.
    #[must_use]
    pub fn new(generation: u16, shard: ShardId) -> Self {
        Self(u32::from(generation) << 16 | u32::from(shard.0))
    }

    /// The log that a segment is of.
    pub(super) fn of(segment: u64) -> Self {
        Self((segment >> 32) as u32)
    }

    /// The id of its `number`-th segment.
    pub(super) fn segment(self, number: u32) -> u64 {
        u64::from(self.0) << 32 | u64::from(number)
    }
}

/// A segment's number in its log.
pub(super) fn number(segment: u64) -> u32 {
    segment as u32
}

/// What a batch is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// It has entries of the store.
    Entries = 0,
    /// It has none, and tells that all before it are durable. Its sequence is that of the batch
    /// to come: it takes no number of its own.
    Seal = 1,
    /// Its entries are pairs of sequences, first and last, that a repair has given up.
    Repair = 2,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Entries),
            1 => Some(Self::Seal),
            2 => Some(Self::Repair),
            _ => None,
        }
    }
}

/// Where a batch is: sums are seeded with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The segment's id.
    pub(super) segment: u64,
    /// Byte in the segment.
    pub(super) offset: u64,
}

/// What a batch says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// Its number; of a seal, that of the batch to come.
    pub sequence: Sequence,
    /// Batches up to this one were known to be durable when it was written.
    pub durable_upto: Sequence,
    /// What it is for.
    pub kind: Kind,
    /// Blocks of its segment when it was made.
    pub segment_blocks: u32,
    /// Its entries.
    pub entries: u32,
    /// Bytes without the padding.
    pub length: usize,
}

impl Label {
    /// The last sequence there is when this batch is.
    pub(super) fn last(&self) -> Sequence {
        match self.kind {
            Kind::Seal => Sequence(self.sequence.0 - 1),
            Kind::Entries | Kind::Repair => self.sequence,
        }
    }

    /// Bytes on disk, with the padding.
    #[must_use]
    pub fn padded(&self) -> usize {
        self.length.next_multiple_of(ALIGN)
    }
}

/// What the first block of a batch shows before the rest of it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Head {
    /// A batch of this segment begins here, of so many bytes without padding, if its sum agrees.
    Batch { length: usize },
    /// A batch of this segment began here, and its header is damaged.
    Damaged,
    /// All zeros, or something that this segment did not put here.
    Foreign,
}

/// Looks at the header in `block`, which is at least a header long.
pub(super) fn head(place: Place, block: &[u8]) -> Head {
    let Ok((header, _)) = Header::ref_from_prefix(block) else { return Head::Foreign };
    if header.magic != MAGIC || header.segment.get() != place.segment {
        return Head::Foreign;
    }
    let length = header.length.get() as usize;
    if (HEADER_BYTES..=BATCH_BYTES_LIMIT).contains(&length) {
        Head::Batch { length }
    } else {
        Head::Damaged
    }
}

/// The segment that the header in `block` names.
pub(super) fn named_segment(block: &[u8]) -> Option<u64> {
    let (header, _) = Header::ref_from_prefix(block).ok()?;
    (header.magic == MAGIC).then_some(header.segment.get())
}

/// The label of the batch that fills `bytes` (without padding), if every byte of it is what was
/// written at `place`.
pub(super) fn verify(place: Place, bytes: &[u8]) -> Option<Label> {
    let (header, entries) = Header::ref_from_prefix(bytes).ok()?;
    let is_ours = header.magic == MAGIC
        && header.segment.get() == place.segment
        && header.length.get() as usize == bytes.len()
        && (1..=limits::LOG_SEQUENCE_MAX).contains(&header.sequence.get())
        && header.crc.get() == sum(place, bytes);
    if !is_ours || !Entries(entries).are(header.entries.get()) {
        return None;
    }
    Some(Label {
        sequence: Sequence(header.sequence.get()),
        durable_upto: Sequence(header.durable_upto.get()),
        kind: Kind::from_byte(header.kind)?,
        segment_blocks: header.segment_blocks.get(),
        entries: header.entries.get(),
        length: bytes.len(),
    })
}

/// Writes the header of the batch that fills `bytes` and is to be written at `place`.
pub(super) fn finish(place: Place, label: &Label, bytes: &mut [u8]) {
    let header = Header {
        magic: MAGIC,
        crc: U32::new(0),
        length: U32::new(u32::try_from(label.length).expect("under BATCH_BYTES_LIMIT")),
        entries: U32::new(label.entries),
        segment: U64::new(place.segment),
        sequence: U64::new(label.sequence.0),
        durable_upto: U64::new(label.durable_upto.0),
        segment_blocks: U32::new(label.segment_blocks),
        kind: label.kind as u8,
        zero: [0; 3],
    };
    bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    let crc = U32::new(sum(place, bytes));
    bytes[offset_of!(Header, crc)..][..size_of::<U32>()].copy_from_slice(crc.as_bytes());
}

fn sum(place: Place, bytes: &[u8]) -> u32 {
    checksum(place.segment, place.offset, &bytes[SUMMED_FROM..])
}

/// The entries of a batch, from the bytes after its header.
#[derive(Clone, Debug)]
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// The entries of a whole batch without its padding, which was verified or written by us.
    pub(super) fn of(batch: &'a [u8]) -> Self {
        Self(&batch[HEADER_BYTES..])
    }

    /// Whether they are `count` and fill their bytes.
    fn are(mut self, count: u32) -> bool {
        let counted = self.by_ref().count();
        counted == count as usize && self.0.is_empty()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = U32::ref_from_prefix(self.0).ok()?;
        let (entry, rest) = rest.split_at_checked(length.get() as usize)?;
        self.0 = rest;
        Some(entry)
    }
}

/// Writes the length of an entry at the start of `out`.
pub(super) fn begin_entry(out: &mut [u8], length: usize) {
    let length = U32::new(u32::try_from(length).expect("an entry fits a batch"));
    out[..ENTRY_HEADER_BYTES].copy_from_slice(length.as_bytes());
}

const SUFFIX: &str = ".log";
const ASIDE_SUFFIX: &str = ".log.damaged";

/// A segment while it is being made.
pub(super) const TEMPORARY: &str = "segment.tmp";

/// The file name of segment `id`.
pub(super) fn segment_name(id: u64) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// The name under which a repair keeps segment `id`.
pub(super) fn aside_name(id: u64) -> String {
    format!("{id:016x}{ASIDE_SUFFIX}")
}

/// The id in the name of a segment; `None` for the name of anything else.
#[must_use]
pub fn segment_id(name: &str) -> Option<u64> {
    parse(name, SUFFIX)
}

/// The id in the name of a segment that a repair kept; `None` for the name of anything else.
#[must_use]
pub fn aside_id(name: &str) -> Option<u64> {
    parse(name, ASIDE_SUFFIX)
}

fn parse(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let id = u64::from_str_radix(digits, 16).ok()?;
    (format!("{id:016x}") == digits).then_some(id)
}

const _: () = {
    assert!(HEADER_BYTES == 48 && HEADER_BYTES < ALIGN);
    assert!(offset_of!(Header, crc) < SUMMED_FROM, "the sum does not cover itself");
};

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { segment: 7, offset: 8192 };

    fn batch() -> (Label, Vec<u8>) {
        let mut bytes = vec![0; HEADER_BYTES];
        for entry in [&b"one"[..], b"", b"three"] {
            let at = bytes.len();
            bytes.resize(at + ENTRY_HEADER_BYTES, 0);
            begin_entry(&mut bytes[at..], entry.len());
            bytes.extend_from_slice(entry);
        }
        let label = Label {
            sequence: Sequence(3),
            durable_upto: Sequence(2),
            kind: Kind::Entries,
            segment_blocks: 16,
            entries: 3,
            length: bytes.len(),
        };
        finish(PLACE, &label, &mut bytes);
        (label, bytes)
    }

    #[test]
    fn a_batch_is_what_was_written() {
        let (label, bytes) = batch();
        assert_eq!(head(PLACE, &bytes), Head::Batch { length: bytes.len() });
        assert_eq!(verify(PLACE, &bytes), Some(label));
        let entries: Vec<&[u8]> = Entries::of(&bytes).collect();
        assert_eq!(entries, [&b"one"[..], b"", b"three"]);
    }

    /// The format is on disk: it may never change under the same version.
    #[test]
    fn a_batch_has_its_golden_bytes() {
        let (_, bytes) = batch();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "4b564c31\
             3d836203\
             44000000030000000700000000000000030000000000000002000000000000001000000000000000\
             030000006f6e6500000000050000007468726565"
        );
    }

    #[test]
    fn any_changed_byte_makes_it_invalid() {
        let (_, bytes) = batch();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[index] ^= 1 << bit;
                assert_eq!(verify(PLACE, &damaged), None, "byte {index} bit {bit}");
            }
        }
    }

    #[test]
    fn it_is_valid_in_its_place_only() {
        let (_, bytes) = batch();
        assert_eq!(verify(Place { segment: 8, ..PLACE }, &bytes), None);
        assert_eq!(verify(Place { offset: 4096, ..PLACE }, &bytes), None);
        assert_eq!(verify(PLACE, &bytes[..bytes.len() - 1]), None);
        assert_eq!(verify(PLACE, &[]), None);
        assert_eq!(head(PLACE, &[0; ALIGN]), Head::Foreign);
    }

    #[test]
    fn a_length_past_the_limit_is_not_believed() {
        let (_, mut bytes) = batch();
        for length in [0, HEADER_BYTES - 1, BATCH_BYTES_LIMIT + 1, u32::MAX as usize] {
            bytes[SUMMED_FROM..][..4].copy_from_slice(&(length as u32).to_le_bytes());
            assert_eq!(head(PLACE, &bytes), Head::Damaged);
        }
    }

    #[test]
    fn names_and_ids_are_each_other() {
        for id in [0, 1, 0xabc, u64::MAX] {
            assert_eq!(segment_id(&segment_name(id)), Some(id));
            assert_eq!(aside_id(&aside_name(id)), Some(id));
            assert_eq!(segment_id(&aside_name(id)), None);
        }
        for name in ["1.log", "000000000000000A.log", "+00000000000000a.log", "x"] {
            assert_eq!(segment_id(name), None);
        }
    }

    #[test]
    fn an_id_tells_its_log_and_its_number() {
        let log = LogId::new(1, ShardId(2));
        assert_eq!(segment_name(log.segment(3)), "0001000200000003.log");
        assert_eq!((LogId::of(log.segment(u32::MAX)), number(log.segment(3))), (log, 3));
    }
}

//! The ceiling of the node's stamps on disk: CLOCK, two slots written in turn.
//!
//! ```text
//! slot 0 at byte 0, slot 1 at byte 4096:
//! | magic 8 | sequence 8 | ceiling 8 | crc 4 | zeros 4 | node 8 | zeros up to 4096 |
//! ```
//! Write `n` goes to slot `n % 2`. A write that is torn leaves the other slot, which holds the
//! ceiling before it: the one that cores were told, for they are told of the next only once it is
//! synced. So a renewal is one write in place and one `fdatasync`, no rename and no directory, and
//! no other file is at risk once a second.
//!
//! It names its node: beside another node's NODE, and so another seed, no record would be found.

use std::num::NonZeroU64;

use schemas::ids::{Hlc, NodeId};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::DirError;
use super::layout::CLOCK_FILE;
use crate::env::ALIGN;
use crate::integrity::{Corrupt, checksum};

const SLOT_BYTES: usize = ALIGN;
/// Length of the file in bytes.
pub(super) const CLOCK_BYTES: usize = 2 * SLOT_BYTES;

const MAGIC: [u8; 8] = *b"kvcCLCK\n";

/// Renewals past this are not believed: at one a second there is no end of them.
const SEQUENCE_MAX: u64 = u64::MAX >> 1;

/// What CLOCK says, and how to make it say something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    node: NodeId,
    sequence: u64,
    ceiling: Hlc,
}

/// Bytes to be written, and synced, at a place of CLOCK.
#[derive(Clone, Debug)]
pub struct ClockSlot {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// What.
    pub bytes: [u8; SLOT_BYTES],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Bytes {
    magic: [u8; 8],
    sequence: U64,
    ceiling: U64,
    crc: U32,
    zeros: [u8; 4],
    node: U64,
}

impl Clock {
    /// The clock of the new node `node`, which has given no stamp, and its whole file.
    pub(super) fn born(node: NodeId) -> (Self, [ClockSlot; 2]) {
        let mut clock = Self { node, sequence: 0, ceiling: Hlc(0) };
        let slots = [clock.set(Hlc(0)), clock.set(Hlc(0))];
        (clock, slots)
    }

    /// The highest stamp that may have been given.
    #[must_use]
    pub fn ceiling(&self) -> Hlc {
        self.ceiling
    }

    /// What to write for `ceiling` to hold. It holds once that is synced, and not before.
    #[must_use]
    pub fn set(&mut self, ceiling: Hlc) -> ClockSlot {
        self.sequence += 1;
        self.ceiling = ceiling;
        let mut header = Bytes {
            magic: MAGIC,
            sequence: U64::new(self.sequence),
            ceiling: U64::new(ceiling.0),
            crc: U32::ZERO,
            zeros: [0; 4],
            node: U64::new(self.node.0.get()),
        };
        let offset = offset_of(self.sequence);
        let mut bytes = [0; SLOT_BYTES];
        bytes[..size_of::<Bytes>()].copy_from_slice(header.as_bytes());
        header.crc = U32::new(sum(offset, &bytes));
        bytes[..size_of::<Bytes>()].copy_from_slice(header.as_bytes());
        ClockSlot { offset, bytes }
    }

    /// Reads the bytes of the file of `node`, whatever they are.
    pub(super) fn decode(node: NodeId, file: &[u8]) -> Result<Self, DirError> {
        let slot = |offset: u64| {
            let bytes = file.get(offset as usize..)?.get(..SLOT_BYTES)?;
            Self::decode_slot(offset, bytes)
        };
        let newest = [slot(0), slot(SLOT_BYTES as u64)].into_iter().flatten();
        let damaged = |what| Corrupt { file: CLOCK_FILE.to_owned(), offset: 0, what };
        let newest = newest.max_by_key(|clock| clock.sequence);
        let clock = newest.ok_or_else(|| damaged("neither of its two slots is whole"))?;
        if clock.node != node {
            return Err(damaged("it and NODE are of different nodes").into());
        }
        Ok(clock)
    }

    fn decode_slot(offset: u64, bytes: &[u8]) -> Option<Self> {
        let (header, _) = Bytes::ref_from_prefix(bytes).ok()?;
        let mut unsummed = bytes.to_vec();
        unsummed[CRC_AT..CRC_AT + size_of::<U32>()].fill(0);
        let sequence = header.sequence.get();
        let whole = header.magic == MAGIC
            && header.crc.get() == sum(offset, &unsummed)
            && (1..=SEQUENCE_MAX).contains(&sequence)
            && offset_of(sequence) == offset;
        let node = NodeId(NonZeroU64::new(header.node.get())?);
        whole.then_some(Self { node, sequence, ceiling: Hlc(header.ceiling.get()) })
    }
}

const CRC_AT: usize = std::mem::offset_of!(Bytes, crc);

fn offset_of(sequence: u64) -> u64 {
    (sequence % 2) * SLOT_BYTES as u64
}

fn sum(offset: u64, slot: &[u8]) -> u32 {
    checksum(u64::from_le_bytes(MAGIC), offset, slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(NonZeroU64::MIN);

    fn put(file: &mut [u8], slot: &ClockSlot) {
        file[slot.offset as usize..][..SLOT_BYTES].copy_from_slice(&slot.bytes);
    }

    fn file_of(clock: &mut Clock, ceilings: &[u64]) -> Vec<u8> {
        let mut file = vec![0; CLOCK_BYTES];
        for &ceiling in ceilings {
            put(&mut file, &clock.set(Hlc(ceiling)));
        }
        file
    }

    #[test]
    fn the_newest_whole_slot_holds() {
        let (mut clock, slots) = Clock::born(NODE);
        let mut file = vec![0; CLOCK_BYTES];
        slots.iter().for_each(|slot| put(&mut file, slot));
        assert_eq!(Clock::decode(NODE, &file).unwrap(), clock);
        for ceiling in [5, 9, 7] {
            put(&mut file, &clock.set(Hlc(ceiling)));
            assert_eq!(Clock::decode(NODE, &file).unwrap().ceiling(), Hlc(ceiling));
        }
    }

    #[test]
    fn a_torn_write_leaves_the_ceiling_before_it() {
        let (mut clock, _) = Clock::born(NODE);
        let file = file_of(&mut clock, &[5, 9]);
        let next = clock.set(Hlc(12));
        for torn_at in 0..size_of::<Bytes>() {
            let mut torn = file.clone();
            let start = next.offset as usize;
            torn[start..start + torn_at].copy_from_slice(&next.bytes[..torn_at]);
            torn[start + torn_at..start + SLOT_BYTES].fill(0xa5);
            assert_eq!(Clock::decode(NODE, &torn).unwrap().ceiling(), Hlc(9));
        }
    }

    #[test]
    fn damage_is_never_a_ceiling() {
        let (mut clock, _) = Clock::born(NODE);
        let file = file_of(&mut clock, &[5, 9]);
        for bit in 0..CLOCK_BYTES * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let ceiling = Clock::decode(NODE, &damaged).unwrap().ceiling();
            assert!(ceiling == Hlc(5) || ceiling == Hlc(9), "bit {bit}: {ceiling:?}");
        }
        let mut swapped = file[SLOT_BYTES..].to_vec();
        swapped.extend(&file[..SLOT_BYTES]);
        for bytes in [&[][..], &file[..SLOT_BYTES - 1], &swapped, &[0; CLOCK_BYTES]] {
            assert!(matches!(Clock::decode(NODE, bytes), Err(DirError::Corrupt(_))));
        }
    }

    #[test]
    fn the_clock_of_another_node_is_refused() {
        let (_, slots) = Clock::born(NODE);
        let file = slots.map(|slot| slot.bytes).concat();
        let other = NodeId(NonZeroU64::MAX);
        let swapped = [&file[SLOT_BYTES..], &file[..SLOT_BYTES]].concat();
        assert!(Clock::decode(NODE, &swapped).is_ok());
        assert!(matches!(Clock::decode(other, &swapped), Err(DirError::Corrupt(_))));
    }

    /// A slot with a sound sum told the last number there is. The one after it was a slot that no
    /// start believed: stamps given under it would have been given again.
    #[test]
    fn there_is_always_a_renewal_to_come() {
        let at = |sequence| Clock { node: NODE, sequence, ceiling: Hlc(0) };
        let read = |mut clock: Clock| Clock::decode(NODE, &file_of(&mut clock, &[5])).ok();
        assert_eq!(read(at(SEQUENCE_MAX - 1)).map(|it| it.ceiling()), Some(Hlc(5)));
        assert_eq!(read(at(SEQUENCE_MAX)), None);
    }

    /// A running node does not read CLOCK: what is damaged under it is written over, or is the slot
    /// that does not hold.
    #[test]
    fn damage_under_a_running_node_does_not_outlast_its_next_renewal() {
        let (mut clock, _) = Clock::born(NODE);
        let file = file_of(&mut clock, &[5, 9]);
        let damages: [fn(&mut Vec<u8>); 5] = [
            |file| file[20] ^= 1,
            |file| file[SLOT_BYTES + 20] ^= 1,
            |file| file.copy_within(..SLOT_BYTES, SLOT_BYTES),
            |file| file.copy_within(SLOT_BYTES.., 0),
            |file| file.fill(0),
        ];
        for damage in damages {
            let (mut clock, mut file) = (clock, file.clone());
            damage(&mut file);
            put(&mut file, &clock.set(Hlc(12)));
            assert_eq!(Clock::decode(NODE, &file).unwrap().ceiling(), Hlc(12));
        }
    }
}

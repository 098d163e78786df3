//! The superblock: who the node is, and which generation of shards is its data.
//!
//! ```text
//! | magic 8 | format 4 | crc 4 | node 8 | cluster 16 | seed 8 | boot 4 | generation 2 | shards 2 |
//! | vnode bits 1 | name length 1 | cluster name 255 | zeros up to 4096 |
//! ```
//! The sum covers all 4096 bytes, itself as zero. Magic, format and sum stay where they are in
//! every format, so a newer file is told from a damaged one.

use std::num::NonZeroU64;

use schemas::ids::{Actor, ClusterId, NodeId, VnodeBits};
use schemas::limits::NAME_BYTES_MAX;
use zerocopy::little_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::DirError;
use super::layout::NODE_FILE;
use crate::env::ALIGN;
use crate::env::buf::AlignedBuf;
use crate::integrity::{Corrupt, FormatNewer, checksum};

/// Length of the file in bytes.
pub(crate) const SUPERBLOCK_BYTES: usize = ALIGN;

const MAGIC: [u8; 8] = *b"kvcNODE\n";
const FORMAT: u32 = 1;

/// What a node is born with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewNode {
    /// Its identity, drawn at random.
    pub node: NodeId,
    /// Its cluster's identity, drawn at random.
    pub cluster: ClusterId,
    /// Its cluster's name, 1 to [`NAME_BYTES_MAX`] bytes.
    pub cluster_name: String,
    /// The seed of the cluster's tokens, drawn at random.
    pub seed: u64,
    /// The cluster's ring.
    pub vnodes: VnodeBits,
    /// Shards it starts with, at least 1.
    pub shards: u16,
}

/// Who the node is and where its data lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Its identity.
    pub node: NodeId,
    /// Its cluster's identity.
    pub cluster: ClusterId,
    /// Its cluster's name.
    pub cluster_name: String,
    /// The seed of the cluster's tokens.
    pub seed: u64,
    /// The cluster's ring.
    pub vnodes: VnodeBits,
    /// Which of the node's starts this is, from 1.
    pub boot: u32,
    /// The generation of shards that is the data.
    pub generation: u16,
    /// How many shards it has, at least 1.
    pub shards: u16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Bytes {
    magic: [u8; 8],
    format: U32,
    crc: U32,
    node: U64,
    cluster: U128,
    seed: U64,
    boot: U32,
    generation: U16,
    shards: U16,
    vnode_bits: u8,
    name_len: u8,
    name: [u8; NAME_BYTES_MAX],
}

const _: () = assert!(size_of::<Bytes>() <= SUPERBLOCK_BYTES);
const _: () = assert!(NAME_BYTES_MAX <= u8::MAX as usize, "the length of a name is a byte");

impl Superblock {
    /// The superblock of a node at its first start.
    ///
    /// # Panics
    /// If the name or the number of shards is out of range: checked where they are configured.
    #[must_use]
    pub fn born(new: &NewNode) -> Self {
        assert!((1..=NAME_BYTES_MAX).contains(&new.cluster_name.len()), "a name has a length");
        assert!(new.shards > 0, "a node has a shard");
        Self {
            node: new.node,
            cluster: new.cluster,
            cluster_name: new.cluster_name.clone(),
            seed: new.seed,
            vnodes: new.vnodes,
            boot: 1,
            generation: 1,
            shards: new.shards,
        }
    }

    /// Who gives dots during this start.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { node: self.node, boot: self.boot }
    }

    /// The file's bytes.
    pub(crate) fn encode(&self) -> AlignedBuf {
        let mut name = [0; NAME_BYTES_MAX];
        name[..self.cluster_name.len()].copy_from_slice(self.cluster_name.as_bytes());
        let mut bytes = Bytes {
            magic: MAGIC,
            format: U32::new(FORMAT),
            crc: U32::ZERO,
            node: U64::new(self.node.0.get()),
            cluster: U128::new(self.cluster.0),
            seed: U64::new(self.seed),
            boot: U32::new(self.boot),
            generation: U16::new(self.generation),
            shards: U16::new(self.shards),
            vnode_bits: self.vnodes.count().trailing_zeros() as u8,
            name_len: self.cluster_name.len() as u8,
            name,
        };
        let mut page = AlignedBuf::zeroed(SUPERBLOCK_BYTES);
        page[..size_of::<Bytes>()].copy_from_slice(bytes.as_bytes());
        bytes.crc = U32::new(sum(&page));
        page[..size_of::<Bytes>()].copy_from_slice(bytes.as_bytes());
        page
    }

    /// Reads the file's bytes, whatever they are.
    pub(crate) fn decode(page: &[u8]) -> Result<Self, DirError> {
        let damaged = |what| Corrupt { file: NODE_FILE.to_owned(), offset: 0, what };
        if page.len() != SUPERBLOCK_BYTES {
            return Err(damaged("it is not 4096 bytes long").into());
        }
        let (bytes, _) = Bytes::ref_from_prefix(page).expect("a page is longer");
        if bytes.magic != MAGIC {
            return Err(damaged("it does not begin as a superblock does").into());
        }
        let mut unsummed = page.to_vec();
        unsummed[CRC_AT..CRC_AT + size_of::<U32>()].fill(0);
        if bytes.crc.get() != sum(&unsummed) {
            return Err(damaged("its checksum does not match").into());
        }
        let found = bytes.format.get();
        if found > FORMAT {
            let file = NODE_FILE.to_owned();
            return Err(FormatNewer { file, found, supported: FORMAT }.into());
        }
        Self::checked(bytes).ok_or_else(|| damaged("a field is out of range").into())
    }

    fn checked(bytes: &Bytes) -> Option<Self> {
        let name =
            &bytes.name.get(..usize::from(bytes.name_len)).filter(|name| !name.is_empty())?;
        let superblock = Self {
            node: NodeId(NonZeroU64::new(bytes.node.get())?),
            cluster: ClusterId(bytes.cluster.get()),
            cluster_name: str::from_utf8(name).ok()?.to_owned(),
            seed: bytes.seed.get(),
            vnodes: VnodeBits::from_count(1u32.checked_shl(u32::from(bytes.vnode_bits))?)?,
            boot: bytes.boot.get(),
            generation: bytes.generation.get(),
            shards: bytes.shards.get(),
        };
        let sound = bytes.format.get() > 0
            && (1..u32::MAX).contains(&superblock.boot)
            && superblock.generation > 0
            && superblock.shards > 0;
        sound.then_some(superblock)
    }
}

const CRC_AT: usize = std::mem::offset_of!(Bytes, crc);

fn sum(page: &[u8]) -> u32 {
    checksum(u64::from_le_bytes(MAGIC), 0, page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Superblock {
        Superblock::born(&NewNode {
            node: NodeId(NonZeroU64::new(0x1122_3344_5566_7788).unwrap()),
            cluster: ClusterId(0x99),
            cluster_name: "shop".to_owned(),
            seed: 7,
            vnodes: VnodeBits::DEFAULT,
            shards: 4,
        })
    }

    fn with(change: impl FnOnce(&mut Bytes)) -> Result<Superblock, DirError> {
        let mut page = example().encode();
        let (bytes, _) = Bytes::mut_from_prefix(&mut page).unwrap();
        change(bytes);
        bytes.crc = U32::ZERO;
        let crc = sum(&page);
        Bytes::mut_from_prefix(&mut page).unwrap().0.crc = U32::new(crc);
        Superblock::decode(&page)
    }

    /// The bytes are on disk: they may never change under this format's number.
    #[test]
    fn the_format_is_what_it_was() {
        let page = example().encode();
        assert_eq!(page[..16], *b"kvcNODE\n\x01\0\0\0\x20\xc7\xad\x84");
        assert_eq!(page[16..24], 0x1122_3344_5566_7788u64.to_le_bytes());
        assert_eq!(page[48..58], *b"\x01\0\0\0\x01\0\x04\0\x0c\x04");
        assert_eq!(&page[58..62], b"shop");
        assert!(page[62..].iter().all(|&byte| byte == 0));
        assert_eq!(Superblock::decode(&page).unwrap(), example());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut page = example().encode();
        for bit in 0..page.len() * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            let found = Superblock::decode(&page);
            assert!(matches!(found, Err(DirError::Corrupt(_))), "bit {bit}: {found:?}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
        for len in [0, 1, 4095, 4097, 8192] {
            let cut = page.iter().copied().chain([0; 4096]).take(len).collect::<Vec<_>>();
            assert!(matches!(Superblock::decode(&cut), Err(DirError::Corrupt(_))), "{len} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_a_damaged_one() {
        match with(|bytes| bytes.format = U32::new(2)) {
            Err(DirError::Newer(newer)) => assert_eq!((newer.found, newer.supported), (2, 1)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_out_of_range_are_damage() {
        let changes: [fn(&mut Bytes); 9] = [
            |bytes| bytes.format = U32::ZERO,
            |bytes| bytes.node = U64::ZERO,
            |bytes| bytes.boot = U32::ZERO,
            |bytes| bytes.boot = U32::new(u32::MAX),
            |bytes| bytes.generation = U16::ZERO,
            |bytes| bytes.shards = U16::ZERO,
            |bytes| bytes.vnode_bits = 17,
            |bytes| bytes.name_len = 0,
            |bytes| bytes.name[0] = 0xff,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(matches!(with(change), Err(DirError::Corrupt(_))), "change {index}");
        }
        assert!(with(|bytes| bytes.vnode_bits = 255).is_err());
        assert_eq!(with(|_| ()).unwrap(), example());
    }
}

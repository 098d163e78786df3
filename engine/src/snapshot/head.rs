//! SNAPSHOT: whose snapshot it is, of when, and how much.
//!
//! ```text
//! | magic 8 | format 4 | sum 4 | id 8 | taken_at_ms 8 | tables 8 | bytes 8 | zeros up to 4096 |
//! | the superblock of the node, as its NODE was |
//! ```
//! The sum covers all 8192 bytes, itself as zero. Written last, beside itself, and renamed: it is
//! whole or not there.

use schemas::ids::ShardId;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::SnapshotError;
use super::layout::{HEAD_FILE, join};
use crate::data_dir::{DirError, SUPERBLOCK_BYTES, Superblock};
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Env, File, Open};
use crate::integrity::{Corrupt, FormatNewer, checksum};

/// The version of the format of SNAPSHOT that is written, and the newest that is read.
pub const SNAPSHOT_FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"kvcSNAP\n";

pub(super) const HEAD_BYTES: usize = ALIGN + SUPERBLOCK_BYTES;

/// Whose snapshot it is, of when, and how much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotHead {
    /// Drawn at random; seeds the sums of its SHARD files.
    pub id: u64,
    /// When it was asked for, in Unix milliseconds. All that was acknowledged before is in it.
    pub taken_at_ms: u64,
    /// Tables of all shards; a file of which two shards have parts counts twice.
    pub tables: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Who the node was.
    pub node: Superblock,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Bytes {
    magic: [u8; 8],
    format: U32,
    sum: U32,
    id: U64,
    taken_at_ms: U64,
    tables: U64,
    bytes: U64,
}

const USED: usize = size_of::<Bytes>();

/// The shards of a node that own a part of the ring, in its order: the others have no store.
pub(super) fn shards_of(node: &Superblock) -> impl Iterator<Item = ShardId> + use<> {
    let (bits, shards) = (node.vnodes, node.shards);
    (0..shards).map(ShardId).filter(move |shard| shard.tokens(bits, shards).is_some())
}

fn sum(file: &[u8]) -> u32 {
    checksum(u64::from_le_bytes(MAGIC), 0, file)
}

impl SnapshotHead {
    /// Reads SNAPSHOT of directory `dir`.
    ///
    /// # Errors
    /// [`SnapshotError`]; [`SnapshotError::Incomplete`] if there is none.
    pub async fn read<E: Env>(env: &E, dir: &str) -> Result<Self, SnapshotError> {
        let path = join(dir, HEAD_FILE);
        let read = async {
            let file = env.open(&path, Open::Read).await?;
            // A longer file does not pass for a whole one.
            file.read_at(0, HEAD_BYTES + ALIGN).await
        };
        match read.await {
            Ok(bytes) => Self::decode(&bytes, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(SnapshotError::Incomplete { dir: dir.to_owned() })
            }
            Err(error) => Err(SnapshotError::io("read", &path)(error)),
        }
    }

    /// The shards that it has parts of.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        shards_of(&self.node)
    }

    /// The file's bytes.
    pub(super) fn encode(&self) -> AlignedBuf {
        let mut bytes = Bytes {
            magic: MAGIC,
            format: SNAPSHOT_FORMAT.into(),
            sum: 0.into(),
            id: self.id.into(),
            taken_at_ms: self.taken_at_ms.into(),
            tables: self.tables.into(),
            bytes: self.bytes.into(),
        };
        let mut file = AlignedBuf::zeroed(HEAD_BYTES);
        file[..USED].copy_from_slice(bytes.as_bytes());
        file[ALIGN..].copy_from_slice(&self.node.encode());
        bytes.sum = sum(&file).into();
        file[..USED].copy_from_slice(bytes.as_bytes());
        file
    }

    /// Reads the bytes of file `path`, whatever they are.
    pub(super) fn decode(file: &[u8], path: &str) -> Result<Self, SnapshotError> {
        let damaged = |offset: usize, what| {
            Corrupt { file: path.to_owned(), offset: offset as u64, what }.into()
        };
        if file.len() != HEAD_BYTES {
            return Err(damaged(0, "it is not 8192 bytes long"));
        }
        let (bytes, _) = Bytes::ref_from_prefix(file).expect("two pages are longer");
        if bytes.magic != MAGIC {
            return Err(damaged(0, "it does not begin as a snapshot's head does"));
        }
        let mut unsummed = file.to_vec();
        unsummed[SUM_AT..SUM_AT + size_of::<U32>()].fill(0);
        if bytes.sum.get() != sum(&unsummed) {
            return Err(damaged(0, "its checksum does not match"));
        }
        let (found, supported) = (bytes.format.get(), SNAPSHOT_FORMAT);
        if found > supported {
            return Err(FormatNewer { file: path.to_owned(), found, supported }.into());
        }
        if found == 0 || file[USED..ALIGN].iter().any(|&byte| byte != 0) {
            return Err(damaged(0, "a field is out of range"));
        }
        let node = Superblock::decode(&file[ALIGN..]).map_err(|error| match error {
            DirError::Newer(newer) => FormatNewer { file: path.to_owned(), ..newer }.into(),
            _ => damaged(ALIGN, "the node in it is not sound"),
        })?;
        Ok(Self {
            id: bytes.id.get(),
            taken_at_ms: bytes.taken_at_ms.get(),
            tables: bytes.tables.get(),
            bytes: bytes.bytes.get(),
            node,
        })
    }
}

pub(super) const SUM_AT: usize = std::mem::offset_of!(Bytes, sum);

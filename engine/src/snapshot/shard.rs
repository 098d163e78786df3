//! SHARD: what a snapshot has of one shard.
//!
//! ```text
//! file:   | header 64 | version | zeros up to a page |
//! header: | magic 8 | format 4 | sum 4 | snapshot 8 | length 8 | first token 8 | last token 8 |
//!         | generation 2 | shard 2 | clocks_crc 4 | clocks_bytes 8 |
//! ```
//! The sum covers header and version, itself as zero; it is seeded with the snapshot and the shard,
//! so no other snapshot's file passes for this one. The version is the manifest's: its tables with
//! their lengths, sums, levels and visible ranges.

use schemas::ids::{ShardId, Token};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::SnapshotError;
use super::layout::{SHARD_FILE, join, shard_dir_of};
use crate::env::{ALIGN, Env, File, Open};
use crate::integrity::{Corrupt, FormatNewer, FormatOlder, checksum};
use crate::limits::SNAPSHOT_SHARD_BYTES_MAX;
use crate::manifest::{Version, decode_version, encode_version};
use crate::sequential::read_span;
use crate::sstable::{FileId, TokenRange};

/// The version of the format of SHARD that is written, and the only one that is read. It goes up
/// with the layout of the manifest's edits as well.
pub const SHARD_FORMAT: u32 = 2;

const MAGIC: [u8; 8] = *b"kvcSHRD\n";

/// What a snapshot has of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardHead {
    /// The snapshot's id.
    pub snapshot: u64,
    /// Which shard.
    pub shard: ShardId,
    /// The generation of the data directory that it was of.
    pub generation: u16,
    /// The tokens that it owned.
    pub tokens: TokenRange,
    /// Its tables.
    pub version: Version,
    /// The clocks of its vnodes; `None` if it had none, or they were lost.
    pub clocks: Option<ClocksCopy>,
}

/// The file of clocks that lies beside the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClocksCopy {
    /// Its id.
    pub id: FileId,
    /// Its length in bytes.
    pub bytes: u64,
    /// CRC-32C of the whole file.
    pub crc: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    format: U32,
    sum: U32,
    snapshot: U64,
    length: U64,
    first: U64,
    last: U64,
    generation: U16,
    shard: U16,
    clocks_crc: U32,
    /// 0: there are none.
    clocks_bytes: U64,
}

const HEADER_BYTES: usize = size_of::<Header>();
#[cfg(any(test, fuzzing))]
pub(super) const SUM_AT: usize = std::mem::offset_of!(Header, sum);
#[cfg(any(test, fuzzing))]
pub(super) const LENGTH_AT: usize = std::mem::offset_of!(Header, length);

impl ShardHead {
    /// Reads SHARD of `shard` in the directory `dir` of snapshot `id`.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub async fn read<E: Env>(
        env: &E,
        dir: &str,
        id: u64,
        shard: ShardId,
    ) -> Result<Self, SnapshotError> {
        let path = format!("{}/{SHARD_FILE}", join(dir, &shard_dir_of(shard)));
        let read = async {
            let file = env.open(&path, Open::Read).await?;
            let len = usize::try_from(file.size().await?).ok();
            match len.filter(|len| *len <= SNAPSHOT_SHARD_BYTES_MAX) {
                Some(len) => read_span(&file, 0, len).await.map(Some),
                None => Ok(None),
            }
        };
        let bytes = read.await.map_err(SnapshotError::io("read", &path))?;
        let what = "it is longer than any that is written";
        let too_long = || Corrupt { file: path.clone(), offset: 0, what };
        Self::decode(bytes.ok_or_else(too_long)?, id, shard, &path)
    }

    /// Bytes of its tables' files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.version.tables().map(|entry| entry.file_bytes).sum()
    }

    /// The file's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let version = encode_version(&self.version);
        let length = HEADER_BYTES + version.len();
        let mut header = Header {
            magic: MAGIC,
            format: SHARD_FORMAT.into(),
            sum: 0.into(),
            snapshot: self.snapshot.into(),
            length: (length as u64).into(),
            first: self.tokens.first().0.into(),
            last: self.tokens.last().0.into(),
            generation: self.generation.into(),
            shard: self.shard.0.into(),
            clocks_crc: self.clocks.map_or(0, |it| it.crc).into(),
            clocks_bytes: self.clocks.map_or(0, |it| it.bytes).into(),
        };
        let mut file = Vec::with_capacity(length.next_multiple_of(ALIGN));
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(&version);
        header.sum = checksum(self.snapshot, self.shard.0.into(), &file).into();
        file[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        file.resize(length.next_multiple_of(ALIGN), 0);
        file
    }

    /// Reads the bytes of file `path`, whatever they are, as that of `shard` in snapshot `id`.
    pub(super) fn decode(
        mut file: Vec<u8>,
        id: u64,
        shard: ShardId,
        path: &str,
    ) -> Result<Self, SnapshotError> {
        let corrupt =
            |offset: usize, what| Corrupt { file: path.to_owned(), offset: offset as u64, what };
        let all = file.len();
        let header = Header::mut_from_prefix(&mut file);
        let (header, _) = header.map_err(|_| corrupt(all, "it is shorter than its header"))?;
        if header.magic != MAGIC {
            return Err(corrupt(0, "it does not begin as a snapshot's SHARD does").into());
        }
        let sum = std::mem::take(&mut header.sum);
        let length = usize::try_from(header.length.get()).ok();
        let length = length.filter(|it| (HEADER_BYTES..=all).contains(it));
        let length = length.ok_or_else(|| corrupt(0, "its length does not fit"))?;
        if checksum(id, shard.0.into(), &file[..length]) != sum.get() {
            let what = "its checksum does not match, or it is of another snapshot or shard";
            return Err(corrupt(0, what).into());
        }
        let (header, _) = Header::ref_from_prefix(&file).expect("it was there");
        let (found, supported) = (header.format.get(), SHARD_FORMAT);
        if found > supported {
            return Err(FormatNewer { file: path.to_owned(), found, supported }.into());
        }
        if (1..supported).contains(&found) {
            return Err(FormatOlder { file: path.to_owned(), found, supported }.into());
        }
        let is_own = header.snapshot.get() == id && header.shard.get() == shard.0;
        let padded = file[length..].iter().all(|&byte| byte == 0);
        if found == 0 || !is_own || !padded || all != length.next_multiple_of(ALIGN) {
            return Err(corrupt(0, "its header does not fit").into());
        }
        let version = decode_version(&file[HEADER_BYTES..length]);
        let version = version.ok_or_else(|| corrupt(HEADER_BYTES, "its tables do not fit"))?;
        let (generation, crc) = (header.generation.get(), header.clocks_crc.get());
        let tokens = TokenRange::new(Token(header.first.get()), Token(header.last.get()));
        let tokens = tokens.ok_or_else(|| corrupt(0, "its tokens do not fit"))?;
        let clocks = match (header.clocks_bytes.get(), version.clocks()) {
            (0, _) if crc == 0 => None,
            (bytes @ 1.., Some(number)) => {
                Some(ClocksCopy { id: FileId::new(generation, shard, number), bytes, crc })
            }
            _ => return Err(corrupt(0, "its clocks do not fit").into()),
        };
        Ok(Self { snapshot: id, shard, generation, tokens, version, clocks })
    }
}

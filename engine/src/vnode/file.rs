//! [`ClocksFile`]: a shard's clocks as of a flush.
//!
//! ```text
//! file:   | header 40 | per vnode that has a dot: vnode 2, zero 2, clock | zeros up to a page |
//! header: | magic 8 | format 4 | sum 4 | file id 8 | length 8 | vnodes 4 | zero 4 |
//! ```
//! Immutable, whole before the manifest names it, and read whole. The sum covers header and clocks,
//! itself as zero. Vnodes ascend. The id is that of the table that was written with it.

use std::io;

use schemas::clock::VnodeClock;
use schemas::ids::Vnode;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::clocks::Clocks;
use crate::env::{ALIGN, Env, File, Open};
use crate::integrity::{Corrupt, FormatNewer, checksum};
use crate::limits;
use crate::sequential::{Sink, read_span};
use crate::sstable::FileId;

/// The version of the format that is written, and the newest that is read.
pub const CLOCKS_FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"kvcCLKS\n";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    format: U32,
    sum: U32,
    file: U64,
    length: U64,
    vnodes: U32,
    zero: U32,
}

/// Seeds the sum: a place that no block of the table has that was written with the clocks, and has
/// their id.
pub(super) const PLACE: u64 = u64::MAX;

const HEADER_BYTES: usize = size_of::<Header>();

/// Why clocks cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ClocksError {
    /// The disk refuses.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file's path in the data directory.
        file: String,
        /// What the disk says.
        source: io::Error,
    },
    /// The file does not hold what was written to it.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The file was written by a newer kvcore.
    #[error(transparent)]
    FormatNewer(#[from] FormatNewer),
}

/// A file of clocks: those of the vnodes that have dots, in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ClocksFile {
    /// The vnodes and their clocks, in order.
    pub clocks: Vec<(Vnode, VnodeClock)>,
}

impl ClocksFile {
    /// The file's name in its directory.
    #[must_use]
    pub fn file_name(id: FileId) -> String {
        format!("{id}.clk")
    }

    /// The id that a file name tells; `None` for the name of anything else.
    #[must_use]
    pub fn id_of(name: &str) -> Option<FileId> {
        FileId::from_file_name(&format!("{}.sst", name.strip_suffix(".clk")?))
    }

    /// Reads the clocks `id` of directory `dir`.
    ///
    /// # Errors
    /// [`ClocksError`].
    pub async fn read<E: Env>(env: &E, dir: &str, id: FileId) -> Result<Self, ClocksError> {
        let path = format!("{dir}/{}", Self::file_name(id));
        let corrupt = |what| Corrupt { file: path.clone(), offset: 0, what };
        let read = async {
            let file = env.open(&path, Open::Read).await?;
            let len = file.size().await?;
            let len = usize::try_from(len).ok().filter(|len| *len <= limits::CLOCKS_BYTES_MAX);
            match len {
                Some(len) => read_span(&file, 0, len).await.map(Some),
                None => Ok(None),
            }
        };
        let bytes = read.await.map_err(|source| ClocksError::Io { file: path.clone(), source })?;
        let bytes = bytes.ok_or_else(|| corrupt("clocks longer than any that are written"))?;
        Self::decode(bytes, id, &path)
    }

    /// Reads the clocks `id` of directory `dir`, and says whether they are lost: damaged or
    /// missing. They only tell what need not be shipped to a store, so it does without them.
    ///
    /// # Errors
    /// The disk refuses, or the file is of a newer format.
    pub(crate) async fn read_if_whole<E: Env>(
        env: &E,
        dir: &str,
        id: FileId,
    ) -> Result<(Self, bool), ClocksError> {
        let error = match Self::read(env, dir, id).await {
            Ok(clocks) => return Ok((clocks, false)),
            Err(error) => error,
        };
        let is_lost = match &error {
            ClocksError::Corrupt(_) => true,
            ClocksError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            ClocksError::FormatNewer(_) => false,
        };
        if !is_lost {
            return Err(error);
        }
        tracing::error!(%error, "clocks of vnodes are lost: what was flushed counts as not seen");
        Ok((Self::default(), true))
    }

    fn decode(mut bytes: Vec<u8>, id: FileId, path: &str) -> Result<Self, ClocksError> {
        let corrupt =
            |offset: usize, what| Corrupt { file: path.to_owned(), offset: offset as u64, what };
        let all = bytes.len();
        let header = Header::mut_from_prefix(&mut bytes);
        let (header, _) = header.map_err(|_| corrupt(all, "clocks shorter than their header"))?;
        if header.magic != MAGIC {
            return Err(corrupt(0, "no file of clocks").into());
        }
        let sum = std::mem::take(&mut header.sum);
        let (found, supported) = (header.format.get(), CLOCKS_FORMAT);
        let (length, vnodes) = (header.length.get(), header.vnodes.get());
        let is_own = header.file.get() == id.0 && header.zero.get() == 0;
        let length = usize::try_from(length).ok().filter(|it| (HEADER_BYTES..=all).contains(it));
        let length = length.ok_or_else(|| corrupt(0, "length of clocks does not fit"))?;
        if checksum(id.0, PLACE, &bytes[..length]) != sum.get() {
            return Err(corrupt(0, "clocks do not match their sum").into());
        }
        if found > supported {
            return Err(FormatNewer { file: path.to_owned(), found, supported }.into());
        }
        let padded = length.next_multiple_of(ALIGN);
        let padding = bytes[length..].iter().all(|&byte| byte == 0);
        if found < supported || !is_own || all != padded || !padding {
            return Err(corrupt(0, "header of clocks does not fit").into());
        }
        let clocks = decode_clocks(&bytes[HEADER_BYTES..length], vnodes);
        let clocks = clocks.ok_or_else(|| corrupt(HEADER_BYTES, "clocks do not fit"))?;
        Ok(Self { clocks })
    }
}

fn decode_clocks(mut rest: &[u8], vnodes: u32) -> Option<Vec<(Vnode, VnodeClock)>> {
    let mut clocks: Vec<(Vnode, VnodeClock)> = Vec::new();
    for _ in 0..vnodes {
        let (&[low, high, 0, 0], after) = rest.split_first_chunk()? else { return None };
        let vnode = Vnode(u16::from_le_bytes([low, high]));
        let (clock, after) = VnodeClock::decode(after)?;
        let in_order = clocks.last().is_none_or(|(before, _)| *before < vnode);
        if !in_order || clock.is_empty() {
            return None;
        }
        clocks.push((vnode, clock));
        rest = after;
    }
    rest.is_empty().then_some(clocks)
}

/// Writes a file of clocks, and syncs it. Its name is durable once its directory was synced.
pub(crate) async fn write<E: Env>(
    env: &E,
    dir: &str,
    id: FileId,
    clocks: impl Iterator<Item = (Vnode, VnodeClock)>,
) -> io::Result<()> {
    let file = env.open(&format!("{dir}/{}", ClocksFile::file_name(id)), Open::Create).await?;
    let mut bytes = vec![0; HEADER_BYTES];
    let mut vnodes = 0u32;
    for (vnode, clock) in clocks.filter(|(_, clock)| !clock.is_empty()) {
        bytes.extend_from_slice(&u32::from(vnode.0).to_le_bytes());
        clock.encode(&mut bytes);
        vnodes += 1;
        env.pause().await;
    }
    let mut header = Header {
        magic: MAGIC,
        format: CLOCKS_FORMAT.into(),
        sum: 0.into(),
        file: id.0.into(),
        length: (bytes.len() as u64).into(),
        vnodes: vnodes.into(),
        zero: 0.into(),
    };
    bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    header.sum = checksum(id.0, PLACE, &bytes).into();
    bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    let mut sink = Sink::new(file);
    sink.put(&bytes).await?;
    sink.pad_to(sink.position().next_multiple_of(ALIGN as u64)).await?;
    sink.finish().await
}

impl Clocks {
    /// Joins what `file` has of this shard's vnodes.
    pub(crate) fn load(&mut self, file: &ClocksFile) {
        for (vnode, clock) in &file.clocks {
            if let Some(index) = self.index(*vnode) {
                self.join(index, clock);
            }
        }
    }
}

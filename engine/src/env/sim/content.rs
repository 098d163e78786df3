//! The bytes of one file: chunks shared between images until one is written.

use std::rc::Rc;

use xxhash_rust::xxh3::Xxh3;

use crate::env::ALIGN;

/// What a disk writes whole or not at all, in bytes.
pub(super) const SECTOR: usize = 512;

const SECTORS_PER_CHUNK: usize = ALIGN / SECTOR;

static ZEROS: [u8; ALIGN] = [0; ALIGN];

/// [`ALIGN`] bytes; `None` is all zeros.
type Chunk = Option<Rc<[u8; ALIGN]>>;

fn chunk(bytes: &[u8]) -> Chunk {
    (bytes != ZEROS).then(|| Rc::new(bytes.try_into().expect("a chunk is ALIGN bytes")))
}

fn bytes_of(chunk: &Chunk) -> &[u8; ALIGN] {
    chunk.as_deref().unwrap_or(&ZEROS)
}

/// A file's bytes. Cloning shares the chunks. Bytes past the size are zeros.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    chunks: Rc<Vec<Chunk>>,
    size: u64,
}

/// A write of a file that is in flight or not synced: chunks from chunk number `first` on. The file
/// is at least `end` bytes long afterwards.
#[derive(Clone, Debug)]
pub(super) struct Change {
    first: usize,
    chunks: Vec<Chunk>,
    pub(super) end: u64,
}

impl Change {
    /// A write of `bytes` at `offset`, both aligned.
    pub(super) fn write(offset: u64, bytes: &[u8]) -> Self {
        let first = usize::try_from(offset).expect("simulated files are small") / ALIGN;
        let chunks = bytes.chunks_exact(ALIGN).map(chunk).collect();
        Self { first, chunks, end: offset + bytes.len() as u64 }
    }

    /// Whether both write something of the same chunk.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let end = |change: &Self| change.first + change.chunks.len();
        self.first < end(other) && other.first < end(self)
    }

    /// How many sectors it writes.
    pub(super) fn sectors(&self) -> usize {
        self.chunks.len() * SECTORS_PER_CHUNK
    }
}

impl Content {
    /// A file of exactly `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let chunks = bytes
            .chunks(ALIGN)
            .map(|part| {
                let mut whole = ZEROS;
                whole[..part.len()].copy_from_slice(part);
                chunk(&whole)
            })
            .collect();
        Self { chunks: Rc::new(chunks), size: bytes.len() as u64 }
    }

    /// Its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// All of it.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).expect("simulated files are small")];
        self.read(0, &mut bytes);
        bytes
    }

    /// Fills `out` from aligned `offset` and returns how many bytes the file had there.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let available = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = out.len().min(available);
        let first = usize::try_from(offset).expect("simulated files are small") / ALIGN;
        for (index, part) in out[..len].chunks_mut(ALIGN).enumerate() {
            let bytes = self.chunks.get(first + index).map_or(&ZEROS, bytes_of);
            part.copy_from_slice(&bytes[..part.len()]);
        }
        len
    }

    /// Adds size and bytes to a hash.
    pub(super) fn hash_into(&self, hasher: &mut Xxh3) {
        hasher.update(&self.size.to_le_bytes());
        for (index, chunk) in self.chunks.iter().enumerate() {
            if let Some(bytes) = chunk {
                hasher.update(&index.to_le_bytes());
                hasher.update(&bytes[..]);
            }
        }
    }

    /// Applies the whole of `change`.
    pub(super) fn apply(&mut self, change: &Change) {
        let Change { first, chunks, end } = change;
        self.extend_to(*end);
        Rc::make_mut(&mut self.chunks)[*first..*first + chunks.len()].clone_from_slice(chunks);
    }

    /// Applies the sectors of `change` that `keep` (given the sector's place in the change) says.
    /// The file grows to the last sector kept.
    pub(super) fn apply_sectors(&mut self, change: &Change, mut keep: impl FnMut(usize) -> bool) {
        let Change { first, chunks, .. } = change;
        for (index, new) in chunks.iter().enumerate() {
            let start = (first + index) * ALIGN;
            for sector in 0..SECTORS_PER_CHUNK {
                if !keep(index * SECTORS_PER_CHUNK + sector) {
                    continue;
                }
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                self.extend_to((start + range.end) as u64);
                let slot = &mut Rc::make_mut(&mut self.chunks)[first + index];
                let bytes = Rc::make_mut(slot.get_or_insert_with(|| Rc::new(ZEROS)));
                bytes[range.clone()].copy_from_slice(&bytes_of(new)[range]);
            }
        }
    }

    /// The change that gives a file this content where `change` would write.
    pub(super) fn outcome_of(&self, change: &Change) -> Change {
        let Change { first, chunks, end } = change;
        let last = self.chunks.len().min(first + chunks.len());
        let chunks = self.chunks.get(*first..last).unwrap_or_default().to_vec();
        Change { first: *first, chunks, end: self.size.min(*end) }
    }

    /// Extends it to `bytes`, if it is shorter, with zeros.
    pub(super) fn extend_to(&mut self, bytes: u64) {
        if bytes > self.size {
            let count = usize::try_from(bytes.div_ceil(ALIGN as u64)).expect("files are small");
            Rc::make_mut(&mut self.chunks).resize(count, None);
            self.size = bytes;
        }
    }
}

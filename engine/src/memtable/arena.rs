//! Memory of a memtable: rows in chunks, given back all at once.
//!
//! - A row never moves and never spans chunks: `| len 4 | row |`.
//! - [`Arena::bytes`] is exactly what the chunks hold, used or not.
//! - A chunk is written as rows come: to clear all of it at once would be a page fault for each of
//!   its pages in the midst of one request: rounds of more than 0.3 ms, for a mebibyte.
//! - A row too large to share a chunk has one of its own, so a chunk's unused tail is below
//!   a quarter of it.

use std::hint::black_box;

use super::chunks::Chunks;

/// Bytes before each row: its length.
const LEN_BYTES: usize = size_of::<u32>();

const CACHE_LINE_BYTES: usize = 64;

/// Lines of a row that are loaded ahead: its header, a short key and a value of 100 bytes.
const TOUCHED_LINES: usize = 3;

/// Where a row lies in its arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RowAt {
    chunk: u32,
    offset: u32,
}

pub(super) struct Arena {
    /// Each as long as what is used of it, and with room for what it was made for.
    chunks: Vec<Vec<u8>>,
    /// The chunk that small rows go to.
    open: Option<u32>,
    source: Chunks,
    bytes: usize,
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.source.give(self.chunks.drain(..));
    }
}

impl Arena {
    /// An empty one of the chunks of `source`.
    pub(super) fn new(source: Chunks) -> Self {
        Self { chunks: Vec::new(), open: None, source, bytes: 0 }
    }

    /// Where its chunks are from.
    pub(super) fn source(&self) -> &Chunks {
        &self.source
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Room for a row of `len` bytes, zeros.
    pub(super) fn alloc(&mut self, len: usize) -> (RowAt, &mut [u8]) {
        let need = len + LEN_BYTES;
        let chunk_bytes = self.source.bytes();
        let room = |chunk: &u32| chunk_bytes - self.chunks[*chunk as usize].len() >= need;
        let index = match self.open.filter(room) {
            Some(index) => index,
            None if need > chunk_bytes / 4 => {
                self.source.give_up(need);
                self.add(Vec::with_capacity(need))
            }
            None => {
                let index = self.add(self.source.take());
                self.open = Some(index);
                index
            }
        };
        let chunk = &mut self.chunks[index as usize];
        let start = chunk.len();
        let at = RowAt { chunk: index, offset: start as u32 };
        let stored = u32::try_from(len).expect("a row is within its limit");
        chunk.extend_from_slice(&stored.to_le_bytes());
        chunk.resize(start + need, 0);
        (at, &mut chunk[start + LEN_BYTES..])
    }

    #[inline]
    pub(super) fn row(&self, at: RowAt) -> &[u8] {
        let tail = &self.chunks[at.chunk as usize][at.offset as usize..];
        let (len, rest) = tail.split_first_chunk().expect("alloc wrote a length");
        &rest[..u32::from_le_bytes(*len) as usize]
    }

    /// Loads the front of a row into the CPU's caches: what most rows have besides a long value.
    #[inline]
    pub(super) fn touch(&self, at: RowAt) {
        let tail = &self.chunks[at.chunk as usize][at.offset as usize..];
        for line in tail.chunks(CACHE_LINE_BYTES).take(TOUCHED_LINES) {
            black_box(line[0]);
        }
    }

    pub(super) fn row_mut(&mut self, at: RowAt) -> &mut [u8] {
        let tail = &mut self.chunks[at.chunk as usize][at.offset as usize..];
        let (len, rest) = tail.split_first_chunk_mut().expect("alloc wrote a length");
        &mut rest[..u32::from_le_bytes(*len) as usize]
    }

    fn add(&mut self, chunk: Vec<u8>) -> u32 {
        let index = u32::try_from(self.chunks.len()).expect("memory ends before the indexes do");
        self.bytes += chunk.capacity();
        self.chunks.push(chunk);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes_and_every_chunk_is_counted() {
        let chunks = Chunks::new(256);
        let mut arena = Arena::new(chunks.clone());
        let lens = [0, 1, 60, 61, 40, 252, 253, 5000, 7, 60, 59];
        let rows: Vec<RowAt> = lens
            .iter()
            .enumerate()
            .map(|(i, &len)| {
                let (at, row) = arena.alloc(len);
                assert_eq!(row.len(), len);
                row.fill(i as u8 + 1);
                at
            })
            .collect();
        for (i, (&at, &len)) in rows.iter().zip(&lens).enumerate() {
            assert_eq!(arena.row(at), vec![i as u8 + 1; len]);
        }
        let held: usize = arena.chunks.iter().map(Vec::capacity).sum();
        assert_eq!(arena.bytes(), held);
        arena.row_mut(rows[2]).fill(99);
        assert_eq!(arena.row(rows[2]), [99; 60]);
        assert_eq!(arena.row(rows[3]), [4; 61], "the neighbour is untouched");
        drop(arena);
        assert_eq!(chunks.free(), 3, "those of rows that have one of their own are not kept");
        assert!(chunks.take().is_empty());
        let mut next = Arena::new(chunks.clone());
        let (_, row) = next.alloc(60);
        assert_eq!((row, chunks.free()), ([0; 60].as_mut_slice(), 1));
        next.alloc(257);
        assert_eq!(chunks.free(), 0, "what a large row takes is not held twice");
    }
}

//! The log that qemu's `blklogwrites` driver keeps of all that a disk was asked to do, and disks as
//! a power cut may have left them: a start of that log, of which writes after the last flush are
//! there or not.
//!
//! The format is that of Linux's `dm-log-writes`, numbers little-endian, each part in a block of
//! [`SECTOR`] bytes of its own:
//!
//! | part | fields |
//! |---|---|
//! | superblock | magic u64, version u64, entries u64, sector bytes u32 |
//! | entry | first sector u64, sectors u64, flags u64, data length u64 |
//! | its data | the sectors, unless it is a flush or a discard |

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fastrand::Rng;
use rustix::fs::{FallocateFlags, fallocate};

/// Bytes of a sector, of the disk and of the log: as the daemon is told.
pub(crate) const SECTOR: u64 = 512;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// What the disk was asked to do.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// Where its data is in the log, in bytes.
    data: u64,
}

/// A whole log.
pub(crate) struct BlockLog {
    file: File,
    entries: Vec<Entry>,
    flushes: Vec<usize>,
}

impl BlockLog {
    pub(crate) fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let [magic, version, count, sector_bytes] = numbers(&file, 0);
        assert_eq!((magic, version, sector_bytes), (MAGIC, VERSION, SECTOR), "a log of writes");
        let mut at = SECTOR;
        let entries = (0..count).map(|_| {
            let [sector, sectors, flags, _] = numbers(&file, at);
            let data = at + SECTOR;
            at = data + if flags & DISCARD == 0 { sectors * SECTOR } else { 0 };
            Entry { sector, sectors, flags, data }
        });
        let entries: Vec<Entry> = entries.collect();
        let length = file.metadata().unwrap().len();
        assert!(at <= length, "the log ends in the midst of an entry: {at} of {length}");
        let durable = |(index, entry): (usize, &Entry)| {
            (entry.flags & (FLUSH | FUA) != 0).then_some(index + 1)
        };
        let flushes = entries.iter().enumerate().filter_map(durable).collect();
        Self { file, entries, flushes }
    }

    /// How long the log was, in bytes, before it had the `index`th entry.
    pub(crate) fn length_at(&self, index: usize) -> u64 {
        self.entries.get(index).map_or(u64::MAX, |entry| entry.data - SECTOR)
    }

    /// Entries in all.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The places right behind flushes, in order: all entries before one of them are durable there.
    pub(crate) fn flushes(&self) -> &[usize] {
        &self.flushes
    }

    /// Does to `image` what the entry says, up to so many sectors of it.
    fn apply(&self, entry: Entry, sectors: u64, image: &File) {
        let length = (entry.sectors.min(sectors) * SECTOR) as usize;
        let start = entry.sector * SECTOR;
        let mut bytes = vec![0; length];
        if entry.flags & DISCARD == 0 {
            self.file.read_exact_at(&mut bytes, entry.data).unwrap();
        }
        let zeros = vec![0; length];
        if length > 0 && bytes == zeros {
            // Zeros are most of it, and holes are quick to copy.
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(image, hole, start, length as u64).unwrap();
        } else {
            image.write_all_at(&bytes, start).unwrap();
        }
    }

    /// Does to `image` all entries from the `from`th to before the `to`th.
    pub(crate) fn replay(&self, from: usize, to: usize, image: &File) {
        for &entry in &self.entries[from..to] {
            self.apply(entry, u64::MAX, image);
        }
    }

    /// Does to `image` some of these entries, none of which was flushed: as the disk's cache had
    /// come to write them when the power went, the last one maybe in part.
    pub(crate) fn replay_some(&self, from: usize, to: usize, image: &File, rng: &mut Rng) {
        let percent = [0, 30, 70, 100][rng.usize(..4)];
        for &entry in &self.entries[from..to] {
            if rng.u32(..100) < percent {
                let torn = rng.u32(..8) == 0;
                let sectors = if torn { rng.u64(..=entry.sectors) } else { entry.sectors };
                self.apply(entry, sectors, image);
            }
        }
    }
}

/// Four numbers at `at`; the superblock's last one is followed by zeros.
fn numbers(file: &File, at: u64) -> [u64; 4] {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at).unwrap();
    let (numbers, _) = bytes.as_chunks::<8>();
    [0, 1, 2, 3].map(|index| u64::from_le_bytes(numbers[index]))
}

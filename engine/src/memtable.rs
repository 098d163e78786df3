//! The newest records, in memory: one row a key, found by hash, ordered when flushed.
//!
//! - A key has one row: the one that stands by the merge function among those put. A late older
//!   write never hides a newer one.
//! - [`Memtable::bytes`] is exactly the memory held by rows and tables.
//! - The table is cut by token into [`PARTS`] parts, in order. A part that grows moves its own
//!   entries alone, and a part is sorted by itself, so neither stalls the core for long.
//!
//! The token is a hash already; entries carry it, so that growing and probing read no rows.

mod arena;
mod chunks;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use schemas::ids::{Hlc, Token};

use self::arena::{Arena, RowAt};
use self::chunks::Chunks;
use crate::record::{Key, MERGED, Merge, Record, Stands};
use crate::sstable::TokenRange;

/// Parts of a memtable. At 64 MiB of 200-byte rows a part has some 1,300 entries: sorted in
/// about 100 microseconds, two slices of a background task.
pub const PARTS: usize = 256;

/// Keys that [`Memtable::warm`] takes at once: as many waits as a CPU overlaps, and few enough
/// that what was loaded is still there when its turn comes.
pub const WARM_MAX: usize = 32;

#[derive(Clone, Copy)]
struct Slot {
    token: u64,
    at: RowAt,
}

impl Slot {
    /// Within a part the top bits of tokens are alike, and the table picks a bucket by the low
    /// bits of the hash and tells its entries apart by the top ones: so take both from below.
    #[inline]
    fn hash(token: u64) -> u64 {
        token.rotate_left(32)
    }
}

/// Bytes of the tables of an empty memtable.
const EMPTY_BYTES: usize = PARTS * size_of::<HashTable<Slot>>();

fn empty_parts() -> Box<[HashTable<Slot>]> {
    (0..PARTS).map(|_| HashTable::new()).collect()
}

/// An in-memory table of records.
pub struct Memtable {
    arena: Arena,
    parts: Box<[HashTable<Slot>]>,
    /// First token of part 0.
    first: u64,
    /// Tokens of a part, as a power of two.
    shift: u32,
    merge: Merge,
    /// Room for what a merge makes.
    merged: Vec<u8>,
    len: usize,
    table_bytes: usize,
    hlc_min: Hlc,
}

impl Memtable {
    /// An empty memtable for a shard that owns the tokens from `tokens.0` to `tokens.1`. Its
    /// memory grows by `chunk_bytes` at a time.
    #[must_use]
    pub fn new(tokens: (Token, Token), chunk_bytes: usize, merge: Merge) -> Self {
        let span_bits = 64 - (tokens.1.0.saturating_sub(tokens.0.0)).leading_zeros();
        Self {
            arena: Arena::new(Chunks::new(chunk_bytes)),
            parts: empty_parts(),
            first: tokens.0.0,
            shift: span_bits.saturating_sub(PARTS.trailing_zeros()),
            merge,
            merged: Vec::new(),
            len: 0,
            table_bytes: EMPTY_BYTES,
            hlc_min: Hlc(u64::MAX),
        }
    }

    /// An empty one like this. The chunks of small rows it uses again once this one is gone.
    #[must_use]
    pub fn next(&self) -> Self {
        Self {
            arena: Arena::new(self.arena.source().clone()),
            parts: empty_parts(),
            merged: Vec::new(),
            len: 0,
            table_bytes: EMPTY_BYTES,
            hlc_min: Hlc(u64::MAX),
            ..*self
        }
    }

    /// Merges `record` in: what stands of it and what is there takes its key's place.
    pub fn put(&mut self, record: &Record<'_>) {
        let part = self.part_of(record.key.token);
        let arena = &mut self.arena;
        let token = record.key.token.0;
        let table = &mut self.parts[part];
        let before = table.capacity();
        let before_bytes = table.allocation_size();
        match table.entry(
            Slot::hash(token),
            |slot| slot.token == token && read(arena, slot.at).key == record.key,
            |slot| Slot::hash(slot.token),
        ) {
            Entry::Occupied(mut found) => {
                let at = found.get().at;
                let held = read(arena, at);
                let record = match (self.merge)(record, &held, &mut self.merged) {
                    Stands::First => *record,
                    Stands::Second => return,
                    Stands::Third => Record::from_row(&self.merged).expect(MERGED),
                };
                if held.row_len() == record.row_len() {
                    record.write_row(arena.row_mut(at));
                } else {
                    found.get_mut().at = store(arena, &record);
                }
            }
            Entry::Vacant(free) => {
                free.insert(Slot { token, at: store(arena, record) });
                self.len += 1;
            }
        }
        if table.capacity() != before {
            self.table_bytes += table.allocation_size() - before_bytes;
        }
        self.hlc_min = self.hlc_min.min(record.version.hlc);
    }

    /// The record of `key`, dead or alive.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &Key<'_>) -> Option<Record<'_>> {
        let token = key.token.0;
        self.parts[self.part_of(key.token)]
            .find(Slot::hash(token), |slot| {
                slot.token == token && read(&self.arena, slot.at).key == *key
            })
            .map(|slot| read(&self.arena, slot.at))
    }

    /// Loads what reads and writes of `tokens` are going to need into the CPU's caches: each
    /// would wait for memory by itself, here their waits overlap. The first [`WARM_MAX`] count.
    pub fn warm(&self, tokens: &[Token]) {
        let mut rows = [None; WARM_MAX];
        for (row, &Token(token)) in rows.iter_mut().zip(tokens) {
            let found = self.parts[self.part_of(Token(token))]
                .find(Slot::hash(token), |slot| slot.token == token);
            *row = found.map(|slot| slot.at);
        }
        for at in rows.into_iter().flatten() {
            self.arena.touch(at);
        }
    }

    /// Keys held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory held, in bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.bytes() + self.table_bytes
    }

    /// About how many rows with tokens of `tokens`, both ends counted, it holds, and their bytes.
    #[must_use]
    pub fn size_of(&self, tokens: TokenRange) -> (u64, u64) {
        let (first, last) = (self.part_of(tokens.first()), self.part_of(tokens.last()));
        let part = |part: usize| {
            let first = self.first.saturating_add((part as u64) << self.shift);
            let last = match part + 1 {
                PARTS => u64::MAX,
                next => self.first.saturating_add((next as u64) << self.shift).saturating_sub(1),
            };
            let range = TokenRange::new(Token(first), Token(last.max(first))).expect("not empty");
            self.parts[part].len() as f64 * range.fraction_in(tokens)
        };
        let rows: f64 = (first..=last).map(part).sum();
        let bytes = rows * self.arena.bytes() as f64 / self.len.max(1) as f64;
        (rows.round() as u64, bytes.round() as u64)
    }

    /// No record held is stamped below this; `None` when empty.
    #[must_use]
    pub fn hlc_min(&self) -> Option<Hlc> {
        (!self.is_empty()).then_some(self.hlc_min)
    }

    /// The records of one of the [`PARTS`] parts, in order. All parts in turn are the whole
    /// memtable in order.
    #[must_use]
    pub fn sorted(&self, part: usize) -> Sorted<'_> {
        let mut slots: Vec<Slot> = self.parts[part].iter().copied().collect();
        slots.sort_unstable_by(|a, b| {
            let rows = || read(&self.arena, a.at).key.cmp(&read(&self.arena, b.at).key);
            a.token.cmp(&b.token).then_with(rows)
        });
        Sorted { arena: &self.arena, slots: slots.into_iter() }
    }

    /// Every record, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..PARTS).flat_map(|part| self.sorted(part))
    }

    /// The records from `token` on, in order. Looks at parts as it comes to them.
    pub fn iter_from(&self, token: Token) -> impl Iterator<Item = Record<'_>> {
        let parts = (self.part_of(token)..PARTS).flat_map(|part| self.sorted(part));
        parts.skip_while(move |record| record.key.token < token)
    }

    /// Monotone in the token, whatever the token: order holds even for one of another shard.
    #[inline]
    fn part_of(&self, token: Token) -> usize {
        let part = token.0.saturating_sub(self.first) >> self.shift;
        (part as usize).min(PARTS - 1)
    }
}

/// Records of one part, in order.
pub struct Sorted<'a> {
    arena: &'a Arena,
    slots: std::vec::IntoIter<Slot>,
}

impl<'a> Iterator for Sorted<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.slots.next().map(|slot| read(self.arena, slot.at))
    }
}

#[inline]
fn read(arena: &Arena, at: RowAt) -> Record<'_> {
    Record::from_row(arena.row(at)).expect("put wrote the row")
}

fn store(arena: &mut Arena, record: &Record<'_>) -> RowAt {
    let (at, row) = arena.alloc(record.row_len());
    record.write_row(row);
    at
}

#[cfg(test)]
mod tests;

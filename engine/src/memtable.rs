//! The newest records, in memory: one row a key, found by its token, in the order of keys.
//!
//! - A key has one row: the one that stands by the merge function among those put. A late older
//!   write never hides a newer one.
//! - [`Memtable::bytes`] is exactly the memory held by rows and tables.
//! - The table is cut by token into [`PARTS`] parts, in order, and a part that grows moves its own
//!   entries alone, so that it does not stall the core for long.
//!
//! The token is a hash already; entries carry it, so that growing and probing read no rows.

mod arena;
mod chunks;
mod table;

use std::cmp::Ordering;

use schemas::ids::{Hlc, Token};

use self::arena::{Arena, RowAt};
use self::chunks::Chunks;
use self::table::{Slot, Table};
use crate::record::{Key, Merge, Record};

/// Parts of a memtable. At 64 MiB of 200-byte rows a part has some 1,300 entries.
pub const PARTS: usize = 256;

/// Keys that [`Memtable::warm`] takes at once: as many waits as a CPU overlaps, and few enough
/// that what was loaded is still there when its turn comes.
pub const WARM_MAX: usize = 32;

/// Bytes of the tables of an empty memtable.
const EMPTY_BYTES: usize = PARTS * size_of::<Table>();

fn empty_parts() -> Box<[Table]> {
    (0..PARTS).map(|_| Table::default()).collect()
}

/// An in-memory table of records.
pub struct Memtable {
    arena: Arena,
    parts: Box<[Table]>,
    tokens: Parting,
    merge: Merge,
    len: usize,
    table_bytes: usize,
    hlc_min: Hlc,
}

impl Memtable {
    /// An empty memtable for a shard that owns the tokens from `tokens.0` to `tokens.1`. Its
    /// memory grows by `chunk_bytes` at a time.
    #[must_use]
    pub fn new(tokens: (Token, Token), chunk_bytes: usize, merge: Merge) -> Self {
        Self {
            arena: Arena::new(Chunks::new(chunk_bytes)),
            parts: empty_parts(),
            tokens: Parting::of(tokens),
            merge,
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
            len: 0,
            table_bytes: EMPTY_BYTES,
            hlc_min: Hlc(u64::MAX),
            ..*self
        }
    }

    /// Merges `record` in; it takes its key's place only if it stands against what is there.
    pub fn put(&mut self, record: &Record<'_>) {
        let token = record.key.token.0;
        let (part, share) = self.tokens.place(token);
        let (arena, table) = (&mut self.arena, &mut self.parts[part]);
        match table.locate(token, share, |at| record.key.cmp(&read(arena, at).key)) {
            Ok(index) => {
                let held = read(arena, table.at(index));
                if (self.merge)(record, &held) != Ordering::Greater {
                    return;
                }
                if held.row_len() == record.row_len() {
                    record.write_row(arena.row_mut(table.at(index)));
                } else {
                    table.set(index, store(arena, record));
                }
            }
            Err(index) => {
                let before = table.bytes();
                let (slot, tokens) = (Slot { token, at: store(arena, record) }, self.tokens);
                table.insert(index, slot, |token| tokens.place(token).1);
                // A table that grows may give back what a long run had added to its end.
                self.table_bytes = self.table_bytes + table.bytes() - before;
                self.len += 1;
            }
        }
        self.hlc_min = self.hlc_min.min(record.version.hlc);
    }

    /// The record of `key`, dead or alive.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &Key<'_>) -> Option<Record<'_>> {
        let (part, share) = self.tokens.place(key.token.0);
        let table = &self.parts[part];
        let found =
            table.locate(key.token.0, share, |at| key.cmp(&read(&self.arena, at).key)).ok()?;
        Some(read(&self.arena, table.at(found)))
    }

    /// Loads what reads and writes of `tokens` are going to need into the CPU's caches: each
    /// would wait for memory by itself, here their waits overlap. The first [`WARM_MAX`] count.
    pub fn warm(&self, tokens: &[Token]) {
        let mut rows = [None; WARM_MAX];
        for (row, &Token(token)) in rows.iter_mut().zip(tokens) {
            let (part, share) = self.tokens.place(token);
            *row = self.parts[part].first(token, share);
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

    /// No record held is stamped below this; `None` when empty.
    #[must_use]
    pub fn hlc_min(&self) -> Option<Hlc> {
        (!self.is_empty()).then_some(self.hlc_min)
    }

    /// The records of one of the [`PARTS`] parts, in order. All parts in turn are the whole
    /// memtable in order.
    pub fn part(&self, part: usize) -> impl Iterator<Item = Record<'_>> {
        self.parts[part].iter().map(|slot| read(&self.arena, slot.at))
    }

    /// Every record, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..PARTS).flat_map(|part| self.part(part))
    }

    /// The records from `token` on, in order. Looks at parts as it comes to them.
    pub fn iter_from(&self, Token(token): Token) -> impl Iterator<Item = Record<'_>> {
        let (part, share) = self.tokens.place(token);
        let here = self.parts[part].iter_from(token, share);
        let after = self.parts[part + 1..].iter().flat_map(Table::iter);
        here.chain(after).map(|slot| read(&self.arena, slot.at))
    }
}

/// How tokens are shared out among parts.
#[derive(Clone, Copy)]
struct Parting {
    /// First token of part 0.
    first: u64,
    /// Tokens of a part, as a power of two.
    shift: u32,
}

impl Parting {
    fn of(tokens: (Token, Token)) -> Self {
        let span_bits = 64 - (tokens.1.0.saturating_sub(tokens.0.0)).leading_zeros();
        Self { first: tokens.0.0, shift: span_bits.saturating_sub(PARTS.trailing_zeros()) }
    }

    /// The part of a token, and how far into the part it is, of 2^64. Both are monotone in the
    /// token, whatever the token: order holds even for one of another shard.
    #[inline]
    fn place(self, token: u64) -> (usize, u64) {
        let offset = token.saturating_sub(self.first);
        let part = offset >> self.shift;
        if part >= PARTS as u64 {
            return (PARTS - 1, u64::MAX);
        }
        // The part's number goes out at the top; a part of one token has no inside.
        (part as usize, offset.checked_shl(64 - self.shift).unwrap_or(0))
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

//! One part's table: where the row of each key is, found by token, in the order of keys.
//!
//! Open addressing with linear probing, where a slot's home is its token's share of the part, as
//! if by interpolation, and entries of one run stand in order. Tokens are hashes, so homes are as
//! even as those of any hash, and the table is sorted all the time for nothing: a search that meets
//! a greater token is over, and a walk needs no sort.
//!
//! - No slot between an entry and its home is free, and entries stand in the order of
//!   `(token, key)`.
//! - There is no way round from the end to the front: a run that passes the last home goes on
//!   behind it.
//!
//! Sources: linear probing kept in order is Amble and Knuth, "Ordered hash tables", The Computer
//! Journal 17 (1974).

use std::cmp::Ordering;

use super::arena::RowAt;

/// Homes of the smallest table.
const HOMES_MIN: u32 = 4;

/// Slots behind the last home, at most, before any run has needed more.
const TAIL_MAX: usize = 16;

/// A place for an entry.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) token: u64,
    pub(super) at: RowAt,
}

impl Slot {
    const FREE: Self = Self { token: 0, at: RowAt::NOWHERE };

    #[inline]
    fn is_free(&self) -> bool {
        self.at == RowAt::NOWHERE
    }
}

/// A part's table.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    /// Slots that are somebody's home: all but those at the end. A power of two, or none.
    homes: u32,
    len: u32,
}

impl Table {
    /// Memory that its slots take, in bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Where the first entry with `token` is looked for. `share` is how far into the part the
    /// token is, of 2^64.
    #[inline]
    fn home(&self, share: u64) -> usize {
        ((u128::from(share) * u128::from(self.homes)) >> 64) as usize
    }

    /// The first entry with `token`; others of the same token are right behind it.
    #[inline]
    pub(super) fn first(&self, token: u64, share: u64) -> Option<RowAt> {
        let slots = self.slots.get(self.home(share)..)?;
        let slot = slots.iter().find(|slot| slot.is_free() || slot.token >= token)?;
        (!slot.is_free() && slot.token == token).then_some(slot.at)
    }

    /// The slot of the key with `token`, or else where it belongs. `compare` says how the key
    /// compares with that of a row.
    #[inline]
    pub(super) fn locate(
        &self,
        token: u64,
        share: u64,
        mut compare: impl FnMut(RowAt) -> Ordering,
    ) -> Result<usize, usize> {
        let home = self.home(share);
        for (after, slot) in self.slots[home..].iter().enumerate() {
            if slot.is_free() || slot.token > token {
                return Err(home + after);
            }
            if slot.token == token {
                match compare(slot.at) {
                    Ordering::Less => return Err(home + after),
                    Ordering::Equal => return Ok(home + after),
                    Ordering::Greater => {}
                }
            }
        }
        Err(self.slots.len())
    }

    /// Where the row of slot `index` is.
    #[inline]
    pub(super) fn at(&self, index: usize) -> RowAt {
        self.slots[index].at
    }

    /// The row of slot `index` is somewhere else now.
    pub(super) fn set(&mut self, index: usize, at: RowAt) {
        self.slots[index].at = at;
    }

    /// Puts in an entry where [`Table::locate`] says that it belongs. `share` gives the share of
    /// any token.
    pub(super) fn insert(&mut self, index: usize, slot: Slot, share: impl Fn(u64) -> u64) {
        let free = self.slots[index..].iter().position(Slot::is_free);
        let free = free.map_or(self.slots.len(), |after| index + after);
        if free == self.slots.len() {
            self.add_slot();
        }
        self.slots.copy_within(index..free, index + 1);
        self.slots[index] = slot;
        self.len += 1;
        if self.len > self.homes / 4 * 3 {
            self.grow(share);
        }
    }

    /// One more slot behind the last.
    fn add_slot(&mut self) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(TAIL_MAX);
        }
        self.slots.push(Slot::FREE);
    }

    /// Doubles the homes.
    fn grow(&mut self, share: impl Fn(u64) -> u64) {
        let homes = (2 * self.homes).max(HOMES_MIN);
        let slots = homes as usize + TAIL_MAX.min(homes as usize / 2);
        let grown = Self { slots: vec![Slot::FREE; slots], homes, len: self.len };
        let before = std::mem::replace(self, grown);
        let mut next = 0;
        for slot in before.iter() {
            next = self.home(share(slot.token)).max(next);
            if next == self.slots.len() {
                self.add_slot();
            }
            self.slots[next] = *slot;
            next += 1;
        }
    }

    /// All entries, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| !slot.is_free())
    }

    /// The entries with `token` and those after it, in order.
    pub(super) fn iter_from(&self, token: u64, share: u64) -> impl Iterator<Item = &Slot> {
        let slots = self.slots.get(self.home(share)..).unwrap_or_default();
        slots.iter().filter(move |slot| !slot.is_free() && slot.token >= token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table whose rows are numbers: each is its own key.
    fn put(table: &mut Table, token: u64, key: u32) {
        let at = RowAt::numbered(key);
        match table.locate(token, token, |row| at.number().cmp(&row.number())) {
            Ok(index) => table.set(index, at),
            Err(index) => table.insert(index, Slot { token, at }, |token| token),
        }
    }

    fn content(table: &Table) -> Vec<(u64, u32)> {
        table.iter().map(|slot| (slot.token, slot.at.number())).collect()
    }

    /// Every entry is found from its home on, in order, whatever the tokens are.
    fn check(tokens: impl Iterator<Item = u64>) {
        let mut table = Table::default();
        let mut model = std::collections::BTreeSet::new();
        for (key, token) in tokens.enumerate() {
            put(&mut table, token, key as u32 % 7);
            model.insert((token, key as u32 % 7));
        }
        assert!(content(&table).iter().eq(model.iter()));
        for &(token, key) in &model {
            let at = RowAt::numbered(key);
            let found = table.locate(token, token, |row| at.number().cmp(&row.number()));
            assert_eq!(table.at(found.expect("it was put in")), at);
            let first = model.range((token, 0)..).next().expect("at least itself");
            assert_eq!(table.first(token, token).map(RowAt::number), Some(first.1));
            if !model.contains(&(token, 9)) {
                assert!(table.locate(token, token, |row| 9.cmp(&row.number())).is_err());
            }
            let rest = table.iter_from(token, token).count();
            assert_eq!(rest, model.range((token, 0)..).count());
        }
        for absent in [1u64 << 40, 3 << 61, u64::MAX - 1] {
            let there = model.range((absent, 0)..=(absent, u32::MAX)).next().is_some();
            assert_eq!(table.first(absent, absent).is_some(), there);
        }
    }

    #[test]
    fn entries_are_found_and_in_order_whatever_the_tokens_are() {
        let mut rng = fastrand::Rng::with_seed(1);
        check(std::iter::empty());
        check((0..5000).map(|_| rng.u64(..)));
        check((0..500).map(|it| it / 3));
        check((0..500).rev());
        check((0..500).map(|it| u64::MAX - it / 2));
        check((0..500).map(|it| [0, 7, u64::MAX][it % 3]));
        let mut rng = fastrand::Rng::with_seed(2);
        check((0..3000).map(|_| rng.u64(..) & 0xff00_0000_0000_00ff));
    }

    #[test]
    fn even_tokens_take_few_slots_and_short_walks() {
        let mut table = Table::default();
        let mut rng = fastrand::Rng::with_seed(3);
        for key in 0..6000 {
            put(&mut table, rng.u64(..), key);
        }
        assert_eq!(table.homes, 8192);
        assert!(table.bytes() < (8192 + 100) * size_of::<Slot>(), "{} bytes", table.bytes());
        let walk = |slot: &Slot| {
            let home = table.home(slot.token);
            let found =
                table.locate(slot.token, slot.token, |row| slot.at.number().cmp(&row.number()));
            found.expect("it is there") - home
        };
        let walks: usize = table.iter().map(walk).sum();
        assert!(walks / 6000 < 4, "{walks} slots passed by 6000 searches");
    }
}

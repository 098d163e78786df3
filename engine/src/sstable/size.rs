//! About how much of a table is in a range of tokens, from what is always in memory.
//!
//! The list of partitions tells how many keys each has and how many bytes its blocks have: of a
//! range only what it has of its first and its last partition is guessed, by how many of their
//! tokens are in it.

use schemas::ids::Token;

use super::table::Table;
use super::token_range::TokenRange;
use crate::env::Env;

/// How much there is, about.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Size {
    /// Records, those that others stand against counted too.
    pub records: u64,
    /// Tombstones among them, if they are spread evenly.
    pub tombstones: u64,
    /// Bytes of blocks, or of rows in memory.
    pub bytes: u64,
}

impl Size {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            records: self.records + other.records,
            tombstones: self.tombstones + other.tombstones,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl<E: Env> Table<E> {
    /// About how much of what can be seen has tokens of `range`.
    #[must_use]
    pub fn size_of(&self, range: TokenRange) -> Size {
        let Some(range) = self.range().and_then(|it| it.intersection(range)) else {
            return Size::default();
        };
        let (top, properties) = (&self.contents.top, self.properties());
        let numbers = top.covering(range);
        let (mut keys, mut bytes) = (0.0, 0.0);
        for number in numbers.clone() {
            let is_whole = numbers.start < number && number + 1 < numbers.end;
            let tokens = self.tokens_of(number);
            let part = if is_whole { 1.0 } else { tokens.fraction_in(range) };
            let hidden = self.hidden().iter().filter_map(|it| it.intersection(range));
            let part = (part - hidden.map(|it| tokens.fraction_in(it)).sum::<f64>()).max(0.0);
            keys += part * f64::from(top.keys(number));
            bytes += part * f64::from(top.data(number + 1) - top.data(number));
        }
        let tombstones = properties.tombstones as f64 * keys / properties.records as f64;
        Size {
            records: keys.round() as u64,
            tombstones: tombstones.round() as u64,
            bytes: bytes.round() as u64,
        }
    }

    /// From the first to the last token of partition `number`; of that it is one less than the next
    /// one's first.
    fn tokens_of(&self, number: usize) -> TokenRange {
        let tokens = self.contents.top.tokens(number);
        let last: Token = self.properties().tokens.last().max(tokens.first());
        tokens.intersection(TokenRange::new(tokens.first(), last).expect("not less")).expect("both")
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::env::sim::{Sim, SimDisk};
    use crate::sstable::FileId;
    use crate::sstable::sample::{Sample, value, write_table};

    fn range(first: u64, last: u64) -> TokenRange {
        TokenRange::new(Token(first), Token(last)).unwrap()
    }

    /// Ranges that share nothing add up to the whole, and each is off by as much as tokens are
    /// spread unevenly within two partitions.
    #[test]
    fn parts_add_up_and_are_near_what_is_there() {
        let mut rng = Rng::with_seed(3);
        let mut samples: Vec<Sample> = (0..20_000u64)
            .map(|number| value(&number.to_be_bytes(), number, rng.usize(0..60)))
            .collect();
        samples.sort_by_key(Sample::place);
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        sim.block_on(async {
            env.create_dir("shard").await.unwrap();
            let info = write_table(&env, "shard", FileId(1), &samples).await;
            let table = Table::open(&env, "shard", FileId(1), TokenRange::ALL).await.unwrap();
            assert!(table.partitions() > 3, "{} partitions", table.partitions());
            let all = table.size_of(TokenRange::ALL);
            assert_eq!((all.records, all.bytes), (20_000, table.layout().data_bytes));
            assert_eq!(all.tombstones, info.properties.tombstones);
            let mut sum = Size::default();
            for vnode in 0..64u64 {
                let range = range(vnode << 58, vnode << 58 | (u64::MAX >> 6));
                let part = table.size_of(range);
                sum = sum.and(part);
                let there = samples.iter().filter(|it| range.contains(it.token)).count() as u64;
                assert!(part.records.abs_diff(there) < 70, "{vnode}: {part:?}, {there}");
            }
            assert!(sum.records.abs_diff(20_000) < 64 && sum.bytes.abs_diff(all.bytes) < 64);
            let half = table.with_visible(range(0, u64::MAX / 2));
            assert_eq!(half.size_of(range(1 << 63, u64::MAX)), Size::default());
            assert_eq!(half.size_of(TokenRange::ALL), table.size_of(range(0, u64::MAX / 2)));
        });
    }
}

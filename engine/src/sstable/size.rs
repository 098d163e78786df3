//! About how much of a table is in a range of tokens, from what is in memory.
//!
//! The index tells where each block begins, in bytes and in tokens: of a range only its first and
//! its last block are guessed, by how many of their tokens are in it.

use schemas::ids::Token;

use super::index::Index;
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

impl Index {
    /// About how many bytes of blocks have tokens of `range`, in a table that ends with token
    /// `last`.
    fn bytes_in(&self, range: TokenRange, last: Token) -> f64 {
        let (from, end) = (self.lower_bound(range.first()), self.upper_bound(range.last()));
        let part = |block: usize| {
            let first = self.first_token(block);
            let end = self.last_token(block).unwrap_or(last);
            let tokens = TokenRange::new(first, end.max(first)).expect("not empty");
            tokens.fraction_in(range) * f64::from(self.block(block).len)
        };
        if end <= from + 2 {
            return (from..end).map(part).sum();
        }
        let between = self.block(end - 1).offset - self.block(from + 1).offset;
        part(from) + between as f64 + part(end - 1)
    }
}

impl<E: Env> Table<E> {
    /// About how much of what can be seen has tokens of `range`.
    #[must_use]
    pub fn size_of(&self, range: TokenRange) -> Size {
        let Some(range) = self.range().and_then(|it| it.intersection(range)) else {
            return Size::default();
        };
        let properties = self.properties();
        let bytes_in = |it| self.contents.index.bytes_in(it, properties.tokens.last());
        let hidden = self.hidden().iter().filter_map(|it| it.intersection(range));
        let bytes = (bytes_in(range) - hidden.map(bytes_in).sum::<f64>()).max(0.0);
        let fraction = bytes / self.layout().data_bytes as f64;
        let of = |all: u64| (all as f64 * fraction).round() as u64;
        Size {
            records: of(properties.records),
            tombstones: of(properties.tombstones),
            bytes: bytes.round() as u64,
        }
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

    /// Ranges that share nothing add up to the whole, and each is off by less than two blocks.
    #[test]
    fn parts_add_up_and_are_near_what_is_there() {
        let mut rng = Rng::with_seed(3);
        let mut samples: Vec<Sample> = (0..4000u64)
            .map(|number| value(&number.to_be_bytes(), number, rng.usize(0..300)))
            .collect();
        // A run of keys of one token over several blocks.
        let token = samples[9].token;
        samples[..100].iter_mut().for_each(|sample| sample.token = token);
        samples.sort_by_key(Sample::place);
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        sim.block_on(async {
            env.create_dir("shard").await.unwrap();
            let info = write_table(&env, "shard", FileId(1), &samples).await;
            let table = Table::open(&env, "shard", FileId(1), TokenRange::ALL).await.unwrap();
            let all = table.size_of(TokenRange::ALL);
            assert_eq!((all.records, all.bytes), (4000, table.layout().data_bytes));
            assert_eq!(all.tombstones, info.properties.tombstones);
            let mut sum = Size::default();
            for vnode in 0..64u64 {
                let range = range(vnode << 58, vnode << 58 | (u64::MAX >> 6));
                let part = table.size_of(range);
                sum = sum.and(part);
                let there = samples.iter().filter(|it| range.contains(it.token)).count() as u64;
                assert!(part.records.abs_diff(there) < 60, "{vnode}: {part:?}, {there}");
            }
            assert!(sum.records.abs_diff(4000) < 64 && sum.bytes.abs_diff(all.bytes) < 64);
            let half = table.with_visible(range(0, u64::MAX / 2));
            assert_eq!(half.size_of(range(1 << 63, u64::MAX)), Size::default());
            assert_eq!(half.size_of(TokenRange::ALL), table.size_of(range(0, u64::MAX / 2)));
        });
    }
}

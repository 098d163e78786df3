//! Which key comes next.
//!
//! A distribution draws key *numbers* in `0..keys`; [`crate::workload::key`] spells them. The
//! same seed draws the same numbers. Nothing here allocates or reads a clock.

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _};
use rand_distr::{Distribution as _, Zipf};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// The exponent of YCSB's zipfian request distribution (Cooper et al., SoCC 2010).
pub const ZIPF_THETA: f64 = 0.99;

/// The shapes a user can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Every key as likely as any other.
    Uniform,
    /// Few keys are hot: YCSB's zipfian with theta 0.99, its ranks scattered over the keys.
    Zipf,
    /// One key after the other, from the first again after the last.
    Sequential,
}

/// A shape over `0..keys`, as one generator thread draws it.
#[derive(Clone, Debug)]
pub struct Distribution {
    keys: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Uniform,
    Zipf(Zipf<f64>),
    Sequential { next: u64, stride: u64 },
}

/// One of several equal parts of the work: the `index`-th of `count` threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Which part, from 0.
    pub index: u64,
    /// Of how many; at least 1.
    pub count: u64,
}

impl Share {
    /// The whole.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// How much of `total` falls to this part; the parts differ by one at most and sum to
    /// `total`.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        total / self.count + u64::from(self.index < total % self.count)
    }
}

impl Distribution {
    /// `shape` over `0..keys` for one `share` of the threads. Sequential threads interleave, so
    /// that together they draw each key once a round; the others draw from all keys.
    ///
    /// # Panics
    /// If `keys` is 0: the command line refuses it.
    #[must_use]
    pub fn new(shape: Shape, keys: u64, share: Share) -> Self {
        assert!(keys > 0, "a distribution needs a key");
        let kind = match shape {
            Shape::Uniform => Kind::Uniform,
            Shape::Zipf => Kind::Zipf(
                Zipf::new(keys as f64, ZIPF_THETA).expect("at least one key, and a finite theta"),
            ),
            Shape::Sequential => Kind::Sequential { next: share.index, stride: share.count },
        };
        Self { keys, kind }
    }

    /// The next key's number.
    #[inline]
    pub fn draw(&mut self, rng: &mut SmallRng) -> u64 {
        match &mut self.kind {
            Kind::Uniform => rng.random_range(0..self.keys),
            Kind::Zipf(zipf) => scatter(zipf.sample(rng) as u64, self.keys),
            Kind::Sequential { next, stride } => {
                let key = *next % self.keys;
                *next = next.wrapping_add(*stride);
                key
            }
        }
    }
}

/// Spreads ranks over the key space, so that hot keys are not neighbours. Like YCSB's scrambled
/// zipfian, two ranks may meet in one key and some keys are never drawn.
#[inline]
fn scatter(rank: u64, keys: u64) -> u64 {
    let hash = xxh3_64(&rank.to_le_bytes());
    // The high half of the product is uniform over 0..keys, without a division.
    ((u128::from(hash) * u128::from(keys)) >> 64) as u64
}

/// The generator of one lane on one thread: the same `seed` gives the same numbers.
#[must_use]
pub fn rng(seed: u64, lane: u64, share: Share) -> SmallRng {
    use rand::SeedableRng as _;
    let mut mixer = SmallRng::seed_from_u64(seed);
    let salt = mixer.next_u64();
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&salt.to_le_bytes());
    bytes[8..16].copy_from_slice(&lane.to_le_bytes());
    bytes[16..].copy_from_slice(&share.index.to_le_bytes());
    SmallRng::seed_from_u64(xxh3_64(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(shape: Shape, keys: u64, draws: u64, seed: u64) -> Vec<u64> {
        let mut rng = rng(seed, 0, Share::WHOLE);
        let mut distribution = Distribution::new(shape, keys, Share::WHOLE);
        let mut counts = vec![0; keys as usize];
        for _ in 0..draws {
            counts[distribution.draw(&mut rng) as usize] += 1;
        }
        counts
    }

    /// Pearson's chi-square against equal expectations: for k cells its mean is k - 1 and its
    /// standard deviation sqrt(2 (k - 1)); five deviations either side.
    #[test]
    fn uniform_draws_pass_chi_square() {
        let (keys, draws) = (1_000u64, 1_000_000u64);
        for seed in 1..=5 {
            let expected = (draws / keys) as f64;
            let chi: f64 = counts(Shape::Uniform, keys, draws, seed)
                .iter()
                .map(|&count| (count as f64 - expected).powi(2) / expected)
                .sum();
            let (mean, deviation) = ((keys - 1) as f64, (2.0 * (keys - 1) as f64).sqrt());
            assert!((chi - mean).abs() < 5.0 * deviation, "seed {seed}: chi-square {chi}");
        }
    }

    /// Rank r has probability r^-0.99 / H. Scattering moves ranks but never splits them, so the
    /// sorted counts follow the ranks wherever no two ranks met.
    #[test]
    fn zipf_draws_follow_ycsbs_theta() {
        let (keys, draws) = (100_000u64, 2_000_000u64);
        let harmonic: f64 = (1..=keys).map(|rank| (rank as f64).powf(-ZIPF_THETA)).sum();
        let counts = counts(Shape::Zipf, keys, draws, 7);
        for rank in 1..=20u64 {
            let probability: f64 = (1..=keys)
                .filter(|&other| scatter(other, keys) == scatter(rank, keys))
                .map(|other| (other as f64).powf(-ZIPF_THETA) / harmonic)
                .sum();
            let expected = draws as f64 * probability;
            let got = counts[scatter(rank, keys) as usize] as f64;
            let five_sigma = 5.0 * expected.sqrt();
            assert!((got - expected).abs() < five_sigma, "rank {rank}: {got}, not {expected}");
        }
    }

    #[test]
    fn hot_keys_are_scattered_over_the_whole_key_space() {
        let keys = 1_000_000;
        let mut eighths = [0; 8];
        (1..=800).for_each(|rank| eighths[(scatter(rank, keys) * 8 / keys) as usize] += 1);
        assert!(eighths.iter().all(|&count| (60..=140).contains(&count)), "{eighths:?}");
    }

    #[test]
    fn sequential_threads_together_draw_each_key_once_a_round() {
        for threads in [1, 2, 3, 7] {
            let mut seen = vec![0; 1_000];
            for index in 0..threads {
                let share = Share { index, count: threads };
                let mut distribution = Distribution::new(Shape::Sequential, 1_000, share);
                let mut rng = rng(1, 0, share);
                (0..share.of(1_000)).for_each(|_| seen[distribution.draw(&mut rng) as usize] += 1);
            }
            assert!(seen.iter().all(|&count| count == 1), "{threads} threads");
        }
    }

    #[test]
    fn every_draw_is_a_key_even_where_there_is_only_one() {
        for shape in [Shape::Uniform, Shape::Zipf, Shape::Sequential] {
            for keys in [1, 2, 3] {
                counts(shape, keys, 10_000, 3);
            }
        }
    }

    #[test]
    fn a_seed_repeats_its_draws_and_threads_differ() {
        let draws = |seed, index| {
            let share = Share { index, count: 2 };
            let mut rng = rng(seed, 0, share);
            let mut distribution = Distribution::new(Shape::Uniform, 1 << 40, share);
            (0..8).map(|_| distribution.draw(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1, 0), draws(1, 0));
        assert_ne!(draws(1, 0), draws(1, 1));
        assert_ne!(draws(1, 0), draws(2, 0));
    }

    #[test]
    fn shares_sum_to_the_whole() {
        for (total, count) in [(0, 1), (10, 3), (7, 8), (1_000_001, 16)] {
            let sum: u64 = (0..count).map(|index| Share { index, count }.of(total)).sum();
            assert_eq!(sum, total);
        }
    }
}

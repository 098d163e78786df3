//! Which operation comes next.

use anyhow::{Context as _, bail};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use serde::Serialize;

/// What a workload draws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Read a key.
    Get,
    /// Write a key.
    Put,
    /// Read a key, then write it; two requests, the second after the first's reply.
    ReadModifyWrite,
}

/// How often each operation is drawn, as weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Mix {
    get: u32,
    put: u32,
    read_modify_write: u32,
}

impl Mix {
    /// Reads only.
    pub const GETS: Self = Self { get: 100, put: 0, read_modify_write: 0 };
    /// Writes only.
    pub const PUTS: Self = Self { get: 0, put: 100, read_modify_write: 0 };

    /// YCSB's core workloads by letter: A 50:50, B 95:5, C reads, F half reads and half
    /// read-modify-writes (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", 2010).
    #[must_use]
    pub fn ycsb(letter: char) -> Option<Self> {
        let (get, put, read_modify_write) = match letter.to_ascii_lowercase() {
            'a' => (50, 50, 0),
            'b' => (95, 5, 0),
            'c' => (100, 0, 0),
            'f' => (50, 0, 50),
            _ => return None,
        };
        Some(Self { get, put, read_modify_write })
    }

    /// Reads and writes as `get:put`, such as `95:5`.
    ///
    /// # Errors
    /// If `text` is not two weights, at least one of them above 0, none above 1,000,000.
    pub fn from_ratio(text: &str) -> anyhow::Result<Self> {
        const WEIGHT_MAX: u32 = 1_000_000;
        let (get, put) = text.split_once(':').context("a ratio is get:put, such as 95:5")?;
        let weight = |text: &str| {
            text.trim().parse().ok().filter(|&weight: &u32| weight <= WEIGHT_MAX).with_context(
                || format!("\"{text}\" is not a weight; weights are 0 to {WEIGHT_MAX}"),
            )
        };
        let (get, put) = (weight(get)?, weight(put)?);
        if get + put == 0 {
            bail!("a ratio of 0:0 asks for no operation at all");
        }
        Ok(Self { get, put, read_modify_write: 0 })
    }

    /// The next operation.
    #[inline]
    pub fn draw(&self, rng: &mut SmallRng) -> Operation {
        let total = self.get + self.put + self.read_modify_write;
        if self.get == total {
            return Operation::Get;
        }
        if self.put == total {
            return Operation::Put;
        }
        let ticket = rng.random_range(0..total);
        if ticket < self.get {
            Operation::Get
        } else if ticket < self.get + self.put {
            Operation::Put
        } else {
            Operation::ReadModifyWrite
        }
    }

    /// Whether it ever writes.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.put + self.read_modify_write > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::{Share, rng};

    #[test]
    fn operations_come_in_their_proportions() {
        let mut rng = rng(1, 0, Share::WHOLE);
        for (mix, wanted) in [
            (Mix::ycsb('A').unwrap(), [0.5, 0.5, 0.0]),
            (Mix::ycsb('b').unwrap(), [0.95, 0.05, 0.0]),
            (Mix::ycsb('c').unwrap(), [1.0, 0.0, 0.0]),
            (Mix::ycsb('f').unwrap(), [0.5, 0.0, 0.5]),
            (Mix::from_ratio("1:3").unwrap(), [0.25, 0.75, 0.0]),
            (Mix::PUTS, [0.0, 1.0, 0.0]),
        ] {
            let mut counts = [0u32; 3];
            (0..100_000).for_each(|_| counts[mix.draw(&mut rng) as usize] += 1);
            for (count, wanted) in counts.iter().zip(wanted) {
                assert!((f64::from(*count) / 1e5 - wanted).abs() < 0.01, "{mix:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn ratios_that_mean_nothing_are_refused() {
        for text in ["", "5", "0:0", "-1:5", "1:2:3", "a:b", "4294967295:1"] {
            assert!(Mix::from_ratio(text).is_err(), "{text}");
        }
        assert_eq!(Mix::ycsb('e'), None);
    }
}

//! [`Tournament`]: the least key of any range of places, with keys that change. A segment tree of
//! minima; both operations are logarithmic.

use std::ops::Range;

/// Above every key that is in use.
pub(super) const NONE: u64 = u64::MAX;

/// Keys by place, and the least of each pair, pair of pairs, and so on.
pub(super) struct Tournament {
    /// The keys are the second half; entry i is the lesser of entries 2i and 2i + 1.
    least: Vec<u64>,
}

impl Tournament {
    pub(super) fn new(keys: impl ExactSizeIterator<Item = u64>) -> Self {
        let places = keys.len().next_power_of_two();
        let mut least = vec![NONE; 2 * places];
        for (at, key) in keys.enumerate() {
            least[places + at] = key;
        }
        for at in (1..places).rev() {
            least[at] = least[2 * at].min(least[2 * at + 1]);
        }
        Self { least }
    }

    /// Gives `place` another key.
    pub(super) fn set(&mut self, place: usize, key: u64) {
        let mut at = self.least.len() / 2 + place;
        self.least[at] = key;
        while at > 1 {
            at /= 2;
            self.least[at] = self.least[2 * at].min(self.least[2 * at + 1]);
        }
    }

    /// The key of `place`.
    pub(super) fn key(&self, place: usize) -> u64 {
        self.least[self.least.len() / 2 + place]
    }

    /// The least key of `places`; [`NONE`] if there is none.
    pub(super) fn min(&self, places: Range<usize>) -> u64 {
        let leaves = self.least.len() / 2;
        let (mut low, mut end) = (leaves + places.start, leaves + places.end);
        let mut min = NONE;
        while low < end {
            if low % 2 == 1 {
                min = min.min(self.least[low]);
                low += 1;
            }
            if end % 2 == 1 {
                end -= 1;
                min = min.min(self.least[end]);
            }
            (low, end) = (low / 2, end / 2);
        }
        min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_a_range_is_found_while_keys_change() {
        for places in [1, 2, 3, 7, 8, 33] {
            let mut keys: Vec<u64> = (0..places as u64).map(|at| at * 7 % 5).collect();
            let mut tournament = Tournament::new(keys.iter().copied());
            for step in 0..places * 3 {
                let at = step * 5 % places;
                keys[at] = if step % 4 == 0 { NONE } else { (step as u64 * 11) % 17 };
                tournament.set(at, keys[at]);
                for low in 0..places {
                    for end in low..=places {
                        let min = keys[low..end].iter().copied().min().unwrap_or(NONE);
                        assert_eq!(tournament.min(low..end), min);
                    }
                }
            }
        }
    }
}

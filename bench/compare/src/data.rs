//! Keys and values: the same for every engine, made again wherever they are needed.

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 16;

/// A key.
pub(crate) type Key = [u8; KEY_BYTES];

/// Random bytes that values are cut from: nothing compresses them.
const POOL_BYTES: usize = 1 << 20;

/// The key with number `index`, below a trillion: `user` and twelve digits, so that keys sort as
/// their numbers do.
pub(crate) fn key(index: u64) -> Key {
    let mut key = *b"user000000000000";
    let mut rest = index;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// A key that was never written and lies between those that were.
pub(crate) fn absent_key(index: u64) -> Key {
    let mut key = key(index);
    key[KEY_BYTES - 1] += b'A' - b'0';
    key
}

/// Makes and checks values of one length.
pub(crate) struct Values {
    pool: Vec<u8>,
    bytes: usize,
}

impl Values {
    /// Values of `bytes` bytes, at least 8.
    pub(crate) fn new(bytes: usize) -> Self {
        let mut pool = vec![0; POOL_BYTES + bytes];
        fastrand::Rng::with_seed(1).fill(&mut pool);
        Self { pool, bytes }
    }

    /// Bytes of each.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the value of key number `index`, of its `life`-th writing, into `out`.
    pub(crate) fn write(&self, index: u64, life: u64, out: &mut Vec<u8>) {
        let at = (index.wrapping_mul(0x9e37_79b9) + life * 4099) as usize % POOL_BYTES;
        out.clear();
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(&self.pool[at..at + self.bytes - 8]);
    }

    /// Whether `value` is one of key number `index`.
    pub(crate) fn fits(&self, index: u64, value: &[u8]) -> bool {
        value.len() == self.bytes && value[..8] == index.to_le_bytes()
    }
}

/// The numbers below `count` in an order that looks random, without keeping it: a walk through the
/// next power of two by an odd step, scrambled, that leaves out what is too large.
pub(crate) struct Shuffled {
    mask: u64,
    next: u64,
    left: u64,
    count: u64,
    salt: u64,
}

impl Shuffled {
    pub(crate) fn new(count: u64, seed: u64) -> Self {
        let mask = count.next_power_of_two().max(2) - 1;
        Self { mask, next: 0, left: mask + 1, count, salt: seed | 1 }
    }
}

impl Iterator for Shuffled {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        while self.left > 0 {
            self.left -= 1;
            self.next = self.next.wrapping_add(1);
            // Each step is a bijection of the numbers below the power of two.
            let half = self.mask.count_ones().div_ceil(2);
            let mut mixed = self.next.wrapping_mul(self.salt) & self.mask;
            for _ in 0..3 {
                mixed ^= mixed >> half;
                mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) & self.mask;
            }
            mixed ^= mixed >> half;
            if mixed < self.count {
                return Some(mixed);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_numbers_and_absent_ones_lie_between_them() {
        assert_eq!(&key(42), b"user000000000042");
        assert!(key(9) < key(10) && key(99) < key(100));
        for index in 0..1000 {
            assert!(key(index / 10 * 10 + 9) < absent_key(index));
            assert!(absent_key(index) < key(index / 10 * 10 + 10));
        }
    }

    #[test]
    fn a_shuffle_has_every_number_once() {
        for count in [1, 2, 3, 1000, 4096] {
            let mut seen: Vec<u64> = Shuffled::new(count, 77).collect();
            let in_order = seen.is_sorted();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..count), "{count}");
            assert!(count < 1000 || !in_order);
        }
    }

    #[test]
    fn a_value_is_told_from_others() {
        let values = Values::new(100);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        values.write(5, 0, &mut one);
        values.write(5, 1, &mut other);
        assert_ne!(one, other);
        assert!(values.fits(5, &one) && values.fits(5, &other));
        assert!(!values.fits(6, &one) && !values.fits(5, &one[1..]));
    }
}

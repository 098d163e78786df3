//! What a value holds, and whether a value read back is one that was written.
//!
//! ```text
//! | sequence 8 | length 4 | body: a slice of a fixed pool, at a place given by key, sequence |
//! ```
//!
//! Little-endian. `sequence` names the write. Bytes of another key, of another write than the one
//! the header names, cut or torn, do not match their slice of the pool. Values shorter than the
//! header are a bare slice at a place given by key and length. The pool is fixed: what one run
//! wrote, every later run can verify, whatever its seed and value size; only an empty value, which
//! proves nothing, is refused by a run that would never write one.

use std::fmt;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::VALUE_BYTES_MAX;

/// Values of at least so many bytes carry the number of their write.
pub const HEADER_BYTES: usize = 12;

const PLACES: usize = 1 << 20;
const POOL_SEED: u64 = 0x6b76_6265_6e63_6831;

/// How long values are: all alike, or uniform between two bounds, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueBytes {
    min: usize,
    max: usize,
}

impl ValueBytes {
    /// Values of `min` to `max` bytes; `None` unless `min <= max`, and `max` is within the limit.
    #[must_use]
    pub fn new(min: usize, max: usize) -> Option<Self> {
        (min <= max && max <= VALUE_BYTES_MAX).then_some(Self { min, max })
    }

    /// The shortest.
    #[must_use]
    pub fn min(self) -> usize {
        self.min
    }

    /// The longest.
    #[must_use]
    pub fn max(self) -> usize {
        self.max
    }
}

impl fmt::Display for ValueBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.max)
        } else {
            write!(f, "{}..{}", self.min, self.max)
        }
    }
}

impl Serialize for ValueBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Makes values and recognises them.
#[derive(Clone)]
pub struct Values {
    bytes: ValueBytes,
    pool: Arc<[u8]>,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Values {
    /// Values of `bytes` bytes. Clones share the pool, two MiB of it.
    #[must_use]
    pub fn new(bytes: ValueBytes) -> Self {
        let mut pool = vec![0; PLACES + VALUE_BYTES_MAX];
        SmallRng::seed_from_u64(POOL_SEED).fill_bytes(&mut pool);
        Self { bytes, pool: pool.into() }
    }

    /// Appends the value that write `sequence` gives key number `key`.
    #[inline]
    pub fn append(&self, key: u64, sequence: u64, out: &mut Vec<u8>) {
        let len = self.len(key, sequence);
        if len < HEADER_BYTES {
            out.extend_from_slice(self.slice(key, len as u64, len));
            return;
        }
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&(len as u32).to_le_bytes());
        out.extend_from_slice(self.slice(key, sequence, len - HEADER_BYTES));
    }

    /// Whether `value` is what some write gave key number `key`.
    #[inline]
    #[must_use]
    pub fn recognises(&self, key: u64, value: &[u8]) -> bool {
        if value.len() > VALUE_BYTES_MAX || (value.is_empty() && self.bytes.min > 0) {
            return false;
        }
        let Some((sequence, rest)) = value.split_first_chunk::<8>() else {
            return value == self.slice(key, value.len() as u64, value.len());
        };
        let Some((len, body)) = rest.split_first_chunk::<4>() else {
            return value == self.slice(key, value.len() as u64, value.len());
        };
        u32::from_le_bytes(*len) as usize == value.len()
            && body == self.slice(key, u64::from_le_bytes(*sequence), body.len())
    }

    /// The write that `value` says it is of; `None` if it is too short to say.
    #[must_use]
    pub fn claimed(value: &[u8]) -> Option<u64> {
        let sequence = value.first_chunk().filter(|_| value.len() >= HEADER_BYTES)?;
        Some(u64::from_le_bytes(*sequence))
    }

    #[inline]
    fn len(&self, key: u64, sequence: u64) -> usize {
        let ValueBytes { min, max } = self.bytes;
        if min == max { max } else { min + place(!key, sequence) % (max - min + 1) }
    }

    #[inline]
    fn slice(&self, key: u64, sequence: u64, len: usize) -> &[u8] {
        let from = place(key, sequence) % PLACES;
        &self.pool[from..from + len]
    }
}

#[inline]
fn place(key: u64, sequence: u64) -> usize {
    xxh3_64((u128::from(key) << 64 | u128::from(sequence)).to_le_bytes().as_slice()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(values: &Values, key: u64, sequence: u64) -> Vec<u8> {
        let mut out = Vec::new();
        values.append(key, sequence, &mut out);
        out
    }

    #[test]
    fn what_was_written_is_recognised_whatever_its_size() {
        for (min, max) in [(0, 0), (1, 1), (7, 11), (12, 12), (100, 100), (64, 1024)] {
            let values = Values::new(ValueBytes::new(min, max).unwrap());
            let other = Values::new(ValueBytes::new(0, 5).unwrap());
            for key in 0..50 {
                let value = value(&values, key, key * 31);
                assert!((min..=max).contains(&value.len()));
                assert!(other.recognises(key, &value), "{min}..{max}: key {key}");
            }
        }
    }

    #[test]
    fn another_keys_value_and_every_damaged_value_is_refused() {
        let values = Values::new(ValueBytes::new(100, 100).unwrap());
        let good = value(&values, 1, 2);
        assert!(!values.recognises(2, &good), "another key's value");
        assert!(!values.recognises(1, &good[..99]), "cut");
        assert_eq!(Values::claimed(&good), Some(2));
        assert_eq!(Values::claimed(&good[..HEADER_BYTES - 1]), None);
        assert!(!values.recognises(1, &[good.as_slice(), b"x"].concat()), "too long");
        assert!(!values.recognises(1, b""), "a run of 100-byte values never wrote an empty one");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!values.recognises(1, &bad), "byte {at} flipped");
        }
        let mut torn = good;
        torn[50..].copy_from_slice(&value(&values, 1, 3)[50..]);
        assert!(!values.recognises(1, &torn), "half of one write, half of another");
    }

    #[test]
    fn sizes_are_spread_between_their_bounds() {
        let values = Values::new(ValueBytes::new(10, 19).unwrap());
        let mut seen = [0; 10];
        (0..10_000).for_each(|key| seen[value(&values, key, 0).len() - 10] += 1);
        assert!(seen.iter().all(|&count| (800..1_200).contains(&count)), "{seen:?}");
    }
}

//! How key number `n` is spelled.
//!
//! ```text
//! | "key:" 4 | n as 12 lower-case hexadecimal digits |
//! ```
//!
//! Sixteen bytes, readable in every tool; the server hashes keys, so neighbours in number are
//! not neighbours in the store.

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;

const PREFIX: &[u8; 4] = b"key:";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The key of number `n`, below [`crate::limits::KEYS_MAX`].
#[inline]
#[must_use]
pub fn key(n: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(PREFIX);
    for (place, digit) in key[4..].iter_mut().enumerate() {
        *digit = DIGITS[(n >> (44 - 4 * place)) as usize & 15];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KEYS_MAX;

    #[test]
    fn keys_are_spelled_as_documented() {
        assert_eq!(&key(0), b"key:000000000000");
        assert_eq!(&key(0xdead_beef), b"key:0000deadbeef");
        assert_eq!(&key(KEYS_MAX - 1), b"key:ffffffffffff");
    }
}

//! What every file we write has in common: sums that know where they belong, and the three ways to
//! say that a file cannot be used.
//!
//! A sum is seeded with the file it is in and its place there, so that a block that the disk put
//! elsewhere, or kept from an earlier file, does not pass for the one that was asked for.

/// CRC-32C of `bytes`, which belong at byte `position` of file `owner`.
#[inline]
#[must_use]
pub(crate) fn checksum(owner: u64, position: u64, bytes: &[u8]) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&owner.to_le_bytes());
    place[8..].copy_from_slice(&position.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

/// A file does not hold what was written to it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file} is damaged at byte {offset}: {what}")]
pub struct Corrupt {
    /// Its path in the data directory.
    pub file: String,
    /// Where what is wrong begins, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// A file was written by a newer kvcore.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file} has format {found}, this kvcore reads up to {supported}")]
pub struct FormatNewer {
    /// Its path in the data directory.
    pub file: String,
    /// The version of its format.
    pub found: u32,
    /// The newest version that can be read.
    pub supported: u32,
}

/// A file was written by an older kvcore, from before the first release.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{file} has format {found}, of an older kvcore, which no release wrote; this kvcore reads \
     {supported} alone"
)]
pub struct FormatOlder {
    /// Its path in the data directory.
    pub file: String,
    /// The version of its format.
    pub found: u32,
    /// The version that is read.
    pub supported: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum is on disk: it may never change.
    #[test]
    fn a_sum_covers_file_place_and_bytes() {
        let sum = checksum(1, 2, b"three");
        assert_eq!(sum, crc32c::crc32c(b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0three"));
        for other in [checksum(2, 2, b"three"), checksum(1, 3, b"three"), checksum(1, 2, b"tree")] {
            assert_ne!(other, sum);
        }
    }
}

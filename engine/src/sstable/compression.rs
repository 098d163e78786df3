//! Blocks made shorter with LZ4, where their namespace asks for it and it saves an eighth.
//!
//! ```text
//! | LZ4 block of all but the sum | len 4 | zero 3 | 255 | crc32c 4 |
//! ```
//! `len` is that of what was compressed. Where a plain block has the width of its actors, at most
//! 2, a compressed one has 255. The sum is of what is on the disk, so that nothing is decompressed
//! that is not what was written.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::file_id::FileId;
use crate::integrity::checksum;
use crate::limits;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Tail {
    len: U32,
    zero: [u8; 3],
    mark: u8,
    crc: U32,
}

const MARK: u8 = 255;
const SUM_BYTES: usize = size_of::<U32>();

/// Compresses `block`, which is to be at byte `offset` of `file`, into `out`, in place of what is
/// there; whether that is worth it.
pub(super) fn compress(block: &[u8], file: FileId, offset: u64, out: &mut Vec<u8>) -> bool {
    let plain = &block[..block.len() - SUM_BYTES];
    out.resize(get_maximum_output_size(plain.len()), 0);
    let Ok(len) = compress_into(plain, out) else { return false };
    out.truncate(len);
    let len = U32::new(u32::try_from(plain.len()).expect("lengths of blocks are 32 bits"));
    out.extend_from_slice(Tail { len, zero: [0; 3], mark: MARK, crc: 0.into() }.as_bytes());
    let summed = out.len() - SUM_BYTES;
    let sum = checksum(file.0, offset, &out[..summed]);
    out[summed..].copy_from_slice(&sum.to_le_bytes());
    out.len() <= block.len() / 8 * 7
}

/// The block that `bytes`, whose sum is right, were made of; `None` if they are a plain one. Its
/// own sum is not brought back. An error says what is wrong.
pub(super) fn decompress(bytes: &[u8]) -> Option<Result<Vec<u8>, &'static str>> {
    let (compressed, tail) = Tail::ref_from_suffix(bytes).ok().filter(|(_, it)| it.mark == MARK)?;
    let len = tail.len.get() as usize;
    if len > limits::BLOCK_BYTES_MAX || tail.zero != [0; 3] {
        return Some(Err("compressed block's trailer does not fit"));
    }
    let mut plain = vec![0; len + SUM_BYTES];
    match decompress_into(compressed, &mut plain[..len]) {
        Ok(got) if got == len => Some(Ok(plain)),
        _ => Some(Err("block does not decompress to its length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId(7);

    #[test]
    fn what_repeats_comes_back_from_less() {
        let block: Vec<u8> = (0..4000u32).flat_map(|it| (it / 100).to_le_bytes()).collect();
        let mut out = vec![1, 2, 3];
        assert!(compress(&block, FILE, 4096, &mut out));
        assert!(out.len() < block.len() / 10, "{} bytes of {}", out.len(), block.len());
        let plain = decompress(&out).unwrap().unwrap();
        let end = block.len() - SUM_BYTES;
        assert_eq!((&plain[..end], &plain[end..]), (&block[..end], &[0; SUM_BYTES][..]));
        let again = &mut Vec::new();
        compress(&block, FILE, 4096, again);
        assert_eq!(*again, out, "the same block makes the same bytes");
    }

    #[test]
    fn noise_is_not_worth_it() {
        let mut rng = fastrand::Rng::with_seed(1);
        let block: Vec<u8> = (0..4000).map(|_| rng.u8(..)).collect();
        assert!(!compress(&block, FILE, 0, &mut Vec::new()));
    }

    /// Bytes whose sum is right are still not believed.
    #[test]
    fn nothing_that_is_said_of_a_length_is_believed() {
        let mut rng = fastrand::Rng::with_seed(2);
        let block: Vec<u8> = (0..1000u32).flat_map(|it| (it / 9).to_le_bytes()).collect();
        let mut out = Vec::new();
        assert!(compress(&block, FILE, 0, &mut out));
        for _ in 0..20_000 {
            let mut bytes = out.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            if let Some(Ok(plain)) = decompress(&bytes[rng.usize(..20)..]) {
                assert!(plain.len() <= limits::BLOCK_BYTES_MAX + SUM_BYTES);
            }
        }
        let at = out.len() - size_of::<Tail>();
        out[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decompress(&out).unwrap().is_err());
    }
}

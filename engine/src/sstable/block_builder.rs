//! [`BlockBuilder`]: records into the bytes of a block, drawn in `block.rs`.

use std::ops::Range;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U16;

use super::block::{ENTRY_FIXED_BYTES, ENTRY_PLACE_BYTES, EXPIRES, EXPIRY_BYTES, Trailer};
use super::file_id::FileId;
use crate::integrity::checksum;
use crate::record::Record;

/// Bytes of an entry's packed numbers at their widest.
const PACKED_BYTES_MAX: usize = 4 + 2 + 8 + 8;

/// An entry of the block, its numbers not yet packed.
#[derive(Debug)]
struct Pending {
    token: u64,
    namespace: u64,
    actor: u64,
    hlc: u64,
    counter: u64,
    expires_at_ms: u64,
    flags: u8,
    key_len: u16,
    /// Where in `payload` key and value are.
    payload: Range<usize>,
}

/// The entries of the block that is being filled.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    pending: Vec<Pending>,
    payload: Vec<u8>,
    len_max: usize,
}

/// A number of all entries: the least, and the bytes that the rest takes.
struct Packed {
    base: u64,
    width: u8,
}

impl Packed {
    fn of(pending: &[Pending], number: impl Fn(&Pending) -> u64) -> Self {
        let numbers = || pending.iter().map(&number);
        let base = numbers().min().unwrap_or(0);
        let range = numbers().max().unwrap_or(0) - base;
        Self { base, width: (64 - range.leading_zeros()).div_ceil(8) as u8 }
    }

    fn put(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&(number - self.base).to_le_bytes()[..usize::from(self.width)]);
    }
}

impl BlockBuilder {
    /// Whether it has no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The most bytes the block would have with `record` in it.
    pub(super) fn len_max_with(&self, record: &Record<'_>) -> usize {
        self.len_max.max(size_of::<Trailer>()) + entry_len_max(record)
    }

    /// Adds `record`, whose actor is at index `actor` of the table's list. It sorts after all the
    /// block has.
    pub(super) fn push(&mut self, record: &Record<'_>, actor: u16) {
        self.len_max = self.len_max_with(record);
        let start = self.payload.len();
        self.payload.extend_from_slice(record.key.bytes);
        self.payload.extend_from_slice(record.value);
        let expires = if record.expires_at_ms == 0 { 0 } else { EXPIRES };
        self.pending.push(Pending {
            token: record.key.token.0,
            namespace: record.key.namespace.0.into(),
            actor: actor.into(),
            hlc: record.version.hlc.0,
            counter: record.version.dot.counter,
            expires_at_ms: record.expires_at_ms,
            flags: record.kind as u8 | expires,
            key_len: u16::try_from(record.key.bytes.len()).expect("a key within its limit"),
            payload: start..self.payload.len(),
        });
    }

    /// Ends the block, which is at byte `offset` of `file`, and puts its bytes into `out` in place
    /// of what is there. The builder is empty again.
    pub(super) fn finish(&mut self, file: FileId, offset: u64, out: &mut Vec<u8>) {
        out.clear();
        let namespace = Packed::of(&self.pending, |it| it.namespace);
        let actor = Packed::of(&self.pending, |it| it.actor);
        let hlc = Packed::of(&self.pending, |it| it.hlc);
        let counter = Packed::of(&self.pending, |it| it.counter);
        let mut starts = Vec::with_capacity(self.pending.len());
        for entry in &self.pending {
            starts.push(U16::new(u16::try_from(out.len()).expect("within the target of a block")));
            out.extend_from_slice(&entry.key_len.to_le_bytes());
            out.push(entry.flags);
            namespace.put(entry.namespace, out);
            actor.put(entry.actor, out);
            hlc.put(entry.hlc, out);
            counter.put(entry.counter, out);
            if entry.flags & EXPIRES != 0 {
                out.extend_from_slice(&entry.expires_at_ms.to_le_bytes());
            }
            out.extend_from_slice(&self.payload[entry.payload.clone()]);
        }
        for entry in &self.pending {
            out.extend_from_slice(&entry.token.to_le_bytes());
        }
        out.extend_from_slice(starts.as_bytes());
        let trailer = Trailer {
            base_hlc: hlc.base.into(),
            base_counter: counter.base.into(),
            base_namespace: u32::try_from(namespace.base).expect("was 32 bits").into(),
            base_actor: u16::try_from(actor.base).expect("was 16 bits").into(),
            entries: u16::try_from(starts.len()).expect("each takes ten bytes and more").into(),
            hlc_width: hlc.width,
            counter_width: counter.width,
            namespace_width: namespace.width,
            actor_width: actor.width,
            crc: 0.into(),
        };
        out.extend_from_slice(trailer.as_bytes());
        let summed = out.len() - size_of::<u32>();
        let sum = checksum(file.0, offset, &out[..summed]);
        out[summed..].copy_from_slice(&sum.to_le_bytes());
        self.pending.clear();
        self.payload.clear();
        self.len_max = 0;
    }
}

fn entry_len_max(record: &Record<'_>) -> usize {
    let expiry = if record.expires_at_ms == 0 { 0 } else { EXPIRY_BYTES };
    let head = ENTRY_FIXED_BYTES + PACKED_BYTES_MAX + expiry;
    ENTRY_PLACE_BYTES + head + record.key.bytes.len() + record.value.len()
}

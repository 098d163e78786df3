//! [`Block`]: some neighbouring records of a table, searched and read in place.
//!
//! - What a `Block` holds was checked whole when it came from the disk: its sum, every length,
//!   every entry, their order. Reading it cannot fail afterwards.
//! - Its entries are sorted by key, without two of one key.
//!
//! ```text
//! block:   | entry, entry, .. | token 8 x entries | start 2 x entries | trailer 32 |
//! trailer: | base_hlc 8 | base_counter 8 | base_namespace 4 | base_actor 2 | entries 2 |
//!          | hlc_width 1 | counter_width 1 | namespace_width 1 | actor_width 1 | crc32c 4 |
//! entry:   | key_len 2 | flags 1 | namespace | actor | hlc | counter |
//!          | expires_at 8, if flags say so | key | value |
//! flags:   bits 0-6 kind, bit 7 expires_at is there
//! ```
//! `namespace`, `actor` (an index into the table's list), `hlc` and `counter` are what exceeds the
//! block's base, in as many bytes as the block's widths say: 0 where all entries agree. A value
//! ends where the next entry starts. The sum covers the block up to itself and is seeded with file
//! id and the block's offset.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use schemas::ids::{Dot, Hlc, NamespaceId, Token, Version};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::actors::Actors;
use super::compression;
use super::file_id::FileId;
use super::search;
use crate::integrity::checksum;
use crate::record::{self, Key, Kind, Record};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Trailer {
    pub(super) base_hlc: U64,
    pub(super) base_counter: U64,
    pub(super) base_namespace: U32,
    pub(super) base_actor: U16,
    pub(super) entries: U16,
    pub(super) hlc_width: u8,
    pub(super) counter_width: u8,
    pub(super) namespace_width: u8,
    pub(super) actor_width: u8,
    pub(super) crc: U32,
}

/// Bytes of an entry before what the block's widths decide.
pub(super) const ENTRY_FIXED_BYTES: usize = 3;

/// Bytes of `expires_at`.
pub(super) const EXPIRY_BYTES: usize = 8;

/// Bytes that an entry has outside itself: its token and its start.
pub(super) const ENTRY_PLACE_BYTES: usize = size_of::<U64>() + size_of::<U16>();

/// The flag that says that `expires_at` is there.
pub(super) const EXPIRES: u8 = 0x80;

/// A packed number of each entry: the block's base and what each entry adds to it.
#[derive(Clone, Copy, Debug)]
struct Field {
    base: u64,
    mask: u64,
    /// Where in an entry it stands.
    at: usize,
}

/// Where things stand in a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    entries: usize,
    tokens_at: usize,
    starts_at: usize,
    trailer_at: usize,
    namespace: Field,
    actor: Field,
    hlc: Field,
    counter: Field,
    /// Bytes of an entry before its expiry or key.
    head_len: usize,
}

impl Shape {
    /// The shape of a block of `bytes`; `None` if its numbers do not fit.
    fn of(bytes: &[u8]) -> Option<Self> {
        let trailer_at = bytes.len().checked_sub(size_of::<Trailer>())?;
        let trailer = Trailer::ref_from_bytes(&bytes[trailer_at..]).ok()?;
        let entries = usize::from(trailer.entries.get());
        let starts_at = trailer_at.checked_sub(entries * size_of::<U16>())?;
        let tokens_at = starts_at.checked_sub(entries * size_of::<U64>())?;
        let mut at = ENTRY_FIXED_BYTES;
        let mut field = |base: u64, width: u8, width_max: u8| {
            if width > width_max {
                return None;
            }
            let mask = u64::MAX.checked_shr(64 - 8 * u32::from(width)).unwrap_or(0);
            let field = Field { base, mask, at };
            at += usize::from(width);
            Some(field)
        };
        let namespace = field(trailer.base_namespace.get().into(), trailer.namespace_width, 4)?;
        let actor = field(trailer.base_actor.get().into(), trailer.actor_width, 2)?;
        let hlc = field(trailer.base_hlc.get(), trailer.hlc_width, 8)?;
        let counter = field(trailer.base_counter.get(), trailer.counter_width, 8)?;
        (entries > 0).then_some(Self {
            entries,
            tokens_at,
            starts_at,
            trailer_at,
            namespace,
            actor,
            hlc,
            counter,
            head_len: at,
        })
    }
}

/// Why reading a block cannot fail.
const CHECKED: &str = "all of a block is checked when it is read from the disk";

/// Some neighbouring records of a table.
pub struct Block {
    bytes: Box<[u8]>,
    actors: Rc<Actors>,
}

impl Block {
    /// Checks the block that fills `bytes`, from byte `offset` of `file`, and keeps a copy; an
    /// error says what is wrong with it.
    pub(super) fn verify(
        bytes: &[u8],
        file: FileId,
        offset: u64,
        actors: &Rc<Actors>,
    ) -> Result<Self, &'static str> {
        let (summed, sum) = bytes.split_last_chunk().ok_or("block shorter than its sum")?;
        if checksum(file.0, offset, summed) != u32::from_le_bytes(*sum) {
            return Err("block does not match its sum");
        }
        let bytes: Box<[u8]> = match compression::decompress(bytes) {
            Some(plain) => plain?.into(),
            None => bytes.into(),
        };
        let shape = Shape::of(&bytes).ok_or("block's trailer does not fit")?;
        let block = Self { bytes, actors: Rc::clone(actors) };
        block.check_entries(&shape).ok_or("block's entries do not fit")?;
        Ok(block)
    }

    /// The block that [`BlockBuilder`](super::block_builder::BlockBuilder) made of `bytes`: it is
    /// what `verify` would make of them.
    pub(super) fn built(bytes: &[u8], actors: Rc<Actors>) -> Self {
        Self { bytes: bytes.into(), actors }
    }

    /// How many records it has, at least 1.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape().entries
    }

    /// Whether it has no records: never.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Memory that it takes, in bytes.
    #[inline]
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// The record of `key`, if it is here.
    #[inline]
    #[must_use]
    pub fn find(&self, key: &Key<'_>) -> Option<Record<'_>> {
        self.entry(key).map(|(_, record)| record)
    }

    /// The index of the record of `key`, if it is here.
    #[inline]
    #[must_use]
    pub fn position(&self, key: &Key<'_>) -> Option<usize> {
        self.entry(key).map(|(index, _)| index)
    }

    /// The record at `index`, in the order of keys.
    ///
    /// # Panics
    /// If there are not that many.
    #[inline]
    #[must_use]
    pub fn record(&self, index: usize) -> Record<'_> {
        self.decode(&self.shape(), index).expect(CHECKED)
    }

    /// All its records, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// Its greatest key.
    pub(super) fn last_key(&self) -> Key<'_> {
        self.record(self.len() - 1).key
    }

    /// The index of the first record whose token is at least `token`; [`Block::len`] if all are
    /// less.
    #[must_use]
    pub(super) fn lower_bound(&self, token: Token) -> usize {
        self.tokens(&self.shape()).partition_point(|it| it.get() < token.0)
    }

    /// The index after the last record whose token is at most `token`.
    pub(super) fn upper_bound(&self, token: Token) -> usize {
        self.tokens(&self.shape()).partition_point(|it| it.get() <= token.0)
    }

    /// The record at `index` of this block of `shape`, for whoever asks for many.
    #[inline]
    pub(super) fn record_in(&self, shape: &Shape, index: usize) -> Record<'_> {
        self.decode(shape, index).expect(CHECKED)
    }

    /// Not kept: it is quickly told from the trailer, which is beside what is read next, while
    /// another line of memory would have to be fetched.
    #[inline]
    pub(super) fn shape(&self) -> Shape {
        Shape::of(&self.bytes).expect(CHECKED)
    }

    /// The record of `key` and its index.
    #[inline]
    fn entry(&self, key: &Key<'_>) -> Option<(usize, Record<'_>)> {
        let shape = self.shape();
        let tokens = self.tokens(&shape);
        let last = search::last_at_most(tokens.len(), key.token.0, |index| tokens[index].get())?;
        // Keys that share a token are few, and nearly always there is one.
        for index in (0..=last).rev() {
            if tokens[index].get() != key.token.0 {
                return None;
            }
            let record = self.decode(&shape, index).expect(CHECKED);
            match record.key.cmp(key) {
                Ordering::Equal => return Some((index, record)),
                Ordering::Less => return None,
                Ordering::Greater => {}
            }
        }
        None
    }

    #[inline]
    fn tokens(&self, shape: &Shape) -> &[U64] {
        let bytes = &self.bytes[shape.tokens_at..shape.starts_at];
        <[U64]>::ref_from_bytes(bytes).expect("the shape holds whole tokens")
    }

    #[inline]
    fn starts(&self, shape: &Shape) -> &[U16] {
        let bytes = &self.bytes[shape.starts_at..shape.trailer_at];
        <[U16]>::ref_from_bytes(bytes).expect("the shape holds whole starts")
    }

    /// Every entry is sound, begins where the one before it ends, and sorts after it.
    fn check_entries(&self, shape: &Shape) -> Option<()> {
        let starts = self.starts(shape);
        let gapless = starts[0].get() == 0 && starts.is_sorted_by(|a, b| a.get() < b.get());
        let mut before = None;
        for index in 0..shape.entries {
            let record = self.decode(shape, index)?;
            if !gapless || before.is_some_and(|before| before >= record.key) {
                return None;
            }
            before = Some(record.key);
        }
        Some(())
    }

    /// The field `field` of the entry that starts at `start`.
    #[inline]
    fn number(&self, start: usize, field: Field) -> Option<u64> {
        // Eight bytes are there to be read: tokens, starts and a trailer follow every entry.
        let bytes = self.bytes.get(start + field.at..)?.first_chunk()?;
        field.base.checked_add(u64::from_le_bytes(*bytes) & field.mask)
    }

    /// The record at `index`; `None` if there is none or it is not sound.
    #[inline]
    fn decode(&self, shape: &Shape, index: usize) -> Option<Record<'_>> {
        let starts = self.starts(shape);
        let start = usize::from(starts.get(index)?.get());
        let end = starts.get(index + 1).map_or(shape.tokens_at, |it| it.get().into());
        let entry = self.bytes.get(start..end)?;
        let (head, rest) = entry.split_at_checked(shape.head_len)?;
        let (key_len, flags) = (u16::from_le_bytes([head[0], head[1]]), head[2]);
        let (expires_at_ms, rest) = if flags & EXPIRES == 0 {
            (0, rest)
        } else {
            let (bytes, rest) = rest.split_first_chunk::<EXPIRY_BYTES>()?;
            (Some(u64::from_le_bytes(*bytes)).filter(|&it| it != 0)?, rest)
        };
        let (key, value) = rest.split_at_checked(key_len.into())?;
        let kind = Kind::from_byte(flags & !EXPIRES)?;
        let namespace = self.number(start, shape.namespace)?;
        record::are_sized(kind, key, value).then_some(Record {
            key: Key {
                token: Token(self.tokens(shape)[index].get()),
                namespace: NamespaceId(u32::try_from(namespace).ok()?),
                bytes: key,
            },
            version: Version {
                hlc: Hlc(self.number(start, shape.hlc)?),
                dot: Dot {
                    actor: self.actors.get(self.number(start, shape.actor)?)?,
                    counter: self.number(start, shape.counter)?,
                },
            },
            kind,
            expires_at_ms,
            value,
        })
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} records, {} bytes)", self.len(), self.bytes.len())
    }
}

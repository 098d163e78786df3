//! Reads that wait for the disk: one slot each, at most one block or partition being read for each.
//!
//! Of all that wait for one of these the first has it read; the others follow it, and are given
//! what it is given.

use std::rc::Rc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use schemas::ids::{Hlc, NamespaceId, Token};
use slab::Slab;
use smallvec::SmallVec;

use super::answer::{Found, GetTicket};
use super::table_set::TableSet;
use super::tickets;
use crate::cache::PlaceHash;
use crate::env::buf::AlignedBuf;
use crate::env::{Env, File};
use crate::limits;
use crate::record::{Key, MERGED, Record};
use crate::sstable::{Block, BlockAt, FileId, Table};

/// Buffers kept for the next reads.
const SPARE_BUFFERS: usize = 64;

/// Buffers up to this length are kept: the cover of a block that is not one large record.
const SPARE_BUFFER_BYTES: usize = 2 * limits::BLOCK_BYTES_TARGET;

/// A record and what keeps its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// A copy.
    Row(Box<[u8]>),
    /// In a block, at an index.
    Block(Rc<Block>, usize),
}

impl Held {
    pub(crate) fn record(&self) -> Record<'_> {
        match self {
            Self::Row(row) => Record::from_row(row).expect("copied from a record"),
            Self::Block(block, index) => block.record(*index),
        }
    }
}

/// The best record that a read has met so far.
pub(crate) enum Best<'a> {
    /// In a memtable, or held by the read.
    Memory(Record<'a>),
    /// In a block, at an index.
    Block(&'a Rc<Block>, usize),
    /// The row of one that was made of several.
    Merged(Box<[u8]>),
}

impl<'a> Best<'a> {
    pub(crate) fn of(held: &'a Held) -> Self {
        match held {
            Held::Row(_) => Self::Memory(held.record()),
            Held::Block(block, index) => Self::Block(block, *index),
        }
    }

    #[inline]
    pub(crate) fn record(&self) -> Record<'_> {
        match self {
            Self::Memory(record) => *record,
            Self::Block(block, index) => block.record(*index),
            Self::Merged(row) => Record::from_row(row).expect(MERGED),
        }
    }

    /// Of what stamp a record must be, or greater, to change it; `None`: of any.
    #[inline]
    pub(crate) fn stands_above(&self) -> Option<Hlc> {
        let record = self.record();
        (!record.kind.is_mergeable()).then_some(record.version.hlc)
    }

    pub(crate) fn hold(self) -> Held {
        match self {
            Self::Memory(record) => Held::Row(record.row()),
            Self::Block(block, index) => Held::Block(Rc::clone(block), index),
            Self::Merged(row) => Held::Row(row),
        }
    }
}

/// The block that a read needs next, or the partition that tells which it is.
pub(crate) struct Wanted<E: Env> {
    /// The run it is in.
    pub(crate) run: usize,
    pub(crate) table: Rc<Table<E>>,
    pub(crate) at: BlockAt,
    /// The partition's number, if it is one.
    pub(crate) partition: Option<usize>,
}

impl<E: Env> Wanted<E> {
    fn place(&self) -> (FileId, u64) {
        (self.table.id(), self.at.offset)
    }
}

/// A read that waits for a block or a partition.
pub(crate) struct Read<E: Env> {
    pub(crate) ticket: GetTicket,
    token: Token,
    namespace: NamespaceId,
    bytes: SmallVec<[u8; 64]>,
    pub(crate) now_ms: u64,
    pub(crate) tables: Rc<TableSet<E>>,
    pub(crate) wanted: Wanted<E>,
    pub(crate) best: Option<Held>,
    /// Reads of it that came back short.
    pub(crate) shorts: u8,
    /// Slots of the reads that wait for the same.
    pub(crate) followers: SmallVec<[u32; 4]>,
}

impl<E: Env> Read<E> {
    pub(crate) fn new(
        key: &Key<'_>,
        now_ms: u64,
        tables: &Rc<TableSet<E>>,
        wanted: Wanted<E>,
        best: Option<Held>,
    ) -> Self {
        Self {
            ticket: GetTicket(0),
            token: key.token,
            namespace: key.namespace,
            bytes: SmallVec::from_slice(key.bytes),
            now_ms,
            tables: Rc::clone(tables),
            wanted,
            best,
            shorts: 0,
            followers: SmallVec::new(),
        }
    }

    pub(crate) fn key(&self) -> Key<'_> {
        Key { token: self.token, namespace: self.namespace, bytes: &self.bytes }
    }
}

/// All reads that wait.
pub(crate) struct Reads<E: Env> {
    /// Empty while its read is being worked on.
    slots: Slab<Option<Read<E>>>,
    /// The slot of the read that each block and partition is being read for.
    leaders: HashMap<(FileId, u64), u32, PlaceHash>,
    /// Counts slots taken, so that a slot used again has another ticket.
    taken: u32,
    bytes: usize,
    spare: Vec<AlignedBuf>,
}

impl<E: Env> Reads<E> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slab::new(),
            leaders: HashMap::default(),
            taken: 0,
            bytes: 0,
            spare: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether a read of `at` can be taken on beside those there are.
    pub(crate) fn has_room(&self, at: BlockAt, slots_max: usize) -> bool {
        let bytes = self.bytes + at.cover().1;
        self.slots.is_empty()
            || (self.slots.len() < slots_max && bytes <= limits::READ_BYTES_IN_FLIGHT_MAX)
    }

    /// Gives `read` a slot and starts it, unless what it wants is being read already; whether it is
    /// started is told with the ticket.
    pub(crate) fn start(&mut self, mut read: Read<E>) -> (GetTicket, bool) {
        self.taken = self.taken.wrapping_add(1);
        let slot = u32::try_from(self.slots.vacant_key()).expect("bounded by has_room");
        read.ticket = GetTicket(tickets::read(self.taken, slot));
        let ticket = read.ticket;
        self.slots.insert(None);
        (ticket, self.resume(read))
    }

    /// Takes out the read whose block or partition was read; its slot stays its own.
    pub(crate) fn take(&mut self, ticket: u64) -> Read<E> {
        let read = self.slots.get_mut(tickets::slot(ticket)).and_then(Option::take);
        let read = read.expect("a completion names a read in flight");
        assert_eq!(read.ticket.0, ticket, "a slot waits for its own read");
        self.bytes -= read.wanted.at.cover().1;
        self.leaders.remove(&read.wanted.place());
        read
    }

    /// Takes out a read that followed the one that was taken out.
    pub(crate) fn take_follower(&mut self, slot: u32) -> Read<E> {
        self.slots[slot as usize].take().expect("a follower waits")
    }

    /// Goes on with a read that was taken out; whether the disk is asked for it.
    pub(crate) fn resume(&mut self, read: Read<E>) -> bool {
        let slot = tickets::slot(read.ticket.0);
        let leads = match self.leaders.entry(read.wanted.place()) {
            Entry::Vacant(free) => {
                free.insert(slot as u32);
                self.submit(&read);
                true
            }
            Entry::Occupied(leader) => {
                let leader = &mut self.slots[*leader.get() as usize];
                leader.as_mut().expect("its block is being read").followers.push(slot as u32);
                false
            }
        };
        self.slots[slot] = Some(read);
        leads
    }

    /// Frees the slot of a read that was taken out.
    pub(crate) fn finish(&mut self, ticket: GetTicket) {
        self.slots.remove(tickets::slot(ticket.0));
    }

    pub(crate) fn recycle(&mut self, buf: AlignedBuf) {
        if buf.capacity() == SPARE_BUFFER_BYTES && self.spare.len() < SPARE_BUFFERS {
            self.spare.push(buf);
        }
    }

    fn submit(&mut self, read: &Read<E>) {
        let (offset, len) = read.wanted.at.cover();
        self.bytes += len;
        let mut buf = if len <= SPARE_BUFFER_BYTES {
            self.spare.pop().unwrap_or_else(|| AlignedBuf::zeroed(SPARE_BUFFER_BYTES))
        } else {
            AlignedBuf::zeroed(len)
        };
        buf.set_len(len);
        read.wanted.table.file().start_read(read.ticket.0, offset, buf);
    }
}

impl From<Option<Held>> for Found {
    fn from(held: Option<Held>) -> Self {
        Self { held }
    }
}

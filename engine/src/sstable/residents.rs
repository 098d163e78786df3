//! [`Residents`]: which partitions of a core's tables are in memory, bounded by bytes.
//!
//! - A partition in memory lies in a slot of its table, so that a probe finds it without a search.
//! - Past the bound the one goes that was not asked for since the last round: a hand goes through
//!   all that are there ("second chance", Corbato 1968). Whoever uses one holds it meanwhile.
//! - What is always in memory, the lists of partitions, counts too: it leaves less for the others.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::partition::Partition;
use crate::limits;

/// Bytes that a partition in memory takes besides itself: its counts, and where the hand finds it.
const FRAME_BYTES: usize = 2 * size_of::<usize>() + size_of::<Option<Frame>>();

/// A partition of a table, if it is in memory.
#[derive(Debug, Default)]
struct Slot {
    partition: RefCell<Option<Rc<Partition>>>,
    /// Where the hand finds it.
    frame: Cell<u32>,
    /// Asked for since the hand was here.
    used: Cell<bool>,
}

/// The partitions of one table that are in memory.
pub(super) struct Slots {
    slots: Box<[Slot]>,
    /// Bytes that the table always takes.
    always_bytes: usize,
    residents: Rc<Residents>,
}

/// Where the hand finds a partition.
#[derive(Debug)]
struct Frame {
    table: Weak<Slots>,
    number: u32,
}

/// Which partitions of a core's tables are in memory.
#[derive(Debug)]
pub struct Residents {
    bytes_max: usize,
    always_bytes: Cell<usize>,
    bytes: Cell<usize>,
    ring: RefCell<Ring>,
    loads: Cell<u64>,
    evictions: Cell<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    frames: Vec<Option<Frame>>,
    free: Vec<u32>,
    hand: usize,
}

impl Residents {
    /// At most `bytes_max` bytes, those of the lists of partitions included.
    #[must_use]
    pub fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self {
            bytes_max,
            always_bytes: Cell::default(),
            bytes: Cell::default(),
            ring: RefCell::default(),
            loads: Cell::default(),
            evictions: Cell::default(),
        })
    }

    /// Bytes in memory now: never more than there may be, unless those that always are, are more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.always_bytes.get() + self.bytes.get()
    }

    /// Partitions that were put into memory so far.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.loads.get()
    }

    /// Partitions that had to go so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.get()
    }

    /// Bytes that partitions may take.
    fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.always_bytes.get())
    }

    /// Gives up partitions until `bytes` more have room; whether they have.
    fn make_room(&self, bytes: usize) -> bool {
        let room = self.room();
        while self.bytes.get() + bytes > room {
            if bytes > room || !self.evict() {
                return false;
            }
        }
        true
    }

    /// Gives up the next partition that was not asked for; false if there is none.
    fn evict(&self) -> bool {
        let mut ring = self.ring.borrow_mut();
        let (mut passed, mut left) = (0, 2 * ring.frames.len());
        while left > 0 {
            left -= 1;
            let at = ring.hand;
            ring.hand = (at + 1) % ring.frames.len();
            let Some(frame) = &ring.frames[at] else { continue };
            let table = frame.table.upgrade().expect("a table that goes takes its frames along");
            let slot = &table.slots[frame.number as usize];
            if slot.used.take() && passed < limits::PARTITIONS_PASSED_MAX {
                passed += 1;
                continue;
            }
            let partition = slot.partition.take().expect("a frame is of one that is there");
            ring.frames[at] = None;
            ring.free.push(at as u32);
            self.bytes.set(self.bytes.get() - bytes_of(&partition));
            self.evictions.set(self.evictions.get() + 1);
            return true;
        }
        false
    }
}

/// Memory that `partition` takes.
fn bytes_of(partition: &Partition) -> usize {
    partition.memory_bytes() + FRAME_BYTES
}

impl Slots {
    /// Slots for `len` partitions of a table that always takes `bytes` bytes besides them.
    pub(super) fn new(len: usize, bytes: usize, residents: &Rc<Residents>) -> Rc<Self> {
        let slots: Box<[Slot]> = (0..len).map(|_| Slot::default()).collect();
        let always_bytes = bytes + size_of_val(&*slots);
        residents.always_bytes.set(residents.always_bytes.get() + always_bytes);
        residents.make_room(0);
        Rc::new(Self { slots, always_bytes, residents: Rc::clone(residents) })
    }

    /// What `ask` says of partition `number`, which is asked for; `None` if it is not in memory.
    #[inline]
    pub(super) fn ask<T>(&self, number: usize, ask: impl FnOnce(&Partition) -> T) -> Option<T> {
        let slot = &self.slots[number];
        let partition = slot.partition.borrow();
        let partition = partition.as_ref()?;
        if !slot.used.get() {
            slot.used.set(true);
        }
        Some(ask(partition))
    }

    /// Partition `number`, if it is in memory. That does not count as asking for it.
    pub(super) fn get(&self, number: usize) -> Option<Rc<Partition>> {
        self.slots[number].partition.borrow().clone()
    }

    /// Keeps partition `number` in memory, in the place of others if need be.
    pub(super) fn keep(self: &Rc<Self>, number: usize, partition: &Rc<Partition>) {
        if !self.has(number) && self.residents.make_room(bytes_of(partition)) {
            self.put(number, partition);
        }
    }

    /// Keeps partition `number` in memory if no other has to go for it; whether it is there.
    pub(super) fn keep_if_room(self: &Rc<Self>, number: usize, partition: &Rc<Partition>) -> bool {
        let residents = &self.residents;
        if self.has(number) {
            return true;
        }
        let fits = residents.bytes.get() + bytes_of(partition) <= residents.room();
        if fits {
            self.put(number, partition);
        }
        fits
    }

    fn has(&self, number: usize) -> bool {
        self.slots[number].partition.borrow().is_some()
    }

    fn put(self: &Rc<Self>, number: usize, partition: &Rc<Partition>) {
        let slot = &self.slots[number];
        let number = u32::try_from(number).expect("each has bytes, which 32 bits count");
        let frame = Some(Frame { table: Rc::downgrade(self), number });
        let ring = &mut *self.residents.ring.borrow_mut();
        let at = ring.free.pop().unwrap_or_else(|| {
            ring.frames.push(None);
            u32::try_from(ring.frames.len() - 1).expect("fewer than bytes of memory")
        });
        ring.frames[at as usize] = frame;
        slot.frame.set(at);
        slot.used.set(false);
        *slot.partition.borrow_mut() = Some(Rc::clone(partition));
        self.residents.bytes.set(self.residents.bytes.get() + bytes_of(partition));
        self.residents.loads.set(self.residents.loads.get() + 1);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let residents = &self.residents;
        let ring = &mut *residents.ring.borrow_mut();
        for slot in &self.slots {
            if let Some(partition) = slot.partition.take() {
                ring.frames[slot.frame.get() as usize] = None;
                ring.free.push(slot.frame.get());
                residents.bytes.set(residents.bytes.get() - bytes_of(&partition));
            }
        }
        residents.always_bytes.set(residents.always_bytes.get() - self.always_bytes);
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").field("partitions", &self.slots.len()).finish_non_exhaustive()
    }
}

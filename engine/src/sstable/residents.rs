//! [`Residents`]: which partitions of a core's tables are in memory, bounded by bytes.
//!
//! - A partition in memory lies in a slot of its table, so that a probe finds it without a search.
//! - Past the bound the one goes that was not asked for since the last round: a hand goes through
//!   all that are there ("second chance", Corbato 1968). Whoever uses one holds it meanwhile.
//! - What is always in memory, the lists of partitions and of actors, counts too: it leaves less
//!   for the others.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::partition::Partition;
use crate::limits;

/// Bytes that a partition in memory takes besides itself: a line for its counts, and where the hand
/// finds it.
const FRAME_BYTES: usize = align_of::<Partition>() + size_of::<Option<Frame>>();

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
    slots: Rc<[Slot]>,
    /// Bytes that the table always takes.
    always_bytes: usize,
    residents: Rc<Residents>,
}

/// Where the hand finds a partition.
#[derive(Debug)]
struct Frame {
    table: Weak<[Slot]>,
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
    /// At most `bytes_max` bytes, those of the lists of partitions and actors included.
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
            let slot = &table[frame.number as usize];
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
    pub(super) fn new(len: usize, bytes: usize, residents: &Rc<Residents>) -> Self {
        let slots: Rc<[Slot]> = (0..len).map(|_| Slot::default()).collect();
        let always_bytes = bytes + size_of_val(&*slots);
        residents.always_bytes.set(residents.always_bytes.get() + always_bytes);
        residents.make_room(0);
        Self { slots, always_bytes, residents: Rc::clone(residents) }
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
    pub(super) fn keep(&self, number: usize, partition: &Rc<Partition>) {
        if !self.has(number) && self.residents.make_room(bytes_of(partition)) {
            self.put(number, partition);
        }
    }

    /// Keeps partition `number` in memory if no other has to go for it; whether it is there.
    pub(super) fn keep_if_room(&self, number: usize, partition: &Rc<Partition>) -> bool {
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

    fn put(&self, number: usize, partition: &Rc<Partition>) {
        let slot = &self.slots[number];
        let number = u32::try_from(number).expect("each has bytes, which 32 bits count");
        let frame = Some(Frame { table: Rc::downgrade(&self.slots), number });
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
        for slot in &*self.slots {
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use schemas::ids::{Actor, NodeId};

    use super::*;
    use crate::env::Env;
    use crate::env::sim::{Sim, SimDisk, SimEnv};
    use crate::record::Key;
    use crate::sstable::sample::{Sample, value, write_table};
    use crate::sstable::{FileId, Probe, Table, TokenRange};

    /// `count` tables of one partition each, the keys of all of them, and a disk to read them from.
    fn with_tables(
        count: u64,
        bytes_max: usize,
        test: impl AsyncFnOnce(SimEnv, Vec<Table<SimEnv>>, Vec<Sample>, Rc<Residents>),
    ) {
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        sim.block_on(async {
            env.create_dir("shard").await.unwrap();
            let mut samples: Vec<Sample> =
                (0..100u64).map(|it| value(&it.to_be_bytes(), 1, 20)).collect();
            samples.sort_by_key(Sample::place);
            let (mut tables, residents) = (Vec::new(), Residents::new(bytes_max));
            for id in (0..count).map(FileId) {
                write_table(&env, "shard", id, &samples).await;
                let all = TokenRange::ALL;
                let table = Table::open_among(&env, "shard", id, all, &residents).await.unwrap();
                tables.push(table);
                assert!(residents.bytes() <= bytes_max);
            }
            test(env, tables, samples, residents).await;
        });
    }

    /// Asks as a read does. Whether it was in memory.
    async fn ask(table: &Table<SimEnv>, key: &Key<'_>) -> bool {
        match table.probe(key) {
            Probe::Partition { number, .. } => {
                table.keep(number, &table.read_partition(number).await.unwrap());
                false
            }
            Probe::Block(_) => true,
            Probe::Absent => panic!("it is there"),
        }
    }

    /// Those that are asked for stay while others pass through, within the bytes given; so in every
    /// run.
    #[test]
    fn what_is_asked_for_stays_within_the_bytes_given() {
        let run = || {
            let mut result = (0, 0);
            with_tables(60, 30 << 10, async |_, tables, samples, residents| {
                let mut kept = 0;
                for round in 0..2000 {
                    for table in &tables[..4] {
                        kept += u32::from(ask(table, &samples[7].key()).await);
                    }
                    ask(&tables[4 + round % 56], &samples[9].key()).await;
                    assert!(residents.bytes() <= 30 << 10, "{} bytes", residents.bytes());
                }
                assert!(kept > 7900, "{kept} found");
                assert!(residents.bytes() > 27 << 10, "{} bytes", residents.bytes());
                assert!(residents.evictions() > 500);
                result = (kept, residents.evictions());
            });
            result
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn a_table_that_goes_takes_what_it_had_along() {
        with_tables(10, 1 << 20, async |env, mut tables, samples, residents| {
            for table in &tables {
                assert!(table.load(&env).await.unwrap());
                assert!(ask(table, &samples[0].key()).await);
            }
            let all = residents.bytes();
            let narrowed = tables[3].with_visible(TokenRange::ALL);
            tables.truncate(5);
            assert_eq!(residents.bytes(), all / 2);
            tables.clear();
            assert_eq!(residents.bytes(), all / 10, "clones are the same file");
            assert!(ask(&narrowed, &samples[0].key()).await);
            drop(narrowed);
            assert_eq!((residents.bytes(), residents.evictions()), (0, 0));
        });
    }

    /// The lists are always there: what they take is taken from the partitions.
    #[test]
    fn what_always_is_there_counts() {
        with_tables(10, 1 << 20, async |env, tables, samples, residents| {
            let always = residents.bytes() / 10;
            assert!((100..1000).contains(&always), "{always} bytes");
            assert!(tables[0].load(&env).await.unwrap());
            let one = residents.bytes() - 10 * always;
            drop((tables, samples));
            // Room for the lists of three, and for two partitions while there are two of them.
            let few = Residents::new(3 * always + one);
            let open = async |id| {
                let (id, all) = (FileId(id), TokenRange::ALL);
                Table::open_among(&env, "shard", id, all, &few).await.unwrap()
            };
            let (a, b) = (open(0).await, open(1).await);
            assert!(a.load(&env).await.unwrap());
            assert!(!b.load(&env).await.unwrap(), "nothing goes for what nobody asks for");
            let c = open(2).await;
            assert_eq!(few.bytes(), 3 * always + one);
            let _d = open(3).await;
            assert_eq!((few.bytes(), few.evictions()), (4 * always, 1));
            assert!(!a.load(&env).await.unwrap() && !c.load(&env).await.unwrap());
        });
    }

    /// The list of actors was not counted, of which a table may have 65,536.
    #[test]
    fn actors_count_as_well() {
        let bytes_of = |actors: u64| {
            let (sim, disk) = (Sim::new(1), SimDisk::new(1));
            let env = sim.env(&disk);
            sim.block_on(async {
                env.create_dir("shard").await.unwrap();
                let sample = |it: u64| {
                    let mut sample = value(&it.to_be_bytes(), 1, 20);
                    let node = NodeId(NonZeroU64::new(1 + it % actors).unwrap());
                    sample.version.dot.actor.node = node;
                    sample
                };
                let mut samples: Vec<Sample> = (0..100).map(sample).collect();
                samples.sort_by_key(Sample::place);
                write_table(&env, "shard", FileId(1), &samples).await;
                let residents = Residents::new(0);
                let all = TokenRange::ALL;
                let table = Table::open_among(&env, "shard", FileId(1), all, &residents).await;
                let bytes = residents.bytes();
                drop(table.unwrap());
                assert_eq!(residents.bytes(), 0);
                bytes
            })
        };
        assert_eq!(bytes_of(100) - bytes_of(1), 99 * size_of::<Actor>());
    }
}

//! READ 4: memtable -> filter -> block cache -> SSTable block.
//!
//! ```text
//! READ 1 net/client/src/read_path.rs   pick the core; stamp id and deadline
//!      2 net/src/server/session.rs     frame in, admission
//!      3 net/src/server/read_path.rs   the owner's core, straight to the engine
//!      4 engine/src/read_path.rs       memtable -> filter -> block cache -> block      <- here
//! ```
//!
//! - A read sees what was there when it was asked, or later: it holds the tables of that moment.
//! - It goes on to older places until nothing there can stand against what it has.
//! - A place that cannot be read fails the reads that need it, and no others: an older record is
//!   never given for one that may be newer.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use schemas::ids::Token;

use crate::cache::BlockCache;
use crate::env::{self, Env};
use crate::limits;
use crate::record::{Key, MERGED, Merge, Record, Stands};
use crate::sstable::{Block, BlockAt, Partition, Probe, Table};
use crate::store::reads::{Best, Held, Read, Wanted};
use crate::store::table_set::TableSet;
use crate::store::{Done, FoundBy, Get, ReadCause, ReadError, Stats, Store};

impl<E: Env> Store<E> {
    /// Reads `key`, as of `now_ms` in Unix milliseconds: a record past its time is absent.
    ///
    /// Only [`Get::Miss`] allocates.
    #[inline]
    pub fn get_now(&mut self, key: &Key<'_>, now_ms: u64) -> Get<'_> {
        self.look_up(key, now_ms, true)
    }

    /// Reads `key` as [`Store::get_now`] does, but from memory alone: where the disk would have to
    /// be read it is [`Get::Busy`], and nothing was begun.
    #[inline]
    pub fn get_in_memory(&mut self, key: &Key<'_>, now_ms: u64) -> Get<'_> {
        self.look_up(key, now_ms, false)
    }

    fn look_up(&mut self, key: &Key<'_>, now_ms: u64, may_read: bool) -> Get<'_> {
        if self.config.namespaces.is_dropped(key.namespace) {
            self.stats.gets_absent += 1;
            return Get::Absent;
        }
        let mut best = self.active.get(key).map(Best::Memory);
        for frozen in self.frozen.iter().rev() {
            if let Some(record) = frozen.memtable.get(key) {
                best = Some(better(best, Best::Memory(record), self.merge));
            }
        }
        let search = Search { tables: &self.tables, cache: &self.cache, merge: self.merge };
        let (best, wanted) = search.go_on(key, 0, best, &mut self.stats);
        if let Some(wanted) = wanted {
            let reads_max = self.config.reads_in_flight_max;
            if !may_read || !self.reads.has_room(wanted.at, reads_max) {
                self.stats.gets_busy += 1;
                return Get::Busy { retry_after_us: limits::RETRY_AFTER_READS_US };
            }
            let held = best.map(Best::hold);
            let read = Read::new(key, now_ms, &self.tables, wanted, held);
            let (ticket, leads) = self.reads.start(read);
            self.stats.gets_shared += u64::from(!leads);
            return Get::Miss(ticket);
        }
        let Some(best) = best.filter(|best| !best.record().is_dead(now_ms)) else {
            self.stats.gets_absent += 1;
            return Get::Absent;
        };
        Get::Hit(match best {
            Best::Memory(record) => {
                self.stats.gets_memtable += 1;
                record
            }
            Best::Block(block, index) => {
                self.stats.gets_cache += 1;
                block.record(index)
            }
            Best::Merged(row) => {
                self.stats.gets_cache += 1;
                self.merged = row;
                Record::from_row(&self.merged).expect(MERGED)
            }
        })
    }

    /// Says that keys with `tokens` are going to be asked for, in one go: what memory has of them
    /// is loaded into the CPU's caches. The first [`WARM_MAX`](crate::memtable::WARM_MAX) count.
    pub fn warm(&self, tokens: &[Token]) {
        self.active.warm(tokens);
        for frozen in &self.frozen {
            frozen.memtable.warm(tokens);
        }
    }

    /// A block came from the disk: answers the reads that waited for it, or sends them on.
    pub(crate) fn read_ended(&mut self, ended: env::Done, done: &mut Vec<Done>) {
        let mut read = self.reads.take(ended.ticket);
        let bytes = match ended.result {
            Ok(bytes) => bytes,
            Err(error) => return self.reads_failed(read, ReadCause::Io(Arc::new(error)), done),
        };
        let Wanted { ref table, at, partition, .. } = read.wanted;
        // The last page of a block may lie past the end of what was read; the block may not.
        if bytes < ended.buf.len() && at.in_cover(&ended.buf[..bytes]).is_none() {
            self.reads.recycle(ended.buf);
            read.shorts += 1;
            if read.shorts < limits::SHORT_READS_MAX {
                self.reads.resume(read);
                return;
            }
            let cause = ReadCause::Io(Arc::new(io::ErrorKind::UnexpectedEof.into()));
            return self.reads_failed(read, cause, done);
        }
        let cover = &ended.buf[..bytes];
        let came = match partition {
            Some(number) => {
                let partition = table.partition(number, cover).map(Rc::new);
                partition.map(|it| Came::Partition(number, it))
            }
            None => table.block(at, cover).map(Rc::new).map(Came::Block),
        };
        self.reads.recycle(ended.buf);
        let Ok(came) = came else {
            return self.reads_failed(read, ReadCause::Corrupt, done);
        };
        if self.is_current(table.id()) {
            match &came {
                Came::Partition(number, partition) => table.keep(*number, partition),
                Came::Block(block) => {
                    self.cache.insert(table.id(), at.offset, Rc::clone(block));
                }
            }
        }
        let followers = std::mem::take(&mut read.followers);
        self.go_on_in(read, &came, done);
        for slot in followers {
            let follower = self.reads.take_follower(slot);
            self.go_on_in(follower, &came, done);
        }
    }

    /// Searches what a read waited for: answers it, or sends it on.
    fn go_on_in(&mut self, mut read: Read<E>, came: &Came, done: &mut Vec<Done>) {
        let (key, run) = (read.key(), read.wanted.run);
        let best = read.best.as_ref().map(Best::of);
        let search = Search { tables: &read.tables, cache: &self.cache, merge: self.merge };
        let stats = &mut self.stats;
        let (best, wanted) = match came {
            Came::Block(block) => (search_block(block, &key, best, self.merge, stats), None),
            Came::Partition(_, partition) => match partition.probe(&key) {
                Some(at) => search.look_in(&key, run, &read.wanted.table, at, best, stats),
                None => (best, None),
            },
        };
        let (best, wanted) = match wanted {
            None => search.go_on(&key, run + 1, best, stats),
            wanted => (best, wanted),
        };
        if let Some(wanted) = wanted {
            read.best = best.map(Best::hold);
            read.wanted = wanted;
            read.shorts = 0;
            let leads = self.reads.resume(read);
            self.stats.gets_shared += u64::from(!leads);
            return;
        }
        let best = best.filter(|best| !best.record().is_dead(read.now_ms));
        let held: Option<Held> = best.map(Best::hold);
        match held {
            Some(_) => self.stats.gets_disk += 1,
            None => self.stats.gets_absent += 1,
        }
        self.reads.finish(read.ticket);
        done.push(Done::Get(read.ticket, Ok(held.into())));
    }

    /// A block or a partition cannot be read: nor can those who waited for it.
    fn reads_failed(&mut self, mut read: Read<E>, cause: ReadCause, done: &mut Vec<Done>) {
        let Wanted { table, at, .. } = &read.wanted;
        let error = ReadError { path: table.path().to_owned(), offset: at.offset, cause };
        let id = table.id();
        tracing::error!(%error, "a read failed");
        if matches!(error.cause, ReadCause::Corrupt) {
            self.found_damage(id, error.offset, FoundBy::Read);
        }
        for slot in std::mem::take(&mut read.followers) {
            let follower = self.reads.take_follower(slot);
            self.read_failed(&follower, error.clone(), done);
        }
        self.read_failed(&read, error, done);
    }

    fn read_failed(&mut self, read: &Read<E>, error: ReadError, done: &mut Vec<Done>) {
        self.stats.gets_failed += 1;
        self.reads.finish(read.ticket);
        done.push(Done::Get(read.ticket, Err(error)));
    }
}

/// What came from the disk.
enum Came {
    Block(Rc<Block>),
    /// Its number, and it.
    Partition(usize, Rc<Partition>),
}

/// What a search goes through.
struct Search<'a, E: Env> {
    tables: &'a Rc<TableSet<E>>,
    cache: &'a BlockCache,
    merge: Merge,
}

impl<'a, E: Env> Search<'a, E> {
    /// Searches from run `from` on, until nothing left can better `best` or something is wanted
    /// that is not in memory.
    fn go_on(
        &self,
        key: &Key<'_>,
        mut from: usize,
        mut best: Option<Best<'a>>,
        stats: &mut Stats,
    ) -> (Option<Best<'a>>, Option<Wanted<E>>) {
        loop {
            let hlc = best.as_ref().and_then(Best::stands_above);
            let Some((run, table)) = self.tables.next(key, from, hlc) else {
                return (best, None);
            };
            from = run + 1;
            stats.filter_probes += 1;
            let at = match table.probe(key) {
                Probe::Absent => continue,
                Probe::Block(at) => at,
                Probe::Partition { number, at } => {
                    stats.partition_misses += 1;
                    let (table, partition) = (Rc::clone(table), Some(number));
                    return (best, Some(Wanted { run, table, at, partition }));
                }
            };
            let wanted;
            (best, wanted) = self.look_in(key, run, table, at, best, stats);
            if wanted.is_some() {
                return (best, wanted);
            }
        }
    }

    /// What stands of `best` and the record of `key` in the block at `at` of `table`, if it is
    /// cached; otherwise it is wanted.
    #[inline]
    fn look_in(
        &self,
        key: &Key<'_>,
        run: usize,
        table: &Rc<Table<E>>,
        at: BlockAt,
        best: Option<Best<'a>>,
        stats: &mut Stats,
    ) -> (Option<Best<'a>>, Option<Wanted<E>>) {
        match self.cache.get(table.id(), at.offset) {
            Some(block) => (search_block(block, key, best, self.merge, stats), None),
            None => {
                let (table, partition) = (Rc::clone(table), None);
                (best, Some(Wanted { run, table, at, partition }))
            }
        }
    }
}

/// What stands of `best` and the record of `key` in `block`.
fn search_block<'a>(
    block: &'a Rc<Block>,
    key: &Key<'_>,
    best: Option<Best<'a>>,
    merge: Merge,
    stats: &mut Stats,
) -> Option<Best<'a>> {
    let Some(index) = block.position(key) else {
        stats.filter_false_positives += 1;
        return best;
    };
    Some(better(best, Best::Block(block, index), merge))
}

/// What stands of two records of a key.
fn better<'a>(best: Option<Best<'a>>, found: Best<'a>, merge: Merge) -> Best<'a> {
    let Some(best) = best else { return found };
    let mut row = Vec::new();
    match merge(&found.record(), &best.record(), &mut row) {
        Stands::First => found,
        Stands::Second => best,
        Stands::Third => Best::Merged(row.into()),
    }
}

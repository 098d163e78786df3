//! Clocks of vnodes: what is seen, what a session brought, what was lost.

use schemas::clock::VnodeClock;
use schemas::ids::{Hlc, Vnode};

use super::{Durability, PutError, PutTicket, Store};
use crate::commit_log::Sequence;
use crate::env::Env;
use crate::record::Mark;
use crate::sstable::{Size, TokenRange};
use crate::vnode::DotsSince;
use crate::write_path::refusal;

const OTHERS: &str = "a vnode of another core";

impl<E: Env> Store<E> {
    /// The dots of `vnode` that the store has: those of its records, of records that others stand
    /// against, and what was joined. Under [`Durability::Sync`] all of it is on disk.
    ///
    /// # Panics
    /// If the store does not own `vnode`.
    #[must_use]
    pub fn clock(&self, vnode: Vnode) -> VnodeClock {
        self.vnodes.clock(vnode).expect(OTHERS)
    }

    /// What of the dots of `vnode` another owner lacks, whose clock is `theirs`, without a scan: of
    /// the dots applied lately, since the start or a few batches before it.
    ///
    /// # Panics
    /// If the store does not own `vnode`.
    #[must_use]
    pub fn dots_since(&self, vnode: Vnode, theirs: &VnodeClock) -> DotsSince {
        self.vnodes.dots_since(vnode, theirs).expect(OTHERS)
    }

    /// About how much the store holds with tokens of `range`, in memtables and tables. Nothing is
    /// read. [`digest_now`](Self::digest_now) counts exactly.
    #[must_use]
    pub fn size_of(&self, range: TokenRange) -> Size {
        let tables = self.open_tables.values().map(|table| table.size_of(range));
        let memtables = self.frozen.iter().map(|frozen| &*frozen.memtable).chain([&self.active]);
        let memtables = memtables.map(|memtable| {
            let (records, bytes) = memtable.size_of(range);
            Size { records, tombstones: 0, bytes }
        });
        tables.chain(memtables).fold(Size::default(), Size::and)
    }

    /// [`size_of`](Self::size_of) the tokens of `vnode`.
    #[must_use]
    pub fn size_of_vnode(&self, vnode: Vnode) -> Size {
        let (first, last) = self.vnodes.bits().tokens(vnode);
        TokenRange::new(first, last).map_or_else(Size::default, |range| self.size_of(range))
    }

    /// Says that the store has all that `clock` tells of `vnode`: a session with another owner
    /// brought, before this call, every record that it has and this store had not. Counts from the
    /// moment that the ticket is acknowledged, as a put's is. `None`: there is nothing in it that
    /// does not count already.
    ///
    /// # Errors
    /// [`PutError`]: nothing was taken.
    ///
    /// # Panics
    /// If the store does not own `vnode`.
    pub fn join_clock(
        &mut self,
        vnode: Vnode,
        clock: &VnodeClock,
    ) -> Result<Option<PutTicket>, PutError> {
        if self.clock(vnode).dominates(clock) {
            return Ok(None);
        }
        let mark = Mark::Join(vnode, clock.clone());
        let (sequence, bytes) = self.log_mark(&mark)?;
        if self.config.log.durability == Durability::Sync {
            return Ok(Some(self.writes.logged(sequence, Hlc(u64::MAX), bytes)));
        }
        self.vnodes.marked(&mark);
        Ok(Some(self.writes.logged_and_applied()))
    }

    /// Forgets which dots of `vnode` the store has: some of its records were lost. Holds at once,
    /// and after the next start.
    ///
    /// # Panics
    /// If the store does not own `vnode`.
    pub fn clear_clock(&mut self, vnode: Vnode) {
        assert!(self.vnodes.clock(vnode).is_some(), "{OTHERS}");
        self.vnodes.lost(vnode, vnode);
        self.log_lost();
    }

    /// Records with tokens of `range` were lost: the vnodes that it touches.
    pub(super) fn lost_records(&mut self, range: TokenRange) {
        let bits = self.vnodes.bits();
        let (first, last) = (range.first().vnode(bits), range.last().vnode(bits));
        tracing::warn!(?first, ?last, "records of these vnodes were lost: clocks are cleared");
        self.vnodes.lost(first, last);
        self.log_lost();
    }

    /// Tells the log which vnodes have lost records, as far as it takes it. Until then a start
    /// would find the same loss again.
    pub(super) fn log_lost(&mut self) {
        while let Some(vnodes) = self.vnodes.to_clear() {
            let Ok((sequence, bytes)) = self.log_mark(&Mark::Clear(vnodes.0, vnodes.1)) else {
                return;
            };
            if self.config.log.durability == Durability::Sync {
                self.writes.logged_unasked(sequence, bytes);
            }
            self.vnodes.told(vnodes);
        }
    }

    pub(super) fn log_mark(&mut self, mark: &Mark) -> Result<(Sequence, usize), PutError> {
        let row = mark.to_row();
        let write = |out: &mut [u8]| out.copy_from_slice(&row);
        let sequence = self.log.append(row.len(), write).map_err(refusal)?;
        Ok((sequence, row.len()))
    }
}

//! Vnodes that are given up: all that the store has of them goes with one edit of the manifest.
//!
//! ```text
//! drop_vnode --> next tick: a mark for each in the log, behind which a batch ends
//!            --> the marks are applied: clocks are empty, the memtable is frozen behind them
//!            --> its flush: one edit names its table, and holes in it and in all before it
//! ```
//! So there is one place in the order of the log: what was put before it is gone, what is put
//! behind it stays, and the clocks agree with both at any time, whatever a crash leaves.

use std::rc::Rc;

use schemas::ids::Vnode;

use super::answer::{Done, DropTicket};
use super::{Durability, Store};
use crate::commit_log::Sequence;
use crate::env::Env;
use crate::manifest::Hole;
use crate::record::Mark;
use crate::sstable::{FileId, TokenRange};

/// Vnodes that are dropped together, with the memtable that was frozen for them.
pub(crate) struct Dropped {
    vnodes: Vec<(DropTicket, Vnode, TokenRange)>,
}

impl Dropped {
    /// What the flush of the memtable, to file `id`, takes from tables up to that one.
    pub(crate) fn holes(&self, id: FileId) -> Vec<Hole> {
        let before = FileId(id.0 + 1);
        self.vnodes.iter().map(|&(_, _, tokens)| Hole { tokens, before }).collect()
    }
}

/// Vnodes on their way to be dropped.
#[derive(Default)]
pub(super) struct Drops {
    next: u64,
    asked: Vec<(DropTicket, Vnode, TokenRange)>,
    /// Those whose marks are in the log, and the batch that ends with them.
    marked: Option<(Rc<Dropped>, Sequence)>,
}

impl<E: Env> Store<E> {
    /// Drops all records of `vnode`, dead and alive, and what its clock tells: those put before
    /// this call, and maybe some that are put until [`Done::Dropped`] names the ticket. Until then
    /// reads may still see them, and if the store ends before, nothing is dropped: ask again.
    ///
    /// Nothing is written anew for it. What the records take of the disk is given back as tables
    /// are compacted, those at once of which nothing else is to be seen.
    ///
    /// # Panics
    /// If the store does not own `vnode`.
    pub fn drop_vnode(&mut self, vnode: Vnode) -> DropTicket {
        assert!(self.vnodes.clock(vnode).is_some(), "a vnode of another core");
        let ticket = DropTicket(self.drops.next);
        self.drops.next += 1;
        let (first, last) = self.vnodes.bits().tokens(vnode);
        let tokens = TokenRange::new(first, last).expect("a vnode has tokens");
        self.drops.asked.push((ticket, vnode, tokens));
        ticket
    }

    /// Puts the marks of all vnodes that are to be dropped into the log, if it takes them.
    pub(super) fn mark_drops(&mut self) {
        if self.drops.asked.is_empty() || self.drops.marked.is_some() {
            return;
        }
        let vnodes = self.drops.asked.clone();
        for &(_, vnode, _) in &vnodes {
            let mark = Mark::Clear(vnode, vnode);
            // Not all of them: those that are there clear what is cleared again next time.
            let Ok((sequence, bytes)) = self.log_mark(&mark) else { return };
            match self.config.log.durability {
                Durability::Sync => self.writes.logged_unasked(sequence, bytes),
                Durability::Periodic { .. } | Durability::None => self.vnodes.marked(&mark),
            }
        }
        self.drops.asked.clear();
        self.drops.marked = Some((Rc::new(Dropped { vnodes }), self.log.cut()));
        if self.config.log.durability != Durability::Sync {
            self.freeze_for_drops();
        }
    }

    /// Batches up to `upto` are applied: freezes the memtable if the marks end there.
    pub(super) fn applied_drops(&mut self, upto: Sequence) {
        if self.drops.marked.as_ref().is_some_and(|(_, marked)| *marked <= upto) {
            self.freeze_for_drops();
        }
    }

    fn freeze_for_drops(&mut self) {
        self.freeze();
        let (dropped, _) = self.drops.marked.take().expect("marks were applied");
        let frozen = self.frozen.back_mut().expect("marks are a reason to freeze");
        frozen.dropped = Some(dropped);
    }

    /// The holes are there for readers to see.
    pub(crate) fn dropped(&mut self, dropped: &Dropped) {
        for &(ticket, vnode, _) in &dropped.vnodes {
            self.vnodes.emptied(vnode);
            self.stats.vnodes_dropped += 1;
            self.untold.push(Done::Dropped(ticket));
        }
    }
}

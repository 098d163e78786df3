//! A page of a vnode: the pages of as many copies as the level needs, merged.
//!
//! ```text
//! scan -> page of each of R copies -> as far as the shortest goes: of each key what all of them
//!         have, merged -> the client; copies that have less are told afterwards
//! ```
//! - A key behind the one that was asked for, up to where the page ends, is a read at the level of
//!   the scan: every copy that counted has said what it has of it, or that it has nothing. So none
//!   is skipped, and none that was deleted comes back.
//! - A page may be short, or have no record at all, and say that there is more behind it.

use std::collections::BTreeMap;
use std::rc::Rc;

use schemas::ids::{NodeId, Vnode};
use schemas::limits::{SCAN_PAGE_BYTES_MAX, SCAN_RECORDS_MAX};
use schemas::status::Status;
use smallvec::SmallVec;

use super::operation::{Fate, Operation};
use super::quorum::{Access, Quorum};
use super::read_path::nearest;
use super::request::{Page, Refused, Reply, Scan};
use super::{Asked, Coordinator};
use crate::event::{Effect, RequestId};
use crate::limits::{PATIENCE_MAX, SCANS_MAX};
use crate::message::{Attempt, Message, OpId, Refusal, ScanRead, Scanned, Write};
use crate::mutation::Mutation;
use crate::record::{Key, Record, merge};
use crate::shard::{Core, Turn};
use crate::time::Instant;
use crate::topology::Epoch;

/// A page that is being read.
#[derive(Debug)]
pub(super) struct ScanOp {
    client: RequestId,
    scan: Rc<Scan>,
    pub(super) vnode: Vnode,
    pub(super) epoch: Epoch,
    /// With nothing counted.
    quorum: Quorum,
    copies: SmallVec<[AskedCopy; 4]>,
    deadline: Instant,
    pub(super) alarm: Instant,
}

/// A copy that may be asked.
#[derive(Debug)]
struct AskedCopy {
    node: NodeId,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    /// Since when.
    Waits(Instant),
    Answered(Scanned),
    Refused,
    /// To be asked again.
    Behind,
}

impl Coordinator {
    /// A client of this node wants a page.
    pub(crate) fn scan(&mut self, turn: &mut Turn<'_>, client: RequestId, scan: &Rc<Scan>) {
        let core = &mut *turn.core;
        let &Scan { namespace, seen, patience, .. } = &**scan;
        let malformed = if is_sound(core, scan) { None } else { Some(Status::MalformedBody) };
        let asked = Asked { namespace, seen, patience, operations: 1 };
        let unready = malformed.or_else(|| self.unready(core, turn.now.wall_ms, asked));
        let is_full = self.scans >= SCANS_MAX;
        if let Some(status) = unready.or(is_full.then_some(Status::Overloaded)) {
            return core.reply(client, Reply::Refused(Refused::untouched(status)));
        }
        let vnode = scan.tokens.0.vnode(core.document.bits);
        let quorum = match quorum_of(core, vnode, scan) {
            Ok(quorum) => quorum,
            Err(refused) => return core.reply(client, Reply::Refused(refused)),
        };
        let deadline = turn.now.at + patience.min(PATIENCE_MAX);
        let op = ScanOp {
            client,
            scan: Rc::clone(scan),
            vnode,
            epoch: core.document.ring.epoch(vnode),
            quorum,
            copies: idle(core, vnode, scan),
            deadline,
            alarm: deadline,
        };
        self.scans += 1;
        let id = self.table.insert(Operation::Scan(Box::new(op)));
        let Some(Operation::Scan(op)) = self.table.get_mut(id) else { return };
        op.ask_enough(turn, id);
        self.settle(id, Fate::Stays);
    }

    /// A copy has answered.
    pub(crate) fn scanned(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        attempt: Attempt,
        result: Result<Scanned, Refusal>,
    ) {
        let id = attempt.op;
        let Some(Operation::Scan(op)) = self.table.attempted(attempt) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        let fate = op.hear(turn, id, from, result);
        self.settle(id, fate);
    }
}

/// Whether a scan is of one vnode, and goes on within it.
fn is_sound(core: &Core, scan: &Scan) -> bool {
    let ((first, last), bits) = (scan.tokens, core.document.bits);
    let fits = |key: &Key| key.namespace == scan.namespace && (first..=last).contains(&key.token);
    first <= last && first.vnode(bits) == last.vnode(bits) && scan.after.as_ref().is_none_or(fits)
}

fn quorum_of(core: &Core, vnode: Vnode, scan: &Scan) -> Result<Quorum, Refused> {
    let document = &core.document;
    let unknown = || Refused::untouched(Status::UnknownNamespace);
    let namespace = document.namespace(scan.namespace).ok_or_else(unknown)?;
    let quorum = Quorum::new(document, vnode, namespace, scan.level, Access::Read, core.dc());
    quorum.map_err(|it| {
        let untouched = Refused::untouched(Status::Unavailable);
        Refused { got: it.copies, needed: it.needed, ..untouched }
    })
}

/// The copies that may be asked, the nearest first.
fn idle(core: &Core, vnode: Vnode, scan: &Scan) -> SmallVec<[AskedCopy; 4]> {
    let namespace = core.document.namespace(scan.namespace);
    let nodes = namespace.map(|namespace| nearest(core, vnode, namespace)).unwrap_or_default();
    nodes.into_iter().map(|node| AskedCopy { node, state: State::Idle }).collect()
}

impl ScanOp {
    /// Asks the nearest copies, until enough would have answered if all did that were asked.
    fn ask_enough(&mut self, turn: &mut Turn<'_>, id: OpId) {
        let is_asked = |state: &State| matches!(state, State::Waits(_) | State::Answered(_));
        while !self.could_be_met(turn.core, is_asked) && self.ask_next(turn, id) {}
        self.set_hedge(turn);
    }

    /// Asks the nearest copy that was not asked. Whether there was one.
    fn ask_next(&mut self, turn: &mut Turn<'_>, id: OpId) -> bool {
        let idle = self.copies.iter_mut().find(|it| matches!(it.state, State::Idle));
        let Some(copy) = idle else { return false };
        copy.state = State::Waits(turn.now.at);
        let &Scan { namespace, tokens, ref after, count_max, bytes_max, .. } = &*self.scan;
        let (after, epoch) = (after.clone(), self.epoch);
        let read = ScanRead { op: id, epoch, namespace, tokens, after, count_max, bytes_max };
        turn.core.send(copy.node, self.vnode, Message::Scan(read));
        true
    }

    /// Wakes when the slowest that was asked ought to have answered.
    fn set_hedge(&mut self, turn: &Turn<'_>) {
        let core = &*turn.core;
        let is_idle = self.copies.iter().any(|it| matches!(it.state, State::Idle));
        let waits = self.copies.iter().filter_map(|it| match it.state {
            State::Waits(since) => {
                let patience = core.peers.patience(it.node, core.tunables.latency_first);
                Some(since + patience.max(core.tunables.hedge_after_min))
            }
            _ => None,
        });
        let hedge = waits.min().filter(|&at| is_idle && at > turn.now.at);
        let behind = self.copies.iter().any(|it| matches!(it.state, State::Behind));
        let again = behind.then(|| turn.now.at + core.tunables.behind_pause);
        let next = [hedge, again].into_iter().flatten().min().unwrap_or(self.deadline);
        self.alarm = next.min(self.deadline);
    }

    fn could_be_met(&self, core: &Core, may: impl Fn(&State) -> bool) -> bool {
        let able = self.copies.iter().filter(|it| may(&it.state));
        let members = able.filter_map(|it| core.document.index_of(it.node));
        self.quorum.could_be_met(&core.document.ring, self.vnode, members)
    }

    fn hear(
        &mut self,
        turn: &mut Turn<'_>,
        id: OpId,
        from: NodeId,
        result: Result<Scanned, Refusal>,
    ) -> Fate {
        let waits = |it: &&mut AskedCopy| it.node == from && matches!(it.state, State::Waits(_));
        let Some(copy) = self.copies.iter_mut().find(waits) else {
            turn.core.counts.stray_answers += 1;
            return Fate::Stays;
        };
        copy.state = match result {
            Ok(page) if is_page_of(&self.scan, &page) && is_of(turn.core, self.vnode, &page) => {
                State::Answered(page)
            }
            Ok(_) => {
                turn.core.counts.malformed += 1;
                State::Refused
            }
            Err(Refusal::Behind) => {
                turn.core.effect(Effect::Older(from));
                State::Behind
            }
            Err(refusal) => {
                if let Refusal::Stale(epoch) = refusal {
                    turn.core.heard_newer(from, epoch);
                }
                State::Refused
            }
        };
        if self.could_be_met(turn.core, |state| matches!(state, State::Answered(_))) {
            self.finish(turn.core);
            return Fate::Ends;
        }
        if !self.could_be_met(turn.core, |state| !matches!(state, State::Refused)) {
            self.refuse(turn.core);
            return Fate::Ends;
        }
        self.ask_enough(turn, id);
        Fate::Stays
    }

    fn pages(&self) -> impl Iterator<Item = (NodeId, &Scanned)> {
        self.copies.iter().filter_map(|it| match &it.state {
            State::Answered(page) => Some((it.node, page)),
            _ => None,
        })
    }

    /// Enough have answered: the client is told, and then those that have less.
    fn finish(&self, core: &mut Core) {
        let ends = || self.pages().map(|(_, page)| page.upto.as_ref());
        // Without a key a page goes to the end.
        let farness = |end: &Option<&Key>| (end.is_none(), end.cloned());
        let shortest = if core.is_wrong(Mutation::ScanToLongest) {
            ends().max_by_key(farness)
        } else {
            ends().min_by_key(farness)
        };
        let mut next = shortest.flatten().cloned();
        let mut merged: BTreeMap<&Key, Rc<Record>> = BTreeMap::new();
        for record in self.pages().flat_map(|(_, page)| &page.records) {
            if next.as_ref().is_some_and(|end| record.key > *end) {
                continue;
            }
            let known = merged.get(&record.key);
            let both = known.map_or_else(|| Rc::clone(record), |known| merge(known, record));
            merged.insert(&record.key, both);
        }
        let mut records: Vec<Rc<Record>> = merged.into_values().collect();
        if let Some(count) = self.too_many(&records) {
            records.truncate(count);
            next = records.last().map(|it| it.key.clone());
        }
        for record in &records {
            self.mend(core, record);
        }
        core.reply(self.client, Reply::Page(Page { records, next }));
    }

    /// How many of the records are a page, if not all of them.
    fn too_many(&self, records: &[Rc<Record>]) -> Option<usize> {
        let count_max = self.scan.count_max.clamp(1, SCAN_RECORDS_MAX);
        let bytes_max = self.scan.bytes_max.min(SCAN_PAGE_BYTES_MAX);
        let mut bytes = 0;
        let is_over = |(at, record): (usize, &Rc<Record>)| {
            bytes += record.key.bytes.len() + record.value.len();
            at >= count_max || (at > 0 && bytes > bytes_max)
        };
        records.iter().enumerate().position(is_over)
    }

    /// Tells copies that answered and have less than `record`.
    fn mend(&self, core: &mut Core, record: &Rc<Record>) {
        let digest = record.digest();
        for (node, page) in self.pages() {
            let has = page.records.binary_search_by(|it| it.key.cmp(&record.key));
            if has.is_ok_and(|at| page.records[at].digest() == digest) {
                continue;
            }
            core.counts.read_repairs += 1;
            let (epoch, record) = (self.epoch, Rc::clone(record));
            let write = Write { op: None, epoch, record, stands_in_for: None };
            core.send(node, self.vnode, Message::Write(write));
        }
    }

    fn refuse(&self, core: &mut Core) {
        let mut quorum = self.quorum.clone();
        for (node, _) in self.pages() {
            if let Some(member) = core.document.index_of(node) {
                quorum.count(&core.document.ring, self.vnode, member);
            }
        }
        let (got, needed) = quorum.progress();
        let refused = Refused { got, needed, ..Refused::untouched(Status::Unavailable) };
        core.reply(self.client, Reply::Refused(refused));
    }

    /// Time to ask one copy more, or to give up.
    pub(super) fn due(&mut self, turn: &mut Turn<'_>, id: OpId) -> Fate {
        if turn.now.at >= self.deadline {
            self.refuse(turn.core);
            return Fate::Ends;
        }
        for copy in self.copies.iter_mut().filter(|it| matches!(it.state, State::Behind)) {
            copy.state = State::Idle;
        }
        if self.ask_next(turn, id) {
            turn.core.counts.hedges += 1;
        }
        self.set_hedge(turn);
        Fate::Stays
    }

    /// The vnode has changed: asks the copies of now.
    pub(super) fn retarget(&mut self, turn: &mut Turn<'_>, id: OpId) -> Fate {
        let epoch = turn.core.document.ring.epoch(self.vnode);
        if epoch != self.epoch
            && let Ok(quorum) = quorum_of(turn.core, self.vnode, &self.scan)
        {
            (self.quorum, self.epoch) = (quorum, epoch);
            self.copies = idle(turn.core, self.vnode, &self.scan);
            self.ask_enough(turn, id);
        }
        Fate::Stays
    }
}

/// Whether all records of a page can be, and are no more than one may have.
fn is_of(core: &Core, vnode: Vnode, page: &Scanned) -> bool {
    page.records.len() <= SCAN_RECORDS_MAX
        && page.records.iter().all(|it| core.is_record_of(vnode, it))
}

/// Whether a page can be an answer: records of the namespace, ascending, within what was asked for
/// and what it says it tells of.
fn is_page_of(scan: &Scan, page: &Scanned) -> bool {
    let (first, last) = scan.tokens;
    let is_behind = |key: &Key| scan.after.as_ref().is_none_or(|after| key > after);
    let fits = |key: &Key| {
        key.namespace == scan.namespace && (first..=last).contains(&key.token) && is_behind(key)
    };
    let is_told = |key: &Key| page.upto.as_ref().is_none_or(|end| key <= end);
    page.upto.as_ref().is_none_or(fits)
        && page.records.iter().all(|it| fits(&it.key) && is_told(&it.key))
        && page.records.is_sorted_by(|a, b| a.key < b.key)
}

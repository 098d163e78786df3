//! [`Handoff`]: records that this node keeps for owners that did not take them, until they do.
//!
//! - A hint that counted toward an acknowledgement is data. It is dropped when every owner of its
//!   vnode has confirmed that it has merged the record into what it has, on disk: a greater version
//!   there does not say that of a set of siblings. When there is no room for it, it is refused
//!   before it counts.
//! - Other hints only save anti-entropy work. Past their bounds they are not kept, and anti-entropy
//!   is told which vnode of whom to look at.
//! - A hint for a node that does not own the vnode any more, or is lost, goes to those that do.
//! - The receiver sets the pace: so many are under way to it, and the next follow when it has them
//!   on disk.
//!
//! How many bytes are kept is counted up as they come, and set anew when all of a target's have
//! been read through: a bound may be felt early, never late.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use schemas::ids::{NodeId, Vnode};

use crate::coordinator::{Access, copies};
use crate::event::{Hint, Order};
use crate::message::{Message, OpId, Refusal};
use crate::mutation::Mutation;
use crate::record::{Key, Record};
use crate::shard::{Core, Purpose, Sizes};
use crate::time::Instant;
use crate::topology::Standing;

/// Hints under way to one target.
const WINDOW: usize = 32;

/// How often to look whether a target that does not answer does, beside being told.
const DOWN_PAUSE: Duration = Duration::from_secs(10);

/// What the store does for handoff.
#[derive(Clone, Debug)]
pub(crate) enum HintStep {
    /// Keeps one that nobody waits for.
    Kept(NodeId),
    /// Reads hints for a target.
    Read(NodeId),
    /// Forgets one.
    Dropped,
}

/// What is kept for one owner.
#[derive(Debug, Default)]
struct Target {
    /// By vnode: bytes of hints that only save work.
    spare_bytes: BTreeMap<Vnode, usize>,
    counted_bytes: usize,
    /// Where the store was read up to.
    after: Option<Key>,
    is_reading: bool,
    /// Whether the store has more behind that.
    has_more: bool,
    sent: BTreeMap<OpId, Sent>,
    next_try: Instant,
    tries: u32,
    /// Whether one was not confirmed since the first was read.
    has_failed: bool,
    /// Whether one was kept since the first was read.
    is_new: bool,
}

/// A hint that is under way.
#[derive(Debug)]
struct Sent {
    record: Rc<Record>,
    /// Who has not confirmed it.
    waits_for: BTreeSet<NodeId>,
    deadline: Instant,
}

/// Records that are kept for others.
#[derive(Debug)]
pub(crate) struct Handoff {
    targets: BTreeMap<NodeId, Target>,
    next_op: u64,
    /// Vnodes of owners for which hints were not kept.
    dirty: BTreeSet<(NodeId, Vnode)>,
}

impl Handoff {
    /// With hints for `targets` in the store.
    pub(crate) fn new(boot: u32, targets: impl IntoIterator<Item = NodeId>) -> Self {
        let target = |node| (node, Target { has_more: true, ..Target::default() });
        Self {
            targets: targets.into_iter().map(target).collect(),
            next_op: u64::from(boot) << 40,
            dirty: BTreeSet::new(),
        }
    }

    /// Whether there is room for a hint that will count.
    pub(crate) fn has_room(&self, core: &Core, record: &Record) -> bool {
        let counted: usize = self.targets.values().map(|it| it.counted_bytes).sum();
        counted + bytes_of(record) <= core.tunables.counted_hint_bytes_max
    }

    /// A hint that counts is being kept.
    pub(crate) fn counted(&mut self, now: Instant, target: NodeId, record: &Record) {
        let it = self.targets.entry(target).or_default();
        it.counted_bytes += bytes_of(record);
        it.is_wanted(now);
    }

    /// Keeps a record for an owner that did not answer, if there is room.
    pub(crate) fn spare(
        &mut self,
        now: Instant,
        core: &mut Core,
        target: NodeId,
        record: &Rc<Record>,
    ) {
        let vnode = core.vnode_of(&record.key);
        let it = self.targets.entry(target).or_default();
        let kept = it.spare_bytes.entry(vnode).or_default();
        if *kept + bytes_of(record) > core.tunables.spare_hint_bytes_max {
            core.counts.hints_dropped += 1;
            self.dirty.insert((target, vnode));
            return;
        }
        *kept += bytes_of(record);
        it.is_wanted(now);
        let record = Rc::clone(record);
        let order = Order::PutHint { target, record, is_counted: false };
        core.order(Purpose::Handoff(HintStep::Kept(target)), order);
    }

    /// A hint for `target` is on disk.
    pub(crate) fn durable(&mut self, now: Instant, target: NodeId) {
        self.targets.entry(target).or_default().is_wanted(now);
    }

    /// Vnodes of which `node` was not kept all it missed, now that it answers.
    pub(crate) fn take_dirty(&mut self, node: NodeId) -> Vec<Vnode> {
        let dirty: Vec<_> = self.dirty.iter().copied().filter(|it| it.0 == node).collect();
        dirty.iter().for_each(|it| {
            self.dirty.remove(it);
        });
        dirty.into_iter().map(|(_, vnode)| vnode).collect()
    }

    /// The topology has changed: nobody compares with who is no member any more.
    pub(crate) fn topology(&mut self, core: &Core) {
        self.dirty.retain(|(node, _)| core.document.index_of(*node).is_some());
    }

    /// Writes down how much there is of what.
    pub(crate) fn measure(&self, sizes: &mut Sizes) {
        sizes.targets = self.targets.len();
        sizes.hints = self.targets.values().map(|it| it.sent.len()).sum();
        sizes.dirty = self.dirty.len();
    }

    /// Whether nothing is kept for anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// A node answers again.
    pub(crate) fn is_up(&mut self, now: Instant, node: NodeId) {
        if let Some(it) = self.targets.get_mut(&node) {
            (it.tries, it.next_try) = (0, now);
        }
    }

    /// The store has read hints of `target`.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        core: &mut Core,
        target: NodeId,
        hints: Vec<Hint>,
        has_more: bool,
    ) {
        let Some(it) = self.targets.get_mut(&target) else { return };
        (it.is_reading, it.has_more) = (false, has_more);
        if let Some(last) = hints.last() {
            it.after = Some(last.record.key.clone());
        }
        for Hint { record, is_counted } in hints {
            let vnode = core.vnode_of(&record.key);
            let owners = owners(core, vnode);
            let is_owner = owners.contains(&target);
            let waits_for: BTreeSet<NodeId> =
                if is_counted || !is_owner { owners } else { BTreeSet::from([target]) };
            let op = OpId(self.next_op);
            self.next_op += 1;
            send(core, &waits_for, vnode, op, &record);
            if core.is_wrong(Mutation::ForgetSentHint) {
                drop_hint(core, target, &record);
            }
            let deadline = now + core.tunables.handoff_patience;
            it.sent.insert(op, Sent { record, waits_for, deadline });
        }
        it.end_round(now);
    }

    /// The store could not read hints of `target`.
    pub(crate) fn not_read(&mut self, now: Instant, target: NodeId) {
        if let Some(it) = self.targets.get_mut(&target) {
            (it.is_reading, it.next_try) = (false, now + DOWN_PAUSE);
        }
    }

    /// A node has a record on disk, or will not take it.
    pub(crate) fn confirmed(
        &mut self,
        now: Instant,
        core: &mut Core,
        from: NodeId,
        op: OpId,
        result: Result<(), Refusal>,
    ) {
        let found = self.targets.iter_mut().find(|(_, it)| it.sent.contains_key(&op));
        let Some((&target, it)) = found else {
            core.counts.stray_answers += 1;
            return;
        };
        let Some(sent) = it.sent.get_mut(&op) else { return };
        if result.is_err() || !sent.waits_for.remove(&from) {
            return;
        }
        if sent.waits_for.is_empty()
            && let Some(sent) = it.sent.remove(&op)
        {
            drop_hint(core, target, &sent.record);
            core.counts.hints_delivered += 1;
        }
        it.end_round(now);
        self.go_on(now, core);
    }

    /// Reads more hints where there is room on the way, and gives up on those that are late.
    pub(crate) fn go_on(&mut self, now: Instant, core: &mut Core) {
        for (&target, it) in &mut self.targets {
            let before = it.sent.len();
            it.sent.retain(|_, sent| sent.deadline > now);
            it.has_failed |= it.sent.len() < before;
            it.end_round(now);
            if !it.may_read() || it.next_try > now {
                continue;
            }
            if is_there(core, target) && !core.is_up(target) {
                it.next_try = now + DOWN_PAUSE;
            } else {
                it.is_reading = true;
                let (after, count_max) = (it.after.clone(), WINDOW - it.sent.len());
                let order = Order::Hints { target, after, count_max };
                core.order(Purpose::Handoff(HintStep::Read(target)), order);
            }
        }
        self.targets.retain(|_, it| it.is_reading || it.has_more || !it.sent.is_empty());
    }

    /// When [`go_on`](Self::go_on) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let of = |it: &Target| {
            let late = it.sent.values().map(|sent| sent.deadline);
            late.chain(it.may_read().then_some(it.next_try)).min()
        };
        self.targets.values().filter_map(of).min()
    }
}

impl Target {
    fn may_read(&self) -> bool {
        self.has_more && !self.is_reading && self.sent.len() < WINDOW
    }

    /// There is something to deliver.
    fn is_wanted(&mut self, now: Instant) {
        self.is_new = true;
        self.end_round(now);
    }

    /// Begins anew if the store was read to its end and all answers are there, and there is a
    /// reason to: after a pause if one was not confirmed.
    fn end_round(&mut self, now: Instant) {
        if self.has_more || self.is_reading || !self.sent.is_empty() {
            return;
        }
        if std::mem::take(&mut self.has_failed) {
            self.tries = (self.tries + 1).min(6);
            self.next_try = now + Duration::from_secs(1 << self.tries);
            (self.after, self.has_more, self.is_new) = (None, true, false);
        } else if std::mem::take(&mut self.is_new) {
            (self.after, self.has_more) = (None, true);
        } else {
            self.tries = 0;
            self.spare_bytes.clear();
            self.counted_bytes = 0;
        }
    }
}

/// Who is to have records of `vnode`. A member that is lost is owner in name alone.
fn owners(core: &Core, vnode: Vnode) -> BTreeSet<NodeId> {
    let all = copies(&core.document, vnode, None, Access::Write);
    all.into_iter().filter(|&node| is_there(core, node)).collect()
}

/// Whether `node` is a member that is not lost.
fn is_there(core: &Core, node: NodeId) -> bool {
    let index = core.document.index_of(node);
    index.is_some_and(|index| core.document.member(index).standing != Standing::Lost)
}

fn send(core: &mut Core, to: &BTreeSet<NodeId>, vnode: Vnode, op: OpId, record: &Rc<Record>) {
    let epoch = core.document.ring.epoch(vnode);
    for &node in to {
        let record = Rc::clone(record);
        core.send(node, vnode, Message::Hint { op, epoch, record });
    }
}

/// Forgets a hint, unless the store has something newer in its place.
fn drop_hint(core: &mut Core, target: NodeId, record: &Record) {
    let (key, digest) = (record.key.clone(), record.digest());
    core.order(Purpose::Handoff(HintStep::Dropped), Order::DropHint { target, key, digest });
}

/// What a record takes, about.
fn bytes_of(record: &Record) -> usize {
    64 + record.key.bytes.len() + record.value.len()
}

//! The side that asks: one session, step by step.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use schemas::clock::VnodeClock;
use schemas::ids::{Hlc, NodeId, Token, Vnode};

use super::LEAVES;
use super::answering::{cut, hash_of, is_within, summary, tokens_of};
use super::schedule::given;
use crate::coordinator::{Access, copies};
use crate::event::{Order, Page, StoreError, Stored};
use crate::horizon::{Horizon, HorizonIs, adopt};
use crate::limits::{HAS_MAX, HORIZON_AHEAD_MS_MAX, PAGE_RECORDS_MAX};
use crate::message::{HorizonMessage, Message, OpId, Pull, PullWanted, Pulled, Refusal};
use crate::mutation::Mutation;
use crate::record::{Key, Record, merge};
use crate::shard::{Core, Purpose, Turn};
use crate::time::Instant;
use crate::topology::Epoch;

/// Bytes of a record beside its key and value, about.
const RECORD_BYTES: usize = 64;

/// What the store does for a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RepairStep {
    /// Reads what the session asks the other with, or compares with the other's.
    Read(OpId),
    /// Keeps a record that the other had.
    Put(OpId),
    /// Joins the other's clock.
    Join(OpId),
    /// Remembers that the vnode is held.
    Hold(Vnode),
    /// Remembers that its clock tells all that is there.
    Exact(Vnode),
}

/// A session with another owner.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: OpId,
    pub(super) vnode: Vnode,
    pub(super) peer: NodeId,
    pub(super) deadline: Instant,
    /// Whether it is for a copy that takes the vnode over, or has not all of it.
    pub(super) is_move: bool,
    /// Until when the next page is not asked for.
    pub(super) waits: Option<Instant>,
    epoch: Epoch,
    /// Steps that were asked for.
    step: u32,
    /// Whether the last of them was not answered.
    is_asking: bool,
    pub(super) came: Came,
    /// The own clock, from when the session began.
    ours: VnodeClock,
    /// The other's clock, from when the session began.
    theirs: Option<VnodeClock>,
    /// Whether the other had all of the vnode then.
    pub(super) is_of_holder: bool,
    /// Whether all is compared, both ways.
    pub(super) is_whole: bool,
    /// What this node has of the page that is asked for.
    own: Page,
    /// What was given to the other, and is not on disk there.
    gives: BTreeSet<OpId>,
    gives_count: u64,
    /// Whether the other knows all that this node's horizon is of: what it has is as good below the
    /// horizon as above.
    is_mirrored: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Reads the own clock.
    Begins,
    /// Gets records of the dots that the own clock lacked, behind a key.
    Since(Option<Key>),
    /// Gets the other's leaves.
    Leaves,
    /// Reads the own leaves.
    Compares(Vec<u64>),
    /// Gets records of leaves that differ: the first, from the key on; reads its own of them first.
    Leaf(VecDeque<u16>, Option<Key>),
    /// Puts records: how many are not on disk, and what follows.
    Stores(usize, Box<Stage>),
    Joins,
}

/// The last key of a page that has more behind it.
fn end_of(page: &Page) -> Option<Key> {
    page.records.last().filter(|_| page.has_more).map(|it| it.key.clone())
}

/// What has come in a session, and what is to come.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Came {
    records: u64,
    bytes: u64,
    /// Dots that the own clock lacked.
    lacks: u64,
    /// Leaves that differed; 0 if they are not compared.
    leaves: usize,
}

/// How a session stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    GoesOn,
    /// A page is on disk: the next may be asked for.
    Turns,
    Done,
    Failed,
    /// This node's copy has not all that the other's horizon is of: it is to begin anew.
    FallsShort(Rc<Horizon>),
}

/// Bytes that count for the pace: what a record is on its way, about.
pub(super) fn bytes_of(page: &Page) -> u64 {
    let bytes = page.records.iter().map(|it| it.key.bytes.len() + it.value.len() + RECORD_BYTES);
    bytes.sum::<usize>() as u64
}

impl Session {
    /// Of the vnode, when the session began.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Bytes that are still to come; `None` before that can be told.
    pub(super) fn bytes_left(&self) -> Option<u64> {
        let Came { records, bytes, lacks, leaves } = self.came;
        let (left, done) = match (&self.stage, leaves) {
            (_, 0) => (lacks.saturating_sub(records), records),
            (Stage::Leaf(open, _), all) => (open.len() as u64, (all - open.len()) as u64),
            (Stage::Joins, _) => (0, 1),
            (_, all) => (all as u64, 0),
        };
        self.theirs.as_ref()?;
        match (left, done) {
            (0, _) => Some(0),
            (_, 0) => None,
            (left, done) => Some((u128::from(bytes) * u128::from(left) / u128::from(done)) as u64),
        }
    }

    pub(super) fn begin(
        turn: &mut Turn<'_>,
        id: OpId,
        vnode: Vnode,
        peer: NodeId,
        is_move: bool,
    ) -> Self {
        let core = &mut *turn.core;
        // Who gives the vnode away takes nothing more of it.
        let is_owner = copies(&core.document, vnode, None, Access::Write).contains(&peer);
        let is_whole = is_owner && core.inexact.contains(&vnode);
        core.order(Purpose::Repair(RepairStep::Read(id)), Order::Clock(vnode));
        Self {
            id,
            vnode,
            peer,
            deadline: turn.now.at + core.tunables.repair_patience,
            is_move,
            waits: None,
            epoch: core.document.ring.epoch(vnode),
            step: 0,
            is_asking: false,
            came: Came::default(),
            ours: VnodeClock::default(),
            theirs: None,
            is_of_holder: false,
            is_whole,
            own: Page::default(),
            gives: BTreeSet::new(),
            gives_count: 0,
            is_mirrored: true,
            stage: Stage::Begins,
        }
    }

    fn ask(&mut self, core: &mut Core, wanted: PullWanted) {
        self.step += 1;
        self.is_asking = true;
        let (session, step, epoch) = (self.id, self.step, self.epoch);
        let below = core.below(self.vnode);
        let pull = Pull { session, step, epoch, below, wanted };
        core.send(self.peer, self.vnode, Message::Pull(pull));
    }

    fn ask_leaves(&mut self, core: &mut Core) -> Progress {
        self.stage = Stage::Leaves;
        core.counts.repairs_by_leaves += 1;
        self.ask(core, PullWanted::Leaves);
        Progress::GoesOn
    }

    /// The store has read something.
    pub(super) fn read(
        &mut self,
        turn: &mut Turn<'_>,
        result: Result<Stored, StoreError>,
    ) -> Progress {
        let Ok(stored) = result else { return Progress::Failed };
        match (&mut self.stage, stored) {
            (Stage::Begins, Stored::Clock(clock)) => {
                self.ours = clock;
                if self.is_whole {
                    return self.ask_leaves(turn.core);
                }
                self.stage = Stage::Since(None);
                self.next_since(turn.core)
            }
            (Stage::Compares(theirs), Stored::Leaves(_, ours)) => {
                let differ = (0..LEAVES)
                    .filter(|&leaf| ours.get(usize::from(leaf)) != theirs.get(usize::from(leaf)));
                let is_hasty = turn.core.is_wrong(Mutation::CompareOneLeaf);
                let count_max = if is_hasty { 1 } else { usize::from(LEAVES) };
                let differ: VecDeque<u16> = differ.take(count_max).collect();
                self.came.leaves = differ.len();
                self.stage = Stage::Leaf(differ, None);
                self.next_leaf(turn.core)
            }
            (Stage::Leaf(leaves, after), Stored::Page(page)) => {
                let (leaf, after) = (leaves[0], after.clone());
                self.own = cut(page);
                let has = summary(&self.own.records);
                self.ask(turn.core, PullWanted::Leaf { leaf, after, has });
                Progress::GoesOn
            }
            (stage, stored) => unreachable!("{stage:?} reads no {stored:?}"),
        }
    }

    /// The other has answered.
    pub(super) fn pulled(
        &mut self,
        turn: &mut Turn<'_>,
        step: u32,
        (is_held, horizon): (bool, &HorizonIs),
        result: Result<Pulled, Refusal>,
    ) -> Progress {
        if step != self.step || !self.is_asking {
            turn.core.counts.stray_answers += 1;
            return Progress::GoesOn;
        }
        self.is_asking = false;
        let answer = match result {
            Ok(answer) => answer,
            Err(refusal) => {
                if let Refusal::Stale(epoch) = refusal {
                    turn.core.heard_newer(self.peer, epoch);
                }
                return Progress::Failed;
            }
        };
        let is_horizon = match horizon {
            HorizonIs::Higher(theirs) => {
                let latest =
                    Hlc::from_millis(turn.now.wall_ms.saturating_add(HORIZON_AHEAD_MS_MAX));
                theirs.below <= latest && turn.core.is_clock_of(self.vnode, &theirs.clock)
            }
            HorizonIs::Same | HorizonIs::Lower => true,
        };
        if !is_horizon || !self.can_be(turn.core, &answer) {
            turn.core.counts.malformed += 1;
            return Progress::Failed;
        }
        if let Err(progress) = self.compare_horizons(turn.core, (is_held, horizon), &answer) {
            return progress;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Begins);
        match (stage, answer) {
            (Stage::Since(_), Pulled::Records(theirs, page)) => {
                if self.theirs.is_none() {
                    self.came.lacks = theirs.count_beyond(&self.ours);
                }
                if self.theirs.is_none() || turn.core.is_wrong(Mutation::JoinLaterClock) {
                    (self.theirs, self.is_of_holder) = (Some(theirs), is_held);
                }
                self.store(turn, page, Stage::Since(None))
            }
            (Stage::Since(..), Pulled::Compare) => self.ask_leaves(turn.core),
            (Stage::Leaves, Pulled::Leaves(theirs, leaves)) => {
                (self.theirs, self.is_of_holder) = (Some(theirs), is_held);
                self.stage = Stage::Compares(leaves);
                let purpose = Purpose::Repair(RepairStep::Read(self.id));
                let (vnode, below) = (self.vnode, turn.core.below(self.vnode));
                turn.core.order(purpose, Order::Leaves { vnode, below });
                Progress::GoesOn
            }
            (Stage::Leaf(leaves, _), Pulled::Leaf(page, lacks)) => {
                if self.is_whole {
                    self.give(turn.core, &page, &lacks);
                }
                self.store(turn, page, Stage::Leaf(leaves, None))
            }
            (stage, answer) => unreachable!("{stage:?} has asked for no {answer:?}"),
        }
    }

    /// Whether an answer is one to what was asked: records of this life's own dots that were never
    /// given would let dots be given twice, and a page that does not go on would never end.
    fn can_be(&self, core: &Core, answer: &Pulled) -> bool {
        let all = core.document.bits.tokens(self.vnode);
        match (&self.stage, answer) {
            (Stage::Since(after), Pulled::Records(clock, page)) => {
                core.is_clock_of(self.vnode, clock) && self.follows(core, all, after, page)
            }
            (Stage::Leaf(leaves, after), Pulled::Leaf(page, lacks)) => {
                let tokens = tokens_of(core.document.bits, self.vnode, leaves[0]);
                lacks.len() <= HAS_MAX && self.follows(core, tokens, after, page)
            }
            (Stage::Leaves, Pulled::Leaves(clock, leaves)) => {
                core.is_clock_of(self.vnode, clock) && leaves.len() == usize::from(LEAVES)
            }
            (Stage::Since(..), Pulled::Compare) => true,
            _ => false,
        }
    }

    /// Whether a page has records of these tokens, ascending from behind `after` on.
    fn follows(
        &self,
        core: &Core,
        tokens: (Token, Token),
        after: &Option<Key>,
        page: &Page,
    ) -> bool {
        let records = &page.records;
        let first = records.first().map(|it| &it.key);
        records.len() <= PAGE_RECORDS_MAX
            && (first.is_some() || !page.has_more)
            && (first.is_none() || after.is_none() || first > after.as_ref())
            && records.is_sorted_by(|a, b| a.key < b.key)
            && records
                .iter()
                .all(|it| is_within(tokens, it.key.token) && core.is_record_of(self.vnode, it))
    }

    /// Goes on only with who has the same horizon, or is to give away what it has.
    fn compare_horizons(
        &mut self,
        core: &mut Core,
        (is_held, horizon): (bool, &HorizonIs),
        answer: &Pulled,
    ) -> Result<(), Progress> {
        self.is_mirrored = true;
        match horizon {
            HorizonIs::Same => Ok(()),
            HorizonIs::Higher(theirs) => {
                let has_all = self.ours.dominates(&theirs.clock);
                if has_all || core.is_wrong(Mutation::CopyBelowHorizonServes) {
                    adopt(core, self.vnode, Rc::clone(theirs));
                    return Ok(());
                }
                let owners = copies(&core.document, self.vnode, None, Access::Write);
                if owners.contains(&self.peer) {
                    return Err(Progress::FallsShort(Rc::clone(theirs)));
                }
                // Who gave the vnode away would not take what is here. Another owner may have the
                // horizon, too; and where there is none, all that there is is wanted.
                self.is_mirrored = false;
                if owners.len() > 1 { Err(Progress::Failed) } else { Ok(()) }
            }
            HorizonIs::Lower => {
                let clock = match answer {
                    Pulled::Records(clock, _) | Pulled::Leaves(clock, _) => Some(clock),
                    Pulled::Leaf(..) | Pulled::Compare => None,
                };
                let (Some(clock), Some(ours)) =
                    (self.theirs.as_ref().or(clock), core.horizons.get(&self.vnode))
                else {
                    return Ok(());
                };
                if is_held && clock.dominates(&ours.clock) {
                    // It may have what came after it told all it had, and before it heard this.
                    let (epoch, horizon) = (self.epoch, Rc::clone(ours));
                    let message = HorizonMessage::Advance { epoch, horizon };
                    core.send(self.peer, self.vnode, Message::Horizon(message));
                    return Err(Progress::Failed);
                }
                self.is_mirrored = false;
                Ok(())
            }
        }
    }

    /// Stores a page; what follows is of `then`.
    fn store(&mut self, turn: &mut Turn<'_>, page: Page, then: Stage) -> Progress {
        let core = &mut *turn.core;
        self.deadline = turn.now.at + core.tunables.repair_patience;
        core.counts.repaired_records += page.records.len() as u64;
        self.came.records += page.records.len() as u64;
        self.came.bytes += bytes_of(&page);
        let mut last = end_of(&page);
        if let (Stage::Leaf(..), true, Some(own)) = (&then, self.is_whole, end_of(&self.own)) {
            // What is there behind it is still to be told.
            last = Some(last.map_or(own.clone(), |last| last.min(own)));
        }
        let then = match (then, last) {
            (Stage::Since(..), Some(_)) if core.is_wrong(Mutation::JoinAfterPage) => Stage::Joins,
            (Stage::Since(_), Some(last)) => Stage::Since(Some(last)),
            (Stage::Since(..), None) => Stage::Joins,
            (Stage::Leaf(leaves, _), Some(last)) => Stage::Leaf(leaves, Some(last)),
            (Stage::Leaf(mut leaves, _), None) => {
                leaves.pop_front();
                Stage::Leaf(leaves, None)
            }
            (then, _) => then,
        };
        let mut count = 0;
        for record in page.records {
            let order = if self.is_mirrored {
                Some(Order::Put(record))
            } else {
                core.as_it_arrives(self.vnode, record)
            };
            if let Some(order) = order {
                count += 1;
                core.order(Purpose::Repair(RepairStep::Put(self.id)), order);
            }
        }
        self.stage = Stage::Stores(count, Box::new(then));
        self.go_on(turn)
    }

    /// A record is on disk.
    pub(super) fn put(&mut self, turn: &mut Turn<'_>) -> Progress {
        if let Stage::Stores(left, _) = &mut self.stage {
            *left -= 1;
        }
        self.go_on(turn)
    }

    /// The other has what it was given on disk, or will not have it. `None` if that is of another
    /// session.
    pub(super) fn given(
        &mut self,
        turn: &mut Turn<'_>,
        op: OpId,
        result: Result<(), Refusal>,
    ) -> Option<Progress> {
        let is_own = self.gives.remove(&op);
        is_own.then(|| if result.is_ok() { self.go_on(turn) } else { Progress::Failed })
    }

    /// Gives the other what it lacks of the page that both have looked at.
    fn give(&mut self, core: &mut Core, page: &Page, lacks: &[u64]) {
        let end = end_of(page);
        let is_seen = |record: &&Rc<Record>| end.as_ref().is_none_or(|end| record.key <= *end);
        for record in self.own.records.iter().filter(is_seen) {
            let theirs = page.records.iter().find(|it| it.key == record.key);
            let is_there = theirs.is_some_and(|it| merge(it, record) == *it);
            if is_there || !lacks.contains(&hash_of(&record.key)) {
                continue;
            }
            let op = given(self.id, self.gives_count);
            self.gives_count += 1;
            self.gives.insert(op);
            let (epoch, record) = (self.epoch, Rc::clone(record));
            core.send(self.peer, self.vnode, Message::Hint { op, epoch, record });
        }
    }

    /// Goes on behind a page that is stored, here and there.
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Progress {
        match &self.stage {
            Stage::Stores(0, _) if self.gives.is_empty() => self.stored(turn),
            _ => Progress::GoesOn,
        }
    }

    fn stored(&mut self, turn: &mut Turn<'_>) -> Progress {
        let stage = std::mem::replace(&mut self.stage, Stage::Begins);
        let Stage::Stores(_, then) = stage else { unreachable!("it stored a page") };
        self.stage = *then;
        match &self.stage {
            Stage::Joins => self.join(turn.core),
            Stage::Since(..) | Stage::Leaf(..) => Progress::Turns,
            stage => unreachable!("{stage:?} follows no page"),
        }
    }

    /// Asks for the next page.
    pub(super) fn turn_page(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.waits = None;
        self.deadline = turn.now.at + turn.core.tunables.repair_patience;
        match &self.stage {
            Stage::Since(..) => self.next_since(turn.core),
            Stage::Leaf(..) => self.next_leaf(turn.core),
            stage => unreachable!("{stage:?} has no next page"),
        }
    }

    fn next_since(&mut self, core: &mut Core) -> Progress {
        let Stage::Since(after) = &self.stage else { unreachable!("it lacks dots") };
        let wanted = PullWanted::Since { clock: self.ours.clone(), after: after.clone() };
        self.ask(core, wanted);
        Progress::GoesOn
    }

    /// Goes on with the next leaf that differs, or ends.
    fn next_leaf(&mut self, core: &mut Core) -> Progress {
        let Stage::Leaf(leaves, after) = &self.stage else { unreachable!("it compares leaves") };
        let Some(&leaf) = leaves.front() else { return self.join(core) };
        let tokens = tokens_of(core.document.bits, self.vnode, leaf);
        let (after, bytes_max) = (after.clone(), core.tunables.repair_page_bytes_max);
        let order = Order::Page { tokens, after, bytes_max };
        core.order(Purpose::Repair(RepairStep::Read(self.id)), order);
        Progress::GoesOn
    }

    fn join(&mut self, core: &mut Core) -> Progress {
        let clock = self.theirs.take().expect("the other has told its clock");
        self.stage = Stage::Joins;
        let order = Order::Join(self.vnode, clock);
        core.order(Purpose::Repair(RepairStep::Join(self.id)), order);
        Progress::GoesOn
    }
}

//! [`plan`]: what a change of the topology will have nodes stream and store, as data, to be looked
//! at before it is proposed.
//!
//! - It counts all that is still to move in the document after the change, also what was on its way
//!   before.
//! - All is an upper bound: a vnode counts with all its bytes whatever it lacks, and a node drops
//!   nothing before everything has come that is to come.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use schemas::ids::{NodeId, Vnode};

use crate::topology::{Document, MemberIndex, Phase, Slot, Standing};

/// What is known beside the documents.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Bytes of one copy, by vnode.
    pub bytes: &'a [u64],
    /// Nodes that answer, ascending.
    pub up: &'a [NodeId],
    /// Bytes a second from one node to another; each link is taken to have as many for itself.
    pub link_bytes_per_second: NonZeroU64,
}

/// What a change will have nodes do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Who streams to whom, ascending by source and destination.
    pub links: Vec<Link>,
    /// Nodes that hold, give or get copies, ascending.
    pub nodes: Vec<Share>,
    /// Data centres' copies of vnodes of which not all can be read, ascending by vnode.
    pub reduced: Vec<Reduced>,
    /// Copies to stream, and their bytes: each once, however many links it comes by.
    pub streamed: Volume,
    /// Those of them that were on their way to the same node before the change.
    pub under_way: Volume,
    /// Copies that were on their way before the change and are not any more.
    pub abandoned: Volume,
    /// Copies that nobody is left to stream: every reader was lost.
    pub without_source: Volume,
    /// Until the last link is done whose ends are both up.
    pub eta: Duration,
}

/// Copies of vnodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Volume {
    /// How many.
    pub copies: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Volume {
    fn add(&mut self, bytes: u64) {
        self.copies += 1;
        self.bytes += bytes;
    }
}

/// What one node streams to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The source.
    pub from: NodeId,
    /// The destination.
    pub to: NodeId,
    /// What goes over it. What replaces a lost reader, or nobody, comes from all other readers,
    /// from each what those before had not: here it counts in full on each link.
    pub volume: Volume,
    /// Whether both ends are up: if not, the link waits.
    pub is_up: bool,
    /// How long it takes.
    pub eta: Duration,
}

/// What a change means to one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// The node.
    pub node: NodeId,
    /// What it has.
    pub before: Volume,
    /// What it gets: each copy once.
    pub incoming: Volume,
    /// What it streams to others, as links count it.
    pub outgoing: Volume,
    /// What it has when all is done.
    pub after: Volume,
    /// Bytes it may have at once.
    pub bytes_peak: u64,
}

/// A vnode of whose copies in one data centre not all can be read, until successors have caught up
/// or nodes come back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reduced {
    /// The vnode.
    pub vnode: Vnode,
    /// The data centre, by its place in the ring's layout.
    pub dc: usize,
    /// Copies that are read.
    pub copies: u32,
    /// Those of them whose nodes are up and not lost.
    pub live: u32,
}

impl Reduced {
    /// Whether a majority of the data centre's copies can be read.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.live > self.copies / 2
    }
}

/// What the change from `before` to `after` will have nodes do.
///
/// # Panics
/// If the documents are not of one cluster, or there is not a number of bytes for each vnode.
#[must_use]
pub fn plan(before: &Document, after: &Document, facts: &Facts) -> Plan {
    assert_eq!(before.ring.vnodes(), after.ring.vnodes(), "documents of one cluster");
    assert_eq!(facts.bytes.len(), after.ring.vnodes(), "a number of bytes for each vnode");
    let mut planner = Planner {
        before,
        after,
        facts,
        plan: Plan::default(),
        links: BTreeMap::new(),
        shares: BTreeMap::new(),
    };
    for vnode in after.ring.all() {
        let slots: Vec<Slot> = after.ring.slots(vnode).collect();
        planner.count_held(vnode, &slots);
        planner.count_readable(vnode, &slots);
        planner.count_abandoned(vnode, &slots);
        if after.ring.phase(vnode) == Phase::Moving {
            slots.iter().for_each(|slot| planner.count_streamed(vnode, *slot, &slots));
        }
    }
    planner.finish()
}

impl Facts<'_> {
    fn is_up(&self, node: NodeId) -> bool {
        self.up.binary_search(&node).is_ok()
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.link_bytes_per_second.get());
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// A plan in the making.
struct Planner<'a> {
    before: &'a Document,
    after: &'a Document,
    facts: &'a Facts<'a>,
    plan: Plan,
    links: BTreeMap<(NodeId, NodeId), Volume>,
    shares: BTreeMap<NodeId, Share>,
}

impl Planner<'_> {
    fn bytes(&self, vnode: Vnode) -> u64 {
        self.facts.bytes[usize::from(vnode.0)]
    }

    fn share(&mut self, member: MemberIndex) -> &mut Share {
        let node = self.after.member(member).id;
        let none = Volume::default();
        let share = Share {
            node,
            before: none,
            incoming: none,
            outgoing: none,
            after: none,
            bytes_peak: 0,
        };
        self.shares.entry(node).or_insert(share)
    }

    fn is_lost(&self, member: MemberIndex) -> bool {
        self.after.member(member).standing == Standing::Lost
    }

    /// Counts who has the vnode now, and who will.
    fn count_held(&mut self, vnode: Vnode, slots: &[Slot]) {
        let bytes = self.bytes(vnode);
        let settles = self.after.ring.phase(vnode) == Phase::Settling;
        for slot in slots {
            if let Some(reader) = slot.reader {
                self.share(reader).before.add(bytes);
            }
            if let Some(successor) = slot.successor {
                self.share(successor).after.add(bytes);
                if settles && !is_reader(successor, slots) {
                    self.share(successor).before.add(bytes);
                }
            }
        }
    }

    /// Counts the copies that can be read, data centre by data centre.
    fn count_readable(&mut self, vnode: Vnode, slots: &[Slot]) {
        let settles = self.after.ring.phase(vnode) == Phase::Settling;
        let mut rest = slots;
        for (at, dc) in self.after.ring.layout().iter().enumerate() {
            let (of_dc, others) = rest.split_at(usize::from(dc.copies));
            rest = others;
            let read = of_dc.iter().filter_map(|it| if settles { it.successor } else { it.reader });
            let is_live =
                |&it: &MemberIndex| !self.is_lost(it) && self.facts.is_up(self.after.member(it).id);
            let (copies, live) = (read.clone().count() as u32, read.filter(is_live).count() as u32);
            if live < copies {
                self.plan.reduced.push(Reduced { vnode, dc: at, copies, live });
            }
        }
    }

    /// Counts the copies that were on their way and are not any more.
    fn count_abandoned(&mut self, vnode: Vnode, slots: &[Slot]) {
        let stays = |node: NodeId| {
            slots.iter().any(|it| it.successor.is_some_and(|it| self.after.member(it).id == node))
        };
        let abandoned = arrivals(self.before, vnode).filter(|&node| !stays(node)).count();
        (0..abandoned).for_each(|_| self.plan.abandoned.add(self.bytes(vnode)));
    }

    /// Counts what is streamed for the successor of a slot.
    fn count_streamed(&mut self, vnode: Vnode, slot: Slot, slots: &[Slot]) {
        let Some(successor) = slot.successor.filter(|&it| !is_reader(it, slots)) else { return };
        let replaced = slot.reader.filter(|&it| !self.is_lost(it));
        let readers = slots.iter().filter_map(|it| it.reader);
        let sources: Vec<MemberIndex> = match replaced {
            Some(reader) => vec![reader],
            None => readers.clone().filter(|&it| !self.is_lost(it)).collect(),
        };
        let bytes = self.bytes(vnode);
        if sources.is_empty() {
            if readers.count() > 0 {
                self.plan.without_source.add(bytes);
            }
            return;
        }
        let node = self.after.member(successor).id;
        if arrivals(self.before, vnode).any(|it| it == node) {
            self.plan.under_way.add(bytes);
        }
        self.plan.streamed.add(bytes);
        self.share(successor).incoming.add(bytes);
        for source in sources {
            let from = self.after.member(source).id;
            self.links.entry((from, node)).or_default().add(bytes);
            self.share(source).outgoing.add(bytes);
        }
    }

    fn finish(mut self) -> Plan {
        let facts = self.facts;
        let link = |((from, to), volume): ((NodeId, NodeId), Volume)| {
            let is_up = facts.is_up(from) && facts.is_up(to);
            Link { from, to, volume, is_up, eta: facts.time_for(volume.bytes) }
        };
        self.plan.links = self.links.into_iter().map(link).collect();
        let busy = self.plan.links.iter().filter(|link| link.is_up);
        self.plan.eta = busy.map(|link| link.eta).max().unwrap_or_default();
        let peak = |it: Share| Share { bytes_peak: it.before.bytes + it.incoming.bytes, ..it };
        self.plan.nodes = self.shares.into_values().map(peak).collect();
        self.plan
    }
}

/// Whether a member reads any slot of a vnode: it has its data, then.
fn is_reader(member: MemberIndex, slots: &[Slot]) -> bool {
    slots.iter().any(|slot| slot.reader == Some(member))
}

/// Who is catching up with `vnode`.
fn arrivals(document: &Document, vnode: Vnode) -> impl Iterator<Item = NodeId> {
    let slots: Vec<Slot> = document.ring.slots(vnode).collect();
    let moves = document.ring.phase(vnode) == Phase::Moving;
    let successors: Vec<MemberIndex> = slots.iter().filter_map(|it| it.successor).collect();
    let arrive = successors.into_iter().filter(move |&it| moves && !is_reader(it, &slots));
    arrive.map(|it| document.member(it).id)
}

//! [`Durability`]: what was acknowledged is on as many disks as were counted, and stays on as many
//! (promise P6).
//!
//! Other copies mend what one has lost, so that a client may never see it. Here the disks are
//! looked at themselves: at once, and some times later. A record counts that is the write's or has
//! a greater stamp, in its vnode or kept for another node.
//!
//! - Of namespaces that resolve by stamp alone, whose copies do not change, in one data centre.
//! - Each disk that has lost some since the write was asked for may have been one of them; so may
//!   each copy that fell short of a horizon, and was dropped to be taken anew.
//! - Not where a node may be given up that lives on: what it brings too late is set aside.

use std::collections::VecDeque;

use cluster::record::Key;
use schemas::consistency::Consistency;
use schemas::ids::{Version, Vnode};

use super::run::gives_up;
use super::world::World;

/// How long after the acknowledgement disks are looked at.
const AFTER_US: [u64; 4] = [0, 2_000_000, 10_000_000, 60_000_000];

/// One in so many writes is looked at.
const ONE_IN: u64 = 3;

/// What was acknowledged and is to be looked at.
#[derive(Default)]
pub(super) struct Durability {
    /// By how often it was looked at, in the order of time.
    due: [VecDeque<Acknowledged>; AFTER_US.len()],
    /// When a disk has lost some; of one vnode, if one is named.
    losses: Vec<(u64, Option<Vnode>)>,
}

struct Acknowledged {
    asked_us: u64,
    at_us: u64,
    key: Key,
    version: Version,
    /// On so many disks.
    counted: u8,
    copies: u8,
}

impl World {
    /// A disk has lost some of what it had.
    pub(super) fn disk_loses(&mut self) {
        self.durability.losses.push((self.now_us, None));
    }

    /// A node forgets a vnode.
    pub(super) fn drops(&mut self, node: usize, vnode: Vnode) {
        let Some(document) = self.nodes[node].document() else { return };
        let index = document.index_of(self.nodes[node].id);
        if index.is_some() && document.ring.slots(vnode).any(|slot| slot.reader == index) {
            self.durability.losses.push((self.now_us, Some(vnode)));
        }
    }

    /// A client is told that its write of `key`, which has so many `copies`, is done.
    pub(super) fn acknowledged(
        &mut self,
        asked_us: u64,
        key: Key,
        version: Version,
        (level, copies): (Consistency, u8),
    ) {
        let is_watched = version.dot.counter.is_multiple_of(ONE_IN)
            && self.options.places.data_centres == 1
            && !gives_up(&self.options, &self.faults);
        if is_watched {
            let counted = match level {
                Consistency::Count(count) => count.get(),
                Consistency::Default | Consistency::LocalOne => 1,
                Consistency::Quorum | Consistency::LocalQuorum | Consistency::EachQuorum => {
                    copies / 2 + 1
                }
                Consistency::All => copies,
            };
            let at_us = self.now_us;
            let it = Acknowledged { asked_us, at_us, key, version, counted, copies };
            self.durability.due[0].push_back(it);
        }
        self.look_at_disks();
    }

    /// Looks at the disks for what it is time for.
    fn look_at_disks(&mut self) {
        for (times, after_us) in AFTER_US.into_iter().enumerate() {
            let since_us = self.now_us.saturating_sub(after_us);
            while let Some(it) = self.durability.due[times].pop_front_if(|it| it.at_us <= since_us)
            {
                if let Some(has) = self.too_few(&it) {
                    let Acknowledged { at_us, version, counted, .. } = it;
                    self.invariants.tell(format!(
                        "P6: {version:?} of {:?} was acknowledged at {at_us} us by {counted}, and \
                         is on {has} disks at {} us",
                        it.key.bytes, self.now_us
                    ));
                } else if let Some(next) = self.durability.due.get_mut(times + 1) {
                    next.push_back(it);
                }
            }
        }
    }

    /// On how many disks a write is, if those are too few.
    fn too_few(&self, it: &Acknowledged) -> Option<usize> {
        let document = self.document()?;
        let namespace = document.namespace(it.key.namespace)?;
        let copies: u8 = namespace.replication.iter().map(|dc| dc.copies).sum();
        let vnode = it.key.token.vnode(document.bits);
        let read = document.ring.slots(vnode).filter(|slot| slot.reader.is_some()).count();
        // A vnode gets its copies one move after another.
        if copies != it.copies || namespace.former.is_some() || read < usize::from(copies) {
            return None;
        }
        let stores = |node: usize| self.nodes[node].cores.iter().map(|core| &core.store);
        let nodes = || (0..self.nodes.len()).filter(|&node| !self.operators.is_destroyed(node));
        if nodes().flat_map(stores).any(|store| it.version.hlc < store.below(vnode)) {
            // It may be purged.
            return None;
        }
        let has = nodes().filter(|&node| stores(node).any(|store| store.has(&it.key, it.version)));
        let is_of = |of: Option<Vnode>| of.is_none_or(|of| of == vnode);
        let losses = self.durability.losses.iter();
        let losses = losses.filter(|&&(at_us, of)| at_us >= it.asked_us && is_of(of));
        let (has, lost) = (has.count(), losses.count());
        (has + lost < usize::from(it.counted)).then_some(has)
    }
}

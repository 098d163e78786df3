//! What has to be true at every step, of the documents that nodes go by.
//!
//! - All that any node goes by of one epoch are the same, and of the node's cluster.
//! - The epoch of a node only goes up, over its restarts too.
//! - Readers of a vnode change only when it has settled, to its successors; slots come without a
//!   reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::topology::{Document, Epoch, Phase, Slot};
use schemas::ids::{NodeId, Vnode};

/// Breaches that are told; the rest would say the same.
const TOLD_MAX: usize = 10;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Invariants {
    /// Each document that somebody went by.
    documents: BTreeMap<Epoch, Arc<Document>>,
    /// The epoch of each node.
    epochs: BTreeMap<NodeId, Epoch>,
    /// What is not as it must be.
    pub(super) breaches: Vec<String>,
}

impl Invariants {
    /// `node` goes by `document` from now on.
    pub(super) fn adopted(&mut self, node: NodeId, document: &Arc<Document>) {
        let before = self.epochs.insert(node, document.epoch);
        if let Some(before) = before.filter(|it| *it > document.epoch) {
            let epoch = document.epoch;
            self.tell(format!("node {node} went back from {before:?} to {epoch:?}"));
        }
        if let Some(known) = self.documents.get(&document.epoch) {
            if known != document {
                self.tell(format!("there are two documents of {:?}", document.epoch));
            }
            return;
        }
        self.documents.insert(document.epoch, Arc::clone(document));
        let (epoch, cluster) = (document.epoch, document.cluster);
        if self.documents.values().any(|it| it.cluster != cluster) {
            self.tell(format!("node {node} goes by {epoch:?} of another cluster"));
        }
        for (earlier, later) in [(epoch.0.wrapping_sub(1), epoch.0), (epoch.0, epoch.0 + 1)] {
            let of = |epoch| self.documents.get(&Epoch(epoch));
            let (Some(earlier), Some(later)) = (of(earlier), of(later)) else { continue };
            if let Some(vnode) = jumped(earlier, later) {
                let slots = |it: &Document| it.ring.slots(vnode).collect::<Vec<_>>();
                let (phase, was, is) = (earlier.ring.phase(vnode), slots(earlier), slots(later));
                let epoch = later.epoch;
                let why = format!("{vnode:?}, {phase:?}, got other readers: {was:?}, {is:?}");
                self.tell(format!("{epoch:?}: {why}"));
            }
        }
        // Epochs ascend together: those of long ago are not met again.
        while self.documents.len() > 256 {
            self.documents.pop_first();
        }
    }

    pub(super) fn tell(&mut self, breach: String) {
        if self.breaches.len() < TOLD_MAX {
            self.breaches.push(breach);
        }
    }
}

/// A vnode whose readers changed from one document to the next, without having settled.
fn jumped(earlier: &Document, later: &Document) -> Option<Vnode> {
    earlier.ring.all().find(|&vnode| {
        let was_settling = earlier.ring.phase(vnode) == Phase::Settling;
        let is_stable = later.ring.phase(vnode) == Phase::Stable
            || later.ring.epoch(vnode) == later.epoch && later.ring.phase(vnode) == Phase::Moving;
        let readers = |document: &Document, of: fn(Slot) -> Option<_>| {
            let id = |index| document.member(index).id;
            let mut slots = document.ring.slots(vnode);
            let mut named = Vec::new();
            for dc in document.ring.layout() {
                let slots = slots.by_ref().take(usize::from(dc.copies));
                let nodes = slots.map(|slot| of(slot).map(id));
                named.extend(nodes.enumerate().map(|(at, node)| ((dc.name.clone(), at), node)));
            }
            named.into_iter().collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (readers(earlier, |it| it.reader), readers(later, |it| it.reader));
        let next = readers(earlier, |it| it.successor);
        let keeps = |from: &BTreeMap<_, Option<NodeId>>| {
            new.iter().all(|(slot, node)| *node == from.get(slot).copied().flatten())
        };
        !(keeps(&old) || was_settling && is_stable && keeps(&next))
    })
}

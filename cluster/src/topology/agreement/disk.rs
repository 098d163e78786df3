//! [`Disk`]: what of a node's state is on disk, and what must not be said before more is.
//!
//! - One write at a time; what changed meanwhile goes with the next.
//! - To each node at most one answer waits, the latest: an earlier one counts as lost on the way.

use std::collections::BTreeMap;

use schemas::ids::NodeId;

use super::driving::Ticket;
use super::message::Body;
use super::state::State;
use crate::topology::{Encoded, Epoch};

/// What is on disk, by number of the change: the state has changed so often.
#[derive(Debug, Default)]
pub(super) struct Disk {
    changes: u64,
    durable: u64,
    writes: u64,
    writing: Option<Write>,
    /// The document on disk.
    document: Option<Encoded>,
    held: BTreeMap<NodeId, (u64, Body)>,
}

#[derive(Debug)]
struct Write {
    ticket: Ticket,
    changes: u64,
    document: Encoded,
}

impl Disk {
    /// What a disk has that `state` was read from.
    pub(super) fn with(state: &State) -> Self {
        Self { document: Some(state.document.clone()), ..Self::default() }
    }

    /// The document on disk.
    pub(super) fn document(&self) -> Option<&Encoded> {
        self.document.as_ref()
    }

    /// Its epoch; 0 for none.
    pub(super) fn epoch(&self) -> Epoch {
        self.document.as_ref().map_or(Epoch(0), Encoded::epoch)
    }

    /// The state has changed.
    pub(super) fn change(&mut self) {
        self.changes += 1;
    }

    /// Nothing that waits is of any use to anybody.
    pub(super) fn forget_held(&mut self) {
        self.held.clear();
    }

    /// Keeps `body` for `to` until the state as it is now is on disk.
    pub(super) fn hold(&mut self, to: NodeId, body: Body) {
        self.held.insert(to, (self.changes, body));
    }

    /// Answers that wait.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// An answer that need not wait any more.
    pub(super) fn release(&mut self) -> Option<(NodeId, Body)> {
        let ready = self.held.iter().find(|(_, (changes, _))| *changes <= self.durable);
        let to = *ready?.0;
        self.held.remove(&to).map(|(_, body)| (to, body))
    }

    /// The write to begin now, if there is one.
    pub(super) fn write(&mut self, state: &State) -> Option<Ticket> {
        if self.writing.is_some() || self.changes == self.durable {
            return None;
        }
        self.writes += 1;
        let (ticket, document) = (Ticket(self.writes), state.document.clone());
        self.writing = Some(Write { ticket, changes: self.changes, document });
        Some(ticket)
    }

    /// The write is done; gives the document that is on disk now and was not before.
    pub(super) fn written(&mut self, ticket: Ticket) -> Option<Encoded> {
        let write = self.writing.take_if(|it| it.ticket == ticket)?;
        self.durable = write.changes;
        let is_new = write.document.epoch() > self.epoch();
        self.document = Some(write.document.clone());
        is_new.then_some(write.document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::sample::{cluster, node};

    #[test]
    fn what_waits_for_a_change_goes_after_the_write_that_has_it() {
        let state = State::new(Encoded::new(cluster(2)));
        let mut disk = Disk::default();
        disk.change();
        disk.hold(node(1), Body::Offer);
        disk.hold(node(1), Body::Notice);
        let first = disk.write(&state).expect("there is a change");
        disk.change();
        disk.hold(node(2), Body::Ask);
        assert_eq!(disk.write(&state), None, "one at a time");
        assert_eq!(disk.release(), None);
        assert_eq!(disk.written(Ticket(9)), None, "no write of ours");
        assert_eq!(disk.written(first), Some(state.document.clone()));
        assert_eq!(disk.epoch(), state.document.epoch());
        assert_eq!(disk.release(), Some((node(1), Body::Notice)));
        assert_eq!(disk.release(), None);
        let second = disk.write(&state).expect("there is another change");
        assert_eq!(disk.written(second), None, "the same document");
        assert_eq!(disk.release(), Some((node(2), Body::Ask)));
        disk.hold(node(3), Body::Ask);
        assert_eq!(disk.release(), Some((node(3), Body::Ask)), "nothing to wait for");
        assert_eq!(disk.write(&state), None);
    }
}

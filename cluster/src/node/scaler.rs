//! [`Scaler`]: what the node that looks after the topology does about the load of data centres.
//!
//! - It remembers only while it is that node: who begins waits for a cool-down.
//! - What it proposes names the epoch that changed the data centre last, so two that both think it
//!   is they do one thing between them.
//! - Machines are asked for once: by the node that proposed it, when it is decided. If that is lost
//!   with the node they do not come, and are given up.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::ids::NodeId;

use crate::autoscale::{
    self, AddReason, AutoscaleState, Decision, Policy, RemoveReason, decide, racks_to_start_in,
};
use crate::time::Instant;
use crate::topology::agreement::ProposalError;
use crate::topology::{Change, Document, Epoch, ScaleStep};

/// What was decided of a data centre, for whoever starts and stops machines. It is told once, to
/// one node, or never where that crashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scaled {
    /// Machines are to be started, and to join.
    Start {
        /// In which data centre.
        dc: Box<str>,
        /// One in each of these racks; one may be there several times.
        racks: Vec<Box<str>>,
        /// Why.
        reason: AddReason,
    },
    /// Machines that have not joined are not waited for; those that come are members all the same.
    GiveUp {
        /// In which data centre.
        dc: Box<str>,
        /// How many.
        machines: u32,
    },
    /// A node leaves; once it is no member its machine can be stopped.
    Stop {
        /// In which data centre.
        dc: Box<str>,
        /// Which.
        node: NodeId,
        /// Why.
        reason: RemoveReason,
    },
}

/// What a decision comes to.
#[derive(Debug)]
struct Proposed {
    scaled: Scaled,
    /// What was remembered before.
    before: AutoscaleState,
}

/// What is remembered of the data centres.
#[derive(Debug)]
pub(super) struct Scaler {
    every: Duration,
    look_at: Instant,
    states: BTreeMap<Box<str>, AutoscaleState>,
    proposed: BTreeMap<u64, Proposed>,
    last_ticket: u64,
}

impl Scaler {
    pub(super) fn new(now: Instant, every: Duration) -> Self {
        let (states, proposed) = (BTreeMap::new(), BTreeMap::new());
        Self { every, look_at: now + every, states, proposed, last_ticket: 0 }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.look_at
    }

    pub(super) fn looked(&mut self, now: Instant) {
        self.look_at = now + self.every;
    }

    /// Somebody else looks after it.
    pub(super) fn rest(&mut self) {
        self.states.clear();
    }

    /// The changes that are due, each with the number that names its outcome. `policy` is the
    /// document's, as this node is to follow it.
    pub(super) fn changes(
        &mut self,
        now: Instant,
        document: &Document,
        policy: &Policy,
        load: impl Fn(NodeId) -> Option<autoscale::Load>,
    ) -> Vec<(u64, Change)> {
        let dcs = document.scaling.as_ref().map_or(&[][..], |it| &it.dcs);
        self.states.retain(|name, _| dcs.iter().any(|dc| dc.name == *name));
        let mut changes = Vec::new();
        for dc in dcs {
            if self.is_proposing(&dc.name) {
                continue;
            }
            let members = autoscale::members(document, &dc.name, &load);
            let view = autoscale::view(document, dc, &members);
            let state = self.states.entry(dc.name.clone());
            let state = state.or_insert_with(|| AutoscaleState::new(now));
            let (next, decision) = decide(policy, state, &view, now);
            let before = std::mem::replace(state, next);
            let Some((scaled, step)) = carried_out(&view, decision) else { continue };
            self.last_ticket += 1;
            self.proposed.insert(self.last_ticket, Proposed { scaled, before });
            let (dc, since) = (dc.name.clone(), dc.changed);
            changes.push((self.last_ticket, Change::Scale { dc, since, step }));
        }
        changes
    }

    fn is_proposing(&self, name: &str) -> bool {
        self.proposed.values().any(|it| *it.scaled.dc() == *name)
    }

    /// What is to be done now that the proposal `ticket` has come to `result`.
    pub(super) fn outcome(
        &mut self,
        ticket: u64,
        result: &Result<Epoch, ProposalError>,
    ) -> Option<Scaled> {
        let Proposed { scaled, before } = self.proposed.remove(&ticket)?;
        match result {
            Ok(_) => return Some(scaled),
            Err(ProposalError::Unknown { .. }) => {}
            Err(_) => {
                if let Some(state) = self.states.get_mut(scaled.dc()) {
                    *state = before;
                }
            }
        }
        None
    }
}

impl Scaled {
    /// The data centre that it is of.
    #[must_use]
    pub fn dc(&self) -> &str {
        match self {
            Self::Start { dc, .. } | Self::GiveUp { dc, .. } | Self::Stop { dc, .. } => dc,
        }
    }
}

/// What a decision says is to be done, and to the document.
fn carried_out(view: &autoscale::View, decision: Decision) -> Option<(Scaled, ScaleStep)> {
    match decision {
        Decision::Hold(_) => None,
        Decision::Add { dc, count, reason, .. } => {
            let racks = racks_to_start_in(view, count).into_iter().map(Into::into).collect();
            Some((Scaled::Start { dc, racks, reason }, ScaleStep::Start(count)))
        }
        Decision::GiveUp { dc, machines, .. } => {
            Some((Scaled::GiveUp { dc, machines }, ScaleStep::GiveUp))
        }
        Decision::Remove { dc, node, reason, .. } => {
            Some((Scaled::Stop { dc, node, reason }, ScaleStep::Remove(node)))
        }
    }
}

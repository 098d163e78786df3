//! [`Operators`]: who wants the topology changed, and tries until it is.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::node::{NodeEvent, Origin};
use cluster::topology::agreement::{ProposalError, Ticket};
use cluster::topology::{Change, Epoch, Standing};

use super::faults::What;
use super::node::Node;
use super::topology;
use super::world::{Happening, World};

/// How long an operator waits before asking again.
const AGAIN_US: u64 = 20_000_000;

/// Changes that are wanted.
#[derive(Default)]
pub(super) struct Operators {
    /// `None` once it is done, or has become impossible.
    wanted: Vec<Option<Change>>,
    destroyed: BTreeSet<usize>,
    /// Who is to leave.
    leaving: BTreeSet<usize>,
}

impl Operators {
    pub(super) fn is_destroyed(&self, node: usize) -> bool {
        self.destroyed.contains(&node)
    }

    /// Changes that were not made.
    pub(super) fn open(&self) -> usize {
        self.wanted.iter().flatten().count()
    }
}

impl World {
    /// Somebody wants a change.
    pub(super) fn want_change(&mut self, what: &What) {
        let change = match *what {
            What::Join => {
                let number = self.nodes.len();
                let document = topology::document(&self.options);
                let seeds = document.members.iter().map(|member| member.id).collect();
                let origin = Origin::Join(document.cluster, seeds);
                self.nodes.push(Node::new(number, origin, &self.options));
                self.start(number);
                Change::Join(topology::member(number))
            }
            What::Leave { node } => {
                self.operators.leaving.insert(node);
                Change::Leave(topology::node(node))
            }
            What::Destroy { node } => {
                // One of three copies may go; another may be behind.
                if !self.operators.destroyed.is_empty() || self.options.copies < 3 {
                    return;
                }
                self.crash(node);
                self.operators.destroyed.insert(node);
                Change::Lost { node: topology::node(node), with_last_copies: false }
            }
            What::Weigh { node, weight } => Change::Weight { node: topology::node(node), weight },
            _ => return,
        };
        self.want(change);
    }

    fn want(&mut self, change: Change) {
        let number = self.operators.wanted.len();
        self.operators.wanted.push(Some(change));
        self.later(self.now_us, Happening::Operator(number));
    }

    /// A node that was given up for lost is to be a member again, with what it has on its disk.
    pub(super) fn want_back(&mut self, node: usize) {
        let is_gone = |it: &BTreeSet<usize>| it.contains(&node);
        let is_unwanted = is_gone(&self.operators.destroyed) || is_gone(&self.operators.leaving);
        if !is_unwanted && self.is_given_up(node) == Some(true) {
            self.want(Change::Join(topology::member(node)));
        }
    }

    /// Whether a node was given up for lost: then it is so still, or is no member any more. `None`
    /// if that is not known.
    fn is_given_up(&self, node: usize) -> Option<bool> {
        let document = self.document()?;
        let index = document.index_of(topology::node(node));
        Some(index.is_none_or(|index| document.member(index).standing == Standing::Lost))
    }

    /// Asks some node for a change that is still wanted.
    pub(super) fn try_change(&mut self, number: usize) {
        let Some(change) = self.operators.wanted[number].clone() else { return };
        let serving: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.is_serving(node)).collect();
        self.later(self.now_us + AGAIN_US, Happening::Operator(number));
        if let Change::Join(member) = &change
            && self.document().is_some_and(|it| it.index_of(member.id).is_some())
            && self.is_given_up(member.id.0.get() as usize - 1) == Some(true)
        {
            // It has to be gone before it comes back.
            return;
        }
        if let Some(&node) = self.rng.choice(&serving) {
            let deadline = self.nodes[node].now(self.now_us).at + Duration::from_secs(10);
            let ticket = Ticket(number as u64);
            self.drive_node(node, NodeEvent::Propose { ticket, change, deadline });
        }
    }

    /// What became of a change.
    pub(super) fn change_is_over(&mut self, ticket: Ticket, result: &Result<Epoch, ProposalError>) {
        self.trace.add(self.now_us, 11, [ticket.0, u64::from(result.is_ok()), 0]);
        let is_over = match result {
            Ok(_) => true,
            // Whatever the reason, it stays one, or the change is made already.
            Err(ProposalError::Refused { .. }) => true,
            Err(_) => false,
        };
        if let Some(wanted) = self.operators.wanted.get_mut(ticket.0 as usize).filter(|_| is_over) {
            *wanted = None;
        }
    }
}

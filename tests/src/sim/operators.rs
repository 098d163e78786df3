//! [`Operators`]: who wants the topology changed, and tries until it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::node::{NodeEvent, Origin};
use cluster::topology::agreement::{ProposalError, Ticket};
use cluster::topology::{Change, ChangeRefused, Document, Epoch, Member, Standing};

use super::faults::{Fault, What};
use super::namespaces;
use super::node::Node;
use super::options::Options;
use super::places::Places;
use super::topology;
use super::world::{Happening, World};

/// How long an operator waits before asking again.
const AGAIN_US: u64 = 20_000_000;

/// Changes that are wanted.
#[derive(Default)]
pub(super) struct Operators {
    /// `None` once it is done, or has become impossible.
    wanted: Vec<Option<Wanted>>,
    /// Nodes that were declared lost, with the number of the change that says so.
    destroyed: BTreeMap<usize, usize>,
    /// Those of them that have come back.
    returned: BTreeSet<usize>,
    /// Who is to leave.
    leaving: BTreeSet<usize>,
}

/// What is wanted.
#[derive(Clone, Debug)]
enum Wanted {
    Change(Change),
    /// Whatever this comes to with the topology of then.
    Namespaces(What),
    /// Moves go on: since when. Until what was proposed before has come to its end.
    Resume(u64),
}

impl Operators {
    /// Whether a node is gone for ever, as far as is known.
    pub(super) fn is_destroyed(&self, node: usize) -> bool {
        self.destroyed.contains_key(&node) && !self.returned.contains(&node)
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
            What::Join => Change::Join(self.new_node()),
            What::PauseMoves => Change::Pause,
            What::AbortMoves => Change::Abort,
            // One that comes to another data centre replaces nobody.
            What::Replace { node, is_lost } if !self.is_place_of_next(node) => {
                let what = if is_lost { What::Destroy { node } } else { What::Leave { node } };
                return self.want_change(&what);
            }
            What::Replace { node, is_lost } => {
                if is_lost && !self.destroy(node) {
                    return;
                }
                self.operators.leaving.insert(node);
                let new = self.new_node();
                Change::Replace { old: topology::node(node), new, is_lost }
            }
            What::Leave { node } => {
                self.operators.leaving.insert(node);
                Change::Leave(topology::node(node))
            }
            What::Destroy { node } => {
                if !self.destroy(node) {
                    return;
                }
                Change::Lost { node: topology::node(node), with_last_copies: false }
            }
            What::Weigh { node, weight } => Change::Weight { node: topology::node(node), weight },
            What::Unseat { node } => {
                Change::ReplaceVoters { absent: vec![topology::node(node)], back: Vec::new() }
            }
            ref what => return self.want(Wanted::Namespaces(what.clone())),
        };
        self.want(Wanted::Change(change));
    }

    /// A node is gone, which the next change that is wanted says; whether it may be.
    fn destroy(&mut self, node: usize) -> bool {
        if !self.operators.destroyed.is_empty() || !may_lose_a_node(&self.options, &self.faults) {
            return false;
        }
        self.crash(node);
        self.disk_loses();
        self.operators.destroyed.insert(node, self.operators.wanted.len());
        true
    }

    /// Nobody wants moves to wait any more.
    pub(super) fn resume_moves(&mut self) {
        for wanted in &mut self.operators.wanted {
            let waits =
                |it: &mut Wanted| matches!(it, Wanted::Change(Change::Pause | Change::Abort));
            let _ = wanted.take_if(waits);
        }
        self.want(Wanted::Resume(self.now_us));
    }

    /// A node may vote again.
    pub(super) fn seat(&mut self, node: usize) {
        let back = vec![topology::node(node)];
        self.want(Wanted::Change(Change::ReplaceVoters { absent: Vec::new(), back }));
    }

    /// Nodes that were declared lost start, with the disks that they had.
    pub(super) fn return_lost(&mut self) {
        let is_declared = |(_, change): &(&usize, &usize)| {
            self.operators.wanted.get(**change).is_some_and(Option::is_none)
        };
        let lost = self.operators.destroyed.iter().filter(is_declared).map(|(&node, _)| node);
        for node in lost.collect::<Vec<_>>() {
            if self.operators.returned.insert(node) {
                self.start(node);
            }
        }
    }

    /// Whether the next new node is of the data centre of `node`.
    fn is_place_of_next(&self, node: usize) -> bool {
        let places = self.options.places;
        places.of(self.nodes.len()) == places.of(node)
    }

    fn new_node(&mut self) -> Member {
        let number = self.nodes.len();
        let document = topology::document(&self.options);
        let seeds = document.members.iter().map(|member| member.id).collect();
        let origin = Origin::Join(document.cluster, seeds);
        self.nodes.push(Node::new(number, origin, &self.options));
        self.start(number);
        topology::member(number, self.options.places)
    }

    fn want(&mut self, wanted: Wanted) {
        let number = self.operators.wanted.len();
        self.operators.wanted.push(Some(wanted));
        self.later(self.now_us, Happening::Operator(number));
    }

    /// A node that was given up for lost is to be a member again, with what it has on its disk.
    pub(super) fn want_back(&mut self, node: usize) {
        let of = &self.operators;
        let is_unwanted = of.destroyed.contains_key(&node) || of.leaving.contains(&node);
        if !is_unwanted && self.is_given_up(node) == Some(true) {
            let member = topology::member(node, self.options.places);
            self.want(Wanted::Change(Change::Join(member)));
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
        let Some(wanted) = self.operators.wanted[number].clone() else { return };
        let serving: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.is_serving(node)).collect();
        self.later(self.now_us + AGAIN_US, Happening::Operator(number));
        if let Wanted::Change(Change::Join(member)) = &wanted
            && self.document().is_some_and(|it| it.index_of(member.id).is_some())
            && self.is_given_up(member.id.0.get() as usize - 1) == Some(true)
        {
            // It has to be gone before it comes back.
            return;
        }
        let Some(&node) = self.rng.choice(&serving) else { return };
        let Some(document) = self.nodes[node].document().cloned() else { return };
        let Some(change) = self.change_to(&document, wanted) else {
            self.operators.wanted[number] = None;
            return;
        };
        let deadline = self.nodes[node].now(self.now_us).at + Duration::from_secs(10);
        let ticket = Ticket(number as u64);
        self.drive_node(node, NodeEvent::Propose { ticket, change, deadline });
    }

    fn change_to(&self, document: &Document, wanted: Wanted) -> Option<Change> {
        match wanted {
            Wanted::Change(change) => Some(change),
            Wanted::Resume(_) => Some(Change::Resume),
            Wanted::Namespaces(what) => namespaces::change(&self.options, document, &what),
        }
    }

    /// What became of a change.
    pub(super) fn change_is_over(&mut self, ticket: Ticket, result: &Result<Epoch, ProposalError>) {
        self.trace.add(self.now_us, 11, [ticket.0, u64::from(result.is_ok()), 0]);
        let is_over = match result {
            Ok(_) => true,
            Err(ProposalError::Refused { why, .. }) => !passes(why),
            Err(_) => false,
        };
        let Some(wanted) = self.operators.wanted.get_mut(ticket.0 as usize) else { return };
        let is_early = match wanted {
            Some(Wanted::Resume(since_us)) => self.now_us < *since_us + AGAIN_US,
            _ => false,
        };
        if is_over && !is_early {
            *wanted = None;
        }
    }
}

/// Whether a refusal is one for moments: all others stay, or say that the change is made already.
fn passes(why: &ChangeRefused) -> bool {
    matches!(why, ChangeRefused::Altering(_) | ChangeRefused::Settling(_))
}

/// Whether nothing that was acknowledged goes with any one node: not with what a level asks for,
/// nor with what a namespace has or was to have.
pub(super) fn may_lose_a_node(options: &Options, faults: &[Fault]) -> bool {
    let is_least = |it: &Fault| match it.what {
        What::Alter { copies, .. } | What::Create { copies, .. } => copies >= 2,
        _ => true,
    };
    options.places.survives_a_loss(&Places::layout(options)) && faults.iter().all(is_least)
}

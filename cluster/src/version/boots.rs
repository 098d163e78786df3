//! [`EndedBoot`]: when nothing more is to come of a node's earlier life in a vnode.
//!
//! A crash may take writes whose dots were given and that nobody else has. Their counters stay
//! gaps in every owner's clock, unless it is known that nobody has them: then they are **void**,
//! and whoever has all the others has all that there is. The actor's entry is a plain prefix from
//! then on.
//!
//! This machine asks every node that may have a dot of the actor what it has. Clocks alone do not
//! tell: a copy may be on its way from one that has not answered yet to one that has. So nodes are
//! asked in two rounds:
//!
//! 1. **givers**, who may hand over what they have to an owner and then forget it: whoever may have
//!    hints for the vnode, and those that owned it and have not dropped it;
//! 2. **owners**, readers and successors, who forget nothing while the epoch lasts. They are asked
//!    only when all givers have answered.
//!
//! A dot that somebody has is in a giver's answer; or the giver had handed it over before, and it
//! is in an owner's. For that, callers see to it that:
//!
//! - The life is over: a later boot of its node is known, or the node is removed from the topology
//!   for good. A node answers only once it knows that, refuses from then on whatever that life
//!   itself still sends, and waits until what it took before is on disk.
//! - Givers forget a dot only after an owner has it on disk, and hand over to owners alone. A giver
//!   that is down is waited for. If it is not known who may have hints, all members are givers.
//! - What is answered is **exact**: the vnode is held, and the clock never ran out of room. A clock
//!   may forget what is there ([`schemas::clock`]); a comparison of whole copies makes it exact
//!   again.
//! - In another epoch of the topology one asks anew: owners may have become givers, and members
//!   may have joined whom the ended life has sent something.
//!
//! What is learnt stays true for ever, for nobody has the void ones, and nobody gives them again.

use std::collections::BTreeSet;

use schemas::clock::VnodeClock;
use schemas::ids::{Actor, NodeId};

use crate::topology::Epoch;

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Round {
    /// Those who may hand over what they have, and forget it.
    Givers,
    /// Those who keep it.
    Owners,
}

/// What nodes are asked. An answer to an earlier question may lack what has come since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Whose dots.
    pub actor: Actor,
    /// The topology's epoch. A node of another one does not answer.
    pub epoch: Epoch,
    /// Never used before by who asks.
    pub number: u64,
    /// As what the node is asked.
    pub round: Round,
}

/// What one node says of a life of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// What it was asked. The answer was made after the question came.
    pub question: Question,
    /// All dots that the node has; of other actors too, if it likes.
    pub clock: VnodeClock,
}

/// Why a report does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// To another question.
    OtherQuestion,
    /// Of a node that is not asked, or has answered.
    NotAsked,
}

/// Asks who has what of an ended life in one vnode.
#[derive(Clone, Debug)]
pub struct EndedBoot {
    question: Question,
    /// Those who have not answered.
    givers: BTreeSet<NodeId>,
    owners: BTreeSet<NodeId>,
    /// What was answered; none has all that another has.
    clocks: Vec<VnodeClock>,
}

/// All that there is of an ended life in one vnode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    actor: Actor,
    clocks: Vec<VnodeClock>,
}

impl EndedBoot {
    /// Begins to ask about `actor` in the topology's `epoch`, with a `number` that the asking node
    /// never used before. A node may be giver and owner.
    #[must_use]
    pub fn new(
        actor: Actor,
        epoch: Epoch,
        number: u64,
        givers: BTreeSet<NodeId>,
        owners: BTreeSet<NodeId>,
    ) -> Self {
        let question = Question { actor, epoch, number, round: Round::Givers };
        Self { question, givers, owners, clocks: Vec::new() }
    }

    /// What is asked now.
    #[must_use]
    pub fn question(&self) -> Question {
        let round = if self.givers.is_empty() { Round::Owners } else { Round::Givers };
        Question { round, ..self.question }
    }

    /// Who is asked now and has not answered, ascending: nobody, once all is known.
    #[must_use]
    pub fn asked(&self) -> &BTreeSet<NodeId> {
        if self.givers.is_empty() { &self.owners } else { &self.givers }
    }

    /// `from` answers. All that there is, if that was the last answer.
    ///
    /// # Errors
    /// The answer does not count.
    pub fn take(&mut self, from: NodeId, report: &Report) -> Result<Option<Ended>, Ignored> {
        if report.question != self.question() {
            return Err(Ignored::OtherQuestion);
        }
        if !self.asked().contains(&from) {
            return Err(Ignored::NotAsked);
        }
        let round = if self.givers.is_empty() { &mut self.owners } else { &mut self.givers };
        round.remove(&from);
        let clock = report.clock.only(self.question.actor);
        if !self.clocks.iter().any(|it| it.dominates(&clock)) {
            self.clocks.retain(|it| !clock.dominates(it));
            self.clocks.push(clock);
        }
        let is_all = self.asked().is_empty();
        Ok(is_all.then(|| Ended::new(self.question.actor, self.clocks.clone())))
    }
}

impl Ended {
    /// What those have who were asked of `actor`.
    #[must_use]
    pub fn new(actor: Actor, clocks: Vec<VnodeClock>) -> Self {
        Self { actor, clocks }
    }

    /// Whose life it was.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// The greatest counter that anybody has. What is not there below it is void.
    #[must_use]
    pub fn upto(&self) -> u64 {
        let greatest = |it: &VnodeClock| it.of(self.actor).map_or(0, |it| it.greatest());
        self.clocks.iter().map(greatest).max().unwrap_or(0)
    }

    /// Adds the void counters to the clock of a copy that has all the others, so that its entry is
    /// a prefix. Whether it has them; if not, the copy has to be brought together with others'
    /// first, for a clock has only what is here. So whoever makes one up cannot have a copy count
    /// as seen what lies beyond the last that it has.
    pub fn collapse(&self, clock: &mut VnodeClock) -> bool {
        let has_all = self.clocks.iter().all(|it| clock.dominates(it));
        if has_all {
            clock.insert_upto(self.actor, self.upto());
        }
        has_all
    }
}

#[cfg(test)]
mod tests;

//! [`Proposals`]: the changes that somebody here wants, one attempted after the other.
//!
//! - Each ends once, at its deadline at the latest.
//! - Its outcome claims no more than is known: what voters were asked to accept may come to be
//!   decided by others until another document of its epoch is known to be.

use std::collections::VecDeque;

use super::driving::{ProposalError, Ticket};
use crate::limits::PROPOSALS_MAX;
use crate::time::Instant;
use crate::topology::{Change, Encoded, Epoch};

/// A change that is wanted.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) ticket: Ticket,
    pub(super) change: Change,
    pub(super) deadline: Instant,
    /// What voters were asked to accept for it.
    pub(super) sent: Option<Encoded>,
    /// Voters that had answered in its last attempt.
    pub(super) got: usize,
}

/// What became of a proposal.
pub(super) type Outcome = (Ticket, Result<Epoch, ProposalError>);

/// Changes that wait, the first one being attempted.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    queue: VecDeque<Proposal>,
}

impl Proposals {
    /// Takes a proposal in.
    pub(super) fn push(
        &mut self,
        ticket: Ticket,
        change: Change,
        deadline: Instant,
    ) -> Result<(), ProposalError> {
        if self.queue.len() >= PROPOSALS_MAX {
            return Err(ProposalError::Busy);
        }
        self.queue.push_back(Proposal { ticket, change, deadline, sent: None, got: 0 });
        Ok(())
    }

    /// The one being attempted.
    pub(super) fn first(&mut self) -> Option<&mut Proposal> {
        self.queue.front_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When the next one ends at the latest.
    pub(super) fn deadline(&self) -> Instant {
        self.queue.iter().map(|it| it.deadline).min().unwrap_or(Instant::NEVER)
    }

    /// Ends the one being attempted.
    pub(super) fn end(&mut self, result: Result<Epoch, ProposalError>) -> Option<Outcome> {
        self.queue.pop_front().map(|it| (it.ticket, result))
    }

    /// What a newer document says of the one being attempted, if it was one that decides it.
    pub(super) fn decided(&mut self, document: &Encoded, needed: usize) -> Option<Outcome> {
        let first = self.queue.front_mut()?;
        let sent = first.sent.take()?;
        let got = std::mem::take(&mut first.got);
        if sent == *document {
            self.end(Ok(document.epoch()))
        } else if sent.epoch() < document.epoch() {
            // Nobody here has seen what was decided for that epoch.
            self.end(Err(ProposalError::Unknown { got, needed }))
        } else {
            None
        }
    }

    /// One whose time is over, and whether it was being attempted.
    pub(super) fn expire(&mut self, now: Instant, needed: usize) -> Option<(Outcome, bool)> {
        let at = self.queue.iter().position(|it| it.deadline <= now)?;
        let Proposal { ticket, sent, got, .. } = self.queue.remove(at)?;
        let why = match sent {
            Some(_) => ProposalError::Unknown { got, needed },
            None => ProposalError::Undecided { got, needed },
        };
        Some(((ticket, Err(why)), at == 0))
    }
}

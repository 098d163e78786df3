//! The proposer's part: whose turn it is, rounds, outcomes.

use super::*;
use crate::limits::{OFFERS_MAX, ROUND_MAX};
use crate::topology::agreement::spread::order;
use crate::topology::{Encoded, apply};

/// How often waits are doubled.
const RESEND_DOUBLINGS: u32 = 4;
const BACK_OFF_DOUBLINGS: u32 = 5;

impl Agreement {
    pub(super) fn propose(&mut self, ticket: Ticket, change: Change, deadline: Instant) {
        let taken = if self.is_member(self.node) {
            self.proposals.push(ticket, change, deadline)
        } else {
            Err(ProposalError::NoMember)
        };
        if let Err(why) = taken {
            self.tell((ticket, Err(why)));
        }
    }

    /// Ends proposals whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        let needed = self.now().map_or(0, Document::majority);
        self.count_answers();
        while let Some((outcome, was_attempted)) = self.proposals.expire(now, needed) {
            if was_attempted {
                self.round = None;
            }
            self.tell(outcome);
        }
    }

    /// Begins an attempt if there is something to attempt.
    pub(super) fn begin_round(&mut self, now: Instant) {
        while self.round.is_none() && now >= self.retry.at {
            let Some(state) = &mut self.state else { return };
            let own = match self.proposals.first() {
                Some(proposal) => match apply(state.now(), &proposal.change) {
                    Ok(document) => Some(Encoded::new(document)),
                    Err(why) => {
                        let epoch = state.now().epoch;
                        self.refuse_first(ProposalError::Refused { epoch, why });
                        continue;
                    }
                },
                None if now >= self.finish_at => None,
                None => return,
            };
            let promised = state.acceptor.promised.map_or(0, |it| it.round);
            let round = promised.max(self.retry.round) + 1;
            if round > ROUND_MAX {
                // Somebody else has to decide this epoch.
                self.retry.at = Instant::NEVER;
                return;
            }
            let ballot = Ballot { round, node: self.node };
            let accepted = state.acceptor.prepare(ballot).expect("it is greater than any");
            let mut round = Round::new(state.now(), ballot, own);
            if self.mutations.has(Mutation::DecideWithMinority) {
                round.be_hasty();
            }
            // It counts, and others are asked, once it is on disk.
            let epoch = round.epoch;
            self.disk.change();
            self.disk.hold(self.node, Body::Promise { epoch, ballot, accepted });
            self.round = Some(round);
        }
    }

    fn refuse_first(&mut self, why: ProposalError) {
        if let Some(outcome) = self.proposals.end(Err(why)) {
            self.tell(outcome);
        }
    }

    /// What this node's own acceptor says, now that it is on disk.
    pub(super) fn receive_own(&mut self, now: Instant, body: Body) {
        match body {
            Body::Promise { ballot, accepted, .. } => {
                let Some(round) = self.round.as_mut().filter(|it| it.ballot == ballot) else {
                    return;
                };
                round.resend_at = now;
                round.resend_after = self.timing.resend;
                self.receive_promise(now, self.node, ballot, accepted);
            }
            Body::Accepted { ballot, .. } => self.receive_accepted(now, self.node, ballot),
            _ => unreachable!("a node answers itself nothing else"),
        }
    }

    /// A voter's promise for the epoch to be decided.
    pub(super) fn receive_promise(
        &mut self,
        now: Instant,
        from: NodeId,
        ballot: Ballot,
        accepted: Option<(Ballot, Encoded)>,
    ) {
        let is_absurd = |it: &(Ballot, Encoded)| {
            it.0 > ballot || !self.state.as_ref().is_some_and(|state| state.allows(&it.1))
        };
        if accepted.as_ref().is_some_and(is_absurd) {
            self.counts.absurd += 1;
            return;
        }
        let resend_after = self.timing.resend;
        let Some(round) = self.round_of(ballot) else { return };
        let Some(value) = round.promise(from, accepted) else { return };
        (round.resend_at, round.resend_after) = (now, resend_after);
        if round.proposes_own()
            && let Some(first) = self.proposals.first()
        {
            first.sent = Some(value.clone());
        }
        self.accept_own(now, ballot, value);
    }

    /// The proposer's own vote.
    fn accept_own(&mut self, now: Instant, ballot: Ballot, value: Encoded) {
        if !self.is_voter(self.node) {
            return;
        }
        let Some(state) = &mut self.state else { return };
        let epoch = value.epoch();
        match state.acceptor.accept(ballot, value) {
            Ok(()) => {
                self.disk.change();
                self.disk.hold(self.node, Body::Accepted { epoch, ballot });
                self.finish_later(now);
            }
            Err(promised) => self.give_way(now, promised),
        }
    }

    /// A voter's acceptance for the epoch to be decided.
    pub(super) fn receive_accepted(&mut self, now: Instant, from: NodeId, ballot: Ballot) {
        let Some(round) = self.round_of(ballot) else { return };
        let Some(value) = round.accepted(from) else { return };
        let document = Arc::clone(value.document());
        let former = self.now().map(|it| it.members.iter().map(|it| it.id));
        // Those that are no members any more learn it, too.
        let gone = former.into_iter().flatten().filter(|it| document.index_of(*it).is_none());
        let (gone, me): (Vec<NodeId>, _) = (gone.collect(), self.node);
        let mut all = order(&document);
        let first = all.by_ref().take(OFFERS_MAX).chain(gone).filter(|it| *it != me);
        let first: Vec<NodeId> = first.collect();
        let rest: Vec<NodeId> = all.filter(|it| *it != me).collect();
        self.adopt(now, value);
        let own = heirs(&document, me);
        self.spread.offer_to(first.into_iter().chain(own));
        self.spread.offer_later(rest, now + self.timing.offer * 3);
    }

    /// Another attempt has precedence.
    pub(super) fn give_way(&mut self, now: Instant, promised: Ballot) {
        self.end_round();
        let most = self.timing.back_off * (1 << self.retry.tries.min(BACK_OFF_DOUBLINGS));
        self.retry.at = now + about(most, &mut self.rng);
        self.retry.tries += 1;
        self.retry.round = self.retry.round.max(promised.round);
    }

    pub(super) fn end_round(&mut self) {
        self.count_answers();
        self.round = None;
    }

    /// Remembers how many voters have answered the first proposal.
    fn count_answers(&mut self) {
        let got = self.round.as_ref().map(Round::got);
        if let (Some(first), Some(got)) = (self.proposals.first(), got) {
            first.got = got;
        }
    }

    /// The round under way, if it is this one and open.
    pub(super) fn round_of(&mut self, ballot: Ballot) -> Option<&mut Round> {
        let round = self.round.as_mut().filter(|it| it.ballot == ballot && it.is_open());
        if round.is_none() {
            self.counts.stale += 1;
        }
        round
    }

    /// Asks voters that have not answered, first or once more.
    pub(super) fn send_requests(&mut self, now: Instant) {
        let Some(round) = self.round.as_mut().filter(|it| it.resend_at <= now) else { return };
        let requests: Vec<_> = round.requests(self.node).collect();
        round.resend_at = now + about(round.resend_after, &mut self.rng);
        let most = self.timing.resend * (1 << RESEND_DOUBLINGS);
        round.resend_after = (round.resend_after * 2).min(most);
        for (to, body) in requests {
            self.send(to, body);
        }
    }

    /// What this voter has accepted is decided, by itself if nobody else does.
    pub(super) fn finish_later(&mut self, now: Instant) {
        let has_accepted = self.state.as_ref().is_some_and(|it| it.acceptor.accepted.is_some());
        if has_accepted && self.is_voter(self.node) {
            self.finish_at = now + about(self.timing.finish, &mut self.rng);
        }
    }
}

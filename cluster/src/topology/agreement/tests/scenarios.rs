//! One story each.

use std::time::Duration;

use schemas::ids::{NamespaceId, NodeId};

use super::super::*;
use super::network::{Faults, Network, Proposed, UNIQUE};
use crate::topology::sample::{address, cluster, first, member, node, vnodes_in};
use crate::topology::{Change, Document, Epoch, Phase, Standing};

const SECOND: Duration = Duration::from_secs(1);

fn network(nodes: u64) -> Network {
    Network::new(cluster(nodes), std::iter::empty(), nodes)
}

/// The newest document anybody has.
fn last(network: &Network) -> Document {
    network.decided.values().next_back().expect("the first").as_ref().clone()
}

fn move_to(number: u64) -> Change {
    Change::Address { node: node(1), address: address(number) }
}

/// Proposes a change and waits for the outcome.
fn outcome(network: &mut Network, by: NodeId, change: Change) -> Result<Epoch, ProposalError> {
    let at = network.propose(by, change, 10 * SECOND);
    for _ in 0..11_000 {
        if let Some(outcome) = &network.proposed[at].outcome {
            return outcome.clone();
        }
        network.run(SECOND / 1_000);
    }
    panic!("a proposal has no end");
}

fn lost(number: u64) -> Change {
    Change::Lost { node: node(number), with_last_copies: false }
}

#[test]
fn a_minority_that_thinks_everybody_else_is_dead_decides_nothing() {
    let mut network = network(5);
    network.part(&[node(1), node(2)]);
    let before = last(&network).epoch;
    let at: Vec<usize> = (0..6)
        .map(|it| network.propose(node(1 + it % 2), lost(3 + it / 2), (10 + it as u32) * SECOND))
        .collect();
    let other = outcome(&mut network, node(4), move_to(UNIQUE));
    assert!(other.is_ok(), "the majority goes on: {other:?}");
    network.run(20 * SECOND);
    for at in at {
        let Proposed { outcome, .. } = &network.proposed[at];
        let Some(Err(ProposalError::Undecided { got: 0..=2, needed: 3 })) = outcome else {
            panic!("{outcome:?}");
        };
    }
    for alone in [1, 2] {
        assert_eq!(network.document(node(alone)).expect("it has one").epoch, before);
    }
    network.heal();
    assert!(last(&network).members.iter().all(|it| it.standing == Standing::Member));
    assert_eq!(last(&network).epoch, Epoch(before.0 + 1), "what was given up stays so");
}

#[test]
fn without_a_majority_proposals_end_and_nothing_else_does() {
    let mut network = network(3);
    network.crash(node(2));
    network.crash(node(3));
    let no = Err(ProposalError::Undecided { got: 1, needed: 2 });
    assert_eq!(outcome(&mut network, node(1), move_to(UNIQUE)), no);
    assert!(network.document(node(1)).is_some());
    network.start(node(3));
    assert!(outcome(&mut network, node(1), move_to(UNIQUE + 1)).is_ok());
    network.heal();
}

/// Seven voters of nine nodes are lost one after the other; each time the rest decides that, and
/// what the lost one had is moved, before the next is lost.
#[test]
fn voters_are_lost_and_replaced_one_after_another() {
    let mut network = network(9);
    for round in 0..6 {
        let document = last(&network);
        let victim = document.voters[round % document.voters.len()];
        network.crash(victim);
        let alive: Vec<NodeId> =
            document.members.iter().map(|it| it.id).filter(|it| *it != victim).collect();
        let by = alive[round % alive.len()];
        outcome(&mut network, by, lost(victim.0.get())).expect("a majority of voters is left");
        network.run(SECOND);
        let voters = last(&network).voters.clone();
        assert!(voters.len() % 2 == 1 && voters.iter().all(|it| alive.contains(it)));
        while last(&network).index_of(victim).is_some() {
            let settling = vnodes_in(&last(&network), Phase::Settling);
            let moving = vnodes_in(&last(&network), Phase::Moving);
            let step =
                if moving.is_empty() { Change::Finish(settling) } else { Change::Settle(moving) };
            outcome(&mut network, by, step).expect("moves go on");
            network.run(SECOND);
        }
    }
    assert_eq!(last(&network).members.len(), 3);
    assert_eq!(last(&network).voters.len(), 3);
}

#[test]
fn a_voter_that_is_down_is_replaced_by_another_and_stays_a_member() {
    let mut network = network(8);
    let down = last(&network).voters[0];
    network.crash(down);
    let by = last(&network).voters[1];
    let change = Change::ReplaceVoters { absent: vec![down], back: vec![] };
    outcome(&mut network, by, change).expect("six of seven agree");
    network.run(SECOND);
    let document = last(&network);
    assert!(!document.voters.contains(&down) && document.index_of(down).is_some());
    network.run(SECOND);
    assert!(outcome(&mut network, document.voters[6], move_to(UNIQUE)).is_ok());
    network.heal();
}

#[test]
fn a_node_that_joins_finds_the_document_and_then_has_a_say() {
    let mut network = Network::new(first(), 2..=4, 1);
    for number in 2..=4 {
        network.run(5 * SECOND);
        assert!(network.document(node(number)).is_some(), "its seeds have told it");
        let refused = outcome(&mut network, node(number), move_to(UNIQUE));
        assert_eq!(refused, Err(ProposalError::NoMember));
        outcome(&mut network, node(1), Change::Join(member(number, "a", "r1"))).expect("it joins");
        network.run(SECOND);
        let change = Change::Weight { node: node(number), weight: 70 };
        outcome(&mut network, node(number), change).expect("it is a member");
    }
    network.heal();
    assert_eq!(last(&network).epoch, Epoch(7));
}

#[test]
fn a_node_that_was_away_catches_up_at_once() {
    let mut network = network(5);
    network.timing.pull = 3_600 * SECOND;
    network.crash(node(5));
    let mut newest = Epoch(0);
    for number in 0..10 {
        newest = outcome(&mut network, node(1), move_to(UNIQUE + number)).expect("four are there");
    }
    network.run(SECOND);
    network.start(node(5));
    network.handle(node(5), Event::Heard { node: node(2), epoch: newest });
    network.run(SECOND / 10);
    assert_eq!(network.document(node(5)).expect("it has one").epoch, newest);

    // Or by proposing what is of yesterday: who knows better tells it, and it tries again.
    network.crash(node(4));
    for number in 10..13 {
        outcome(&mut network, node(1), move_to(UNIQUE + number)).expect("four are there");
    }
    network.start(node(4));
    assert!(network.document(node(4)).expect("it has one").epoch <= newest);
    let from = network.now;
    let done = outcome(&mut network, node(4), Change::Pause).expect("it is decided");
    assert_eq!(done, Epoch(newest.0 + 4));
    assert!(network.now.since(from) < SECOND, "nobody was waited for");
}

/// The proposer counted a majority, told its client so, and died with all it knew. Some voter
/// finishes what it has accepted, so the client was told the truth.
#[test]
fn what_only_a_dead_node_knew_to_be_decided_is_decided() {
    let mut network = network(3);
    network.faults = Faults { write: SECOND / 10, ..Faults::NONE };
    let epoch = outcome(&mut network, node(1), move_to(UNIQUE)).expect("it is decided");
    assert!(!network.decided.contains_key(&epoch), "nobody else knows yet");
    network.crash(node(1));
    network.run(10 * SECOND);
    for number in [2, 3] {
        let document = network.document(node(number)).expect("it has one");
        assert_eq!((document.epoch, document.members[0].address), (epoch, address(UNIQUE)));
    }
}

#[test]
fn proposers_at_odds_take_turns() {
    let mut network = network(7);
    network.faults = Faults { delay: SECOND / 10, ..Faults::NONE };
    for number in 1..=7 {
        network.propose(node(number), move_to(UNIQUE + number), 60 * SECOND);
    }
    network.run(60 * SECOND);
    assert!(network.proposed.iter().all(|it| matches!(it.outcome, Some(Ok(_)))));
    let ballots = network.ballots();
    assert!(ballots < 80, "{ballots} attempts for seven changes");
    network.heal();
}

/// Each is decided once, in some order, whoever proposes it.
#[test]
fn changes_of_one_node_are_decided_in_their_order() {
    let mut network = network(3);
    for number in 0..10 {
        network.propose(node(2), move_to(UNIQUE + number), 30 * SECOND);
    }
    network.run(30 * SECOND);
    let epochs: Vec<_> = network.proposed.iter().map(|it| it.outcome.clone()).collect();
    let first = last(&network).epoch.0 - 9;
    let expected: Vec<_> = (first..first + 10).map(|it| Some(Ok(Epoch(it)))).collect();
    assert_eq!(epochs, expected);
}

#[test]
fn what_the_topology_does_not_allow_is_refused_and_the_next_goes_on() {
    let mut network = network(3);
    let unknown = network.propose(node(2), Change::DropNamespace(NamespaceId(7)), SECOND);
    let at = network.propose(node(2), move_to(UNIQUE), SECOND);
    network.run(SECOND);
    let refused = network.proposed[unknown].outcome.clone();
    assert!(matches!(refused, Some(Err(ProposalError::Refused { .. }))), "{refused:?}");
    assert!(matches!(network.proposed[at].outcome, Some(Ok(_))));
}

#[test]
fn a_member_that_left_is_told_so() {
    let mut network = network(4);
    outcome(&mut network, node(4), Change::Leave(node(4))).expect("three stay");
    network.run(SECOND);
    let waits = network.propose(node(4), move_to(UNIQUE), 100 * SECOND);
    network.run(SECOND);
    assert!(matches!(network.proposed[waits].outcome, Some(Ok(_))), "it is one to the end");
    for _ in 0..2 {
        let settling = vnodes_in(&last(&network), Phase::Settling);
        let moving = vnodes_in(&last(&network), Phase::Moving);
        let step =
            if moving.is_empty() { Change::Finish(settling) } else { Change::Settle(moving) };
        outcome(&mut network, node(1), step).expect("it moves");
        network.run(SECOND);
    }
    let document = network.document(node(4)).expect("it was told");
    assert_eq!((document.epoch, document.index_of(node(4))), (last(&network).epoch, None));
    let refused = outcome(&mut network, node(4), Change::Pause);
    assert_eq!(refused, Err(ProposalError::NoMember));
}

/// A third of the members is down; the others do not wait for them.
#[test]
fn who_is_down_does_not_keep_a_change_from_others() {
    let mut network = network(60);
    network.timing.pull = 3_600 * SECOND;
    let document = last(&network);
    let spare = |it: &NodeId| !document.voters.contains(it) && it.0.get() <= 30;
    let down: Vec<NodeId> = network.nodes().into_iter().filter(spare).collect();
    down.iter().for_each(|it| network.crash(*it));
    let epoch = outcome(&mut network, document.voters[0], Change::Pause).expect("voters are there");
    network.run(3 * SECOND);
    for id in network.nodes().into_iter().filter(|it| !down.contains(it)) {
        assert_eq!(network.document(id).expect("it has one").epoch, epoch);
    }
    network.run(60 * SECOND);
    network.start(down[0]);
    network.run(SECOND);
    assert!(network.document(down[0]).expect("it has one").epoch < epoch, "offers have ended");
}

/// Who decides tells all, a few at a time, and sends each the document once.
#[test]
fn a_change_reaches_every_member() {
    let mut network = network(60);
    network.timing.pull = 3_600 * SECOND;
    let epoch = outcome(&mut network, node(1), Change::Pause).expect("all are there");
    network.run(SECOND);
    for id in network.nodes() {
        assert_eq!(network.document(id).expect("it has one").epoch, epoch);
    }
    assert!(network.documents < 80, "{} documents for 59 members", network.documents);
}

//! Every mistake that can be switched on is found: a simulator that finds none is worth nothing.

use std::ops::ControlFlow;

use cluster::mutation::Mutation;
use tests::checker::Promise;
use tests::kvsim::{Breach, available, hunt, in_parallel};

/// With which seed each is found, and what finds it. Where a seed is another run than it was, since
/// the simulator draws otherwise, the mistake has to be found with one of [`SEEDS_MAX`].
const FOUND: &[(Mutation, u64, Breach)] = &[
    (Mutation::AckBeforeQuorum, 4, Breach::Promise(Promise::P3)),
    (Mutation::AckBeforeOwnDisk, 7, Breach::Promise(Promise::P3)),
    (Mutation::AckBeforeReplicaDisk, 16, Breach::Promise(Promise::P3)),
    (Mutation::CountRefusals, 4, Breach::Promise(Promise::P3)),
    (Mutation::CountDoubledAnswers, 9, Breach::Promise(Promise::P3)),
    (Mutation::StrictCountsStandIns, 5, Breach::Promise(Promise::P3)),
    (Mutation::TimeoutIsFailure, 4, Breach::Promise(Promise::P2)),
    (Mutation::SendBeforeOwnStore, 4, Breach::Promise(Promise::P2)),
    (Mutation::BeginTwice, 2, Breach::Promise(Promise::P2)),
    (Mutation::IgnoreSeenStamp, 1, Breach::Promise(Promise::P8)),
    (Mutation::ReuseDots, 30, Breach::End),
    (Mutation::ForgetSentHint, 1, Breach::Promise(Promise::P1)),
    (Mutation::ForgetHintsAtStart, 1, Breach::Promise(Promise::P1)),
    (Mutation::HintsReplaceNewer, 25, Breach::Promise(Promise::P1)),
    (Mutation::DropNewerHint, 6, Breach::Promise(Promise::P1)),
    (Mutation::ReadBelowQuorum, 1, Breach::Promise(Promise::P3)),
    (Mutation::IgnoreNewerDigest, 1, Breach::Promise(Promise::P3)),
    (Mutation::ReadFirstData, 1, Breach::Promise(Promise::P3)),
    (Mutation::RepairWithoutWaiting, 4, Breach::Promise(Promise::P3)),
    (Mutation::LastArrivalWins, 2, Breach::End),
    (Mutation::TombstoneLoses, 1, Breach::Promise(Promise::P1)),
    (Mutation::JoinAfterPage, 4, Breach::End),
    (Mutation::JoinLaterClock, 2, Breach::End),
    (Mutation::CompareOneLeaf, 4, Breach::End),
    (Mutation::CompareKeysAlone, 4, Breach::End),
    (Mutation::ScanToLongest, 2, Breach::Promise(Promise::P3)),
    (Mutation::DropSibling, 3, Breach::Promise(Promise::P1)),
    (Mutation::ServeOldEpoch, 1, Breach::Promise(Promise::P3)),
    (Mutation::CountSuccessors, 2, Breach::Promise(Promise::P3)),
    (Mutation::SettleEarly, 6, Breach::End),
    (Mutation::FinishEarly, 2, Breach::Promise(Promise::P3)),
    (Mutation::DecideWithMinority, 1, Breach::Invariant),
    (Mutation::ForgetPromise, 1, Breach::Invariant),
    (Mutation::DocumentGoesBack, 1, Breach::Invariant),
];

/// Seeds that a mistake may take to be found.
const SEEDS_MAX: u64 = 300;

#[test]
fn each_mistake_is_found() {
    let mut missed = Vec::new();
    let work = |&(mutation, seed, by): &(Mutation, u64, Breach)| {
        let as_before = hunt(mutation, [seed]).filter(|caught| caught.by.contains(&by));
        (mutation, as_before.is_some(), as_before.or_else(|| hunt(mutation, 1..=SEEDS_MAX)))
    };
    in_parallel(available(), FOUND.iter(), work, |(mutation, is_as_before, caught)| {
        match caught {
            Some(it) if !is_as_before => {
                println!("(Mutation::{mutation:?}, {}, {:?}), is how it is now", it.seed, it.by);
            }
            Some(_) => {}
            None => missed.push(mutation.name()),
        }
        ControlFlow::Continue(())
    });
    assert!(missed.is_empty(), "not found: {}", missed.join(", "));
}

#[test]
fn the_table_has_each_mistake_once() {
    let listed: Vec<Mutation> = FOUND.iter().map(|it| it.0).collect();
    assert_eq!(listed, Mutation::ALL);
}

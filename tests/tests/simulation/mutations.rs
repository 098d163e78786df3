//! Every mistake that can be switched on is found: a simulator that finds none is worth nothing.

use std::ops::ControlFlow;

use cluster::mutation::Mutation;
use tests::checker::Promise;
use tests::kvsim::{Breach, available, hunt, in_parallel};

/// With which seed each is found, and what finds it, as `kvsim mutations --check` tells: it is told
/// anew, here and in `DESIGN.md`, when a seed is another run since the simulator draws otherwise.
const FOUND: &[(Mutation, u64, Breach)] = &[
    (Mutation::AckBeforeQuorum, 2, Breach::Promise(Promise::P3)),
    (Mutation::AckBeforeOwnDisk, 7, Breach::Promise(Promise::P3)),
    (Mutation::AckBeforeReplicaDisk, 2, Breach::Promise(Promise::P3)),
    (Mutation::CountRefusals, 2, Breach::Promise(Promise::P3)),
    (Mutation::CountDoubledAnswers, 26, Breach::Promise(Promise::P3)),
    (Mutation::StrictCountsStandIns, 30, Breach::Promise(Promise::P3)),
    (Mutation::TimeoutIsFailure, 1, Breach::Promise(Promise::P2)),
    (Mutation::SendBeforeOwnStore, 2, Breach::Promise(Promise::P2)),
    (Mutation::BeginTwice, 2, Breach::Promise(Promise::P2)),
    (Mutation::IgnoreSeenStamp, 6, Breach::Promise(Promise::P8)),
    (Mutation::ReuseDots, 1, Breach::End),
    (Mutation::ForgetSentHint, 2, Breach::Promise(Promise::P1)),
    (Mutation::ForgetHintsAtStart, 17, Breach::End),
    (Mutation::HintsReplaceNewer, 1, Breach::Invariant),
    (Mutation::DropNewerHint, 30, Breach::Invariant),
    (Mutation::ReadBelowQuorum, 1, Breach::Promise(Promise::P3)),
    (Mutation::IgnoreNewerDigest, 1, Breach::Promise(Promise::P3)),
    (Mutation::ReadFirstData, 1, Breach::Promise(Promise::P3)),
    (Mutation::RepairWithoutWaiting, 3, Breach::Promise(Promise::P3)),
    (Mutation::LastArrivalWins, 2, Breach::Promise(Promise::P3)),
    (Mutation::TombstoneLoses, 1, Breach::Promise(Promise::P3)),
    (Mutation::JoinAfterPage, 8, Breach::End),
    (Mutation::JoinLaterClock, 38, Breach::End),
    (Mutation::CompareOneLeaf, 1, Breach::End),
    (Mutation::CompareKeysAlone, 5, Breach::End),
    (Mutation::VoidWithoutGivers, 2, Breach::End),
    (Mutation::NewerIsJoined, 5, Breach::End),
    (Mutation::LossKeepsClock, 1, Breach::End),
    (Mutation::DropSibling, 4, Breach::Promise(Promise::P1)),
    (Mutation::ServeOldEpoch, 2, Breach::Promise(Promise::P3)),
    (Mutation::ServeNotHeld, 17, Breach::Promise(Promise::P3)),
    (Mutation::CountSuccessors, 47, Breach::Promise(Promise::P3)),
    (Mutation::SettleEarly, 50, Breach::End),
    (Mutation::FinishEarly, 8, Breach::Promise(Promise::P3)),
    (Mutation::DecideWithMinority, 1, Breach::Invariant),
    (Mutation::ForgetPromise, 1, Breach::Invariant),
    (Mutation::DocumentGoesBack, 1, Breach::Invariant),
    (Mutation::PurgeBelowNoHorizon, 1, Breach::Promise(Promise::P3)),
    (Mutation::PromiseIgnoresHints, 2, Breach::Promise(Promise::P1)),
    (Mutation::HorizonWithoutAllOwners, 1, Breach::Assertion),
    (Mutation::ExpiredUncoversOlder, 2, Breach::Promise(Promise::P3)),
    (Mutation::LateRecordIsStored, 2, Breach::Promise(Promise::P3)),
    (Mutation::CopyBelowHorizonServes, 2, Breach::End),
    (Mutation::ScanToLongest, 2, Breach::Promise(Promise::P3)),
];

/// Seeds that a mistake may take to be found.
const SEEDS_MAX: u64 = 100;

#[test]
fn each_mistake_is_found() {
    let (mut moved, mut missed) = (Vec::new(), Vec::new());
    let work = |&(mutation, seed, by): &(Mutation, u64, Breach)| {
        let as_before = hunt(mutation, [seed]).filter(|caught| caught.by.contains(&by));
        (mutation, as_before.is_some(), as_before.or_else(|| hunt(mutation, 1..=SEEDS_MAX)))
    };
    in_parallel(available(), FOUND.iter(), work, |(mutation, is_as_before, caught)| {
        match caught {
            Some(it) if !is_as_before => {
                moved.push(format!("(Mutation::{mutation:?}, {}, {:?}),", it.seed, it.by));
            }
            Some(_) => {}
            None => missed.push(mutation.name()),
        }
        ControlFlow::Continue(())
    });
    assert!(missed.is_empty(), "not found: {}", missed.join(", "));
    assert!(moved.is_empty(), "found otherwise by now:\n{}", moved.join("\n"));
}

#[test]
fn the_table_has_each_mistake_once() {
    let mut listed: Vec<Mutation> = FOUND.iter().map(|it| it.0).collect();
    listed.sort();
    assert_eq!(listed, Mutation::ALL);
    let documented = include_str!("../../DESIGN.md");
    for (mutation, seed, _) in FOUND {
        let (first, last) = (format!("| `{}` |", mutation.name()), format!("| {seed} |"));
        let is_line = |line: &str| line.starts_with(&first) && line.contains(&last);
        assert!(documented.lines().any(is_line), "{mutation:?} is not in DESIGN.md as it is here");
    }
}

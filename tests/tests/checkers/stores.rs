//! What a model store records is found right, with exactly the anomalies that its kind admits; with
//! a mistake planted in it, the promise that it breaks is found broken.

use std::collections::BTreeSet;

use tests::checker::{Allowed, Anomaly, Promise, check, conflicts};
use tests::history::{Level, Policy};

use crate::long_forms::number;
use crate::store::{Mistake, SKEW_MS, Setup, run};

/// Two clocks are twice as far apart as each may be off.
const ALLOWED: Allowed = Allowed { skew_ms: 2 * SKEW_MS, siblings_max: 12, context_entries_max: 3 };

/// Seeds within which a mistake has to be found.
const MISTAKE_SEEDS: u64 = 100;

/// A kind of store, and all that it admits.
fn kinds() -> Vec<(Setup, &'static [Anomaly])> {
    let lww = Setup::plain(Policy::Lww);
    let siblings = Setup::plain(Policy::Siblings);
    let (weak, sloppy) = (Level::Weak, Level::Sloppy);
    vec![
        (lww, &[Anomaly::ReadWentBack]),
        (Setup { blocking_repair: true, ..lww }, &[]),
        (Setup { skewed: true, ..lww }, &[Anomaly::ReadWentBack, Anomaly::WriteOrder]),
        (Setup { blocking_repair: true, skewed: true, ..lww }, &[Anomaly::WriteOrder]),
        (
            Setup { sessions: true, skewed: true, ..lww },
            &[Anomaly::ReadWentBack, Anomaly::WriteOrder],
        ),
        (Setup { blocking_repair: true, expiry: true, ..lww }, &[]),
        (Setup { level: weak, ..lww }, &[Anomaly::StaleWeak]),
        (Setup { level: sloppy, ..lww }, &[Anomaly::StaleSloppy]),
        (
            Setup { level: sloppy, skewed: true, ..lww },
            &[Anomaly::StaleSloppy, Anomaly::WriteOrder],
        ),
        (siblings, &[Anomaly::ReadWentBack]),
        (Setup { blocking_repair: true, ..siblings }, &[]),
        (Setup { sessions: true, ..siblings }, &[Anomaly::ReadWentBack]),
        (Setup { level: weak, ..siblings }, &[Anomaly::StaleWeak]),
        (Setup { level: sloppy, ..siblings }, &[Anomaly::StaleSloppy]),
    ]
}

#[test]
fn a_right_store_shows_what_its_kind_admits_and_nothing_else() {
    let seeds = number("KVCORE_TEST_SEEDS", || 40);
    for (setup, admitted) in kinds() {
        let (mut anomalies, mut keys_not_linearizable) = (BTreeSet::new(), 0);
        for seed in 0..seeds {
            let history = run(&setup, &mut fastrand::Rng::with_seed(seed));
            let found = check(&history, &ALLOWED);
            assert_eq!(found.violation_count(), 0, "{setup:?}, seed {seed}: {found:#?}");
            assert_eq!(found.keys_unsettled, 0, "{setup:?}, seed {seed}: all keys were read");
            let keys: BTreeSet<_> =
                conflicts(&history, &ALLOWED).into_iter().map(|it| it.key).collect();
            let told = found.keys_not_linearizable + found.keys_undecided;
            assert_eq!(told, keys.len() as u64, "{setup:?}, seed {seed}: {found:#?}");
            anomalies.extend(found.anomalies.into_keys());
            keys_not_linearizable += found.keys_not_linearizable;
        }
        let expected: BTreeSet<Anomaly> = admitted.iter().copied().collect();
        // Few seeds show some of them; none shows others.
        assert!(anomalies.is_subset(&expected), "{setup:?}: {anomalies:?}");
        assert_eq!(anomalies.is_empty(), expected.is_empty(), "{setup:?}: {anomalies:?}");
        let breaks_order = setup.policy == Policy::Lww && !expected.is_empty();
        assert_eq!(keys_not_linearizable > 0, breaks_order, "{setup:?}: {anomalies:?}");
    }
}

/// A mistake, the kind of store that it is made in, and the promise that it must be seen to break.
fn mistakes() -> Vec<(Mistake, Setup, Promise)> {
    let lww = Setup::plain(Policy::Lww);
    let siblings = Setup::plain(Policy::Siblings);
    let repaired = |setup| Setup { blocking_repair: true, ..setup };
    let session = |setup| Setup { sessions: true, ..setup };
    let sloppy = |setup| Setup { level: Level::Sloppy, ..setup };
    vec![
        (Mistake::ReadsOne, lww, Promise::P3),
        (Mistake::ReadsOne, siblings, Promise::P3),
        (Mistake::LosesWrites, sloppy(lww), Promise::P1),
        (Mistake::LosesWrites, sloppy(siblings), Promise::P1),
        (Mistake::NoWriteBack, repaired(lww), Promise::P3),
        (Mistake::NoWriteBack, repaired(siblings), Promise::P3),
        (Mistake::SessionsForget, session(lww), Promise::P8),
        (Mistake::SessionsForget, session(siblings), Promise::P8),
        (Mistake::ReadsOtherKey, lww, Promise::P2),
        (Mistake::ReadsOtherKey, siblings, Promise::P2),
        (Mistake::InventsValues, lww, Promise::P2),
        (Mistake::InventsValues, siblings, Promise::P2),
        (Mistake::DropsTombstones, lww, Promise::P5),
        (Mistake::DropsTombstones, siblings, Promise::P5),
        (Mistake::ExpiredUncovers, Setup { expiry: true, ..lww }, Promise::P5),
        (Mistake::IgnoresSeen, Setup { skewed: true, ..session(lww) }, Promise::P8),
        (Mistake::ClockAhead, lww, Promise::Skew),
        (Mistake::DropsSiblings, siblings, Promise::P1),
        (Mistake::DropsSiblings, siblings, Promise::P2),
        (Mistake::KeepsSiblings, siblings, Promise::P2),
        (Mistake::Unbounded, siblings, Promise::P9),
    ]
}

#[test]
fn a_mistake_in_a_store_is_found_by_the_promise_that_it_breaks() {
    for (mistake, setup, promise) in mistakes() {
        let setup = Setup { mistake: Some(mistake), ..setup };
        let found = (0..MISTAKE_SEEDS).find(|&seed| {
            let history = run(&setup, &mut fastrand::Rng::with_seed(seed));
            check(&history, &ALLOWED).violation_counts.contains_key(&promise)
        });
        assert!(found.is_some(), "{mistake:?} in {setup:?} does not break {promise:?}");
    }
}

//! The zone checker agrees with porcupine-rs, which searches for an order and knows nothing of
//! zones; and each of its conditions is needed for that.

use std::collections::{BTreeMap, BTreeSet};

use porcupine_rs::{Model, Operation as Searched, check_operations};
use tests::checker::{Allowed, ConflictKind, conflicts};
use tests::history::{ABSENT, History, Kind, Level, NEVER, Operation, Outcome, Policy};

use crate::long_forms::number;
use crate::notation::{delete, get, history, nothing, put};
use crate::registers::{Shape, draw};
use crate::store::{Setup, run};

const ALLOWED: Allowed = Allowed { skew_ms: 0, siblings_max: 0, context_entries_max: 0 };

/// A register that is absent or has a value.
#[derive(Clone)]
struct Register;

#[derive(Clone, Debug)]
enum Step {
    Write(u64),
    Read(u64),
}

impl Model for Register {
    type State = u64;
    type Op = Step;
    type Metadata = ();

    fn init() -> u64 {
        ABSENT
    }

    fn step(state: &u64, step: &Step) -> (bool, u64) {
        match step {
            Step::Write(value) => (true, *value),
            Step::Read(value) => (value == state, *state),
        }
    }
}

/// Whether porcupine-rs finds an order of a history of one key.
fn has_order(history: &History) -> bool {
    let counts = history.operations().filter(|(_, it)| {
        it.outcome != Outcome::Fail && (it.is_write() || it.outcome == Outcome::Ok)
    });
    let steps = counts.map(|(_, it)| Searched::<Register> {
        client_id: None,
        call_time: it.call_ns as i64,
        return_time: if it.done_ns() == NEVER { i64::MAX } else { it.done_ns() as i64 },
        op: match it.kind {
            Kind::Put => Step::Write(it.value),
            Kind::Delete => Step::Write(ABSENT),
            Kind::Get => Step::Read(it.value),
        },
        metadata: None,
    });
    check_operations(&steps.collect::<Vec<_>>())
}

/// Random histories of all shapes: long and short operations, few and many deletes.
fn shapes(rng: &mut fastrand::Rng) -> Shape {
    Shape {
        operations: rng.usize(4..40),
        clients: rng.usize(2..7),
        length_ns: [6, 30, 200][rng.usize(..3)],
        writes: [0.3, 0.5, 0.7][rng.usize(..3)],
        deletes: [0.0, 0.2, 0.5, 0.8][rng.usize(..4)],
        unknown: [0.0, 0.05, 0.2][rng.usize(..3)],
        mistakes: rng.usize(..4),
    }
}

#[test]
fn absence_takes_the_delete_that_expires_first() {
    let one = [put(1).ms(1, 2), nothing().ms(4, 6)];
    let other = [put(2).ms(20, 21), nothing().ms(30, 50)];
    let deletes = [delete(3).ms(3, 10), delete(4).ms(3, 99)];
    let all = [one, other, deletes].concat();
    assert_eq!(kinds(&history(Policy::Lww, &all)), []);
    let short = [delete(3).ms(3, 10), delete(4).ms(3, 15)];
    let missed = [one, other, short].concat();
    assert_eq!(kinds(&history(Policy::Lww, &missed)), [ConflictKind::NoDelete]);
}

#[test]
fn what_was_not_written_is_told_as_such() {
    let cases = [
        [put(1).ms(1, 2).failed(), get(1).ms(3, 4)],
        [delete(1).ms(1, 2), get(1).ms(3, 4)],
        [put(1).ms(1, 2).key(2), get(1).ms(3, 4)],
    ];
    for case in cases {
        assert_eq!(kinds(&history(Policy::Lww, &case)), [ConflictKind::NeverWritten]);
    }
}

/// What kinds of conflicts there are, each once.
fn kinds(history: &History) -> Vec<ConflictKind> {
    let found = conflicts(history, &ALLOWED);
    let kinds: BTreeSet<ConflictKind> = found.iter().map(|it| it.kind).collect();
    kinds.into_iter().collect()
}

type Change = fn(&mut Operation<'_>);

/// Draws histories; each with what the zone checker finds and whether there is an order.
fn drawn(seed: u64, count: usize) -> impl Iterator<Item = (History, Vec<ConflictKind>, bool)> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(move |_| {
        let shape = shapes(&mut rng);
        let history = draw(&shape, &mut rng);
        let (kinds, has_order) = (kinds(&history), has_order(&history));
        (history, kinds, has_order)
    })
}

#[test]
fn zones_and_a_search_for_an_order_agree() {
    let mut counts = [0; 2];
    let histories = number("KVCORE_TEST_HISTORIES", || 8000);
    for (history, kinds, has_order) in drawn(7, histories as usize) {
        assert_eq!(kinds.is_empty(), has_order, "{kinds:?} in {history:#?}");
        counts[usize::from(has_order)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 1000), "no and yes: {counts:?}");
}

/// The same of each key of what clients of a model store saw.
#[test]
fn zones_and_a_search_agree_on_what_a_store_recorded() {
    let lww = Setup::plain(Policy::Lww);
    let setups = [
        (Setup { blocking_repair: true, ..lww }, true),
        (Setup { skewed: true, ..lww }, false),
        (Setup { level: Level::Sloppy, ..lww }, false),
    ];
    for (setup, always_ordered) in setups {
        let mut counts = [0; 2];
        for seed in 0..number("KVCORE_TEST_SEEDS", || 40) {
            let history = run(&setup, &mut fastrand::Rng::with_seed(seed));
            for one in keys(&history) {
                let has_order = has_order(&one);
                let found = conflicts(&one, &ALLOWED);
                assert_eq!(found.is_empty(), has_order, "{setup:?}, seed {seed}: {found:#?}");
                counts[usize::from(has_order)] += 1;
            }
        }
        assert_eq!(counts[0] == 0, always_ordered, "{setup:?}: {counts:?}");
    }
}

/// A history as one for each of its keys.
fn keys(history: &History) -> Vec<History> {
    let mut keys: BTreeMap<u64, History> = BTreeMap::new();
    for (_, operation) in history.operations() {
        keys.entry(operation.key).or_default().push(&operation).expect("as it was");
    }
    keys.into_values().collect()
}

/// A checker that looks over one kind of conflict does not agree with the search.
#[test]
fn a_condition_that_is_left_out_is_missed() {
    let mut alone: BTreeMap<ConflictKind, u32> = BTreeMap::new();
    for (_, kinds, has_order) in drawn(8, 2000) {
        if let ([kind], false) = (&kinds[..], has_order) {
            *alone.entry(*kind).or_default() += 1;
        }
    }
    let needed = [
        ConflictKind::ReadBeforeWrite,
        ConflictKind::Overlap,
        ConflictKind::Within,
        ConflictKind::NoDelete,
    ];
    for kind in needed {
        assert!(alone.get(&kind).is_some_and(|count| *count > 10), "{kind:?} alone in {alone:?}");
    }
}

/// A checker that takes something of the history wrongly does not agree with the search.
#[test]
fn a_wrong_view_of_a_history_is_seen() {
    let wrong: [(&str, Change); 4] = [
        ("what is unknown is over when it was called", |it| {
            if it.outcome == Outcome::Unknown {
                (it.outcome, it.return_ns) = (Outcome::Ok, it.call_ns);
            }
        }),
        ("what is unknown never was", |it| {
            if it.outcome == Outcome::Unknown {
                (it.outcome, it.return_ns) = (Outcome::Fail, it.call_ns);
            }
        }),
        ("deletes are no writes", |it| {
            if it.kind == Kind::Delete {
                (it.outcome, it.return_ns) = (Outcome::Fail, it.call_ns);
            }
        }),
        ("reads of absence are none", |it| {
            if it.kind == Kind::Get && it.value == ABSENT {
                it.outcome = Outcome::Fail;
            }
        }),
    ];
    for (what, change) in wrong {
        let disagrees = |(history, _, has_order): (History, Vec<ConflictKind>, bool)| {
            let mut view = History::new();
            for (_, mut operation) in history.operations() {
                change(&mut operation);
                view.push(&operation).expect("still an operation");
            }
            conflicts(&view, &ALLOWED).is_empty() != has_order
        };
        let count = drawn(9, 1000).filter_map(|it| disagrees(it).then_some(())).count();
        assert!(count > 10, "{what}: seen in {count} histories");
    }
}

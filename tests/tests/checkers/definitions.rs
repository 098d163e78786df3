//! The oracles' sweeps find a broken promise in exactly those histories in which its definition,
//! written down as plainly and slowly as can be, does.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::Version;
use tests::checker::{Allowed, Oracle, Promise, check_with};
use tests::history::{ABSENT, History, Kind, Level, Operation, Policy};

use crate::long_forms::number;
use crate::store::{Mistake, Setup, run};

/// No expiry is recorded here, so clocks do not matter.
const ALLOWED: Allowed =
    Allowed { skew_ms: 0, siblings_max: usize::MAX, context_entries_max: u16::MAX };

type Operations<'h> = Vec<Operation<'h>>;

/// The operations of each key.
fn keys(history: &History) -> Vec<Operations<'_>> {
    let mut keys: BTreeMap<u64, Operations<'_>> = BTreeMap::new();
    for (_, operation) in history.operations() {
        keys.entry(operation.key).or_default().push(operation);
    }
    keys.into_values().collect()
}

fn put_or_delete<'h>(key: &'h Operations<'_>) -> impl Iterator<Item = &'h Operation<'h>> {
    key.iter().filter(|it| it.may_take_effect())
}

/// The version that an operation wrote or showed.
fn version(key: &Operations<'_>, operation: &Operation<'_>) -> Option<Version> {
    let same = |it: &&Operation<'_>| it.value == operation.value && it.value != ABSENT;
    operation.stamp.or_else(|| key.iter().filter(same).find_map(|it| it.stamp))
}

/// Values that a write covers, by itself or through others.
fn covered(key: &Operations<'_>, write: &Operation<'_>) -> BTreeSet<u64> {
    let mut covered = BTreeSet::new();
    let mut pending = write.covers().to_vec();
    while let Some(value) = pending.pop() {
        if covered.insert(value) {
            let writers = put_or_delete(key).filter(|it| it.value == value);
            pending.extend(writers.flat_map(|it| it.covers()));
        }
    }
    covered
}

/// Whether a read with siblings shows a value, or what came after it.
fn shows(key: &Operations<'_>, get: &Operation<'_>, value: u64) -> bool {
    let later = |it: &&Operation<'_>| {
        it.call_ns <= get.return_ns
            && (it.kind == Kind::Delete || get.siblings.contains(&it.value))
            && covered(key, it).contains(&value)
    };
    get.siblings.contains(&value) || put_or_delete(key).any(|it| later(&it))
}

/// Whether a read that found nothing may have found something after a version.
fn explains(key: &Operations<'_>, get: &Operation<'_>, least: Version) -> bool {
    let deletes = put_or_delete(key).filter(|it| it.kind == Kind::Delete);
    let mut called = deletes.filter(|it| it.call_ns <= get.return_ns);
    called.any(|it| version(key, it).is_none_or(|version| version >= least))
}

type Which = fn(&Operation<'_>) -> bool;

/// Whether a judged read misses what an obliging operation wrote or showed that had returned.
fn misses(key: &Operations<'_>, obliges: Which, judged: Which) -> bool {
    let answered = |it: &&Operation<'_>| it.is_acknowledged() || it.is_answered_get();
    let before = |at_ns: u64| {
        key.iter().filter(move |it| answered(it) && obliges(it) && it.return_ns < at_ns)
    };
    key.iter().filter(|it| it.is_answered_get() && judged(it)).any(|get| {
        before(get.call_ns).any(|earlier| match get.policy {
            Policy::Siblings if earlier.kind == Kind::Get => {
                earlier.siblings.iter().any(|&value| !shows(key, get, value))
            }
            Policy::Siblings => earlier.kind == Kind::Put && !shows(key, get, earlier.value),
            Policy::Lww => {
                // What a read found removed that shows no version: what had been there before.
                let there = || before(earlier.call_ns).filter_map(|it| version(key, it)).max();
                let (least, removed) = match version(key, earlier) {
                    None => (there(), true),
                    told => (told, false),
                };
                least.is_some_and(|least| match version(key, get) {
                    Some(shown) => (shown, false) < (least, removed),
                    None => get.value == ABSENT && !explains(key, get, least),
                })
            }
        })
    })
}

/// Whether a read shows two siblings of which one covers the other.
fn dominates(key: &Operations<'_>) -> bool {
    key.iter().filter(|it| it.is_answered_get()).any(|get| {
        let shown = put_or_delete(key).filter(|it| get.siblings.contains(&it.value));
        shown.flat_map(|it| covered(key, it)).any(|value| get.siblings.contains(&value))
    })
}

/// Whether a read shows what a delete removed.
fn resurrects(key: &Operations<'_>) -> bool {
    key.iter().filter(|it| it.is_answered_get()).any(|get| {
        let deletes = key.iter().filter(|it| it.kind == Kind::Delete && it.is_acknowledged());
        let mut counting = deletes.filter(|it| {
            let both_quorum = it.level == Level::Quorum && get.level == Level::Quorum;
            it.return_ns < get.call_ns && (both_quorum || get.settled)
        });
        counting.any(|delete| match get.policy {
            Policy::Siblings => {
                let covered = covered(key, delete);
                get.siblings.iter().any(|value| covered.contains(value))
            }
            Policy::Lww => get.value != ABSENT && version(key, get) < version(key, delete),
        })
    })
}

/// Whether a read shows what was not there any more in one of the settled store.
fn comes_back(key: &Operations<'_>) -> bool {
    let gets = || key.iter().filter(|it| it.is_answered_get());
    gets().filter(|it| it.settled).any(|settled| {
        let mut later = gets().filter(|it| settled.return_ns < it.call_ns);
        later.any(|get| match get.policy {
            Policy::Siblings => get.siblings.iter().any(|value| {
                let mut before = put_or_delete(key).filter(|it| it.call_ns < settled.call_ns);
                before.any(|it| it.covers().contains(value)) && !settled.siblings.contains(value)
            }),
            Policy::Lww => {
                let deletes = key.iter().filter(|it| it.kind == Kind::Delete);
                let done = deletes
                    .filter(|it| it.is_acknowledged() && it.return_ns < settled.call_ns)
                    .filter_map(|it| version(key, it));
                let bound = version(key, settled).or(done.max());
                get.value != ABSENT && version(key, get) < bound
            }
        })
    })
}

/// Whether a session's write has a stamp that is no greater than what the session had seen.
fn stamps_go_back(key: &Operations<'_>, own: impl Fn(&Operation<'_>) -> bool) -> bool {
    put_or_delete(key).filter(|it| own(it)).any(|write| {
        let answered = key.iter().filter(|it| it.is_acknowledged() || it.is_answered_get());
        let before = answered.filter(|it| own(it) && it.return_ns < write.call_ns);
        let seen = before.filter_map(|it| version(key, it)).max();
        version(key, write)
            .is_some_and(|version| Some(version) <= seen || version.hlc <= write.seen)
    })
}

fn is_quorum(operation: &Operation<'_>) -> bool {
    operation.level == Level::Quorum
}

/// Whether a promise is broken, by its definition.
fn is_broken(history: &History, promise: Promise) -> bool {
    keys(history).iter().any(|key| match promise {
        Promise::P1 => misses(key, |it| it.is_write(), |it| it.settled),
        Promise::P2 => dominates(key),
        Promise::P3 => {
            let obliges: Which =
                |it| is_quorum(it) && (it.is_write() || it.blocking_repair || it.settled);
            misses(key, obliges, is_quorum)
        }
        Promise::P5 => resurrects(key) || comes_back(key),
        Promise::P8 => {
            let sessions: BTreeSet<_> = key.iter().filter_map(|it| it.session).collect();
            sessions.into_iter().any(|session| {
                // Others' writes count as what may have taken effect, and oblige to nothing.
                let own = |it: &Operation<'_>| it.session == Some(session);
                let view = key.iter().map(|it| {
                    let level = if own(it) { it.level } else { Level::Weak };
                    Operation { level, ..*it }
                });
                let view = view.collect();
                let is_lww = key[0].policy == Policy::Lww;
                misses(&view, is_quorum, is_quorum) || is_lww && stamps_go_back(key, own)
            })
        }
        _ => unreachable!("not one of those that are compared"),
    })
}

/// Gives some reads what others of the same key showed, instead of what they did or beside it.
fn with_mistakes(history: &History, count: usize, rng: &mut fastrand::Rng) -> History {
    let gets: Vec<(u32, Operation<'_>)> =
        history.operations().filter(|it| it.1.is_answered_get()).collect();
    let mut changed: BTreeMap<u32, (Operation<'_>, BTreeSet<u64>)> = BTreeMap::new();
    for _ in 0..count {
        let (number, get) = gets[rng.usize(..gets.len())];
        let other = gets[rng.usize(..gets.len())].1;
        let beside = if rng.bool() { get.siblings } else { &[] };
        let siblings = other.siblings.iter().chain(beside).copied().collect();
        let operation = Operation { value: other.value, stamp: other.stamp, ..get };
        if other.key == get.key {
            changed.insert(number, (operation, siblings));
        }
    }
    let mut mistaken = History::new();
    for (number, operation) in history.operations() {
        let (operation, siblings) = match changed.get(&number) {
            Some((operation, siblings)) => (*operation, siblings.iter().copied().collect()),
            None => (operation, operation.siblings.to_vec()),
        };
        let operation = Operation { siblings: &siblings, context_out: None, ..operation };
        mistaken.push(&operation).expect("a sound operation");
    }
    mistaken
}

fn setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for plain in [Policy::Lww, Policy::Siblings].map(Setup::plain) {
        let session = Setup { sessions: true, ..plain };
        setups.extend([
            session,
            Setup { blocking_repair: true, ..plain },
            Setup { level: Level::Sloppy, ..session },
            Setup { level: Level::Weak, ..plain },
            Setup { mistake: Some(Mistake::SessionsForget), ..session },
            Setup { mistake: Some(Mistake::DropsTombstones), ..plain },
        ]);
    }
    setups
}

#[test]
fn each_oracle_agrees_with_its_definition() {
    let compared = [
        (Promise::P1, Oracle::Kept),
        (Promise::P2, Oracle::Siblings),
        (Promise::P3, Oracle::Regular),
        (Promise::P5, Oracle::Deletes),
        (Promise::P8, Oracle::Sessions),
    ];
    let mut counts: BTreeMap<(Promise, bool), u32> = BTreeMap::new();
    for (at, setup) in setups().into_iter().enumerate() {
        for seed in 0..number("KVCORE_TEST_SEEDS", || 15) {
            let mut rng = fastrand::Rng::with_seed(1000 * at as u64 + seed);
            let history = run(&setup, &mut rng);
            let mistakes = rng.usize(..6);
            let history = with_mistakes(&history, mistakes, &mut rng);
            for (promise, oracle) in compared {
                let found = check_with(&history, &ALLOWED, &[oracle]);
                let expected = is_broken(&history, promise);
                assert_eq!(
                    found.violation_counts.contains_key(&promise),
                    expected,
                    "{promise:?} of {setup:?}, seed {seed}: {found:#?}"
                );
                *counts.entry((promise, expected)).or_default() += 1;
            }
        }
    }
    assert_eq!(counts.len(), 2 * compared.len(), "each is kept and broken: {counts:?}");
    assert!(counts.values().all(|count| *count > 3), "each is kept and broken: {counts:?}");
}

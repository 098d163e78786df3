//! What may be there, and what must: by definition, by simulation, by planted losses.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::format::{FormatError, State, decode, encode};
use super::*;
use crate::distribution::{Shape, Share};
use crate::generator::{Answer, Failure, Generator, LaneSpec, Nanos, Plan, Request, Window};
use crate::limits::UNKNOWN_MAX;
use crate::workload::{Mix, ValueBytes, Values};

const BASE: u64 = 1_000;

/// A ledger of key 0 after runs that each did what its function says.
fn after(runs: &[fn(&mut Account)]) -> Ledger {
    let mut ledger = Ledger::new("default", BASE);
    for run in runs {
        let mut account = Account::default();
        run(&mut account);
        account.used(2_000);
        ledger.add(account);
    }
    ledger
}

#[track_caller]
fn expect(ledger: &Ledger, expected: &[&str]) {
    assert_eq!(ledger.page(0).unwrap().expected(), expected);
}

fn value(sequence: u64) -> Seen {
    Seen::Value { sequence }
}

#[test]
fn a_write_is_gone_once_a_later_one_is_acknowledged() {
    let ledger = after(&[|account| {
        account.acknowledged(0, 1_001, 0, 5);
        account.acknowledged(0, 1_002, 6, 9);
    }]);
    expect(&ledger, &["1002"]);
    assert_eq!(ledger.judge(0, value(1_002)), Verdict::Right);
    assert_eq!(ledger.judge(0, value(1_001)), Verdict::Lost);
    assert_eq!(ledger.judge(0, Seen::Absent), Verdict::Lost);
    assert_eq!(ledger.judge(0, value(3)), Verdict::Lost, "from before the ledger");
    assert_eq!(ledger.judge(0, value(2_001)), Verdict::Foreign, "nobody wrote it yet");
    assert_eq!(ledger.judge(0, Seen::Bytes { claims: Some(1_002) }), Verdict::Foreign);
    assert_eq!(ledger.judge(0, Seen::Bytes { claims: None }), Verdict::Foreign);
}

#[test]
fn writes_that_overlap_may_end_in_either_order() {
    let overlap: fn(&mut Account) = |account| {
        account.acknowledged(0, 1_002, 1, 2);
        account.acknowledged(0, 1_001, 0, 10);
    };
    expect(&after(&[overlap]), &["1001", "1002"]);
    // A late acknowledgement holds a write open: what started meanwhile does not replace it.
    let third: fn(&mut Account) = |account| {
        account.acknowledged(0, 1_002, 1, 2);
        account.acknowledged(0, 1_001, 0, 10);
        account.acknowledged(0, 1_003, 5, 20);
    };
    expect(&after(&[third]), &["1001", "1003"]);
    let touching: fn(&mut Account) = |account| {
        account.acknowledged(0, 1_001, 0, 5);
        account.acknowledged(0, 1_002, 5, 6);
    };
    expect(&after(&[touching]), &["1001", "1002"]);
}

#[test]
fn an_unknown_outcome_is_possible_until_a_later_run_is_acknowledged() {
    let unknown: fn(&mut Account) = |account| {
        account.unknown(0, 1_001);
        account.acknowledged(0, 1_002, 100, 200);
        account.acknowledged(0, 1_003, 300, 400);
    };
    let nothing: fn(&mut Account) = |account| account.unknown(0, 1_500);
    let acknowledged: fn(&mut Account) = |account| account.acknowledged(0, 1_600, 0, 1);
    expect(&after(&[unknown]), &["1001", "1003"]);
    expect(&after(&[unknown, nothing]), &["1001", "1003", "1500"]);
    expect(&after(&[unknown, nothing, acknowledged]), &["1600"]);
}

#[test]
fn what_was_there_before_is_possible_until_a_write_is_acknowledged() {
    let ledger = after(&[|account| account.unknown(0, 1_001)]);
    expect(&ledger, &["before", "1001"]);
    for seen in [Seen::Absent, value(7), value(1_001), Seen::Bytes { claims: None }] {
        assert_eq!(ledger.judge(0, seen), Verdict::Right, "{seen:?}");
    }
    assert_eq!(ledger.judge(0, value(1_002)), Verdict::Foreign, "a refused write is there");
    let damaged = Seen::Bytes { claims: Some(1_001) };
    assert_eq!(ledger.judge(0, damaged), Verdict::Foreign, "half a write is there");
}

#[test]
fn what_was_seen_must_not_go_back() {
    let unknown: fn(&mut Account) = |account| account.unknown(0, 1_001);
    let two: fn(&mut Account) = |account| {
        account.acknowledged(0, 1_001, 0, 10);
        account.unknown(0, 1_002);
    };
    for (run, seen, expected) in [
        (unknown, Seen::Absent, "absent"),
        (unknown, value(1_001), "1001"),
        (unknown, value(5), "before"),
        (two, value(1_001), "1001"),
        (two, value(1_002), "1002"),
    ] {
        let mut ledger = after(&[run]);
        assert_eq!(ledger.judge(0, seen), Verdict::Right);
        ledger.narrow(0, seen);
        expect(&ledger, &[expected]);
        assert_eq!(ledger.judge(0, seen), Verdict::Right, "still");
    }
    let mut ledger = after(&[two]);
    ledger.narrow(0, value(1_002));
    assert_eq!(ledger.judge(0, value(1_001)), Verdict::Lost);
    let mut ledger = after(&[unknown]);
    ledger.narrow(0, Seen::Absent);
    assert_eq!(ledger.judge(0, value(1_001)), Verdict::Lost);
}

/// One write as a history has it.
#[derive(Clone, Copy, Debug)]
struct Write {
    sequence: u64,
    started: Nanos,
    ended: Option<Nanos>,
}

/// The definition, word for word.
fn by_definition(writes: &[Write]) -> BTreeSet<u64> {
    let replaced = |write: &Write| {
        writes.iter().any(|later| {
            later.ended.is_some() && write.ended.is_some_and(|ended| ended < later.started)
        })
    };
    writes.iter().filter(|write| !replaced(write)).map(|write| write.sequence).collect()
}

#[test]
fn threads_in_any_order_come_to_what_the_definition_says() {
    for seed in 0..2_000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut writes: Vec<Write> = (0..rng.random_range(1..12))
            .map(|sequence| {
                let started = rng.random_range(0..20);
                let ended = rng.random_bool(0.8).then(|| started + rng.random_range(0..8));
                Write { sequence, started, ended }
            })
            .collect();
        let expected = by_definition(&writes);
        // Each thread hears in the order of ends, or in none: neither may matter.
        if seed % 2 == 0 {
            writes.sort_by_key(|write| write.ended);
        }
        let mut threads: Vec<Account> = (0..3).map(|_| Account::default()).collect();
        for write in &writes {
            let thread = &mut threads[rng.random_range(0..3)];
            match write.ended {
                Some(ended) => thread.acknowledged(0, write.sequence, write.started, ended),
                None => thread.unknown(0, write.sequence),
            }
        }
        let mut all = threads.swap_remove(rng.random_range(0..3));
        threads.into_iter().for_each(|thread| all.merge(thread));
        let got = all.into_keys().next().map(|(_, _, sequences)| sequences).unwrap();
        assert_eq!(got.iter().copied().collect::<BTreeSet<_>>(), expected, "{seed}: {writes:?}");
    }
}

#[test]
fn memory_is_bounded_by_keys_and_what_is_in_flight() {
    let mut account = Account::default();
    for round in 0..10_000 {
        for lane in 0..4 {
            let started = round * 10 + lane;
            account.acknowledged(0, round * 4 + lane, started, started + 12);
        }
    }
    let (_, _, sequences) = account.into_keys().next().unwrap();
    assert!(sequences.len() <= 8, "{}", sequences.len());
}

/// A store that a rule of chance writes to, and what it held before.
#[derive(Default)]
struct Store {
    now: BTreeMap<u64, u64>,
    older: BTreeMap<u64, Vec<u64>>,
}

impl Store {
    fn write(&mut self, request: &Request) {
        if let Some(before) = self.now.insert(request.key, request.sequence) {
            self.older.entry(request.key).or_default().push(before);
        }
    }
}

/// One thread's writes of six keys over four connections.
fn generator(ledger: &Ledger, share: Share, seed: u64, retry: bool, values: &Values) -> Generator {
    let spec = LaneSpec {
        connections: 4,
        pipeline: 3,
        mix: Mix::PUTS,
        shape: Shape::Uniform,
        keys: 6,
        rate: None,
        operations: None,
        retry,
    };
    Generator::new(Plan {
        lanes: vec![(&spec, vec![0; 4])],
        route: None,
        share,
        seed,
        window: Window { start: 0, from: 0, until: 1_000_000_000 },
        values: values.clone(),
        verify: false,
        ledger: Some(ledger.highest()),
    })
}

#[test]
fn no_sequence_is_given_twice_and_a_refused_write_is_no_candidate() {
    let values = Values::new(ValueBytes::new(100, 100).unwrap());
    let mut ledger = Ledger::new("default", BASE);
    let mut given = BTreeSet::new();
    for run in 0..3 {
        let mut all = Account::default();
        for index in 0..3 {
            let share = Share { index, count: 3 };
            let mut generator = generator(&ledger, share, run, false, &values);
            // The threads send different numbers of writes.
            for _ in 0..=index {
                for request in std::iter::from_fn(|| generator.next(0)).collect::<Vec<_>>() {
                    assert!(request.sequence > BASE && given.insert(request.sequence));
                    let failure = Failure::Refused(64);
                    let refused = Answer::Refused { failure, retry_after: Some(0) };
                    generator.reply(1, request.connection, request.id, refused).unwrap();
                }
            }
            all.merge(generator.close_account().unwrap());
        }
        ledger.add(all);
        assert!(ledger.is_empty(), "nothing was applied: {ledger:?}");
        assert_eq!(Some(&ledger.highest()), given.last());
    }
}

#[test]
fn a_run_of_unknown_outcomes_ends_before_memory_does() {
    let values = Values::new(ValueBytes::new(100, 100).unwrap());
    let mut generator = generator(&after(&[]), Share::WHOLE, 1, false, &values);
    let unknown = Answer::Refused { failure: Failure::Refused(96), retry_after: None };
    let mut sent = 0;
    while let Some(request) = generator.next(1) {
        sent += 1;
        generator.reply(1, request.connection, request.id, unknown).unwrap();
    }
    assert_eq!(sent, UNKNOWN_MAX);
    assert!(generator.is_done(1));
}

/// A run against a server that applies each write at some moment before it answers, refuses some,
/// forgets to answer others, and is killed in the middle.
fn run(store: &mut Store, ledger: &Ledger, rng: &mut SmallRng, values: &Values) -> Account {
    let retry = rng.random_bool(0.5);
    let mut generator = generator(ledger, Share::WHOLE, rng.random(), retry, values);
    let mut flying: Vec<(Request, bool)> = Vec::new();
    let mut now = 0;
    for _ in 0..rng.random_range(1..400) {
        now += rng.random_range(0..3_000_000);
        while let Some(request) = generator.next(now) {
            flying.push((request, false));
        }
        if rng.random_bool(0.005) {
            let connection = rng.random_range(0..4);
            generator.disconnected(now, connection, Failure::ConnectionLost);
        }
        if flying.is_empty() {
            continue;
        }
        let at = rng.random_range(0..flying.len());
        let (request, applied) = flying[at];
        let (failure, retry_after) = match rng.random_range(0..20) {
            0..=7 if !applied => {
                store.write(&request);
                flying[at].1 = true;
                continue;
            }
            8 if !applied => (Some(64), Some(0)),
            9 => (Some(96), rng.random_bool(0.5).then_some(0)),
            _ if applied => (None, None),
            _ => continue,
        };
        let answer = match failure {
            Some(code) => Answer::Refused { failure: Failure::Refused(code), retry_after },
            None => Answer::Done,
        };
        // A connection that is gone hears nothing; what was refused as unknown may come yet.
        let _ = generator.reply(now, request.connection, request.id, answer);
        if failure != Some(96) {
            flying.swap_remove(at);
        }
    }
    generator.close_account().unwrap()
}

#[test]
fn a_server_that_loses_nothing_is_right_and_any_older_value_is_lost() {
    let values = Values::new(ValueBytes::new(100, 100).unwrap());
    let (mut planted, mut several) = (0, 0);
    for seed in 0..120 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut store = Store::default();
        let mut ledger = Ledger::new("default", BASE);
        for _ in 0..4 {
            let account = run(&mut store, &ledger, &mut rng, &values);
            ledger.add(account);
            for key in ledger.keys().collect::<Vec<_>>() {
                let seen = store.now.get(&key).map_or(Seen::Absent, |&sequence| value(sequence));
                let page = ledger.page(key).unwrap();
                assert_eq!(ledger.judge(key, seen), Verdict::Right, "{seed}: {seen:?} {page:?}");
                several += usize::from(page.expected().len() > 1);
                if !page.may_be_absent() {
                    assert_eq!(ledger.judge(key, Seen::Absent), Verdict::Lost);
                }
                if rng.random_bool(0.5) {
                    ledger.narrow(key, seen);
                }
                let page = ledger.page(key).unwrap();
                for &older in store.older.get(&key).into_iter().flatten() {
                    if page.expected() == [store.now[&key].to_string()] && older != store.now[&key]
                    {
                        planted += 1;
                        assert_eq!(ledger.judge(key, value(older)), Verdict::Lost, "{seed}");
                    }
                }
            }
        }
    }
    assert!(planted > 3_000 && several > 200, "{planted} losses, {several} open questions");
}

fn sample() -> Ledger {
    let mut ledger = after(&[|account| {
        account.acknowledged(0, 1_001, 0, 5);
        account.unknown(0, 1_002);
        account.unknown(7, 1_003);
        account.unknown(9, 1_004);
    }]);
    ledger.narrow(9, Seen::Absent);
    ledger
}

#[test]
fn a_file_says_what_the_ledger_said() {
    for state in [State::Rest, State::Running] {
        assert_eq!(decode(&encode(&sample(), state)), Ok((sample(), state)));
    }
    let empty = Ledger::new("", 0);
    assert_eq!(decode(&encode(&empty, State::Rest)), Ok((empty, State::Rest)));
}

#[test]
fn what_is_not_whole_is_refused() {
    let good = encode(&sample(), State::Rest);
    for cut in 0..good.len() {
        assert!(decode(&good[..cut]).is_err(), "{cut} bytes of {}", good.len());
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(decode(&bad).is_err(), "byte {at} flipped");
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert!(matches!(decode(&longer), Err(FormatError::Length { .. })));
    assert_eq!(decode(b"{\"keys\": 1}"), Err(FormatError::NotALedger));
    let mut newer = good;
    newer[8] = 2;
    assert_eq!(decode(&newer), Err(FormatError::Version { got: 2 }));
}

#[test]
fn a_file_whose_run_did_not_end_is_not_judged_by() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    assert!(LedgerFile::open(&path, "default").is_err(), "there is none yet");
    let mut file = LedgerFile::open_or_new(&path, "default").unwrap();
    assert!(!path.exists(), "a run that never began leaves nothing");
    file.begin().unwrap();
    let error = LedgerFile::open_or_new(&path, "default").unwrap_err();
    assert!(error.to_string().contains("the end of a run is missing"), "{error}");

    let mut account = Account::default();
    account.acknowledged(3, file.ledger().highest() + 1, 0, 1);
    account.used(file.ledger().highest() + 1);
    file.end(account).unwrap();
    let again = LedgerFile::open(&path, "default").unwrap();
    assert_eq!(again.ledger(), file.ledger());
    assert_eq!(again.ledger().len(), 1);
    let error = LedgerFile::open(&path, "other").unwrap_err().to_string();
    assert!(error.contains("is of namespace \"default\", not \"other\""), "{error}");
}

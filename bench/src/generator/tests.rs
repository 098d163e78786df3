//! The generator against a server that is a rule, in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::latency::{Kind, Quantiles};
use crate::workload::ValueBytes;

const US: Nanos = 1_000;
const MS: Nanos = 1_000_000;
const S: Nanos = 1_000_000_000;
const OVERLOADED: Failure = Failure::Refused(64);

fn spec(connections: usize, pipeline: usize, rate: Option<u64>) -> LaneSpec {
    LaneSpec {
        connections,
        pipeline,
        mix: Mix::GETS,
        shape: Shape::Uniform,
        keys: 1_000,
        rate,
        operations: None,
        retry: false,
    }
}

fn values() -> Values {
    Values::new(ValueBytes::new(100, 100).unwrap())
}

fn generator(spec: &LaneSpec, shards: Vec<usize>, route: Option<Route>, end: Nanos) -> Generator {
    Generator::new(Plan {
        lanes: vec![(spec, shards)],
        route,
        share: Share::WHOLE,
        seed: 1,
        window: Window { start: 0, from: 0, until: end },
        values: values(),
        verify: true,
        ledger: None,
    })
}

/// Runs `generator` against a server that answers what is sent at `t` at `answered(t)`, until
/// all is done or `end`.
fn run(
    generator: &mut Generator,
    end: Nanos,
    answered: impl Fn(Nanos, &Request) -> (Nanos, Answer<'static>),
) {
    let mut now = 0;
    let mut wire: BTreeMap<(Nanos, u64), (Request, Answer<'static>)> = BTreeMap::new();
    loop {
        while let Some(request) = generator.next(now) {
            let (at, answer) = answered(now, &request);
            assert!(wire.insert((at, request.id), (request, answer)).is_none());
        }
        let reply = wire.first_key_value().map(|(&(at, _), _)| at);
        let Some(at) = reply.into_iter().chain(generator.deadline(now)).min() else { break };
        if at > end {
            break;
        }
        now = at.max(now);
        while let Some(entry) = wire.first_entry().filter(|entry| entry.key().0 <= now) {
            let (request, answer) = entry.remove();
            generator.reply(now, request.connection, request.id, answer).unwrap();
        }
    }
}

/// A server that stalls for one second in ten: what coordinated omission would hide.
#[test]
fn an_open_loop_counts_the_wait_of_everything_due_during_a_stall() {
    let spec = spec(4, 1, Some(1_000));
    let mut generator = generator(&spec, vec![0; 4], None, 10 * S);
    run(&mut generator, 20 * S, |now, _| {
        let stalled = (5 * S..6 * S).contains(&now);
        (if stalled { 6 * S } else { now } + 100 * US, Answer::Absent)
    });
    let tally = generator.finish(20 * S);
    assert_eq!((tally.sent, tally.completed, tally.unsent), (10_000, 10_000, 0));
    let get = &tally.latencies[Kind::Get as usize];
    let (service, response) = (Quantiles::from(get.service()), Quantiles::from(get.response()));
    assert!(service.p99 < 101.0, "only the four in flight felt the stall: {service:?}");
    // One operation in ten fell into the stall; their waits are uniform over its second.
    assert!((response.p99 - 900_000.0).abs() < 20_000.0, "{response:?}");
    assert!(response.p50 < 101.0, "{response:?}");
    assert!(tally.lateness.max() <= 1, "the wait is the server's, not the generator's");
}

#[test]
fn what_was_due_and_never_sent_counts_with_its_wait() {
    let spec = spec(1, 1, Some(1_000));
    let mut generator = generator(&spec, vec![0], None, S);
    run(&mut generator, S, |now, _| (now + 10 * S, Answer::Absent));
    let tally = generator.finish(S);
    assert_eq!((tally.sent, tally.completed, tally.unsent, tally.offered()), (1, 0, 999, 1_000));
    assert_eq!(tally.errors, BTreeMap::from([(Failure::NoReply, 1)]));
    let get = &tally.latencies[Kind::Get as usize];
    assert_eq!((get.count(), get.response().len()), (0, 1_000));
    assert!((Quantiles::from(get.response()).p50 - 500_000.0).abs() < 2_000.0);
}

#[test]
fn a_backlog_is_not_worked_off_after_the_window() {
    let spec = spec(2, 1, Some(10_000));
    let mut generator = generator(&spec, vec![0; 2], None, S);
    run(&mut generator, 10 * S, |now, _| (now + MS, Answer::Absent));
    assert!(generator.is_done(S + MS), "only what was in flight went on");
    let tally = generator.finish(S + MS);
    assert_eq!((tally.sent, tally.completed, tally.unsent), (2_000, 2_000, 8_000));
}

#[test]
fn a_generator_that_comes_late_says_so() {
    let spec = spec(4, 4, Some(1_000));
    let mut generator = generator(&spec, vec![0; 4], None, S);
    let mut now = 0;
    while now < S {
        while let Some(request) = generator.next(now) {
            generator.reply(now, request.connection, request.id, Answer::Absent).unwrap();
        }
        now += 5 * MS;
    }
    let p99 = generator.tally().lateness.value_at_quantile(0.99);
    assert!((3 * MS..=5 * MS).contains(&p99), "{p99}");
}

#[test]
fn a_closed_loop_keeps_its_window_full_and_no_fuller() {
    let spec = spec(3, 4, None);
    let mut generator = generator(&spec, vec![0; 3], None, S);
    let mut first = BTreeMap::new();
    while let Some(request) = generator.next(0) {
        *first.entry(request.connection).or_insert(0) += 1;
    }
    assert_eq!(first, BTreeMap::from([(0, 4), (1, 4), (2, 4)]));
    assert_eq!(generator.outstanding(), 12);

    let mut generator = super::tests::generator(&spec, vec![0; 3], None, S);
    run(&mut generator, 2 * S, |now, _| (now + MS, Answer::Absent));
    assert!(generator.is_done(S));
    let tally = generator.finish(2 * S);
    assert_eq!(tally.completed, 12_000);
    assert_eq!(tally.in_window, 11_988, "the last twelve ended as the window closed");
}

#[test]
fn requests_go_to_the_shard_of_their_key_and_wait_for_it() {
    let spec = spec(4, 1, None);
    let route = || Box::new(|key: &[u8]| usize::from(key[15] >= b'8')) as Route;
    let mut generator = generator(&spec, vec![0, 1, 0, 1], Some(route()), S);
    run(&mut generator, 2 * S, |now, request| {
        let shard = usize::from(request.key % 16 >= 8);
        assert_eq!(request.connection % 2, shard);
        // One shard is slow: the other must not be starved by what waits for it.
        (now + if shard == 0 { MS } else { 100 * US }, Answer::Absent)
    });
    let tally = generator.finish(2 * S);
    let get = &tally.latencies[Kind::Get as usize];
    assert!(Quantiles::from(get.service()).max < 1_001.0);
    assert!(Quantiles::from(get.response()).p90 > 1_001.0, "a wait for a connection is response");
}

#[test]
fn shards_without_a_connection_share_the_others() {
    let spec = spec(2, 1, None);
    let route = Box::new(|key: &[u8]| usize::from(key[15] % 4)) as Route;
    let mut generator = generator(&spec, vec![1, 3], Some(route), S);
    run(&mut generator, 2 * S, |now, _| (now + MS, Answer::Absent));
    assert!(generator.finish(2 * S).completed > 1_000);
}

#[test]
fn a_read_modify_write_is_a_read_and_then_a_write_of_the_same_key() {
    let spec = LaneSpec { mix: Mix::ycsb('f').unwrap(), ..spec(1, 1, None) };
    let mut generator = generator(&spec, vec![0], None, S);
    let mut now = 0;
    let mut last: Option<Request> = None;
    let mut writes = 0;
    while let Some(request) = generator.next(now) {
        if request.write {
            let read = last.filter(|last| !last.write).expect("a write follows its read");
            assert_eq!(read.key, request.key);
            writes += 1;
        }
        last = Some(request);
        now += MS;
        let answer = if request.write { Answer::Done } else { Answer::Absent };
        generator.reply(now, 0, request.id, answer).unwrap();
    }
    let tally = generator.finish(now);
    let count = |kind: Kind| tally.latencies[kind as usize].count();
    assert_eq!((count(Kind::ReadModifyWrite), count(Kind::Put)), (writes, writes));
    assert_eq!(tally.completed, count(Kind::Get));
    let whole = Quantiles::from(tally.latencies[Kind::ReadModifyWrite as usize].service());
    assert!((whole.p50 - 2_000.0).abs() < 2.0, "{whole:?}");
}

#[test]
fn loading_puts_each_key_once_and_again_where_it_was_refused() {
    let spec = LaneSpec {
        mix: Mix::PUTS,
        shape: Shape::Sequential,
        operations: Some(1_000),
        retry: true,
        ..spec(2, 8, None)
    };
    let mut generator = generator(&spec, vec![0; 2], None, Nanos::MAX);
    let keys = std::cell::RefCell::new(vec![0u8; 1_000]);
    run(&mut generator, 100 * S, |now, request| {
        let refused = now / MS % 10 < 5;
        keys.borrow_mut()[request.key as usize] += u8::from(!refused);
        let retry_after = Some(3 * MS);
        let answer = if refused {
            Answer::Refused { failure: OVERLOADED, retry_after }
        } else {
            Answer::Done
        };
        (now + 50 * US, answer)
    });
    assert!(generator.is_done(0));
    assert!(keys.borrow().iter().all(|&puts| puts == 1));
    let tally = generator.finish(100 * S);
    assert_eq!((tally.completed, tally.errors_total()), (1_000, 0));
    assert!(tally.retries > 0);
}

#[test]
fn a_write_that_is_refused_for_ever_ends_as_an_error() {
    let spec = LaneSpec { mix: Mix::PUTS, operations: Some(3), retry: true, ..spec(1, 1, None) };
    let mut generator = generator(&spec, vec![0], None, Nanos::MAX);
    run(&mut generator, 100 * S, |now, _| {
        (now + US, Answer::Refused { failure: OVERLOADED, retry_after: Some(0) })
    });
    assert!(generator.is_done(0));
    assert_eq!(generator.finish(100 * S).errors, BTreeMap::from([(OVERLOADED, 3)]));
}

#[test]
fn warm_up_is_not_measured_but_its_errors_are_seen() {
    let spec = spec(1, 1, None);
    let mut generator = Generator::new(Plan {
        lanes: vec![(&spec, vec![0])],
        route: None,
        share: Share::WHOLE,
        seed: 1,
        window: Window { start: 0, from: S, until: 2 * S },
        values: values(),
        verify: true,
        ledger: None,
    });
    run(&mut generator, 3 * S, |now, _| {
        let refused = Answer::Refused { failure: OVERLOADED, retry_after: None };
        (now + MS, if now == 0 { refused } else { Answer::Absent })
    });
    let tally = generator.finish(3 * S);
    assert_eq!(tally.completed, 1_000);
    assert_eq!(tally.latencies[Kind::Get as usize].count(), 1_000);
    assert_eq!(tally.errors, BTreeMap::from([(OVERLOADED, 1)]));
}

#[test]
fn values_read_are_verified() {
    let spec = LaneSpec { keys: 1, ..spec(1, 1, None) };
    let mut good = Vec::new();
    values().append(0, 77, &mut good);
    let mut bad = good.clone();
    bad[50] ^= 1;
    for (value, mismatches) in [(&good, 0), (&bad, 1)] {
        let mut generator = generator(&spec, vec![0], None, S);
        let request = generator.next(0).unwrap();
        generator.reply(1, 0, request.id, Answer::Value(value)).unwrap();
        assert_eq!(generator.tally().mismatches, mismatches);
    }
}

#[test]
fn a_reply_that_nobody_asked_for_is_noticed() {
    let spec = spec(2, 1, None);
    let mut generator = generator(&spec, vec![0; 2], None, S);
    let request = generator.next(0).unwrap();
    let other = 1 - request.connection;
    assert_eq!(generator.reply(1, other, request.id, Answer::Absent), Err(Unexpected));
    assert_eq!(generator.reply(1, request.connection, 99, Answer::Absent), Err(Unexpected));
    assert_eq!(
        generator.reply(1, request.connection, request.id, Answer::Done),
        Err(Unexpected),
        "a read is not done, it has a value or none"
    );
    generator.reply(1, request.connection, request.id, Answer::Absent).unwrap();
    assert_eq!(
        generator.reply(2, request.connection, request.id, Answer::Absent),
        Err(Unexpected),
        "a second reply to the same request"
    );
}

#[test]
fn a_lost_connection_fails_its_requests_and_the_others_go_on() {
    let spec = spec(2, 2, None);
    let mut generator = generator(&spec, vec![0; 2], None, S);
    assert_eq!(std::iter::from_fn(|| generator.next(0)).count(), 4);
    generator.disconnected(MS, 0, Failure::ConnectionLost);
    generator.disconnected(MS, 0, Failure::ConnectionLost);
    assert_eq!(generator.outstanding(), 2);
    assert_eq!(generator.tally().errors, BTreeMap::from([(Failure::ConnectionLost, 2)]));
    assert_eq!(generator.next(MS), None, "the other connection is full");

    generator.disconnected(2 * MS, 1, Failure::ConnectionLost);
    assert_eq!(generator.outstanding(), 0);
    assert_eq!(generator.next(3 * MS), None);
    assert!(generator.is_done(3 * MS), "without a connection there is nothing left to do");
    assert_eq!(generator.finish(3 * MS).errors, BTreeMap::from([(Failure::ConnectionLost, 4)]));
}

#[test]
fn what_waits_for_a_lost_shard_goes_to_another() {
    let spec = spec(2, 1, None);
    let route = Box::new(|key: &[u8]| usize::from(key[15] >= b'8')) as Route;
    let mut generator = generator(&spec, vec![0, 1], Some(route), S);
    // Answer one shard only, until an operation of the other waits.
    let (mut now, mut stuck) = (0, None);
    while let Some(request) = generator.next(now) {
        now += US;
        if request.connection == 0 {
            stuck = Some(request);
        } else {
            generator.reply(now, 1, request.id, Answer::Absent).unwrap();
        }
    }
    assert!(stuck.is_some());
    assert_eq!(generator.outstanding(), 2, "one in flight, one waits for it");
    generator.disconnected(now, 0, Failure::ConnectionLost);
    assert_eq!(generator.next(now).map(|request| request.connection), Some(1));
}

#[test]
fn a_retired_connection_answers_what_it_has_and_takes_no_more() {
    let spec = spec(2, 2, None);
    let mut generator = generator(&spec, vec![0; 2], None, S);
    let sent: Vec<_> = std::iter::from_fn(|| generator.next(0)).collect();
    generator.retire(MS, 0);
    for request in &sent {
        generator.reply(2 * MS, request.connection, request.id, Answer::Absent).unwrap();
    }
    let next: Vec<_> = std::iter::from_fn(|| generator.next(2 * MS)).collect();
    assert_eq!(next.iter().map(|request| request.connection).collect::<Vec<_>>(), [1, 1]);
    generator.retire(3 * MS, 1);
    for request in &next {
        generator.reply(4 * MS, 1, request.id, Answer::Absent).unwrap();
    }
    assert!(generator.is_done(4 * MS), "no connection is left");
    let tally = generator.finish(4 * MS);
    assert_eq!((tally.completed, tally.errors_total(), tally.unsent), (6, 0, 0));
}

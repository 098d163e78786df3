//! The survey against a server that is a rule.

use std::collections::BTreeMap;

use super::survey::Survey;
use crate::generator::{Answer, Failure, Request};
use crate::ledger::{Account, Ledger};
use crate::limits::{EXAMPLES_MAX, LOAD_ATTEMPTS_MAX};
use crate::workload::{ValueBytes, Values};

const OVERLOADED: Failure = Failure::Refused(64);

fn values() -> Values {
    Values::new(ValueBytes::new(100, 100).unwrap())
}

/// Write 11 + n of each key n below `keys` was acknowledged.
fn ledger(keys: u64) -> Ledger {
    let mut account = Account::default();
    for key in 0..keys {
        account.acknowledged(key, 11 + key, 0, 1);
    }
    account.used(10 + keys);
    let mut ledger = Ledger::new("default", 10);
    ledger.add(account);
    ledger
}

fn value(key: u64, sequence: u64) -> Vec<u8> {
    let mut value = Vec::new();
    values().append(key, sequence, &mut value);
    value
}

/// All that may be sent at `now`.
fn asked(survey: &mut Survey<'_>, now: u64) -> Vec<Request> {
    std::iter::from_fn(|| survey.next(now)).collect()
}

fn answer(survey: &mut Survey<'_>, request: &Request, value: Option<&[u8]>) {
    let answer = value.map_or(Answer::Absent, Answer::Value);
    survey.reply(0, request.connection, request.id, answer).unwrap();
}

#[test]
fn each_key_is_judged_once_by_what_it_held() {
    let ledger = ledger(5);
    let mut held: BTreeMap<u64, Vec<u8>> = (0..5).map(|key| (key, value(key, 11 + key))).collect();
    held.remove(&0);
    held.insert(1, value(1, 3));
    held.insert(2, value(1, 12));
    held.get_mut(&3).unwrap()[50] ^= 1;
    let mut survey = Survey::new(&ledger, values(), 2, 1);
    let mut keys = Vec::new();
    while !survey.is_over() {
        let requests = asked(&mut survey, 0);
        assert!(!requests.is_empty() && requests.len() <= 2);
        for request in requests {
            keys.push(request.key);
            answer(&mut survey, &request, held.get(&request.key).map(Vec::as_slice));
        }
    }
    keys.sort_unstable();
    assert_eq!(keys, [0, 1, 2, 3, 4]);
    let (findings, _) = survey.finish(Failure::NoReply);
    assert_eq!((findings.right, findings.lost, findings.foreign), (1, 2, 2));
    assert!(!findings.is_clean());
    let lost: Vec<_> = findings.lost_examples.iter().map(|e| (&*e.key, &*e.got)).collect();
    assert_eq!(lost, [("key:000000000000", "absent"), ("key:000000000001", "3")]);
    assert_eq!(findings.lost_examples[0].expected, ["11"]);
    let text = super::table(&findings);
    assert!(text.contains("lost        key:000000000001: expected 12; got 3\n"), "{text}");
    assert!(text.contains("100 bytes that are not those of 12, which they name"), "{text}");
    let json = serde_json::to_value(&findings).unwrap();
    assert_eq!(
        (&json["keys"], &json["lost"], &json["unreadable"]),
        (&5.into(), &2.into(), &0.into())
    );
}

#[test]
fn a_refused_read_is_asked_again_and_at_last_given_up() {
    let ledger = ledger(1);
    let mut survey = Survey::new(&ledger, values(), 1, 1);
    let mut now = 0;
    let refused = Answer::Refused { failure: OVERLOADED, retry_after: Some(0) };
    for _ in 0..LOAD_ATTEMPTS_MAX {
        let request = survey.next(now).unwrap();
        survey.reply(now, 0, request.id, refused).unwrap();
        assert_eq!(survey.next(now), None, "not at once");
        now = survey.deadline().unwrap();
    }
    let request = survey.next(now).unwrap();
    survey.reply(now, 0, request.id, refused).unwrap();
    assert!(survey.is_over());
    let (findings, _) = survey.finish(Failure::NoReply);
    assert_eq!((findings.right, findings.unreadable), (0, 1));
    assert_eq!(findings.errors_by_kind, BTreeMap::from([("overloaded".to_owned(), 1)]));
}

#[test]
fn a_lost_connections_reads_go_to_the_others_and_none_is_forgotten() {
    let ledger = ledger(50);
    let mut survey = Survey::new(&ledger, values(), 2, 4);
    assert_eq!(asked(&mut survey, 0).len(), 8);
    survey.disconnected(0, 0, Failure::ConnectionLost);
    assert!(asked(&mut survey, 0).is_empty(), "the other connection is full");
    assert!(!survey.is_over());
    survey.retire(1);
    survey.disconnected(0, 1, Failure::ConnectionLost);
    assert!(survey.is_over(), "no connection is left");
    let (findings, _) = survey.finish(Failure::ConnectionLost);
    assert_eq!((findings.unreadable, findings.read()), (50, 50));
    assert_eq!(findings.unreadable_examples.len(), EXAMPLES_MAX);

    let mut survey = Survey::new(&ledger, values(), 2, 4);
    asked(&mut survey, 0);
    survey.disconnected(0, 0, Failure::ConnectionLost);
    let mut requests: Vec<Request> = (0..4).map(|id| id * 2 + 1).map(in_slot).collect();
    while !survey.is_over() {
        for request in std::mem::take(&mut requests) {
            assert_eq!(request.connection, 1);
            survey.reply(0, 1, request.id, Answer::Absent).unwrap();
        }
        requests = asked(&mut survey, 0);
    }
    assert_eq!(survey.finish(Failure::NoReply).0.lost, 50);
}

/// The read in flight in slot `id` of two connections.
fn in_slot(id: u64) -> Request {
    Request { connection: 1, id, write: false, key: 0, sequence: 0 }
}

#[test]
fn a_clean_survey_narrows_the_ledger_to_what_was_seen() {
    let mut account = Account::default();
    account.acknowledged(0, 11, 0, 1);
    account.unknown(0, 12);
    account.used(12);
    let mut ledger = Ledger::new("default", 10);
    ledger.add(account);
    let mut survey = Survey::new(&ledger, values(), 1, 1);
    let request = survey.next(0).unwrap();
    answer(&mut survey, &request, Some(&value(0, 12)));
    let (findings, narrowed) = survey.finish(Failure::NoReply);
    assert!(findings.is_clean());
    assert_eq!(narrowed.page(0).unwrap().expected(), ["12"]);
    assert_eq!(narrowed.highest(), 12);
}

#[test]
fn a_reply_that_was_not_asked_for_is_refused() {
    let ledger = ledger(2);
    let mut survey = Survey::new(&ledger, values(), 2, 1);
    let request = survey.next(0).unwrap();
    let other = 1 - request.connection;
    assert!(survey.reply(0, other, request.id, Answer::Absent).is_err());
    assert!(survey.reply(0, 0, 99, Answer::Absent).is_err());
    answer(&mut survey, &request, None);
    assert!(survey.reply(0, request.connection, request.id, Answer::Absent).is_err());
}

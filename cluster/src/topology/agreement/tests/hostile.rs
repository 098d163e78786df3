//! Messages from nowhere, from others than may say such a thing, of no sense.

use std::time::Duration;

use fastrand::Rng;
use schemas::ids::{ClusterId, NodeId};

use super::super::state::State;
use super::super::*;
use crate::limits::{PROPOSALS_MAX, ROUND_MAX, SEEDS_MAX};
use crate::time::Instant;
use crate::topology::bytes::put_crc;
use crate::topology::sample::{cluster, done, first, node};
use crate::topology::{Change, Document, Encoded, Epoch};

const NOW: Instant = Instant(5_000_000);

/// A voter of four nodes, of which node 3 does not vote.
fn voter() -> (Agreement, Document) {
    let document = cluster(4);
    assert_eq!(document.voters, [node(1), node(2), node(4)]);
    let bytes = State::new(Encoded::new(document.clone())).encode(node(1));
    let rng = Rng::with_seed(1);
    let mut agreement =
        Agreement::restart(node(1), &bytes, Timing::default(), rng, NOW).expect("its own");
    effects(&mut agreement);
    (agreement, document)
}

fn effects(agreement: &mut Agreement) -> Vec<Effect> {
    std::iter::from_fn(|| agreement.poll()).collect()
}

fn receive(agreement: &mut Agreement, from: u64, body: Body) -> Vec<Effect> {
    let epoch = agreement.document().map_or(Epoch(0), |it| it.epoch);
    let message = Message { cluster: ClusterId(7), epoch, body };
    agreement.handle(NOW, Event::Received { from: node(from), message });
    effects(agreement)
}

fn ballot(round: u64, number: u64) -> Ballot {
    Ballot { round, node: node(number) }
}

fn next(document: &Document) -> Encoded {
    Encoded::new(done(document, &Change::Pause))
}

/// The messages among effects, by receiver.
fn sent(effects: &[Effect]) -> Vec<(NodeId, Body)> {
    let sent = |it: &Effect| match it {
        Effect::Send { to, message } => Some((*to, message.body.clone())),
        _ => None,
    };
    effects.iter().filter_map(sent).collect()
}

fn persisted(effects: &[Effect]) -> Option<(Ticket, Vec<u8>)> {
    effects.iter().find_map(|it| match it {
        Effect::Persist { ticket, bytes } => Some((*ticket, bytes.clone())),
        _ => None,
    })
}

#[test]
fn a_voter_says_nothing_that_is_not_on_disk() {
    let (mut agreement, document) = voter();
    let epoch = Epoch(document.epoch.0 + 1);
    let asked = receive(&mut agreement, 2, Body::Prepare { epoch, ballot: ballot(5, 2) });
    assert_eq!(sent(&asked), []);
    let (ticket, bytes) = persisted(&asked).expect("a promise is written");
    let state = State::decode(node(1), &bytes).expect("it can be read");
    assert_eq!(state.acceptor.promised, Some(ballot(5, 2)));
    agreement.handle(NOW, Event::Persisted(ticket));
    let promise = Body::Promise { epoch, ballot: ballot(5, 2), accepted: None };
    assert_eq!(sent(&effects(&mut agreement)), [(node(2), promise.clone())]);
    let twice = receive(&mut agreement, 2, Body::Prepare { epoch, ballot: ballot(5, 2) });
    assert_eq!(sent(&twice), [(node(2), promise)], "it is on disk already");

    let value = next(&document);
    let accept = Body::Accept { ballot: ballot(5, 2), value: value.clone() };
    let asked = receive(&mut agreement, 2, accept);
    assert_eq!(sent(&asked), []);
    let (ticket, bytes) = persisted(&asked).expect("an acceptance is written");
    let state = State::decode(node(1), &bytes).expect("it can be read");
    assert_eq!(state.acceptor.accepted, Some((ballot(5, 2), value)));
    agreement.handle(NOW, Event::Persisted(ticket));
    let accepted = Body::Accepted { epoch, ballot: ballot(5, 2) };
    assert_eq!(sent(&effects(&mut agreement)), [(node(2), accepted)]);
}

#[test]
fn a_node_that_adopts_a_document_says_so_when_it_is_on_disk() {
    let (mut agreement, document) = voter();
    let value = next(&document);
    let adopted = receive(&mut agreement, 3, Body::Document(value.clone()));
    let (ticket, _) = persisted(&adopted).expect("it is written");
    assert_eq!(adopted.len(), 1);
    assert_eq!(agreement.document().map(|it| it.epoch), Some(document.epoch));
    agreement.handle(NOW, Event::Persisted(ticket));
    let told = effects(&mut agreement);
    assert_eq!(told[0], Effect::Adopted(value.document().clone()));
    let notice = Message { cluster: ClusterId(7), epoch: value.epoch(), body: Body::Notice };
    assert_eq!(told[1], Effect::Send { to: node(3), message: notice });
}

#[test]
fn a_joining_node_believes_its_seeds_and_nobody_else() {
    let rng = Rng::with_seed(1);
    let mut agreement = Agreement::join(node(9), ClusterId(7), Timing::default(), rng, NOW);
    let document = Encoded::new(cluster(2));
    assert_eq!(receive(&mut agreement, 1, Body::Document(document.clone())), []);
    assert_eq!(receive(&mut agreement, 1, Body::Offer).len(), 1, "a notice of nothing");
    assert_eq!(agreement.counts().outsiders, 1);
    agreement.handle(NOW, Event::Seed(node(1)));
    assert_eq!(sent(&effects(&mut agreement)), [(node(1), Body::Ask)]);
    assert!(persisted(&receive(&mut agreement, 1, Body::Document(document))).is_some());
}

#[test]
fn another_cluster_is_not_heard() {
    let (mut agreement, document) = voter();
    let mut other = done(&document, &Change::Pause);
    other.cluster = ClusterId(8);
    let bodies =
        [Body::Ask, Body::Document(Encoded::new(other.clone())), Body::Offer, Body::Notice];
    for (at, body) in (1..).zip(bodies) {
        let message = Message { cluster: ClusterId(8), epoch: Epoch(99), body };
        agreement.handle(NOW, Event::Received { from: node(2), message });
        assert_eq!(effects(&mut agreement), []);
        assert_eq!(agreement.counts(), Counts { foreign: at, ..Counts::default() });
    }
    // A member that was merged by mistake, or whatever else says so.
    assert_eq!(receive(&mut agreement, 2, Body::Document(Encoded::new(other))), []);
    assert_eq!(agreement.counts().absurd, 1);
}

/// What is said to a voter that it must not heed, and which count says so.
#[test]
fn what_makes_no_sense_changes_nothing() {
    let (_, document) = voter();
    let epoch = Epoch(document.epoch.0 + 1);
    let value = next(&document);
    let earlier = Encoded::new(first());
    let later = Encoded::new(done(value.document(), &Change::Resume));
    let mut forged = value.document().as_ref().clone();
    forged.token_seed += 1;
    let forged = Encoded::new(forged);
    let accept = |ballot, value: &Encoded| Body::Accept { ballot, value: value.clone() };
    let prepare = |ballot| Body::Prepare { epoch, ballot };
    let promise = |ballot| Body::Promise { epoch, ballot, accepted: None };
    let refuse = |ballot, promised| Body::Refuse { epoch, ballot, promised };
    type Count = fn(&Counts) -> u64;
    let outsiders: Count = |it| it.outsiders;
    let (stale, absurd): (Count, Count) = (|it| it.stale, |it| it.absurd);
    let cases: Vec<(u64, Body, Count)> = vec![
        (9, prepare(ballot(1, 9)), outsiders),
        (9, accept(ballot(1, 9), &value), outsiders),
        (9, Body::Document(value.clone()), outsiders),
        (3, promise(ballot(1, 1)), outsiders),
        (3, Body::Accepted { epoch, ballot: ballot(1, 1) }, outsiders),
        (9, refuse(ballot(1, 1), ballot(2, 9)), outsiders),
        (4, prepare(ballot(1, 2)), absurd),
        (4, prepare(ballot(0, 4)), absurd),
        (4, prepare(ballot(ROUND_MAX + 1, 4)), absurd),
        (4, accept(ballot(u64::MAX, 4), &value), absurd),
        (4, accept(ballot(1, 4), &forged), absurd),
        (4, Body::Document(forged.clone()), absurd),
        (2, refuse(ballot(1, 1), ballot(ROUND_MAX + 1, 2)), absurd),
        (2, refuse(ballot(2, 1), ballot(1, 2)), absurd),
        (4, accept(ballot(1, 4), &later), stale),
        (4, Body::Document(earlier.clone()), stale),
        (2, promise(ballot(1, 1)), stale),
        (2, Body::Accepted { epoch, ballot: ballot(1, 1) }, stale),
        (2, Body::Promise { epoch: Epoch(1), ballot: ballot(1, 1), accepted: None }, stale),
    ];
    for (from, body, count) in cases {
        let (mut agreement, _) = voter();
        let before = agreement.document().cloned();
        let effects = receive(&mut agreement, from, body.clone());
        assert_eq!(effects, [], "{from} {body:?}");
        assert_eq!(agreement.document().cloned(), before);
        let counts = agreement.counts();
        let all = counts.foreign + counts.outsiders + counts.stale + counts.absurd;
        assert_eq!((count(&counts), all), (1, 1), "{from} {body:?}");
    }
    // Who asks for what was decided long ago is told.
    let (mut agreement, document) = voter();
    let told = receive(&mut agreement, 4, accept(ballot(1, 4), &earlier));
    assert_eq!(sent(&told), [(node(4), Body::Document(Encoded::new(document)))]);
}

/// Promises are only taken for a round under way, with values that can be.
#[test]
fn a_promise_that_brings_nonsense_does_not_count() {
    let (mut agreement, document) = voter();
    let deadline = NOW + Duration::from_secs(9);
    let propose = Event::Propose { ticket: Ticket(1), change: Change::Pause, deadline };
    agreement.handle(NOW, propose);
    let begun = effects(&mut agreement);
    let (ticket, _) = persisted(&begun).expect("the ballot is written");
    assert_eq!(sent(&begun), []);
    agreement.handle(NOW, Event::Persisted(ticket));
    let epoch = Epoch(document.epoch.0 + 1);
    let prepare = Body::Prepare { epoch, ballot: ballot(1, 1) };
    let asked = sent(&effects(&mut agreement));
    assert_eq!(asked, [(node(2), prepare.clone()), (node(4), prepare)]);

    let promise = |accepted| Body::Promise { epoch, ballot: ballot(1, 1), accepted };
    let mut forged = next(&document).document().as_ref().clone();
    forged.token_seed += 1;
    for accepted in [
        (ballot(1, 9), next(&document)),
        (ballot(0, 4), Encoded::new(document.clone())),
        (ballot(0, 4), Encoded::new(forged)),
    ] {
        assert_eq!(receive(&mut agreement, 2, promise(Some(accepted))), []);
    }
    assert_eq!(agreement.counts().absurd, 3);
    let asked = receive(&mut agreement, 2, promise(None));
    let accept = Body::Accept { ballot: ballot(1, 1), value: next(&document) };
    assert_eq!(sent(&asked), [(node(2), accept.clone()), (node(4), accept)]);
}

/// A hundred thousand nodes that are none, each with something to say, and state does not grow.
#[test]
fn fake_members_cost_no_memory() {
    let (mut agreement, document) = voter();
    let epoch = Epoch(document.epoch.0 + 1);
    let size = |agreement: &Agreement| format!("{agreement:?}").len();
    let before = size(&agreement);
    for fake in 1_000..101_000 {
        let bodies = [
            Body::Offer,
            Body::Ask,
            Body::Prepare { epoch, ballot: ballot(1, fake) },
            Body::Document(next(&document)),
        ];
        let body = bodies[fake as usize % 4].clone();
        let message = Message { cluster: ClusterId(7), epoch: Epoch(u32::MAX), body };
        agreement.handle(NOW, Event::Received { from: node(fake), message });
        agreement.handle(NOW, Event::Heard { node: node(fake), epoch: Epoch(u32::MAX) });
        let answers = effects(&mut agreement);
        assert!(answers.len() <= 1 && persisted(&answers).is_none());
    }
    assert!(size(&agreement) < before + 100);
    assert!(agreement.counts().outsiders >= 100_000);
}

#[test]
fn proposals_and_seeds_are_bounded() {
    let (mut agreement, _) = voter();
    let deadline = NOW + Duration::from_secs(9);
    for number in 0..=PROPOSALS_MAX as u64 {
        let propose = Event::Propose { ticket: Ticket(number), change: Change::Pause, deadline };
        agreement.handle(NOW, propose);
        let busy = Effect::Outcome { ticket: Ticket(number), result: Err(ProposalError::Busy) };
        assert_eq!(effects(&mut agreement).contains(&busy), number == PROPOSALS_MAX as u64);
    }
    let size = |agreement: &Agreement| format!("{agreement:?}").len();
    (0..SEEDS_MAX as u64).for_each(|it| agreement.handle(NOW, Event::Seed(node(50 + it))));
    let before = size(&agreement);
    (0..1_000).for_each(|it| agreement.handle(NOW, Event::Seed(node(500 + it))));
    assert_eq!(size(&agreement), before);
}

#[test]
fn a_damaged_disk_is_not_gone_on_with() {
    let bytes = State::new(Encoded::new(cluster(2))).encode(node(1));
    let restart = |node, bytes: &[u8]| {
        Agreement::restart(node, bytes, Timing::default(), Rng::with_seed(1), NOW).map(|_| ())
    };
    assert_eq!(restart(node(1), &bytes), Ok(()));
    assert_eq!(restart(node(1), &bytes[1..]), Err(StateError::Checksum));
    let other = StateError::Node { expected: node(2), got: 1 };
    assert_eq!(restart(node(2), &bytes), Err(other));
}

/// Whoever can compute a checksum has a state that is written like this in no other way, or an
/// error.
#[test]
fn a_state_of_any_bytes_is_sound_or_refused() {
    let (_, document) = voter();
    let mut state = State::new(Encoded::new(document.clone()));
    state.acceptor.promised = Some(ballot(9, 2));
    state.acceptor.accepted = Some((ballot(8, 3), next(&document)));
    let good = state.encode(node(1));
    assert_eq!(State::decode(node(1), &good).as_ref(), Ok(&state));
    let mut rng = Rng::with_seed(1);
    let mut sound = 0;
    for _ in 0..20_000 {
        let mut bytes = good[..good.len() - 4].to_vec();
        for _ in 0..rng.usize(1..4) {
            let near = rng.usize(..60).min(bytes.len() - 1);
            let at = if rng.bool() { near } else { rng.usize(..bytes.len()) };
            bytes[at] = if rng.bool() { rng.u8(..) } else { bytes[at] ^ 1 << rng.u32(..8) };
        }
        bytes.truncate(if rng.u32(..4) == 0 { rng.usize(..bytes.len()) } else { bytes.len() });
        put_crc(&mut bytes);
        if let Ok(decoded) = State::decode(node(1), &bytes) {
            assert_eq!(decoded.encode(node(1)), bytes);
            sound += 1;
        }
    }
    assert!(sound > 100, "promises are numbers: {sound}");
}

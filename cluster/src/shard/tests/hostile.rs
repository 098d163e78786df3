//! Whatever others say, in any order: no panic, nothing grows past its bound, nothing hangs, and
//! clients are served afterwards.

use std::rc::Rc;
use std::time::Duration;

use schemas::ids::{Hlc, NamespaceId, Vnode};

use super::attacker::Attacker;
use super::rig::{Rig, key, put, record, request};
use crate::coordinator::{Reply, Wanted};
use crate::event::{Event, RequestId};
use crate::limits::{ASKED_MAX, PATIENCE_MAX};
use crate::message::{Answer, Attempt, Message, Read, Write};
use crate::record::Record;
use crate::topology::fixture::node;
use crate::tunables::Tunables;

/// Runs of the fuzzer, and what happens in each.
const RUNS: u64 = 400;
const STEPS: u32 = 1500;

fn tunables() -> Tunables {
    Tunables {
        operations_max: 16,
        counted_hint_bytes_max: 4096,
        spare_hint_bytes_max: 1024,
        repair_period: Duration::from_secs(20),
        repair_page_bytes_max: 300,
        ..Tunables::default()
    }
}

/// Every collection is as long as its bound says, or shorter.
fn assert_bounded(rig: &Rig) {
    let sizes = rig.shard.sizes();
    let (members, vnodes, operations) = (5, 4, 16);
    assert!(sizes.operations + sizes.waiting <= operations, "{sizes:?}");
    assert!(sizes.alarms <= operations && sizes.keys <= 2 * operations, "{sizes:?}");
    assert!(sizes.begun <= members * 1024 * 1025 && sizes.asked <= ASKED_MAX, "{sizes:?}");
    let own = sizes.orders - sizes.asked;
    assert!(own <= 2 * operations + 8 * 10 + 200 + vnodes, "{sizes:?}");
    assert!(sizes.horizons <= 2 * vnodes && sizes.rounds <= vnodes, "{sizes:?}");
    assert!(sizes.vnodes <= 5 * vnodes && sizes.peers <= 3 * members, "{sizes:?}");
    assert!(sizes.targets <= members && sizes.hints <= 32 * members, "{sizes:?}");
    assert!(sizes.dirty <= members * vnodes && sizes.plans <= vnodes, "{sizes:?}");
    assert!(sizes.compared <= 4 * members * vnodes && sizes.sessions <= 8, "{sizes:?}");
    assert!(sizes.given <= vnodes && sizes.lives <= 264, "{sizes:?}");
}

/// One thing that happens; mostly what others say.
fn step(rig: &mut Rig, attacker: &mut Attacker) {
    match attacker.rng.u32(..40) {
        0..2 => {
            let request = attacker.request();
            // The driver gives a core what is its own.
            if rig.is_own(&request.key) {
                rig.ask(request);
            }
        }
        2 => rig.pass(Duration::from_millis(attacker.rng.u64(..400))),
        3 => rig.handle(Event::Liveness {
            node: node(attacker.rng.u64(2..=5)),
            is_up: attacker.rng.u32(..3) > 0,
        }),
        4 => rig.is_full = attacker.rng.u32(..4) == 0,
        5 => {
            if attacker.rng.u32(..8) == 0 {
                rig.move_on(&mut attacker.rng);
                attacker.document = (*rig.document).clone();
            }
        }
        6..14 => {
            rig.work();
        }
        _ => {
            let (vnode, message) = attacker.message(&rig.sent);
            let from = attacker.who();
            rig.handle(Event::Received { from, vnode, message });
        }
    }
    let len = rig.sent.len();
    rig.sent.drain(..len.saturating_sub(60));
    assert_bounded(rig);
}

/// Others say only what is right for a while, and have this of the key; the client has an answer
/// then.
fn served(rig: &mut Rig, others: &mut Option<Rc<Record>>, wanted: Wanted) -> Option<Reply> {
    let it = key(&rig.document, NamespaceId::DEFAULT, Vnode(0), 50);
    rig.sent.clear();
    let id = rig.ask(request(&it, wanted));
    for _ in 0..20 {
        rig.work_all();
        for (to, vnode, message) in std::mem::take(&mut rig.sent) {
            let answer = match message {
                Message::Write(Write { op: Some(op), epoch, record, .. }) => {
                    *others = Some(record);
                    Message::Wrote { attempt: Attempt { op, epoch }, result: Ok(()) }
                }
                Message::Read(Read { op, epoch, .. }) => {
                    let attempt = Attempt { op, epoch };
                    Message::Answer { attempt, result: Ok(Answer::Data(others.clone())) }
                }
                Message::Forward { op, .. } => {
                    let written = Record { value: Rc::from(*b"bytes"), ..record(&it, 2, 60) };
                    let reply = Reply::Written(written.version);
                    *others = Some(written.into());
                    Message::Forwarded { op, reply }
                }
                _ => continue,
            };
            rig.hear(to.0.get(), vnode, answer);
        }
    }
    rig.replies.get(&id).cloned()
}

fn run(seed: u64) {
    let mut rig = Rig::new(tunables());
    let document = rig.document.clone();
    let mut attacker = Attacker::new(seed, &document);
    for _ in 0..STEPS {
        step(&mut rig, &mut attacker);
    }
    rig.is_full = false;
    rig.work_all();
    for number in 2..=5 {
        rig.handle(Event::Liveness { node: node(number), is_up: true });
    }
    rig.pass(PATIENCE_MAX + Duration::from_secs(60));
    let sizes = rig.shard.sizes();
    let left = (sizes.operations, sizes.alarms, sizes.waiting, sizes.keys, sizes.asked);
    assert_eq!(left, (0, 0, 0, 0, 0), "all is over once nobody waits any more");
    let asked: Vec<RequestId> = (1..=rig.requests()).map(RequestId).collect();
    assert!(asked.iter().all(|it| rig.replies.contains_key(it)), "each client is told");
    assert!(rig.shard.last_stamp() < Hlc::from_millis(rig.now.wall_ms + 1000), "no absurd stamp");
    assert!(rig.shard.counts().unheeded() > u64::from(STEPS / 10));
    let mut others = None;
    let written = served(&mut rig, &mut others, put());
    assert!(matches!(written, Some(Reply::Written(_))), "seed {seed}: {written:?}");
    let get = Wanted::Get { repairs_first: false };
    let read = served(&mut rig, &mut others, get);
    let Some(Reply::Found(Some(found))) = read else { panic!("seed {seed}: {read:?}") };
    assert_eq!(*found.value, *b"bytes");
}

#[test]
fn whatever_others_say_it_goes_on_and_keeps_little() {
    for seed in 0..RUNS {
        run(seed);
    }
}

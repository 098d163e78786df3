//! What single things from outside come to: refused, or ignored, and counted.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::clock::VnodeClock;
use schemas::consistency::Consistency;
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version, Vnode};
use schemas::limits::KEY_BYTES_MAX;
use schemas::status::Status;

use super::rig::{BOOT, Rig, SIBLINGS, START_MS, document, key, put, record, request, set};
use crate::coordinator::{Reply, Request, Scan, Wanted};
use crate::event::{Event, Page, RequestId};
use crate::horizon::{Horizon, HorizonIs};
use crate::limits::{ASKED_MAX, COMPARED_MAX, HAS_MAX, PATIENCE_MAX};
use crate::message::{
    Answer, Attempt, HorizonMessage, Message, OpId, Pull, PullWanted, Pulled, Read, Refusal, Write,
};
use crate::record::{Digest, Key, Kind, Record};
use crate::shard::{Counts, Sizes};
use crate::topology::fixture::node;
use crate::topology::{Epoch, MemberIndex, Phase};
use crate::tunables::Tunables;
use crate::version::{Question, Round};

/// Of nodes 1, 2 and 3.
const VNODE: Vnode = Vnode(0);

const OP: OpId = OpId(77);

fn rig() -> Rig {
    Rig::new(Tunables::default())
}

fn lww(rig: &Rig, number: usize) -> Key {
    key(&rig.document, NamespaceId::DEFAULT, VNODE, number)
}

fn write(record: Record) -> Write {
    Write { op: Some(OP), epoch: Epoch(1), record: record.into(), stands_in_for: None }
}

fn read(key: Key) -> Message {
    Message::Read(Read { op: OP, epoch: Epoch(1), key, wants_data: true })
}

/// The number of the shard's first operation.
fn first_op() -> u64 {
    u64::from(BOOT) << 40
}

/// What is answered to a message of node 2, if anything is.
fn answer(rig: &mut Rig, message: Message) -> Option<Message> {
    rig.said();
    rig.hear(2, VNODE, message);
    rig.said().pop()
}

/// Whether it is refused so.
fn refused(rig: &mut Rig, message: Message) -> Option<Refusal> {
    match answer(rig, message)? {
        Message::Wrote { result, .. } | Message::HintStored { result, .. } => result.err(),
        Message::Answer { result, .. } => result.err(),
        Message::Pulled { result, .. } => result.err(),
        other => panic!("{other:?} is no refusal"),
    }
}

/// The first session of a shard, from when it asks for records on.
fn session(rig: &mut Rig) -> (u64, Vnode, Pull) {
    for _ in 0..10_000 {
        rig.pass(Duration::from_secs(1));
        let pulls = std::mem::take(&mut rig.sent).into_iter().filter_map(|it| match it {
            (to, vnode, Message::Pull(pull)) => Some((to.0.get(), vnode, pull)),
            _ => None,
        });
        if let Some(found) = pulls.last() {
            return found;
        }
    }
    panic!("vnodes are compared now and then");
}

/// What a session asks next.
fn next_pull(rig: &mut Rig, session: OpId) -> Pull {
    for _ in 0..1000 {
        rig.pass(Duration::from_millis(10));
        let pulls = std::mem::take(&mut rig.sent).into_iter().filter_map(|it| match it.2 {
            Message::Pull(pull) if pull.session == session => Some(pull),
            _ => None,
        });
        if let Some(found) = pulls.last() {
            return found;
        }
    }
    panic!("it goes on");
}

fn pulled(pull: &Pull, pulled: Pulled) -> Message {
    let (session, step, horizon) = (pull.session, pull.step, HorizonIs::Same);
    Message::Pulled { session, step, is_held: true, horizon, result: Ok(pulled) }
}

fn page(records: &[&Record], has_more: bool) -> Page {
    Page { records: records.iter().map(|it| Rc::new((*it).clone())).collect(), has_more }
}

#[test]
fn who_is_not_heard_changes_nothing_and_is_counted() {
    let mut rig = rig();
    let (own, before) = (Actor { node: node(1), boot: BOOT }, rig.shard.sizes());
    let message =
        || Message::Write(write(record(&key(&document(), NamespaceId::DEFAULT, VNODE, 0), 2, 1)));
    let say = |rig: &mut Rig, from: Actor, vnode: u16| {
        rig.handle(Event::Received { from, vnode: Vnode(vnode), message: message() });
    };
    say(&mut rig, Actor { boot: u32::MAX, ..own }, 0);
    say(&mut rig, own, 0);
    say(&mut rig, Actor { node: node(9), boot: BOOT }, 0);
    for vnode in [4, 7, 8, u16::MAX] {
        say(&mut rig, Actor { node: node(2), boot: BOOT }, vnode);
    }
    assert_eq!(rig.shard.sizes(), before);
    let expected = Counts { impostors: 2, strangers: 1, misdirected: 4, ..Counts::default() };
    assert_eq!(rig.shard.counts(), expected);
    assert!(rig.sent.is_empty() && rig.store.jobs.is_empty());
}

/// A message in the own name of a life to come made the shard deaf to itself: what it told itself
/// was taken for words of a life that had ended.
#[test]
fn nobody_makes_a_shard_deaf_to_itself() {
    let mut rig = rig();
    let from = Actor { node: node(1), boot: u32::MAX };
    let message = read(lww(&rig, 0));
    rig.handle(Event::Received { from, vnode: VNODE, message });
    let get = Wanted::Get { repairs_first: false };
    let id = rig.ask(Request { level: Consistency::ONE, ..request(&lww(&rig, 0), get) });
    rig.work_all();
    assert_eq!(rig.replies.get(&id), Some(&Reply::Found(None)));
}

#[test]
fn a_life_that_has_ended_is_not_heard_again() {
    let mut rig = rig();
    let say = |rig: &mut Rig, boot| {
        let (from, it) = (Actor { node: node(2), boot }, lww(rig, 0));
        rig.handle(Event::Received { from, vnode: VNODE, message: read(it) });
        rig.work_all();
        rig.said().len()
    };
    assert_eq!(
        [say(&mut rig, 6), say(&mut rig, 5), say(&mut rig, 0), say(&mut rig, 6)],
        [1, 0, 0, 1]
    );
    assert_eq!(rig.shard.counts().former_lives, 2);
}

#[test]
fn a_hundred_thousand_fake_members_take_no_room() {
    let mut rig = rig();
    rig.hear(2, VNODE, read(lww(&rig, 0)));
    let before = rig.shard.sizes();
    let write = write(record(&lww(&rig, 0), 2, 1));
    for number in 10..100_010 {
        let (from, target) = (Actor { node: node(number), boot: BOOT }, Some(node(number)));
        let message = Message::Write(write.clone());
        rig.handle(Event::Received { from, vnode: VNODE, message });
        // A member that lets it stand in for them.
        rig.hear(2, VNODE, Message::Write(Write { stands_in_for: target, ..write.clone() }));
        rig.said();
    }
    assert_eq!(rig.shard.sizes(), before);
    let counts = rig.shard.counts();
    assert_eq!((counts.strangers, counts.malformed), (100_000, 100_000));
}

/// A request for a key of another core's vnode, forwarded to this core, ended the process.
#[test]
fn a_forwarded_request_of_another_vnode_is_refused() {
    let mut rig = rig();
    for vnode in (1..8).map(Vnode) {
        let it = key(&rig.document, NamespaceId::DEFAULT, vnode, 0);
        let (request, left) = (Rc::new(request(&it, put())), Duration::from_secs(1));
        let forward = Message::Forward { op: OP, lane: Vnode(0), request, left };
        let Some(Message::Forwarded { op: OP, reply: Reply::Refused(why) }) =
            answer(&mut rig, forward)
        else {
            panic!("a refusal");
        };
        assert_eq!(why.status, Status::MalformedBody);
    }
    assert_eq!(rig.shard.counts().malformed, 7);
    assert_eq!(rig.shard.sizes().begun, 0);
}

/// Records that nobody who knows what they are has written.
fn unsound(rig: &Rig) -> Vec<Record> {
    let good = record(&lww(rig, 0), 2, 1);
    let set_key = key(&rig.document, SIBLINGS, VNODE, 0);
    let set = set(&set_key, 2, 1);
    let of = |change: &dyn Fn(&mut Record)| {
        let mut it = good.clone();
        change(&mut it);
        it
    };
    let dot = |node: NodeId, boot, counter| {
        let version = Version { dot: Dot { actor: Actor { node, boot }, counter }, ..good.version };
        Record { version, ..good.clone() }
    };
    let mut cut = set.value.to_vec();
    cut.pop();
    vec![
        of(&|it| it.key.token = Token(it.key.token.0 ^ 1)),
        of(&|it| it.key.bytes = Rc::from([])),
        of(&|it| it.key = key(&document(), NamespaceId::DEFAULT, Vnode(1), 0)),
        Record { key: long_key(rig), ..good.clone() },
        of(&|it| it.kind = Kind::Tombstone),
        of(&|it| it.value = vec![0; (1 << 20) + 1].into()),
        of(&|it| it.kind = Kind::Siblings),
        of(&|it| it.key.namespace = SIBLINGS),
        dot(node(2), BOOT, 0),
        dot(node(2), 0, 1),
        // Of this very life, which has given no dot.
        dot(node(1), BOOT, 1),
        dot(node(1), BOOT, u64::MAX),
        Record { value: cut.into(), ..set.clone() },
        Record { kind: Kind::Context, ..set.clone() },
        Record { expires_at_ms: 9, ..set.clone() },
        Record { version: Version { hlc: Hlc(u64::MAX), ..set.version }, ..set.clone() },
        Record { key: Key { namespace: NamespaceId::DEFAULT, ..set_key }, ..set },
    ]
}

/// Too long, and otherwise right.
fn long_key(rig: &Rig) -> Key {
    let all = (0u32..).map(|number| {
        let mut bytes = vec![0; KEY_BYTES_MAX - 3];
        bytes.extend(number.to_le_bytes());
        let token = Token::of(&bytes, rig.document.token_seed);
        Key { token, namespace: NamespaceId::DEFAULT, bytes: bytes.into() }
    });
    let mut of_vnode = all.filter(|it| it.token.vnode(rig.document.bits) == VNODE);
    of_vnode.next().expect("there is no end of them")
}

#[test]
fn a_record_that_cannot_be_is_not_stored_whoever_brings_it() {
    let mut rig = rig();
    let all = unsound(&rig);
    let none: Vec<_> = rig.store.records.keys().cloned().collect();
    for (at, it) in all.iter().enumerate() {
        let hint = Message::Hint { op: OP, epoch: Epoch(1), record: it.clone().into() };
        let stands_in_for = Some(node(3));
        for message in [
            Message::Write(write(it.clone())),
            Message::Write(Write { stands_in_for, ..write(it.clone()) }),
            hint,
        ] {
            assert_eq!(refused(&mut rig, message), Some(Refusal::Malformed), "{at}");
        }
    }
    assert_eq!(rig.shard.counts().malformed, all.len() as u64 * 3);
    for it in &all {
        let before = rig.shard.counts();
        let (from, vnode, pull) = session(&mut rig);
        let it = if vnode == VNODE { it } else { continue };
        let records = Pulled::Records(VnodeClock::default(), page(&[it], false));
        rig.hear(from, vnode, pulled(&pull, records));
        let counts = rig.shard.counts();
        assert_eq!(counts.malformed, before.malformed + 1);
        assert!(counts.repairs_failed > before.repairs_failed);
    }
    assert!(rig.store.records.keys().eq(none.iter()));
}

#[test]
fn an_answer_that_is_none_counts_as_a_refusal_and_another_copy_is_asked() {
    for at in 0..17 {
        let mut rig =
            Rig::new(Tunables { latency_first: Duration::from_secs(1), ..Tunables::default() });
        let it = lww(&rig, 0);
        let wrong = unsound(&rig).swap_remove(at);
        let get = Wanted::Get { repairs_first: false };
        let id = rig.ask(request(&it, get));
        rig.work_all();
        let asked = rig.sent[0].0.0.get();
        rig.said();
        let digest = Answer::Digest(Some(record(&it, 3, 2).digest()));
        let attempt = Attempt { op: OpId(first_op()), epoch: Epoch(1) };
        rig.hear(asked, VNODE, Message::Answer { attempt, result: Ok(digest) });
        let fetched = rig.said();
        assert!(matches!(&fetched[..], [Message::Read(Read { wants_data: true, .. })]));
        rig.hear(
            asked,
            VNODE,
            Message::Answer { attempt, result: Ok(Answer::Data(Some(wrong.into()))) },
        );
        assert_eq!(rig.shard.counts().malformed, 1);
        let other = rig.sent.pop().expect("another copy is asked");
        assert_ne!(other.0.0.get(), asked);
        let right = Rc::new(record(&it, 3, 2));
        let result = Ok(Answer::Data(Some(Rc::clone(&right))));
        rig.hear(other.0.0.get(), VNODE, Message::Answer { attempt, result });
        assert_eq!(rig.replies.get(&id), Some(&Reply::Found(Some(right))));
    }
}

#[test]
fn what_others_ask_is_bounded() {
    let mut rig = rig();
    let from = Actor { node: node(2), boot: BOOT };
    let said = |rig: &mut Rig, message: Message| {
        rig.handle(Event::Received { from, vnode: VNODE, message });
        rig.said()
    };
    let pull = |wanted| {
        Message::Pull(Pull { session: OP, step: 1, epoch: Epoch(1), below: Hlc(0), wanted })
    };
    let release = Message::Release { epoch: Epoch(1), clock: VnodeClock::default() };
    for at in 0..COMPARED_MAX {
        let message = if at % 2 == 0 { pull(PullWanted::Leaves) } else { release.clone() };
        assert!(said(&mut rig, message).is_empty());
    }
    let refusals = said(&mut rig, pull(PullWanted::Leaves));
    assert!(matches!(&refusals[..], [Message::Pulled { result: Err(Refusal::Busy), .. }]));
    assert!(said(&mut rig, release).is_empty());
    let it = lww(&rig, 0);
    while rig.shard.sizes().asked < ASKED_MAX {
        assert!(said(&mut rig, read(it.clone())).is_empty());
    }
    let refusals = said(&mut rig, read(it.clone()));
    assert!(matches!(&refusals[..], [Message::Answer { result: Err(Refusal::Busy), .. }]));
    let refusals = said(&mut rig, Message::Write(write(record(&it, 2, 1))));
    assert!(matches!(&refusals[..], [Message::Wrote { result: Err(Refusal::Busy), .. }]));
    assert_eq!(rig.shard.counts().busy, 4);
    rig.work_all();
    assert_eq!(rig.shard.sizes().asked, 0);
    assert_eq!(refused(&mut rig, pull(PullWanted::Leaves)), None);
}

#[test]
fn what_nobody_can_want_of_a_vnode_is_refused() {
    let mut rig = rig();
    let (here, elsewhere) = (lww(&rig, 0), key(&rig.document, NamespaceId::DEFAULT, Vnode(1), 0));
    let leaf = |leaf, after, has| PullWanted::Leaf { leaf, after, has };
    let digest = Digest { version: record(&here, 2, 1).version, hash: 0 };
    let width = u64::MAX / 8 / 64 + 1;
    let own_leaf = (here.token.0 / width) as u16;
    for wanted in [
        PullWanted::Since { clock: VnodeClock::default(), after: Some(elsewhere.clone()) },
        leaf(64, None, Vec::new()),
        leaf(u16::MAX, None, Vec::new()),
        leaf(0, Some(elsewhere), Vec::new()),
        leaf((own_leaf + 1) % 64, Some(here.clone()), Vec::new()),
        leaf(0, None, vec![(0, digest); HAS_MAX + 1]),
    ] {
        let pull =
            Message::Pull(Pull { session: OP, step: 1, epoch: Epoch(1), below: Hlc(0), wanted });
        assert_eq!(refused(&mut rig, pull), Some(Refusal::Malformed));
    }
    assert_eq!(rig.shard.counts().malformed, 6);
    let wanted = leaf(own_leaf, Some(here), vec![(0, digest); HAS_MAX]);
    let pull = Message::Pull(Pull { session: OP, step: 1, epoch: Epoch(1), below: Hlc(0), wanted });
    assert_eq!(refused(&mut rig, pull), None);
}

/// A page that did not go on was asked for again and again, and each put the session's end off.
#[test]
fn pages_that_do_not_go_on_end_a_session() {
    let two = |rig: &Rig, vnode| {
        let keys = [0, 1].map(|it| key(&rig.document, NamespaceId::DEFAULT, vnode, it));
        let mut two = keys.map(|it| record(&it, 2, 1));
        two.sort_by(|a, b| a.key.cmp(&b.key));
        two
    };
    let mut rig = rig();
    let (from, vnode, pull) = session(&mut rig);
    let [first, second] = two(&rig, vnode);
    let records = Pulled::Records(VnodeClock::default(), page(&[&second], true));
    rig.hear(from, vnode, pulled(&pull, records));
    let next = next_pull(&mut rig, pull.session);
    let records = Pulled::Records(VnodeClock::default(), page(&[&second], true));
    rig.hear(from, vnode, pulled(&next, records));
    assert_eq!((rig.shard.counts().malformed, rig.shard.counts().repairs_failed), (1, 1));
    for (records, has_more) in
        [(vec![&second, &first], false), (vec![], true), (vec![&first; 2], false)]
    {
        let before = rig.shard.counts();
        let (from, of, pull) = loop {
            let found = session(&mut rig);
            if found.1 == vnode {
                break found;
            }
        };
        let records = Pulled::Records(VnodeClock::default(), page(&records, has_more));
        rig.hear(from, of, pulled(&pull, records));
        assert_eq!(rig.shard.counts().malformed, before.malformed + 1);
    }
}

/// An answer to a step that was not asked yet took the place of what was being read: the process
/// ended when that came.
#[test]
fn a_step_that_was_not_asked_for_is_not_answered() {
    let mut rig = rig();
    let (from, vnode, mut pull) = session(&mut rig);
    rig.hear(from, vnode, pulled(&pull, Pulled::Compare));
    let Some((_, _, Message::Pull(leaves))) = rig.sent.pop() else { panic!("leaves") };
    pull = leaves;
    let sender = Actor { node: node(from), boot: BOOT };
    let say = |rig: &mut Rig, message| {
        rig.handle(Event::Received { from: sender, vnode, message });
    };
    let leaves = Pulled::Leaves(VnodeClock::default(), vec![9; 64]);
    say(&mut rig, pulled(&pull, leaves.clone()));
    // Now its own are read, and then its own page.
    for _ in 0..2 {
        for step in pull.step..pull.step + 4 {
            let records = Pulled::Records(VnodeClock::default(), Page::default());
            say(&mut rig, pulled(&Pull { step, ..pull.clone() }, records));
        }
        rig.work();
    }
    rig.work_all();
    assert!(matches!(rig.sent.last(), Some((_, _, Message::Pull(_)))), "it goes on");
    assert_eq!(rig.shard.counts().stray_answers, 8);
}

#[test]
fn leaves_of_another_number_end_a_session() {
    for count in [0, 63, 65, 100_000] {
        let mut rig = rig();
        let (from, vnode, pull) = session(&mut rig);
        rig.hear(from, vnode, pulled(&pull, Pulled::Compare));
        let Some((_, _, Message::Pull(pull))) = rig.sent.pop() else { panic!("leaves") };
        rig.hear(from, vnode, pulled(&pull, Pulled::Leaves(VnodeClock::default(), vec![9; count])));
        assert_eq!((rig.shard.counts().malformed, rig.shard.counts().repairs_failed), (1, 1));
    }
}

/// The clock of another that has dots of this life which were never given: the next ones would not
/// be sent to whoever believes it has them.
#[test]
fn a_clock_with_own_dots_that_were_not_given_is_not_joined() {
    let mut rig = rig();
    let (from, vnode, pull) = session(&mut rig);
    let mut clock = VnodeClock::default();
    clock.insert_upto(Actor { node: node(1), boot: BOOT }, u64::MAX);
    rig.hear(from, vnode, pulled(&pull, Pulled::Records(clock, Page::default())));
    assert_eq!(rig.shard.counts().malformed, 1);
    assert_eq!(rig.shard.counts().repairs_failed, 1);
}

#[test]
fn an_operation_ends_however_long_its_client_would_wait() {
    for wanted in [put(), Wanted::Get { repairs_first: false }] {
        let mut rig = rig();
        let patience = Duration::MAX;
        let id = rig.ask(Request { patience, ..request(&lww(&rig, 0), wanted) });
        rig.work_all();
        rig.pass(PATIENCE_MAX);
        assert!(matches!(rig.replies.get(&id), Some(Reply::Refused(_))));
        assert_eq!(rig.shard.sizes().operations, 0);
        assert_eq!(rig.shard.sizes().alarms, 0);
    }
}

/// A stamp from the end of time, in a record, a context, a request: writes of that key are refused,
/// and others are stamped as if it were not there.
#[test]
fn an_absurd_stamp_does_not_move_the_clock() {
    let mut rig = rig();
    let set_key = key(&rig.document, SIBLINGS, VNODE, 0);
    let hlc = Hlc(u64::MAX);
    let version = Version { hlc, ..record(&set_key, 2, 1).version };
    let sibling = crate::version::Sibling { version, expires_at_ms: 0, value: b"late" };
    let late = crate::version::Siblings::default();
    let late = late.write(sibling, &crate::version::Context::NOTHING, Hlc(0)).expect("a set");
    let late = Record::of_set(set_key.clone(), &late);
    assert_eq!(refused(&mut rig, Message::Write(write(late.clone()))), None, "merge decides");
    let mut token = Vec::new();
    late.content().set().expect("one").context().encode_token(SIBLINGS, &set_key.bytes, &mut token);
    let context = Some(token.into());
    let with_context = Wanted::Put { value: Rc::from([]), ttl_ms: 0, context };
    let lww_key = lww(&rig, 0);
    for (asked, status) in [
        (request(&set_key, put()), Status::StampAhead),
        (request(&set_key, with_context), Status::StampAhead),
        (Request { seen: hlc, ..request(&lww_key, put()) }, Status::StampAhead),
    ] {
        let id = rig.ask(asked);
        rig.work_all();
        let Some(Reply::Refused(why)) = rig.replies.get(&id) else { panic!("a refusal") };
        assert_eq!(why.status, status);
    }
    let id = rig.ask(Request { level: Consistency::ONE, ..request(&lww_key, put()) });
    rig.work_all();
    let Some(Reply::Written(version)) = rig.replies.get(&id) else { panic!("written") };
    assert_eq!(version.hlc.millis(), START_MS);
}

/// It never was: what was missing in a vnode that had been streamed stayed missing.
#[test]
fn a_clock_that_ran_out_of_room_is_counted_anew() {
    let mut rig = rig();
    let over = Actor { node: node(3), boot: BOOT };
    rig.handle(Event::Life(Actor { boot: BOOT + 1, ..over }));
    rig.store.overflowed.insert(VNODE);
    let epoch = rig.document.epoch;
    let question = Question { actor: over, epoch, number: 1, round: Round::Owners };
    assert_eq!(answer(&mut rig, Message::Ended(question)), None);
    assert!(rig.store.overflowed.is_empty());
    let told = answer(&mut rig, Message::Ended(question));
    assert!(matches!(told, Some(Message::EndedReport(_))));
    // It has run out of room again: not at once.
    rig.store.overflowed.insert(VNODE);
    assert_eq!(answer(&mut rig, Message::Ended(question)), None);
    assert!(!rig.store.overflowed.is_empty());
    rig.pass(Tunables::default().repair_period);
    assert_eq!(answer(&mut rig, Message::Ended(question)), None);
    assert!(rig.store.overflowed.is_empty());
}

/// It would make all that is written late.
#[test]
fn a_horizon_of_the_far_future_is_not_believed() {
    let mut rig = rig();
    let far = || Rc::new(Horizon { below: Hlc(u64::MAX), clock: VnodeClock::default() });
    let epoch = rig.document.ring.epoch(VNODE);
    let advance = HorizonMessage::Advance { epoch, horizon: far() };
    rig.hear(2, VNODE, Message::Horizon(advance));
    rig.work_all();
    assert_eq!((rig.shard.counts().malformed, rig.shard.sizes().horizons), (1, 0));
    let (from, vnode, pull) = session(&mut rig);
    let (session, step, horizon) = (pull.session, pull.step, HorizonIs::Higher(far()));
    let result = Ok(Pulled::Records(VnodeClock::default(), Page::default()));
    rig.hear(from, vnode, Message::Pulled { session, step, is_held: true, horizon, result });
    rig.work_all();
    assert_eq!((rig.shard.counts().malformed, rig.shard.sizes().horizons), (2, 0));
}

/// The first copy of the vnode begins to move.
fn move_first_copy(rig: &mut Rig) {
    let mut next = (*rig.document).clone();
    next.epoch = Epoch(next.epoch.0 + 1);
    let mut slots: Vec<_> = next.ring.slots(VNODE).collect();
    slots[0].successor = Some(MemberIndex(3));
    next.ring.set(VNODE, &slots, Phase::Moving, next.epoch);
    rig.document = Arc::new(next);
    rig.handle(Event::Topology(Arc::clone(&rig.document)));
}

/// The table was not told when to look at it: it waited for its deadline.
#[test]
fn a_scan_that_begins_anew_asks_one_copy_more_when_one_is_slow() {
    let mut rig = rig();
    let scan = Scan {
        namespace: NamespaceId::DEFAULT,
        tokens: rig.document.bits.tokens(VNODE),
        after: None,
        level: Consistency::Quorum,
        count_max: 10,
        bytes_max: 1000,
        seen: Hlc(0),
        patience: Duration::from_secs(60),
    };
    rig.handle(Event::Scan(RequestId(1), scan.into()));
    let asked = |rig: &mut Rig| {
        // The own store is slow, too: no answer wakes the scan.
        rig.store.jobs.clear();
        rig.pass(Duration::from_secs(1));
        rig.said().iter().filter(|it| matches!(it, Message::Scan(_))).count()
    };
    assert_eq!(asked(&mut rig), 2);
    move_first_copy(&mut rig);
    assert_eq!(asked(&mut rig), 2);
}

/// Slots may have changed hands: what a copy had in one says nothing of another.
#[test]
fn what_is_answered_in_a_former_epoch_does_not_count() {
    let mut rig = rig();
    let get = Wanted::Get { repairs_first: false };
    let it = lww(&rig, 0);
    let asks = [request(&it, get), Request { level: Consistency::All, ..request(&it, put()) }];
    let ids = asks.map(|request| rig.ask(request));
    rig.work_all();
    let former = rig.document.ring.epoch(VNODE);
    move_first_copy(&mut rig);
    rig.work_all();
    for epoch in [former, rig.document.epoch] {
        assert_eq!(rig.replies, BTreeMap::default(), "{epoch:?}");
        for from in [2, 3, 4] {
            let [read, write] = [0, 1].map(|at| Attempt { op: OpId(first_op() + at), epoch });
            let result = Ok(Answer::Digest(None));
            rig.hear(from, VNODE, Message::Answer { attempt: read, result });
            rig.hear(from, VNODE, Message::Wrote { attempt: write, result: Ok(()) });
        }
    }
    assert!(ids.iter().all(|id| rig.replies.contains_key(id)));
}

/// A stand-in whose disk was full was not replaced, though others were free.
#[test]
fn another_stands_in_for_a_stand_in_that_refuses() {
    let mut rig = rig();
    rig.handle(Event::Liveness { node: node(3), is_up: false });
    let level = Consistency::All;
    let id = rig.ask(Request { level, ..request(&lww(&rig, 0), put()) });
    rig.work_all();
    let attempt = Attempt { op: OpId(first_op()), epoch: Epoch(1) };
    rig.hear(2, VNODE, Message::Wrote { attempt, result: Ok(()) });
    let mut asked = Vec::new();
    for _ in 0..2 {
        let Some((stand_in, _, Message::Write(it))) = rig.sent.pop() else { panic!("a stand-in") };
        assert_eq!(it.stands_in_for, Some(node(3)));
        asked.push(stand_in);
        rig.hear(stand_in.0.get(), VNODE, Message::Wrote { attempt, result: Err(Refusal::Full) });
    }
    asked.sort();
    assert_eq!(asked, [node(4), node(5)]);
    rig.sent.clear();
    rig.pass(Duration::from_secs(6));
    let writes = rig.sent.iter().filter(|it| matches!(it.2, Message::Write(_)));
    assert!(writes.map(|it| it.0).all(|to| !asked.contains(&to)), "nobody is asked in a circle");
    assert!(matches!(rig.replies.get(&id), Some(Reply::Refused(_))));
}

#[test]
fn a_node_that_left_is_not_waited_for_to_be_compared_with() {
    let mut rig = rig();
    let mut clock = VnodeClock::default();
    clock.insert_upto(Actor { node: node(5), boot: 1 }, 9);
    rig.hear(5, VNODE, Message::Release { epoch: Epoch(1), clock });
    let wanted = |sizes: Sizes| sizes.compared;
    let with = wanted(rig.shard.sizes());
    let mut next = document();
    next.epoch = Epoch(2);
    next.members.remove(4);
    for vnode in 0..8 {
        // Nobody has vnodes of the one that leaves in this test's core.
        let slots: Vec<_> = next
            .ring
            .slots(Vnode(vnode))
            .map(|slot| {
                let stays = |it: crate::topology::MemberIndex| it.0 < 4;
                let of = |it: Option<crate::topology::MemberIndex>| it.filter(|it| stays(*it));
                crate::topology::Slot { reader: of(slot.reader), successor: of(slot.successor) }
            })
            .collect();
        let (phase, epoch) = (next.ring.phase(Vnode(vnode)), next.ring.epoch(Vnode(vnode)));
        next.ring.set(Vnode(vnode), &slots, phase, epoch);
    }
    rig.handle(Event::Topology(Arc::new(next)));
    assert_eq!(wanted(rig.shard.sizes()), with - 1);
}

#[test]
fn what_is_not_whole_is_not_read() {
    let mut rig = Rig::holding([].into(), Tunables::default());
    let it = lww(&rig, 0);
    assert_eq!(refused(&mut rig, read(it.clone())), Some(Refusal::NotHeld));
    assert_eq!(rig.shard.counts().not_held, 1);
    assert_eq!(refused(&mut rig, Message::Write(write(record(&it, 2, 1)))), None, "it is written");
}

//! What anybody can send: garbage, the old, the doubled, the made up.

use foca::{Member, Message, State};
use proptest::prelude::*;

use super::super::identity::Identity;
use super::super::record::{Record, Told};
use super::super::{Event, Health, Liveness, Tunables};
use super::network::{CLUSTER, Faults, Flight, Network, id, members};
use super::{Forged, assert_as_foca, identity, machine_of_five, prefix, seconds, view};
use crate::limits::STRANGERS_MAX;
use schemas::ids::Actor;

/// Hands `bytes` to a machine and throws away what it wants; how many datagrams it wanted to send.
fn feed(machine: &mut Liveness, bytes: &[u8]) -> usize {
    machine.handle(machine.outside.now, Event::Datagram(bytes));
    assert_as_foca(machine);
    std::iter::from_fn(|| machine.poll()).count()
}

/// A network of five that knows itself, and what it said.
fn tapped(seed: u64) -> (Network, Vec<Flight>) {
    let mut network = Network::new(5, Tunables::lan(), Faults::loss(100), seed);
    network.tap = Some(Vec::new());
    network.run(seconds(30));
    let tap = network.tap.take().unwrap();
    (network, tap)
}

#[test]
fn two_clusters_that_share_addresses_never_merge() {
    let mut network = Network::of(6, 6, 2, Tunables::lan(), Faults::none(), 1);
    network.run(seconds(300));
    for (index, node) in network.nodes.iter().enumerate() {
        let seen: Vec<_> = node.machine.nodes().collect();
        assert_eq!(seen.len(), 2);
        for (actor, health) in seen {
            let other = (0..6).find(|it| id(*it) == actor.node).unwrap();
            assert_eq!((other % 2, health), (index % 2, Health::Up));
        }
        assert!(node.machine.counters().foreign > 100);
    }
}

#[test]
fn a_late_datagram_of_an_ended_boot_does_nothing() {
    let (mut network, tap) = tapped(2);
    network.crash(3);
    network.start(3);
    let end = network.now + seconds(30);
    assert!(network.run_until(end, Network::all_up));
    let machine = &mut network.nodes[0].machine;
    let (before, outdated) = (view(machine), machine.counters().outdated);
    let late: Vec<_> = tap.iter().filter(|it| (it.from, it.to) == (3, 0)).collect();
    for Flight { bytes, .. } in &late {
        assert_eq!(feed(machine, bytes), 0, "no answer");
    }
    assert_eq!(view(machine), before);
    assert_eq!(machine.counters().outdated, outdated + late.len() as u64);
    assert!(late.len() > 20);
}

#[test]
fn a_late_datagram_of_an_ended_life_changes_nothing() {
    let (mut network, tap) = tapped(3);
    network.pause(3);
    network.run(seconds(60));
    network.resume(3);
    let end = network.now + seconds(30);
    assert!(network.run_until(end, Network::all_up));
    network.run(seconds(30));
    let machine = &mut network.nodes[0].machine;
    let before = view(machine);
    for Flight { bytes, .. } in tap.iter().filter(|it| (it.from, it.to) == (3, 0)) {
        assert!(feed(machine, bytes) <= 1, "at most word that it is over");
    }
    assert_eq!(view(machine), before);
}

/// Every datagram is delivered again a minute later, to everybody.
#[test]
fn a_replay_of_everything_takes_nobody_down() {
    let (mut network, tap) = tapped(4);
    network.run(seconds(60));
    network.changes.clear();
    for Flight { bytes, .. } in &tap {
        for to in 0..5 {
            network.deliver(to, bytes.clone());
        }
    }
    network.run(seconds(60));
    assert_eq!(network.downs(), 0);
    assert!(network.all_up());
}

#[test]
fn a_flipped_bit_does_no_harm() {
    let (_, tap) = tapped(5);
    let mut machine = machine_of_five();
    for Flight { bytes, .. } in tap.iter().filter(|it| it.to == 0).take(60) {
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            feed(&mut machine, &bytes);
        }
    }
    let counters = machine.counters();
    let refused = [
        counters.foreign,
        counters.unversioned,
        counters.malformed,
        counters.misaddressed,
        counters.outdated,
    ];
    assert!(refused.iter().all(|it| *it > 0), "{counters:?}");
}

#[test]
fn a_hundred_thousand_fake_members_take_little_room() {
    let (mut network, _) = tapped(6);
    network.faults = Faults::none();
    network.run(seconds(30));
    network.changes.clear();
    let of_member = identity(1, 1, 0);
    for batch in 0..4_000 {
        let fakes = (0..25).map(|it| identity(1_000 + batch * 25 + it, 1, 0));
        let mut forged = Forged::from(of_member);
        for fake in fakes.clone() {
            // The second claim makes room for the next, if it can.
            forged = forged.claiming(fake, 0, State::Alive).claiming(fake, 0, State::Down);
        }
        network.deliver(0, forged.bytes().into());
        for mut hello in fakes.map(Forged::from).take(3) {
            hello.message = Message::Announce;
            network.deliver(0, hello.bytes().into());
        }
        network.run(std::time::Duration::from_millis(1));
        let machine = &network.nodes[0].machine;
        assert!(machine.nodes().count() <= 4 + STRANGERS_MAX);
        assert!(machine.swim.updates_backlog() <= 5 + 3 * STRANGERS_MAX);
    }
    assert!(network.nodes[0].machine.counters().strangers_refused > 50_000);
    let real: Vec<_> = (0..5).collect();
    assert!(network.all_see(&real, &real, Health::Up));
    network.run(seconds(60));
    let wronged = |it: &&super::network::Change| {
        it.health == Health::Down && members(5).iter().any(|(node, _)| *node == it.of.node)
    };
    assert_eq!(network.changes.iter().filter(wronged).count(), 0);
    // And there is room again for somebody who wants to join.
    let hello = Forged::from(identity(999, 1, 0));
    network.deliver(0, hello.bytes().into());
    assert!(network.nodes[0].machine.is_up(id(999)));
}

/// A later life of this very node that nobody lives: without being outbid it would be what all
/// others take for this node.
#[test]
fn a_made_up_life_is_outbid() {
    let (mut network, _) = tapped(7);
    let forged = Forged::from(identity(1, 1, 0)).claiming(identity(3, 1, 1_000), 9, State::Alive);
    network.deliver(0, forged.bytes().into());
    assert_eq!(network.nodes[0].machine.peers.boot(id(3)), Some(1));
    network.run(seconds(20));
    assert!(network.all_up());
    let node = &network.nodes[3].machine;
    assert!(node.me.renewal > 1_000 && node.counters().outranked > 0);
    network.changes.clear();
    network.run(seconds(300));
    assert_eq!(network.downs(), 0);
}

#[test]
fn a_life_that_cannot_be_outbid_ends_with_the_boot() {
    let (mut network, _) = tapped(9);
    let last = identity(3, 1, u32::MAX);
    let forged = Forged::from(identity(1, 1, 0)).claiming(last, 9, State::Alive);
    network.deliver(0, forged.bytes().into());
    network.run(seconds(60));
    assert!(!network.all_up());
    network.crash(3);
    network.start(3);
    let end = network.now + seconds(20);
    assert!(network.run_until(end, Network::all_up));
}

#[test]
fn a_made_up_incarnation_is_outbid() {
    for incarnation in [9, u16::MAX - 1, u16::MAX] {
        let (mut network, _) = tapped(8);
        let claim =
            |state| Forged::from(identity(1, 1, 0)).claiming(identity(3, 1, 0), incarnation, state);
        network.deliver(0, claim(State::Suspect).bytes().into());
        network.run(seconds(20));
        assert!(network.all_up());
        assert_eq!(network.downs(), 0, "refuted in time");
        network.deliver(0, claim(State::Down).bytes().into());
        network.run(seconds(20));
        assert!(network.all_up());
    }
}

/// Orders to begin anew, as fast as they come: each costs everybody something.
#[test]
fn nobody_can_make_a_node_begin_anew_all_the_time() {
    let mut machine = machine_of_five();
    for _ in 0..1_000 {
        let mut forged = Forged::from(identity(1, 1, 0));
        forged.dst = machine.me;
        forged.message = Message::TurnUndead;
        feed(&mut machine, &forged.bytes());
    }
    assert_eq!(machine.counters().renewals, 1);
    assert_eq!(machine.me.boot, 1);
}

#[test]
fn who_speaks_as_this_node_or_to_another_is_not_heard() {
    let mut machine = machine_of_five();
    let before = view(&machine);
    let gossip =
        |src, dst| Forged { dst, ..Forged::from(src).claiming(identity(2, 1, 0), 5, State::Down) };
    feed(&mut machine, &gossip(identity(0, 1, 0), identity(0, 1, 0)).bytes());
    feed(&mut machine, &gossip(identity(0, 9, 0), identity(0, 1, 0)).bytes());
    assert_eq!(machine.counters().impostors, 2);
    for dst in [identity(2, 1, 0), identity(0, 2, 0), identity(0, 1, 1), identity(0, 0, 0)] {
        feed(&mut machine, &gossip(identity(1, 1, 0), dst).bytes());
    }
    assert_eq!(machine.counters().misaddressed, 4);
    assert_eq!(view(&machine), before);
}

fn any_identity() -> impl Strategy<Value = Identity> {
    (0usize..9, 1u32..4, prop_oneof![Just(0u32), Just(1), Just(u32::MAX)])
        .prop_map(|(index, boot, renewal)| identity(index, boot, renewal))
}

fn any_incarnation() -> impl Strategy<Value = u16> {
    prop_oneof![0u16..3, Just(u16::MAX - 1), Just(u16::MAX)]
}

fn any_claim() -> impl Strategy<Value = Member<Identity>> {
    let state = prop_oneof![Just(State::Alive), Just(State::Suspect), Just(State::Down)];
    (any_identity(), any_incarnation(), state)
        .prop_map(|(id, incarnation, state)| Member::new(id, incarnation, state))
}

fn any_message() -> impl Strategy<Value = Message<Identity>> {
    (0u8..11, 0u8..3, any_identity()).prop_map(|(kind, probe_number, subject)| match kind {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq { target: subject, probe_number },
        3 => Message::IndirectPing { origin: subject, probe_number },
        4 => Message::IndirectAck { target: subject, probe_number },
        5 => Message::ForwardedAck { origin: subject, probe_number },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        _ => Message::TurnUndead,
    })
}

fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let sequence = prop_oneof![0u64..4, Just(u64::MAX)];
    (0usize..9, 0u32..4, sequence).prop_map(|(index, boot, sequence)| {
        let actor = Actor { node: id(index), boot };
        Told { actor, sequence, record: Record::default() }.encode()
    })
}

fn any_forged() -> impl Strategy<Value = Forged> {
    let claims = prop::collection::vec(any_claim(), 0..6);
    let records = prop::collection::vec(any_record(), 0..3);
    (any_identity(), any_incarnation(), any_message(), claims, records).prop_map(
        |(src, incarnation, message, claims, records)| Forged {
            incarnation,
            message,
            claims,
            records,
            ..Forged::from(src)
        },
    )
}

proptest! {
    /// Anything well formed, from anybody, about anybody, between ticks: what is known stays what
    /// foca knows, all bounds hold, and the boot is never another.
    #[test]
    fn well_formed_lies_do_no_harm(
        steps in prop::collection::vec((any_forged(), 0u64..3_000, any::<bool>()), 1..60),
    ) {
        let mut machine = machine_of_five();
        machine.set_record(machine.outside.now, Record::default());
        for (mut forged, wait_ms, is_addressed) in steps {
            if is_addressed {
                forged.dst = machine.me;
            }
            prop_assert!(feed(&mut machine, &forged.bytes()) < 60);
            let now = machine.outside.now + std::time::Duration::from_millis(wait_ms);
            while let Some(at) = machine.deadline().filter(|at| *at <= now) {
                machine.handle(at.max(machine.outside.now), Event::Tick);
                assert_as_foca(&machine);
            }
            machine.handle(now, Event::Tick);
            while machine.poll().is_some() {}
            prop_assert_eq!(machine.boot(id(0)), Some(1));
            prop_assert!(machine.is_up(id(0)));
            prop_assert!(machine.records().all(|it| machine.boot(it.actor.node).is_some()));
        }
    }

    /// Weighing keeps from foca only what it would make nothing of: claims that are up or suspect,
    /// in any order, leave its list as they would without being weighed.
    #[test]
    fn weighing_loses_nothing(claims in prop::collection::vec(any_claim(), 0..80)) {
        let mut weighed = machine_of_five();
        let mut bare = machine_of_five();
        for claim in claims {
            let is_member = (1..5).any(|it| id(it) == claim.id().node);
            // To be down more is needed than for foca: see the next test.
            if !is_member || claim.state() == State::Down {
                continue;
            }
            let forged = Forged {
                claims: vec![claim.clone()],
                ..Forged::from(*current(&weighed, 1).id())
            };
            feed(&mut weighed, &forged.bytes());
            let applied = bare.swim.apply_many(
                std::iter::once(claim), true, &mut bare.outside);
            prop_assert!(applied.is_ok());
            for index in 1..5 {
                prop_assert_eq!(current(&weighed, index), current(&bare, index));
            }
        }
    }
}

fn current(machine: &Liveness, index: usize) -> Member<Identity> {
    let mut list = machine.swim.iter_membership_state();
    list.find(|it| it.id().node == id(index)).unwrap().clone()
}

/// Who has refuted is not down by word of what it has refuted.
#[test]
fn a_claim_that_was_refuted_is_not_believed() {
    let mut machine = machine_of_five();
    let from = || Forged::from(identity(1, 1, 0));
    feed(&mut machine, &from().claiming(identity(2, 1, 0), 4, State::Alive).bytes());
    feed(&mut machine, &from().claiming(identity(2, 1, 0), 3, State::Down).bytes());
    assert_eq!(machine.health(id(2)), Health::Up);
    feed(&mut machine, &from().claiming(identity(2, 1, 0), 4, State::Suspect).bytes());
    assert_eq!(machine.health(id(2)), Health::Suspect);
    assert!(machine.is_up(id(2)));
    feed(&mut machine, &from().claiming(identity(2, 1, 0), 4, State::Down).bytes());
    assert_eq!(machine.health(id(2)), Health::Down);
}

/// Two nodes that suspected each other over a slow link answered each other's answers, with more
/// each time, until memory ran out (the simulator's seed 1443 of its day).
#[test]
fn a_suspect_that_says_much_is_told_so_once_in_a_while() {
    let mut machine = machine_of_five();
    let suspect = || Forged::from(identity(2, 1, 0)).bytes();
    let claim = Forged::from(identity(1, 1, 0)).claiming(identity(2, 1, 0), 0, State::Suspect);
    assert_eq!(feed(&mut machine, &suspect()), 0, "it is up");
    feed(&mut machine, &claim.bytes());
    for _ in 0..3 {
        assert_eq!(feed(&mut machine, &suspect()), 1, "it is told");
        for _ in 0..100 {
            assert_eq!(feed(&mut machine, &suspect()), 0, "it was told");
        }
        machine.outside.now = machine.outside.now + machine.tunables.probe_rtt;
    }
}

#[test]
fn bytes_of_any_kind_do_no_harm() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut machine = machine_of_five();
    let before = view(&machine);
    for round in 0..20_000 {
        let mut bytes: Vec<_> = (0..rng.usize(..1_500)).map(|_| rng.u8(..)).collect();
        if round % 2 == 0 && bytes.len() > 17 {
            bytes[..17].copy_from_slice(&prefix(CLUSTER));
        }
        feed(&mut machine, &bytes);
    }
    assert_eq!(view(&machine), before);
    assert!(machine.counters().malformed > 5_000);
}

use std::net::SocketAddr;
use std::time::Duration;

use foca::{Header, Member, Message, State};
use schemas::ids::Actor;

use self::network::{CLUSTER, address, id, members};
use super::datagram::prefix;
use super::identity::Identity;
use super::record::Told;
use super::wire::{put_header, put_member};
use super::*;
use crate::time::Instant;

mod bytes;
mod detection;
mod hostile;
mod network;
mod records;
mod strangers;

/// What is kept beside foca is what foca has, and no more waits than can.
fn assert_as_foca(machine: &Liveness) {
    machine.peers.assert_holds(machine.swim.iter_membership_state());
    assert_eq!(machine.counters.faults, 0);
    let tunables = &machine.tunables;
    let suspicion = tunables.suspicion(machine.peers.expected());
    let probes = suspicion.as_micros().div_ceil(tunables.probe_period.as_micros());
    assert!(machine.outside.timers.len() as u128 <= 5 + probes);
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn identity(index: usize, boot: u32, renewal: u32) -> Identity {
    Identity { node: id(index), boot, renewal, address: address(index) }
}

/// Node 0 of five, which has heard of all the others in their first boots.
fn machine_of_five() -> Liveness {
    let now = Instant(1_000_000);
    let me = Actor { node: id(0), boot: 1 };
    let mut machine = Liveness::new(now, CLUSTER, me, address(0), Tunables::lan(), 1);
    machine.set_members(now, members(5));
    for index in 1..5 {
        let hello = Forged::from(identity(index, 1, 0));
        machine.handle(now, Event::Datagram(&hello.bytes()));
    }
    while machine.poll().is_some() {}
    assert_eq!(machine.nodes().filter(|it| it.1 == Health::Up).count(), 4);
    machine
}

/// A datagram to node 0 that somebody made up.
#[derive(Clone, Debug)]
struct Forged {
    src: Identity,
    incarnation: u16,
    dst: Identity,
    message: Message<Identity>,
    claims: Vec<Member<Identity>>,
    records: Vec<Vec<u8>>,
}

impl Forged {
    fn from(src: Identity) -> Self {
        Self {
            src,
            incarnation: 0,
            dst: identity(0, 1, 0),
            message: Message::Gossip,
            claims: Vec::new(),
            records: Vec::new(),
        }
    }

    fn claiming(mut self, id: Identity, incarnation: u16, state: State) -> Self {
        self.claims.push(Member::new(id, incarnation, state));
        self
    }

    fn telling(mut self, told: &Told) -> Self {
        self.records.push(told.encode());
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = prefix(CLUSTER).to_vec();
        let header = Header {
            src: self.src,
            src_incarnation: self.incarnation,
            dst: self.dst,
            message: self.message.clone(),
        };
        put_header(&mut out, &header);
        let is_bare = matches!(self.message, Message::Announce | Message::TurnUndead);
        if !is_bare && self.message != Message::Broadcast {
            out.extend_from_slice(&(self.claims.len() as u16).to_be_bytes());
            self.claims.iter().for_each(|it| put_member(&mut out, it));
        }
        if !is_bare {
            for record in &self.records {
                out.extend_from_slice(&(record.len() as u16).to_be_bytes());
                out.extend_from_slice(record);
            }
        }
        out
    }
}

/// All that a machine shows.
fn view(machine: &Liveness) -> (Vec<(Actor, Health)>, Vec<Heard>) {
    (machine.nodes().collect(), machine.records().copied().collect())
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

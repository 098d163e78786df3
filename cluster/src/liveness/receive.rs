//! What becomes of a datagram: checked, weighed, and only then given to foca.
//!
//! foca gets the claims one by one and the header alone: it never reads a list that somebody
//! else has written.

use foca::{Member, Message, Runtime, State};

use super::datagram::{Datagram, Refusal, gossip};
use super::identity::Identity;
use super::machine::Liveness;
use super::peers::Weight;
use super::record::Told;
use crate::limits::STRANGERS_MAX;

impl Liveness {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.counters.received += 1;
        match Datagram::read(self.cluster, bytes) {
            Ok(datagram) => self.accept(&datagram),
            Err(Refusal::Foreign) => self.counters.foreign += 1,
            Err(Refusal::Unversioned) => self.counters.unversioned += 1,
            Err(Refusal::Malformed) => self.counters.malformed += 1,
        }
    }

    fn accept(&mut self, datagram: &Datagram<'_>) {
        let header = &datagram.header;
        let (src, dst) = (header.src, header.dst);
        if src.node == self.me.node {
            self.counters.impostors += 1;
            return;
        }
        let is_announced = header.message == Message::Announce && dst.node == self.me.node;
        if dst != self.me && !is_announced {
            self.counters.misaddressed += 1;
            if dst.node == self.me.node {
                self.outbid_life(&dst);
            }
            return;
        }
        if datagram.subject().is_some_and(|it| it.node == self.me.node) {
            self.counters.malformed += 1;
            return;
        }
        if !self.learn(Member::new(src, header.src_incarnation, State::Alive)) {
            return;
        }
        // foca tells one that is down, or of an earlier life, that it is; no more is done for it.
        let is_heeded = self.peers.is_active_life(&src);
        if is_heeded {
            for claim in &datagram.members {
                self.hear(claim);
            }
        }
        let result = self.swim.handle_data(datagram.head, &mut self.outside);
        self.check(result);
        let (now, rtt) = (self.outside.now, self.tunables.probe_rtt);
        if let Some(incarnation) = self.peers.suspicion_to_tell(&src, now - rtt, now) {
            self.tell_suspect(Member::new(src, incarnation, State::Suspect));
        }
        if is_heeded {
            for bytes in &datagram.records {
                self.take_record(bytes);
            }
        }
    }

    fn hear(&mut self, claim: &Member<Identity>) {
        let id = claim.id();
        if id.node != self.me.node {
            self.learn(claim.clone());
        } else if *id != self.me {
            self.outbid_life(id);
        } else if claim.state() != State::Alive {
            self.tell_swim(claim.clone());
        }
    }

    /// Takes in a claim about another node. Says whether that node is, or now is, one of those that
    /// this node deals with.
    fn learn(&mut self, claim: Member<Identity>) -> bool {
        let node = claim.id().node;
        match self.peers.weigh(&claim) {
            Weight::Outdated => {
                self.counters.outdated += 1;
                return false;
            }
            Weight::Nothing => return true,
            Weight::NewStranger if !self.make_room() => {
                self.counters.strangers_refused += 1;
                return false;
            }
            Weight::News | Weight::NewStranger => {}
        }
        self.tell_swim(claim);
        self.observe(node);
        true
    }

    /// A suspect that speaks is told at once that it is one: word of it may have been lost while it
    /// could not be reached, and it can only refute what it has heard of. But once in a while: it
    /// answers each time, and two that suspect each other would answer answers without end.
    ///
    /// The "buddy system" of Lifeguard (see [`Timers::forgive`](super::timers::Timers::forgive)).
    fn tell_suspect(&mut self, claim: Member<Identity>) {
        let suspect = *claim.id();
        let bytes = gossip(self.me, suspect, &claim);
        self.outside.send_to(suspect, &bytes);
    }

    fn tell_swim(&mut self, claim: Member<Identity>) {
        let result = self.swim.apply_many(std::iter::once(claim), true, &mut self.outside);
        self.check(result);
    }

    /// Makes room for one more stranger. What is still to be told of those that have been bounds
    /// how fast they may follow each other.
    fn make_room(&mut self) -> bool {
        if self.swim.updates_backlog() > self.peers.members() + 2 * STRANGERS_MAX {
            return false;
        }
        if !self.peers.has_room()
            && let Some(node) = self.peers.dispensable(false)
        {
            self.remove_stranger(node);
        }
        self.peers.has_room()
    }

    fn take_record(&mut self, bytes: &[u8]) {
        let Ok(told) = Told::decode(bytes) else {
            self.counters.records_refused += 1;
            return;
        };
        if told.actor == self.me.actor() {
            self.outbid_record(told.sequence);
        } else if self.peers.boot(told.actor.node) != Some(told.actor.boot) {
            self.counters.records_refused += 1;
        } else if self.records.keep(self.outside.now, told) {
            let result = self.swim.add_broadcast(bytes).map(|_| ());
            self.check(result);
        }
    }
}

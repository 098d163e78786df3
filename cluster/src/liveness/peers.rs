//! [`Peers`]: what foca holds of each member, by node, and what is worth telling it.
//!
//! foca keeps its members in a list that is searched from its start; this is the same knowledge,
//! ordered. It is read from foca after each change and never changed apart from it. Beside it:
//! - claims that foca would ignore are weighed here and not given to it;
//! - **a claim that a member is down counts only for the incarnation that the member is known to
//!   have**: one that has refuted since is not down, whoever says so. (foca takes such a claim of
//!   any incarnation, so that one node which hears nothing could declare all others down.)
//! - members of the topology always have room, others ("strangers": nodes that are joining or
//!   have left) have [`STRANGERS_MAX`] places.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use foca::{Member, State};
use schemas::ids::{Actor, NodeId};

use super::identity::Identity;
use crate::limits::{MEMBERS_MAX, STRANGERS_MAX};
use crate::time::Instant;

/// How a node looks from here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Health {
    /// It answers.
    Up,
    /// Somebody got no answer from it, neither directly nor through others, and it has not yet
    /// refuted. It counts as up: most suspects are.
    Suspect,
    /// It has not refuted in time, or has never been heard of.
    Down,
}

impl Health {
    fn of(state: State) -> Self {
        match state {
            State::Alive => Self::Up,
            State::Suspect => Self::Suspect,
            State::Down => Self::Down,
        }
    }

    fn is_active(self) -> bool {
        self != Self::Down
    }
}

/// What is known of a node.
#[derive(Clone, Copy, Debug)]
struct Peer {
    life: (u32, u32),
    incarnation: u16,
    health: Health,
    /// Whether foca knows it too: what was forgotten at the start of a life of this node is kept
    /// here as down, for its boot not to go back.
    is_held: bool,
    is_member: bool,
    /// When it was last told that it is suspected.
    told_at: Instant,
}

/// What a claim about another node is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weight {
    /// foca learns from it.
    News,
    /// So it does, if there is room for one more stranger.
    NewStranger,
    /// Known, or refuted.
    Nothing,
    /// Of a boot that has ended, or of a life before one that is down and forgotten.
    Outdated,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    /// The topology's, ascending; a simulation of many nodes has them once.
    members: Arc<[(NodeId, SocketAddr)]>,
    known: BTreeMap<NodeId, Peer>,
    /// Those known that are not the topology's, as they were met.
    strangers: Vec<NodeId>,
    /// How many of the topology's are up or suspect.
    active_members: usize,
}

impl Peers {
    /// What `claim`, about another node, is worth.
    pub(super) fn weigh(&self, claim: &Member<Identity>) -> Weight {
        let id = claim.id();
        let Some(peer) = self.known.get(&id.node) else {
            return match (claim.state(), self.is_member(id.node)) {
                (State::Down, _) => Weight::Nothing,
                (_, true) => Weight::News,
                (_, false) => Weight::NewStranger,
            };
        };
        if id.boot < peer.life.0 || !peer.is_held && id.life() < peer.life {
            return Weight::Outdated;
        }
        let is_news = if !peer.is_held {
            claim.state() != State::Down
        } else if id.life() == peer.life {
            peer.would_change(claim.incarnation(), claim.state())
        } else {
            id.life() > peer.life
        };
        if is_news { Weight::News } else { Weight::Nothing }
    }

    /// Takes over what foca holds of a member; what changed for whoever asks, if anything.
    pub(super) fn observe(&mut self, held: &Member<Identity>) -> Option<(Actor, Health)> {
        let id = held.id();
        let is_member = self.is_member(id.node);
        let health = Health::of(held.state());
        let (life, incarnation) = (id.life(), held.incarnation());
        let told_at = self.known.get(&id.node).map_or(Instant(0), |it| it.told_at);
        let peer = Peer { life, incarnation, health, is_held: true, is_member, told_at };
        let before = self.known.insert(id.node, peer);
        if before.is_none() && !is_member {
            self.strangers.push(id.node);
        }
        if is_member {
            let was_active = before.is_some_and(|it| it.health.is_active());
            self.active_members += usize::from(health.is_active());
            self.active_members -= usize::from(was_active);
        }
        let same = before.is_some_and(|it| (it.life.0, it.health) == (id.boot, health));
        (!same).then(|| (id.actor(), health))
    }

    /// foca has begun anew without those that are down.
    pub(super) fn forget_down(&mut self) {
        for peer in self.known.values_mut() {
            peer.is_held &= peer.health.is_active();
        }
    }

    /// A stranger is gone. Who it was, if it had not been down.
    pub(super) fn remove_stranger(&mut self, node: NodeId) -> Option<Actor> {
        self.strangers.retain(|it| *it != node);
        let peer = self.known.remove(&node)?;
        assert!(!peer.is_member, "a member is never removed");
        peer.health.is_active().then_some(Actor { node, boot: peer.life.0 })
    }

    /// The topology's members are these.
    ///
    /// # Panics
    /// If there are more than [`MEMBERS_MAX`].
    pub(super) fn set_members(&mut self, members: Arc<[(NodeId, SocketAddr)]>) {
        assert!(members.len() <= MEMBERS_MAX, "a topology of {} members", members.len());
        self.members = if members.is_sorted_by(|a, b| a.0 < b.0) {
            members
        } else {
            let mut sorted = members.to_vec();
            sorted.sort_unstable();
            sorted.dedup_by_key(|(node, _)| *node);
            sorted.into()
        };
        self.active_members = 0;
        for (node, peer) in &mut self.known {
            let was_member = peer.is_member;
            peer.is_member = self.members.binary_search_by(|it| it.0.cmp(node)).is_ok();
            self.active_members += usize::from(peer.is_member && peer.health.is_active());
            if was_member && !peer.is_member {
                self.strangers.push(*node);
            } else if peer.is_member && !was_member {
                self.strangers.retain(|it| it != node);
            }
        }
    }

    /// A stranger to make room with: the one that is down that was met first, or with `any` the
    /// one that was met first if none is down.
    pub(super) fn dispensable(&self, any: bool) -> Option<NodeId> {
        let is_down = |node: &&NodeId| !self.is_active(**node);
        let first = any.then(|| self.strangers.first()).flatten();
        self.strangers.iter().find(is_down).or(first).copied()
    }

    pub(super) fn has_room(&self) -> bool {
        self.strangers.len() < STRANGERS_MAX
    }

    pub(super) fn is_overfull(&self) -> bool {
        self.strangers.len() > STRANGERS_MAX
    }

    /// Members of the topology that are not up, but for `me`: one in 32 of them, 2 to 8, from a
    /// random place of the list on.
    pub(super) fn missing(&self, me: NodeId, rng: &mut fastrand::Rng) -> Vec<(NodeId, SocketAddr)> {
        let here = usize::from(self.is_member(me));
        let missing = self.members.len() - self.active_members - here;
        if missing == 0 {
            return Vec::new();
        }
        let (before, after) = self.members.split_at(rng.usize(..self.members.len()));
        let members = after.iter().chain(before);
        let absent = members.filter(|(node, _)| *node != me && !self.is_active(*node));
        absent.take((missing / 32).clamp(2, 8)).copied().collect()
    }

    /// How many nodes the cluster has, for what depends on it.
    pub(super) fn expected(&self) -> usize {
        self.members.len().max(self.known.len() + 1)
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    pub(super) fn health(&self, node: NodeId) -> Health {
        self.known.get(&node).map_or(Health::Down, |it| it.health)
    }

    pub(super) fn is_active(&self, node: NodeId) -> bool {
        self.health(node).is_active()
    }

    /// Whether `id` is the life that its node is known in, and up.
    pub(super) fn is_active_life(&self, id: &Identity) -> bool {
        self.known.get(&id.node).is_some_and(|it| it.life == id.life() && it.health.is_active())
    }

    /// The incarnation that `id` is suspected in, if it is.
    pub(super) fn suspicion(&self, id: &Identity) -> Option<u16> {
        let peer = self.known.get(&id.node).filter(|it| it.life == id.life())?;
        (peer.health == Health::Suspect).then_some(peer.incarnation)
    }

    /// As above, if `id` was not told so since `since`; it is told at `now`.
    pub(super) fn suspicion_to_tell(
        &mut self,
        id: &Identity,
        since: Instant,
        now: Instant,
    ) -> Option<u16> {
        let incarnation = self.suspicion(id)?;
        let peer = self.known.get_mut(&id.node)?;
        let is_due = peer.told_at <= since;
        if is_due {
            peer.told_at = now;
        }
        is_due.then_some(incarnation)
    }

    pub(super) fn boot(&self, node: NodeId) -> Option<u32> {
        self.known.get(&node).map(|it| it.life.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Actor, Health)> {
        self.known.iter().map(|(node, it)| (Actor { node: *node, boot: it.life.0 }, it.health))
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.members.binary_search_by(|it| it.0.cmp(&node)).is_ok()
    }
}

impl Peer {
    /// The order of claims about one life: Das, Gupta, Motivala, "SWIM", 2002, section 4.2; but a
    /// claim that it is down is of the incarnation known or a later one.
    fn would_change(&self, incarnation: u16, state: State) -> bool {
        match (self.health, state) {
            (Health::Down, _) => false,
            (Health::Up, State::Suspect) | (_, State::Down) => incarnation >= self.incarnation,
            (_, State::Alive | State::Suspect) => incarnation > self.incarnation,
        }
    }
}

#[cfg(test)]
impl Peers {
    /// Fails unless this is what foca's list says, and what else is here is down.
    pub(super) fn assert_holds<'a>(&self, list: impl Iterator<Item = &'a Member<Identity>>) {
        let mut held = 0;
        for member in list {
            let peer = self.known[&member.id().node];
            assert!(peer.is_held);
            let told = (member.id().life(), member.incarnation(), Health::of(member.state()));
            assert_eq!((peer.life, peer.incarnation, peer.health), told);
            held += 1;
        }
        assert_eq!(self.known.values().filter(|it| it.is_held).count(), held);
        assert!(self.known.values().all(|it| it.is_held || it.health == Health::Down));
        let strangers = self.known.values().filter(|it| !it.is_member).count();
        assert_eq!(self.strangers.len(), strangers);
        assert!(strangers <= STRANGERS_MAX);
    }
}

//! What the policy looks at, from the topology's document and the loads that nodes told.
//!
//! - A member whose first vnodes are on their way joins; one that is lost leaves.
//! - A vnode moves as long as a slot of this data centre does, or all of it are altered.

use schemas::ids::NodeId;

use super::view::{Load, Member, MemberState, View};
use crate::topology::{Document, MemberIndex, Phase, ScaledDataCentre, Standing};

/// The members of the data centre `name`, with the load of each as far as it is known.
#[must_use]
pub fn members<'a>(
    document: &'a Document,
    name: &str,
    load: impl Fn(NodeId) -> Option<Load>,
) -> Vec<Member<'a>> {
    let mut reads = vec![0u32; document.members.len()];
    let mut comes = vec![false; document.members.len()];
    for slot in document.ring.all().flat_map(|vnode| document.ring.slots(vnode)) {
        let place = |it: MemberIndex| usize::from(it.0);
        slot.reader.into_iter().for_each(|it| reads[place(it)] += 1);
        slot.successor.into_iter().for_each(|it| comes[place(it)] = true);
    }
    let member = |(at, it): (usize, &'a crate::topology::Member)| {
        let state = match it.standing {
            Standing::Leaving | Standing::Lost => MemberState::Leaving,
            Standing::Member if reads[at] == 0 && comes[at] => MemberState::Joining,
            Standing::Member => MemberState::Up,
        };
        Member {
            node: it.id,
            rack: &it.rack,
            weight: it.weight,
            vnodes: reads[at],
            state,
            voter: document.voters.binary_search(&it.id).is_ok(),
            load: load(it.id),
        }
    };
    let here = document.members.iter().enumerate().filter(|(_, it)| *it.dc == *name);
    here.map(member).collect()
}

/// The data centre `dc` of `document`, with its [`members`].
#[must_use]
pub fn view<'a>(
    document: &'a Document,
    dc: &'a ScaledDataCentre,
    members: &'a [Member<'a>],
) -> View<'a> {
    let mut slots = 0..0;
    for it in document.ring.layout().iter() {
        slots = slots.end..slots.end + usize::from(it.copies);
        if it.name == dc.name {
            break;
        }
    }
    let ring = &document.ring;
    let moves = |vnode: &_| {
        let mut here = slots.clone().map(|at| ring.slot(*vnode, at));
        ring.is_altering(*vnode)
            || ring.phase(*vnode) != Phase::Stable && here.any(|slot| slot.is_moving())
    };
    View {
        changed_epoch: dc.changed.0,
        dc: &dc.name,
        replication: slots.len() as u32,
        members,
        starting: dc.starting,
        pending_moves: ring.all().filter(moves).count() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscale::{Policy, Settings};
    use crate::topology::sample::{cluster, done, member, node, settled, vnodes_in};
    use crate::topology::{Change, ScaleStep};

    fn states(document: &Document) -> (Vec<(u64, MemberState)>, u32, u32) {
        let members = members(document, "a", |_| None);
        let dc = document.scaled("a").expect("it is scaled");
        let view = view(document, dc, &members);
        let states = members.iter().map(|it| (it.node.0.get(), it.state)).collect();
        (states, view.pending_moves, view.starting)
    }

    #[test]
    fn a_data_centre_is_seen_as_the_document_has_it() {
        use MemberState::{Joining, Leaving, Up};
        let policy = Policy::new(Settings::between(3, 8)).expect("settings in their ranges");
        let four = done(&cluster(4), &Change::Autoscale(Some(policy)));
        let four = done(&four, &Change::Join(member(9, "b", "r1")));
        assert_eq!(states(&four), (vec![(1, Up), (2, Up), (3, Up), (4, Up)], 0, 0));
        let dc = four.scaled("a").expect("it is scaled");
        let (since, name) = (dc.changed, dc.name.clone());
        let start = Change::Scale { dc: name, since, step: ScaleStep::Start(2) };
        let started = done(&four, &start);
        let joined = done(&started, &Change::Join(member(5, "a", "r1")));
        let moving = vnodes_in(&joined, Phase::Moving).len() as u32;
        assert!(moving > 0);
        let up = [(1, Up), (2, Up), (3, Up), (4, Up)];
        assert_eq!(states(&joined), ([&up[..], &[(5, Joining)]].concat(), moving, 1));
        let five = settled(joined);
        assert_eq!(states(&five), ([&up[..], &[(5, Up)]].concat(), 0, 1));
        let leaving = done(&five, &Change::Leave(node(2)));
        assert_eq!(states(&leaving).0[1], (2, Leaving));

        let counted = members(&five, "a", |_| None);
        assert_eq!(counted.iter().map(|it| it.vnodes).sum::<u32>(), 8 * 3);
        assert_eq!(view(&five, five.scaled("a").expect("it is scaled"), &counted).replication, 3);
    }
}

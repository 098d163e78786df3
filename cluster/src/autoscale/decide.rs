//! One evaluation of the policy.

use super::demand::{demands, nodes_min};
use super::fleet::Fleet;
use super::policy::{Policy, Settings};
use super::reason::{Decision, Hold, RemoveReason};
use super::removal::spare;
use super::state::AutoscaleState;
use super::view::{MemberState, View};
use crate::time::Instant;

/// What is to be done with the data centre that `view` shows, and what to remember for the next
/// evaluation.
///
/// Call it more often than records go stale, for each data centre, and propose a change at once.
/// Where a proposal was refused for certain, the state from before it may be kept, and the next
/// evaluation makes it again from what there is then; where its fate is unknown, the new state is
/// the one to keep.
#[must_use]
pub fn decide(
    policy: &Policy,
    state: &AutoscaleState,
    view: &View,
    now: Instant,
) -> (AutoscaleState, Decision) {
    let settings = policy.settings();
    let mut next = *state;
    next.open(settings, view, now);
    let decision = match weigh(settings, &mut next, view, now) {
        Decision::Hold(hold) => Decision::Hold(hold),
        change => {
            let left = next.cooldown_left(settings, now);
            if left.is_zero() {
                next.unsettle(now);
                change
            } else {
                Decision::Hold(Hold::CoolingDown { left })
            }
        }
    };
    (next, decision)
}

/// What the load asks for, the cool-down apart.
fn weigh(settings: &Settings, next: &mut AutoscaleState, view: &View, now: Instant) -> Decision {
    if let Some(busy) = busy(view) {
        next.unsettle(now);
        return Decision::Hold(busy);
    }
    let fleet = match Fleet::of(settings, view, now) {
        Some(fleet) if fleet.is_heard(settings) => fleet,
        fleet => {
            next.forget();
            let (heard, nodes) = fleet.map_or((0, 0), |fleet| (fleet.heard, fleet.all.nodes));
            return Decision::Hold(Hold::Unknown { heard, nodes });
        }
    };
    let waited = next.quiet_for(now);
    if view.starting > 0 && waited >= settings.give_up_after {
        let (since, dc, machines) = (view.changed_epoch, view.dc.into(), view.starting);
        return Decision::GiveUp { since, dc, machines, waited };
    }
    next.note_demands(settings, demands(settings, view, &fleet), now);
    match add(settings, next, view) {
        Some(decision) => {
            next.note_spare(false, now);
            decision
        }
        None => remove(settings, next, view, &fleet, now),
    }
}

/// Whether the topology still moves: then loads are those of a cluster that is about to be another.
fn busy(view: &View) -> Option<Hold> {
    let count = |state| {
        let members = view.members.iter().filter(|member| member.state == state);
        u32::try_from(members.count()).unwrap_or(u32::MAX)
    };
    let (joining, leaving) = (count(MemberState::Joining), count(MemberState::Leaving));
    let moves = view.pending_moves;
    (joining > 0 || leaving > 0 || moves > 0).then_some(Hold::Busy { joining, leaving, moves })
}

/// What a shortage leads to; `None` if there is none.
fn add(settings: &Settings, next: &AutoscaleState, view: &View) -> Option<Decision> {
    let reason = next.shortage(settings.add_after)?;
    if reason.held < settings.add_after {
        let left = settings.add_after - reason.held;
        return Some(Decision::Hold(Hold::AddSoon { reason, left }));
    }
    let machines = view.starting;
    let more = reason.more.saturating_sub(machines);
    if more == 0 {
        return Some(Decision::Hold(Hold::Starting { reason, machines }));
    }
    let members = u32::try_from(view.members.len()).unwrap_or(u32::MAX).saturating_add(machines);
    let maximum = settings.nodes_max;
    let count = more.min(maximum.saturating_sub(members)).min(settings.add_nodes_max);
    Some(if count == 0 {
        Decision::Hold(Hold::AtMaximum { reason, members, maximum })
    } else {
        Decision::Add { since: view.changed_epoch, dc: view.dc.into(), count, reason }
    })
}

/// What it leads to that nothing is short.
fn remove(
    settings: &Settings,
    next: &mut AutoscaleState,
    view: &View,
    fleet: &Fleet,
    now: Instant,
) -> Decision {
    let spare = spare(settings, view, fleet);
    let held = next.note_spare(spare.is_ok(), now);
    let spare = match spare {
        Ok(spare) => spare,
        Err(hold) => return Decision::Hold(hold),
    };
    if held < settings.remove_after {
        let left = settings.remove_after - held;
        return Decision::Hold(Hold::RemoveSoon { node: spare.node, left });
    }
    assert!(fleet.all.nodes > nodes_min(settings, view), "never below the minimum and N");
    let reason = RemoveReason {
        cpu_permille: spare.cpu_permille,
        cpu_target_permille: settings.cpu_target_permille,
        disk_permille: spare.disk_permille,
        disk_target_permille: settings.disk_target_permille,
        held,
    };
    let (since, dc) = (view.changed_epoch, view.dc.into());
    Decision::Remove { since, dc, node: spare.node, reason }
}

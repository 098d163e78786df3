//! Records that are late, missing or lies; several nodes that evaluate, and none for long.

use cluster::autoscale::{AutoscaleState, Load, Member};
use cluster::time::Instant;

use crate::curves::{DAY, HOUR, policy};
use crate::model::{Offered, Run, STEP, Site, at, cpu, honest};

/// What a member that lies tells instead of its load.
type Lie = fn(&mut fastrand::Rng, Load) -> Load;

#[test]
fn one_hot_node_leads_to_nothing() {
    let mut run = Run::new(policy(|_| {}), Site::new(6, 1, 1));
    run.go(
        2 * DAY,
        |_| cpu(3_300),
        |_, members| {
            let load = members[2].load.as_mut().expect("all tell their load");
            (load.cpu_permille, load.p99_us) = (1000, 900_000);
        },
    );
    assert_eq!(run.changes, []);
}

/// One node of six tells the worst there is, plausible or not, for days. It must not move the
/// result by more than a node's share, nor fill the maximum, nor drain the others.
#[test]
fn one_liar_moves_the_result_by_no_more_than_its_share() {
    let lies: [(Lie, u64, u64); 5] = [
        (|_, load| Load { cpu_permille: 0, disk_used_bytes: 0, p99_us: 0, ..load }, 5, 6),
        (|_, load| Load { cpu_permille: 1000, ..full(load) }, 6, 7),
        (|_, load| Load { cpu_permille: u32::MAX, disk_total_bytes: 0, ..load }, 6, 6),
        (|_, load| Load { disk_used_bytes: u64::MAX, p99_us: u64::MAX, ..load }, 6, 6),
        (random, 5, 7),
    ];
    for (which, (lie, least, most)) in lies.into_iter().enumerate() {
        let mut run = Run::new(policy(|_| {}), Site::new(6, 1, 1));
        let mut rng = fastrand::Rng::with_seed(which as u64);
        run.go(
            3 * DAY,
            |_| cpu(3_300),
            |_, members| {
                let load = members[0].load.as_mut().expect("all tell their load");
                *load = lie(&mut rng, *load);
            },
        );
        let nodes = run.site.nodes();
        assert!((least..=most).contains(&nodes), "lie {which}: {nodes} nodes, {:?}", run.changes);
    }
}

fn full(load: Load) -> Load {
    Load { disk_used_bytes: load.disk_total_bytes, p99_us: 1_000_000, ..load }
}

fn random(rng: &mut fastrand::Rng, load: Load) -> Load {
    let plausible = rng.bool();
    Load {
        cpu_permille: if plausible { rng.u32(..=1000) } else { rng.u32(..) },
        disk_used_bytes: if plausible { rng.u64(..=load.disk_total_bytes) } else { rng.u64(..) },
        disk_total_bytes: if plausible { load.disk_total_bytes } else { rng.u64(..) },
        p99_us: rng.u64(..),
        ops_per_s: rng.u64(..),
        received_at: if plausible { load.received_at } else { Instant(rng.u64(..)) },
    }
}

/// Leaves the members at `silent` without a record since `second`.
fn silence(members: &mut [Member], silent: std::ops::Range<usize>, second: u64) {
    for member in &mut members[silent] {
        member.load = member.load.map(|load| Load { received_at: at(second), ..load });
    }
}

#[test]
fn a_cut_of_a_third_lets_nodes_be_added_and_none_removed() {
    let mut run = Run::new(policy(|_| {}), Site::new(6, 1, 1));
    run.go(DAY, |_| cpu(6_000), |_, members| silence(members, 0..2, 0));
    // Four at 1,000 are six at 667: seven would do for that.
    assert_eq!(run.site.nodes(), 7, "{:?}", run.changes);
    run.go(DAY, |_| cpu(600), |_, members| silence(members, 0..2, 0));
    assert_eq!(run.site.nodes(), 7, "{:?}", run.changes);
    run.go(DAY, |_| cpu(600), honest);
    assert_eq!(run.site.nodes(), 3, "heard again, they may go");
}

#[test]
fn a_cut_of_half_decides_nothing() {
    for load in [100, 9_000] {
        let mut run = Run::new(policy(|_| {}), Site::new(6, 1, 1));
        run.go(DAY, |_| cpu(load), |_, members| silence(members, 0..3, 0));
        assert_eq!(run.changes, []);
    }
}

/// Records that are lost now and then slow a removal down and prevent nothing.
#[test]
fn lost_records_do_not_stop_the_policy() {
    let mut run = Run::new(policy(|_| {}), Site::new(3, 1, 1));
    let mut rng = fastrand::Rng::with_seed(5);
    let mut last: Vec<Option<Load>> = vec![None; 64];
    run.go(
        3 * DAY,
        |second| cpu(if second < DAY { 5_900 } else { 1_200 }),
        |_, members| {
            for member in members {
                let known = &mut last[member.node.0.get() as usize];
                if rng.u8(..) > 12 {
                    *known = member.load;
                }
                member.load = *known;
            }
        },
    );
    assert_eq!(run.changes_since(0).0, 2, "{:?}", run.changes);
    assert_eq!(run.site.nodes(), 3, "{:?}", run.changes);
}

/// A day as before, evaluated by two at once: each change is decided once, the other proposal for
/// it is refused as stale.
#[test]
fn two_that_evaluate_decide_each_change_once() {
    let day = |second: u64| cpu(if second % DAY < DAY / 2 { 6_000 } else { 2_000 });
    let mut alone = Run::new(policy(|_| {}), Site::new(4, 3, 1));
    alone.go(2 * DAY, day, honest);
    let mut both = Run::new(policy(|_| {}), Site::new(4, 3, 1));
    both.states.push(AutoscaleState::new(at(0)));
    both.go(2 * DAY, day, honest);
    assert_eq!(both.changes, alone.changes);
    assert_eq!(both.refused, alone.changes.len() as u64);
}

/// Who begins to evaluate waits: the model asserts the cool-down across all of them.
#[test]
fn a_new_proposer_begins_with_a_cooldown() {
    let offered = |second: u64| cpu(if second % DAY < DAY / 2 { 6_000 } else { 2_000 });
    for (term, changes) in [(10 * STEP, false), (2 * HOUR, true)] {
        let mut run = Run::new(policy(|_| {}), Site::new(4, 3, 1));
        while run.second < 2 * DAY {
            run.states = vec![AutoscaleState::new(at(run.second))];
            run.go(term, offered, honest);
        }
        assert_eq!(!run.changes.is_empty(), changes, "{:?}", run.changes);
    }
}

#[test]
fn weights_are_followed() {
    let mut run = Run::new(policy(|_| {}), Site::new(3, 3, 3));
    run.go(2 * DAY, |second| Offered { cpu: 500 + second * 12_000 / DAY, disk: 4_000 }, honest);
    let asked = Offered { cpu: 24_500, disk: 4_000 };
    assert!(run.site.cpu(asked) <= 660, "{:?}", run.changes);
    run.go(2 * DAY, |_| Offered { cpu: 500, disk: 1_000 }, honest);
    assert!(run.site.nodes() <= 4, "{:?}", run.changes);
}

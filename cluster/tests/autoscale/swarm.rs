//! Random curves, policies, silences and proposers: what must hold, holds.

use std::time::Duration;

use cluster::autoscale::{AutoscaleState, LatencyTarget, Member, Policy, Settings};
use proptest::prelude::*;

use crate::curves::{HOUR, policy};
use crate::model::{COPIES, Offered, Run, Site, at, honest};

fn any_policy() -> impl Strategy<Value = Policy> {
    let nodes = (1u32..6, 6u32..24, 1u32..6);
    let targets = (300u32..800, 400u32..=850, 50u32..=240, prop::option::of(1_000u64..50_000));
    let times = (30u64..600, 0u64..3_000, 60u64..3_000);
    (nodes, targets, times).prop_map(|(nodes, targets, times)| {
        let (nodes_min, nodes_max, add_nodes_max) = nodes;
        let (cpu_target_permille, disk_target_permille, band_permille, p99) = targets;
        let (add_after, longer, cooldown) = times;
        Policy::new(Settings {
            cpu_target_permille,
            disk_target_permille,
            band_permille,
            p99: p99.map(|p99_us| LatencyTarget {
                p99_us,
                cpu_floor_permille: cpu_target_permille / 2,
            }),
            add_nodes_max,
            add_after: Duration::from_secs(add_after),
            remove_after: Duration::from_secs(add_after + longer),
            cooldown: Duration::from_secs(cooldown),
            ..Settings::between(nodes_min, nodes_max)
        })
        .expect("settings within their ranges")
    })
}

/// Levels of load, each for some time.
fn any_curve() -> impl Strategy<Value = Vec<(u64, Offered)>> {
    let level = (60u64..2 * HOUR, 0u64..15_000, 0u64..9_000);
    let level = level.prop_map(|(seconds, cpu, disk)| (seconds, Offered { cpu, disk }));
    prop::collection::vec(level, 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The cool-down, the bounds, racks, and what is left after a removal are asserted by the run;
    /// so an addition and a removal never alternate within the cool-down.
    #[test]
    fn no_curve_makes_it_flap_or_leave_its_bounds(
        policy in any_policy(),
        (nodes, racks, weights) in (3u64..9, 1u16..5, 1u64..4),
        curve in any_curve(),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(policy, Site::new(nodes, racks, weights));
        let mut rng = fastrand::Rng::with_seed(seed);
        for (seconds, offered) in curve {
            if rng.u8(..) < 64 {
                run.states = vec![AutoscaleState::new(at(run.second)); rng.usize(1..4)];
            }
            let silent = if rng.u8(..) < 64 { rng.usize(..4) } else { 0 };
            run.go(seconds, |_| offered, |_, members: &mut Vec<Member<'static>>| {
                for member in members.iter_mut().take(silent) {
                    member.load = None;
                }
            });
        }
        let least = run.policy.settings().nodes_min.max(COPIES);
        prop_assert!(run.site.nodes() >= u64::from(least).min(nodes));
    }

    /// The same data centre under a constant load ends with no fewer nodes the more there is, and
    /// then it stays so.
    #[test]
    fn more_load_ends_with_no_fewer_nodes(
        nodes in 3u64..14,
        racks in prop::sample::select(vec![1u16, 3]),
        (less, more) in (0u64..11_000, 0u64..4_000),
        (disk, data) in (0u64..6_000, 0u64..2_000),
    ) {
        let quick = policy(|settings| {
            settings.add_after = Duration::from_secs(60);
            settings.remove_after = Duration::from_secs(300);
            settings.cooldown = Duration::from_secs(300);
        });
        let end = |offered: Offered| {
            let mut run = Run::new(quick, Site::new(nodes, racks, 1));
            run.go(4 * HOUR, |_| offered, honest);
            let settled = run.second;
            run.go(HOUR, |_| offered, honest);
            (run.site.nodes(), run.changes_since(settled), run.changes)
        };
        let (fewer, still, changes) = end(Offered { cpu: less, disk });
        prop_assert_eq!(still, (0, 0), "{:?}", changes);
        let turns = changes.windows(2).filter(|two| (two[0].nodes > 0) != (two[1].nodes > 0));
        prop_assert_eq!(turns.count(), 0, "{:?}", &changes);
        let (no_fewer, still, _) = end(Offered { cpu: less + more, disk: disk + data });
        prop_assert_eq!(still, (0, 0));
        prop_assert!(no_fewer >= fewer, "{} {} {:?}", no_fewer, fewer, changes);
    }
}

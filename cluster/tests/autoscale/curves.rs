//! Synthetic curves of load: where the policy settles, how fast, and with how many changes.

use std::time::Duration;

use cluster::autoscale::{LatencyTarget, Policy, Settings};

use crate::model::{Offered, Run, STEP, Site, cpu, honest};

pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 86_400;

pub(crate) fn policy(change: impl Fn(&mut Settings)) -> Policy {
    let mut settings = Settings::between(3, 20);
    change(&mut settings);
    Policy::new(settings).expect("settings of a test")
}

fn run(nodes: u64, racks: u16) -> Run {
    Run::new(policy(|_| {}), Site::new(nodes, racks, 1))
}

/// Steps of `cpu` since `from` at which the mean was over `limit`: permille of all.
pub(crate) fn over(run: &Run, from: u64, limit: u64) -> usize {
    let steps = &run.cpu[(from / STEP) as usize..];
    steps.iter().filter(|&&cpu| cpu > limit).count() * 1000 / steps.len()
}

#[test]
fn a_step_up_is_met_within_the_hour_and_a_step_down_given_back() {
    for racks in [1, 3] {
        let mut run = run(3, racks);
        let stepped = |second| cpu(if (HOUR..8 * HOUR).contains(&second) { 5_900 } else { 1_200 });
        run.go(2 * HOUR, stepped, honest);
        assert!(*run.cpu.last().unwrap() <= 660, "{:?}", run.changes);
        run.go(6 * HOUR, stepped, honest);
        // Nine are at 655. At saturation three show 3,000, for which five would do, or two a rack.
        assert_eq!(run.site.nodes(), if racks == 1 { 9 } else { 10 }, "{:?}", run.changes);
        assert_eq!(run.changes_since(0), (2, 0), "{:?}", run.changes);
        run.go(12 * HOUR, stepped, honest);
        assert_eq!(run.site.nodes(), 3, "{:?}", run.changes);
        assert_eq!(run.changes_since(2 * HOUR).0, 0, "no node was taken and asked for again");
        let settled = run.second;
        run.go(DAY, stepped, honest);
        assert_eq!(run.changes_since(settled), (0, 0), "a load that stays changes nothing");
    }
}

#[test]
fn a_ramp_is_followed() {
    let mut run = run(3, 1);
    let ramp = |second: u64| cpu(1_500 + (second * 7_500 / (6 * HOUR)).min(7_500));
    run.go(8 * HOUR, ramp, honest);
    assert!(*run.cpu.iter().max().unwrap() < 850, "{:?}", run.cpu.iter().max());
    assert!((540..=660).contains(run.cpu.last().unwrap()), "{:?}", run.changes);
    assert!(run.changes.len() <= 10, "{:?}", run.changes);
    assert_eq!(run.changes_since(0).1, 0);
}

/// A day between 1,800 and 7,200: three nodes and twelve at the target.
fn day(second: u64) -> Offered {
    let turn = second as f64 / DAY as f64 * std::f64::consts::TAU;
    cpu((4_500.0 - 2_700.0 * turn.cos()) as u64)
}

#[test]
fn a_day_is_followed_up_and_down_once() {
    for racks in [1, 3] {
        let mut run = run(4, racks);
        run.go(4 * DAY, day, honest);
        assert_eq!(over(&run, DAY, 750), 0, "{:?}", run.changes);
        assert!(over(&run, DAY, 660) < 200, "{}", over(&run, DAY, 660));
        let (more, fewer) = run.changes_since(DAY);
        assert!(more <= 3 * 8 && fewer <= 3 * 10, "{more} {fewer}");
        // Each day its additions come first, then its removals: the sign turns twice.
        let signs: Vec<bool> =
            run.changes.iter().filter(|it| it.second >= DAY).map(|it| it.nodes > 0).collect();
        let turns = signs.windows(2).filter(|two| two[0] != two[1]).count();
        assert!(turns <= 3 * 2, "{:?}", run.changes);
    }
}

#[test]
fn spikes_of_seconds_lead_to_nothing() {
    let mut run = run(5, 1);
    run.go(2 * DAY, |second| cpu(if second % 600 < 120 { 5_000 } else { 2_700 }), honest);
    assert_eq!(run.changes, []);
}

#[test]
fn noise_within_the_band_leads_to_nothing() {
    let mut run = run(7, 1);
    let mut rng = fastrand::Rng::with_seed(1);
    let noise: Vec<u64> = (0..7 * DAY / STEP).map(|_| rng.u64(470..=660)).collect();
    run.go(7 * DAY, |second| cpu(7 * noise[(second / STEP) as usize]), honest);
    assert_eq!(run.changes, []);
}

#[test]
fn data_that_grows_gets_disks_before_they_are_full_and_keeps_them() {
    let mut run = run(3, 3);
    let grown = |second: u64| Offered { cpu: 300, disk: 1_500 + second * 4_500 / (10 * DAY) };
    let mut fullest = 0;
    run.go(10 * DAY, grown, |_, members| {
        let loads = members.iter().filter_map(|member| member.load);
        fullest = fullest.max(loads.map(|load| load.disk_used_bytes).max().unwrap());
    });
    assert!(fullest <= 710_000_000_000, "{fullest}");
    assert_eq!(run.site.nodes(), 9, "6,000 at 700 each, in three racks");
    assert_eq!(run.changes_since(0).1, 0, "idle, but full");
    run.go(2 * DAY, |_| Offered { cpu: 300, disk: 1_500 }, honest);
    assert_eq!(run.site.nodes(), 3, "what was deleted gives its nodes back");
}

/// Latency asks for more than CPU does, up to where the floor of CPU bounds it, and stays there.
#[test]
fn latency_adds_until_it_is_kept_or_the_floor_is_met() {
    let target = |p99_us, cpu_floor_permille| {
        let p99 = Some(LatencyTarget { p99_us, cpu_floor_permille });
        policy(|settings| settings.p99 = p99)
    };
    // 2,000,000 / (1001 - 500) us are met at 500 permille: eight nodes for 4,000.
    let mut run = Run::new(target(3_992, 200), Site::new(7, 1, 1));
    run.go(DAY, |_| cpu(4_000), honest);
    assert_eq!(run.site.nodes(), 8, "{:?}", run.changes);
    // 2,000 us are never met.
    let mut run = Run::new(target(1_999, 300), Site::new(7, 1, 1));
    run.go(2 * DAY, |_| cpu(4_000), honest);
    assert_eq!(run.site.nodes(), 14, "{:?}", run.changes);
    let settled = run.second;
    run.go(2 * DAY, |_| cpu(4_000), honest);
    assert_eq!(run.changes_since(settled), (0, 0));
}

#[test]
fn the_maximum_and_the_minimum_hold_against_any_load() {
    let mut run = Run::new(policy(|settings| settings.nodes_max = 6), Site::new(4, 1, 1));
    run.go(DAY, |_| cpu(30_000), honest);
    assert_eq!(run.site.nodes(), 6);
    run.go(DAY, |_| cpu(0), honest);
    assert_eq!(run.site.nodes(), 3);
    let mut run = Run::new(policy(|settings| settings.nodes_min = 5), Site::new(3, 1, 1));
    run.go(DAY, |_| cpu(0), honest);
    assert_eq!(run.site.nodes(), 5, "fewer than the minimum are made up for");
}

#[test]
fn a_longer_cooldown_is_kept_to() {
    let slow = policy(|settings| settings.cooldown = Duration::from_secs(2 * HOUR));
    let mut run = Run::new(slow, Site::new(3, 1, 1));
    // The run itself asserts the gaps between changes.
    run.go(
        2 * DAY,
        |second| cpu(if (second / HOUR).is_multiple_of(2) { 6_000 } else { 500 }),
        honest,
    );
    assert!(run.changes.len() > 4, "{:?}", run.changes);
}

//! One evaluation at a time: what each rule says of a view made for it.

use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::*;
use schemas::ids::NodeId;

use super::*;
use crate::time::Instant;

const RACKS: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];
const TB: u64 = 1_000_000_000_000;
const START: Instant = Instant(1 << 40);

fn policy(change: impl Fn(&mut Settings)) -> Policy {
    let mut settings = Settings::between(3, 12);
    change(&mut settings);
    Policy::new(settings).unwrap()
}

fn node(id: u64) -> NodeId {
    NodeId(NonZeroU64::new(id).unwrap())
}

fn load(cpu_permille: u32, disk_permille: u64) -> Load {
    Load {
        cpu_permille,
        disk_used_bytes: TB / 1000 * disk_permille,
        disk_total_bytes: TB,
        p99_us: 1_000,
        ops_per_s: 10_000,
        received_at: START,
    }
}

/// Nodes 1 to `count` of weight 100, in turn in three racks.
fn members(count: u64, load: Load) -> Vec<Member<'static>> {
    let member = |id| Member {
        node: node(id),
        rack: RACKS[id as usize % 3],
        weight: 100,
        vnodes: 100,
        state: MemberState::Up,
        voter: false,
        load: Some(load),
    };
    (1..=count).map(member).collect()
}

/// Each rack holds everything.
fn view<'a>(members: &'a [Member<'a>]) -> View<'a> {
    let (changed_epoch, dc, replication) = (5, "dc1", 3);
    View { changed_epoch, dc, replication, members, starting: 0, pending_moves: 0 }
}

/// Work and data are spread over all nodes: there are more racks than copies.
fn spread<'a>(members: &'a [Member<'a>]) -> View<'a> {
    View { replication: 2, ..view(members) }
}

/// What is decided once the same view was evaluated each 10 s, with fresh records, for so long that
/// all times are over.
fn in_the_end(policy: &Policy, view: &View) -> Decision {
    let mut state = AutoscaleState::new(START);
    for second in (0..10_000).step_by(10) {
        let now = START + Duration::from_secs(second);
        let heard = heard_at(view.members, now);
        let view = View { members: &heard, ..*view };
        let (next, decision) = decide(policy, &state, &view, now);
        if !matches!(decision, Decision::Hold(_)) {
            return decision;
        }
        state = next;
        if second > 9_980 {
            return decision;
        }
    }
    unreachable!("the loop returns in its last round")
}

/// The members, with what was received at [`START`] received at `now`; older records stay old.
fn heard_at<'a>(members: &[Member<'a>], now: Instant) -> Vec<Member<'a>> {
    let mut members = members.to_vec();
    for load in members.iter_mut().filter_map(|member| member.load.as_mut()) {
        if load.received_at == START {
            load.received_at = now;
        }
    }
    members
}

fn added(decision: Decision) -> u32 {
    match decision {
        Decision::Add { since: 5, dc, count, .. } if *dc == *"dc1" => count,
        other => panic!("{other}"),
    }
}

fn removed(decision: Decision) -> u64 {
    match decision {
        Decision::Remove { since: 5, dc, node, .. } if *dc == *"dc1" => node.0.get(),
        other => panic!("{other}"),
    }
}

fn held(decision: Decision) -> Hold {
    match decision {
        Decision::Hold(hold) => hold,
        other => panic!("{other}"),
    }
}

fn is_steady(decision: Decision) -> bool {
    matches!(decision, Decision::Hold(Hold::Steady { .. }))
}

#[test]
fn nodes_added_are_proportional_to_the_load_and_bounded() {
    let policy = policy(|_| {});
    for (nodes, cpu, more) in [
        // ceil(6 * 0.661 / 0.6) = 7: the least load over the band.
        (6, 661, 1),
        (6, 700, 1),
        (6, 701, 2),
        (6, 800, 2),
        (6, 801, 3),
        // At most four at a time, twelve in all.
        (6, 1000, 4),
        (10, 900, 2),
        (11, 900, 1),
    ] {
        let decision = in_the_end(&policy, &spread(&members(nodes, load(cpu, 100))));
        assert_eq!(added(decision), more, "{nodes} nodes at {cpu}");
    }
    assert!(is_steady(in_the_end(&policy, &spread(&members(6, load(660, 100))))));
    let at_most = held(in_the_end(&policy, &spread(&members(12, load(900, 100)))));
    assert!(matches!(at_most, Hold::AtMaximum { members: 12, maximum: 12, .. }), "{at_most}");
    // An operator's own nodes may be more than the policy's maximum: they stay.
    let beyond = held(in_the_end(&policy, &spread(&members(14, load(900, 100)))));
    assert!(matches!(beyond, Hold::AtMaximum { members: 14, maximum: 12, .. }), "{beyond}");
}

#[test]
fn of_two_shortages_the_greater_counts() {
    let policy = policy(|_| {});
    for (cpu, disk, more) in [(900, 750, 3), (700, 900, 2)] {
        assert_eq!(added(in_the_end(&policy, &spread(&members(6, load(cpu, disk))))), more);
    }
}

/// Machines take minutes to start: what was asked for is not asked for again, by whomever.
#[test]
fn machines_that_start_count() {
    let policy = policy(|settings| settings.give_up_after = Duration::from_secs(20_000));
    let members = members(6, load(900, 100));
    let starting = |starting| in_the_end(&policy, &View { starting, ..spread(&members) });
    assert_eq!(added(starting(0)), 3);
    assert_eq!(added(starting(2)), 1);
    assert!(matches!(held(starting(3)), Hold::Starting { machines: 3, .. }));
    assert!(matches!(held(starting(u32::MAX)), Hold::Starting { .. }));
    let eight = Policy::new(Settings { nodes_max: 8, ..*policy.settings() }).unwrap();
    let hold = in_the_end(&eight, &View { starting: 2, ..spread(&members) });
    assert!(matches!(held(hold), Hold::AtMaximum { members: 8, maximum: 8, .. }));
}

/// Machines that do not come would be waited for in vain: the need has to be met all the same.
#[test]
fn machines_that_do_not_come_are_given_up() {
    let policy = policy(|settings| settings.give_up_after = Duration::from_secs(900));
    let mut state = AutoscaleState::new(START);
    let given_up = |changed_epoch: u32, seconds: u64, state: &mut AutoscaleState| {
        let now = START + Duration::from_secs(seconds);
        let members = heard_at(&members(6, load(900, 100)), now);
        let view = View { starting: 3, changed_epoch, ..spread(&members) };
        let (next, decision) = decide(&policy, state, &view, now);
        *state = next;
        matches!(decision, Decision::GiveUp { machines: 3, .. })
    };
    let first = (0..2000).step_by(10).find(|&second| given_up(5, second, &mut state));
    assert_eq!(first, Some(900));
    let again = (910..3000).step_by(10).find(|&second| given_up(6, second, &mut state));
    assert_eq!(again, Some(910 + 900), "the time begins anew with each change");
}

#[test]
fn a_removal_leaves_the_rest_below_the_target_and_the_band() {
    let policy = policy(|_| {});
    // In three racks of three each, the two that are left of a rack take over its work alone:
    // 360 * 3 / 2 = 540, the lower edge.
    assert_eq!(removed(in_the_end(&policy, &view(&members(9, load(360, 100))))), 1);
    let kept = held(in_the_end(&policy, &view(&members(9, load(361, 100)))));
    assert!(matches!(kept, Hold::Kept(Kept::Cpu { permille: 542, .. })), "{kept}");
    assert!(is_steady(in_the_end(&policy, &view(&members(9, load(481, 100))))));
    // With N = 2 of three racks all others take over.
    let members = members(9, load(480, 100));
    let decision = in_the_end(&policy, &View { replication: 2, ..view(&members) });
    assert_eq!(removed(decision), 1);
}

#[test]
fn never_fewer_than_the_minimum_and_n() {
    let policy = policy(|_| {});
    for (replication, nodes) in [(1, 3), (3, 3), (5, 5)] {
        let members = members(nodes, load(10, 10));
        let view = View { replication, ..view(&members) };
        let hold = held(in_the_end(&policy, &view));
        assert!(matches!(hold, Hold::AtMinimum { .. }), "{hold}");
        let fewer = View { members: &members[1..], ..view };
        assert_eq!(added(in_the_end(&policy, &fewer)), 1);
    }
}

#[test]
fn the_last_node_of_a_rack_that_copies_need_stays() {
    let policy = policy(|_| {});
    let mut nodes = members(4, load(10, 10));
    for (member, rack) in nodes.iter_mut().zip(RACKS) {
        member.rack = rack;
    }
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 1, "three of four racks are enough");
    nodes[3].rack = "r2";
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 3, "only rack 2 can spare one");
    for member in &mut nodes {
        member.load = Some(load(0, 0));
    }
    nodes[0].weight = 900;
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 3, "though rack 0 is the heaviest");
    let four = View { replication: 4, ..view(&nodes) };
    assert!(matches!(held(in_the_end(&policy, &four)), Hold::AtMinimum { minimum: 4, .. }));
}

#[test]
fn the_node_to_go_is_of_the_heaviest_rack_no_voter_light_and_of_the_least_id() {
    let policy = policy(|_| {});
    let mut nodes = members(7, load(10, 10));
    // Rack 1 has nodes 1, 4 and 7.
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 1);
    nodes[0].voter = true;
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 4);
    nodes[6].weight = 90;
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 7);
    // Rack 2 outweighs it: nodes 2 and 5.
    nodes[4].weight = 300;
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 2);
    for member in &mut nodes {
        member.voter = true;
    }
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 2, "voters go where all are voters");
}

#[test]
fn a_full_disk_adds_and_a_disk_that_would_be_full_keeps() {
    let policy = policy(|_| {});
    // ceil(6 * 0.9 / 0.7) = 8; there is no band above the target.
    assert_eq!(added(in_the_end(&policy, &spread(&members(6, load(100, 900))))), 2);
    assert_eq!(added(in_the_end(&policy, &spread(&members(6, load(100, 701))))), 1);
    // Of three racks that are full each needs one.
    assert_eq!(added(in_the_end(&policy, &view(&members(6, load(100, 701))))), 3);
    // Two nodes of a rack of three take over its data: 430 * 3 / 2 = 645, over 630.
    let kept = held(in_the_end(&policy, &view(&members(9, load(100, 430)))));
    assert_eq!(kept, Hold::Kept(Kept::Disk { permille: 645, limit_permille: 630 }));
    assert_eq!(removed(in_the_end(&policy, &view(&members(9, load(100, 420))))), 1);
    // What counts is what the others have then, not what it has.
    let mut nodes = members(9, load(100, 200));
    nodes[0].load = Some(load(100, 500));
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 1);
    // A smaller disk among them takes its share all the same.
    let mut nodes = members(9, load(100, 250));
    nodes[3].load = Some(Load { disk_total_bytes: TB / 2, ..load(100, 250) });
    nodes[6].load = nodes[3].load;
    assert_eq!(removed(in_the_end(&policy, &view(&nodes))), 2, "rack 1 cannot, rack 2 can");
}

/// A disk of foreign files or a lie may count for twice the others', not for more: the policy must
/// not add nodes until the maximum for what nodes do not cure.
#[test]
fn one_disk_that_is_fuller_than_its_share_counts_twice_at_most() {
    let policy = policy(|_| {});
    let mut nodes = members(6, load(500, 300));
    nodes[2].load = Some(load(500, 990));
    assert!(is_steady(in_the_end(&policy, &view(&nodes))));
    let mut nodes = members(6, load(500, 360));
    nodes[2].load = Some(load(500, 990));
    assert_eq!(added(in_the_end(&policy, &view(&nodes))), 1, "twice 36 % is over 70 %");
}

#[test]
fn latency_adds_one_at_a_time_while_there_is_work_to_spread() {
    let slow = |cpu| Load { p99_us: 30_000, ..load(cpu, 100) };
    let p99 = Some(LatencyTarget { p99_us: 20_000, cpu_floor_permille: 300 });
    let policy = policy(|settings| settings.p99 = p99);
    assert_eq!(added(in_the_end(&policy, &view(&members(6, slow(400))))), 1);
    assert_eq!(added(in_the_end(&policy, &view(&members(6, slow(300))))), 1);
    // Below the floor it neither adds nor keeps.
    assert_eq!(removed(in_the_end(&policy, &view(&members(9, slow(150))))), 1);
    // At half of the target there is room to remove, above it there is none.
    let quick = |p99_us| Load { p99_us, ..load(340, 100) };
    assert_eq!(removed(in_the_end(&policy, &view(&members(9, quick(10_000))))), 1);
    let kept = held(in_the_end(&policy, &view(&members(9, quick(10_001)))));
    assert_eq!(kept, Hold::Kept(Kept::P99 { p99_us: 10_001, limit_us: 10_000 }));
    // Slow nodes that are half of all, or that served nobody, say nothing of the rest.
    let mut nodes = members(6, load(500, 100));
    for member in &mut nodes[..3] {
        member.load = Some(slow(500));
    }
    assert!(is_steady(in_the_end(&policy, &view(&nodes))));
    let idle = Load { ops_per_s: 0, ..slow(500) };
    assert!(is_steady(in_the_end(&policy, &view(&members(6, idle)))));
}

#[test]
fn one_hot_node_is_not_a_hot_cluster() {
    let policy = policy(|_| {});
    let mut nodes = members(6, load(550, 100));
    nodes[1].load = Some(load(1000, 100));
    assert!(is_steady(in_the_end(&policy, &spread(&nodes))));
}

/// With as many racks as copies each rack has all the work, however few its nodes are.
#[test]
fn a_rack_of_few_is_as_loaded_as_one_of_many() {
    let policy = policy(|_| {});
    let mut nodes = members(6, load(450, 100));
    nodes[0].rack = "r2";
    nodes[3].load = Some(load(800, 100));
    // ceil(1 * 800 / 600) - 1, of the one node of rack 1.
    assert_eq!(added(in_the_end(&policy, &view(&nodes))), 1);
    assert!(is_steady(in_the_end(&policy, &spread(&nodes))));
    assert_eq!(racks_to_start_in(&view(&nodes), 4), ["r1", "r0", "r1", "r0"]);
    for (member, of_rack) in nodes.iter_mut().zip([3, 3, 2, 1, 3, 2]) {
        member.vnodes = 4_096 / of_rack;
        member.load = Some(load(450, 800 / u64::from(of_rack)));
    }
    assert_eq!(added(in_the_end(&policy, &view(&nodes))), 1, "its disk is the one that is full");
    assert_eq!(racks_to_start_in(&view(&[]), 4), [""; 0]);
}

#[test]
fn loads_count_by_weight() {
    let policy = policy(|_| {});
    let mut nodes = members(6, load(900, 100));
    for member in &mut nodes[..3] {
        member.weight = 900;
        member.load = Some(load(500, 100));
    }
    assert!(is_steady(in_the_end(&policy, &view(&nodes))), "540 by weight, 700 by number");
    // A node that holds nothing is no node, however hot.
    let mut nodes = members(6, load(550, 100));
    nodes.extend(members(4, load(1000, 990)).into_iter().map(|it| Member { weight: 0, ..it }));
    assert!(is_steady(in_the_end(&policy, &view(&nodes))));
    let none: Vec<Member> = nodes.into_iter().filter(|member| member.weight == 0).collect();
    let hold = held(in_the_end(&policy, &view(&none)));
    assert_eq!(hold, Hold::Unknown { heard: 0, nodes: 0 });
}

#[test]
fn silent_nodes_count_as_dead_for_adding_and_keep_all_others() {
    let policy = policy(|_| {});
    let mut nodes = members(6, load(900, 100));
    nodes[0].load = None;
    // Five at 900 are six at 750: what they carry is what there is to carry.
    assert_eq!(added(in_the_end(&policy, &view(&nodes))), 2);
    let mut nodes = members(9, load(100, 100));
    nodes[8].load = Some(Load { received_at: START - Duration::from_secs(61), ..load(100, 100) });
    let hold = held(in_the_end(&policy, &view(&nodes)));
    assert_eq!(hold, Hold::Kept(Kept::Silent { nodes: 1 }));
}

#[test]
fn too_many_silent_nodes_decide_nothing() {
    let policy = policy(|_| {});
    for cpu in [10, 1000] {
        let mut nodes = members(6, load(cpu, 100));
        for member in &mut nodes[..3] {
            member.load = None;
        }
        let hold = held(in_the_end(&policy, &view(&nodes)));
        assert_eq!(hold, Hold::Unknown { heard: 3, nodes: 6 });
        nodes[0].load = Some(load(cpu, 100));
        let hold = in_the_end(&policy, &view(&nodes));
        assert!(!matches!(hold, Decision::Hold(Hold::Unknown { .. })), "a third may be silent");
    }
}

#[test]
fn absurd_records_count_as_none() {
    let policy = policy(|_| {});
    let fine = load(600, 100);
    for absurd in [
        Load { cpu_permille: 1001, ..fine },
        Load { cpu_permille: u32::MAX, ..fine },
        Load { disk_total_bytes: 0, disk_used_bytes: 0, ..fine },
        Load { disk_used_bytes: TB + 1, ..fine },
        Load { disk_used_bytes: u64::MAX, disk_total_bytes: 1, ..fine },
        Load { p99_us: u64::MAX, ..fine },
    ] {
        let mut nodes = members(6, absurd);
        let hold = held(in_the_end(&policy, &view(&nodes)));
        assert_eq!(hold, Hold::Unknown { heard: 0, nodes: 6 }, "{absurd:?}");
        for member in &mut nodes[1..] {
            member.load = Some(fine);
        }
        assert!(is_steady(in_the_end(&policy, &view(&nodes))), "{absurd:?}");
    }
}

#[test]
fn nothing_is_proposed_while_the_topology_moves() {
    let policy = policy(|_| {});
    let mut nodes = members(6, load(900, 100));
    let moving = View { pending_moves: 7, ..view(&nodes) };
    let hold = held(in_the_end(&policy, &moving));
    assert_eq!(hold, Hold::Busy { joining: 0, leaving: 0, moves: 7 });
    nodes[0].state = MemberState::Joining;
    nodes[1].state = MemberState::Leaving;
    let hold = held(in_the_end(&policy, &view(&nodes)));
    assert_eq!(hold, Hold::Busy { joining: 1, leaving: 1, moves: 0 });
}

/// The first moment, in seconds from [`START`], at which `steps` lead to a change: each is how many
/// seconds until the next evaluation, the epoch of the last change, and the CPU.
fn changes_at(steps: impl IntoIterator<Item = (u64, u32, u32)>) -> Option<u64> {
    let policy = policy(|_| {});
    let (mut state, mut second) = (AutoscaleState::new(START), 0);
    for (wait, changed_epoch, cpu) in steps {
        let now = START + Duration::from_secs(second);
        let nodes = heard_at(&members(6, load(cpu, 100)), now);
        let view = View { changed_epoch, ..view(&nodes) };
        let (next, decision) = decide(&policy, &state, &view, now);
        if !matches!(decision, Decision::Hold(_)) {
            return Some(second);
        }
        state = next;
        second += wait;
    }
    None
}

#[test]
fn a_shortage_has_to_last_and_a_change_to_settle() {
    let steady = |seconds: u64, cpu| (0..seconds / 10).map(move |_| (10, 5, cpu));
    assert_eq!(changes_at(steady(2_000, 900)), Some(600), "the cool-down after the start");
    let late = steady(1_000, 500).chain(steady(1_000, 900));
    assert_eq!(changes_at(late), Some(1_180), "it lasts 180 s");
    let broken = steady(1_000, 500).chain(steady(170, 900));
    let broken = broken.chain(steady(10, 500)).chain(steady(1_000, 900));
    assert_eq!(changes_at(broken), Some(1_360), "and starts anew after a break");
    let moved = (0..200).map(|step| (10, if step < 50 { 5 } else { 6 }, 900));
    assert_eq!(changes_at(moved), Some(1_100), "a change that others made starts a cool-down");
    let unheard = steady(1_000, 500).chain(steady(100, 900));
    let unheard = unheard.chain(steady(10, u32::MAX)).chain(steady(1_000, 900));
    assert_eq!(changes_at(unheard), Some(1_290), "so it does after a moment that nobody told of");
    // No record in between was seen to be high: a pause of the process breaks what held.
    let paused = steady(1_000, 500).chain([(300, 5, 900)]).chain(steady(1_000, 900));
    assert_eq!(changes_at(paused), Some(1_480));
    assert_eq!(changes_at(steady(9_000, 100)), Some(1_800), "slow to remove");
    let woken = steady(1_000, 100).chain(steady(10, 900)).chain(steady(9_000, 100));
    assert_eq!(changes_at(woken), Some(2_810), "and slower if a node was needed meanwhile");
}

/// A spike at the moment of the decision does not count; what grew for long does.
#[test]
fn as_many_are_added_as_were_short_of_late() {
    let policy = policy(|settings| settings.cooldown = Duration::from_secs(2_000));
    let count = |cpu_at: fn(u64) -> u32| {
        let mut state = AutoscaleState::new(START);
        (0..3_000).step_by(10).find_map(|second| {
            let now = START + Duration::from_secs(second);
            let nodes = heard_at(&members(6, load(cpu_at(second), 100)), now);
            let decision;
            (state, decision) = decide(&policy, &state, &spread(&nodes), now);
            if let Decision::Add { count, .. } = decision { Some(count) } else { None }
        })
    };
    assert_eq!(count(|second| if second >= 2_000 { 1000 } else { 700 }), Some(1));
    assert_eq!(count(|second| if second >= 1_500 { 1000 } else { 700 }), Some(4));
    assert_eq!(count(|second| if second == 1_850 { 700 } else { 1000 }), Some(1));
}

#[test]
fn a_decision_forgets_what_led_to_it() {
    let policy = policy(|_| {});
    let mut state = AutoscaleState::new(START);
    let mut at = Vec::new();
    for second in (0..3_000).step_by(10) {
        let now = START + Duration::from_secs(second);
        let nodes = heard_at(&members(6, load(900, 100)), now);
        let (next, decision) = decide(&policy, &state, &view(&nodes), now);
        if !matches!(decision, Decision::Hold(_)) {
            at.push(second);
        }
        // A caller that knows its proposal to be refused keeps the state from before it.
        if !(at.len() == 1 && at.last() == Some(&second)) {
            state = next;
        }
    }
    assert_eq!(at[..3], [600, 610, 1210], "made again at once, then not before the cool-down");
}

#[test]
fn decisions_print_as_sentences() {
    let policy = policy(|_| {});
    let add = in_the_end(&policy, &view(&members(6, load(900, 100))));
    assert_eq!(
        add.to_string(),
        "add 3 nodes to data centre dc1 of epoch 5: CPU at 90.0 % is over its target of 60.0 %, \
         for 600 s now; 3 more would do"
    );
    let remove = in_the_end(&policy, &view(&members(9, load(300, 200))));
    assert_eq!(
        remove.to_string(),
        "remove node 0000000000000001 from data centre dc1 of epoch 5: without it CPU will be at \
         33.8 % of 60.0 %, the fullest disk at 30.0 % of 70.0 %, for 1800 s now"
    );
    let hold = in_the_end(&policy, &view(&members(3, load(300, 200))));
    assert_eq!(hold.to_string(), "no change: the load is low, but there are 3 of at least 3 nodes");
}

fn any_load() -> impl Strategy<Value = Load> {
    let plausible = (0u32..=1000, 0u64..=1000).prop_map(|(cpu, disk)| load(cpu, disk));
    let any = (any::<u32>(), any::<[u64; 5]>()).prop_map(|(cpu_permille, rest)| {
        let [disk_used_bytes, disk_total_bytes, p99_us, ops_per_s, received] = rest;
        let received_at = Instant(received);
        Load { cpu_permille, disk_used_bytes, disk_total_bytes, p99_us, ops_per_s, received_at }
    });
    prop_oneof![3 => plausible, 1 => any]
}

fn any_member() -> impl Strategy<Value = Member<'static>> {
    let weight = prop_oneof![Just(100u32), 0u32..300, any::<u32>()];
    let load = prop::option::weighted(0.9, any_load());
    (any::<u64>(), prop::sample::select(&RACKS[..]), weight, any::<bool>(), load).prop_map(
        |(id, rack, weight, voter, load)| Member {
            node: node(id.max(1)),
            rack,
            weight,
            vnodes: weight / 3,
            state: MemberState::Up,
            voter,
            load,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the records and the weights are: no panic, and the bounds hold.
    #[test]
    fn bounds_hold_for_every_view(
        nodes in prop::collection::vec(any_member(), 0..24),
        replication in 0u32..7,
        disk_first in any::<bool>(),
    ) {
        let p99 = LatencyTarget { p99_us: 20_000, cpu_floor_permille: 100 };
        let policy = policy(|settings| settings.p99 = disk_first.then_some(p99));
        let view = View { replication, ..view(&nodes) };
        let serve: Vec<&Member> = nodes.iter().filter(|member| member.weight > 0).collect();
        match in_the_end(&policy, &view) {
            Decision::Hold(_) => {}
            Decision::GiveUp { .. } => prop_assert!(false, "no machine is on its way"),
            Decision::Add { count, .. } => {
                prop_assert!((1..=4).contains(&count));
                prop_assert!(nodes.len() + count as usize <= 12);
            }
            Decision::Remove { node, .. } => {
                prop_assert!(serve.len() > (replication as usize).max(3));
                let gone = serve.iter().find(|member| member.node == node).unwrap();
                let racks = |nodes: &[&Member]| {
                    nodes.iter().map(|it| it.rack).collect::<std::collections::BTreeSet<_>>().len()
                };
                let rest: Vec<&Member> =
                    serve.iter().copied().filter(|it| it.node != gone.node).collect();
                prop_assert!(racks(&rest) >= racks(&serve).min(replication as usize));
            }
        }
    }

    /// More load on any node never asks for fewer nodes.
    #[test]
    fn more_load_never_asks_for_fewer_nodes(
        cpus in prop::collection::vec((0u32..=1000, 0u32..=400, 1u32..300), 4..12),
        disk in 0u64..=900,
    ) {
        let policy = policy(|settings| settings.add_nodes_max = 100);
        let change = |more: bool| {
            let mut nodes = members(cpus.len() as u64, load(0, disk));
            for (member, &(cpu, extra, weight)) in nodes.iter_mut().zip(&cpus) {
                member.weight = weight;
                let cpu_permille = (cpu + if more { extra } else { 0 }).min(1000);
                let disk_used_bytes = disk * u64::from(weight);
                member.load = Some(Load {
                    cpu_permille,
                    disk_used_bytes,
                    disk_total_bytes: 1000 * u64::from(weight),
                    ..load(0, 0)
                });
            }
            match in_the_end(&policy, &view(&nodes)) {
                Decision::Hold(_) | Decision::GiveUp { .. } => 0,
                Decision::Add { count, .. } => i64::from(count),
                Decision::Remove { .. } => -1,
            }
        };
        prop_assert!(change(true) >= change(false));
    }
}

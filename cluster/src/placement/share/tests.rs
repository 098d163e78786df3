use super::*;
use crate::placement::racks::spread;

const ONE: u64 = 1 << SHARE_BITS;

fn holder(weight: u32) -> Holder {
    Holder { weight, settling: 0, load: 0, held: 0, chance: 0 }
}

/// Ideal shares of nodes by rack and weight, in whole copies.
fn shares(weights: &[&[u32]], vnodes: u32, copies: u32) -> Vec<u32> {
    let sizes: Vec<usize> = weights.iter().map(|it| it.len()).collect();
    let nodes: Vec<Holder> = weights.concat().into_iter().map(holder).collect();
    let ideal = ideal(&nodes, &spread(&sizes, copies as usize), vnodes, copies);
    ideal.nodes.iter().map(|share| ((share + ONE / 2) >> SHARE_BITS) as u32).collect()
}

#[test]
fn shares_follow_weights_as_far_as_racks_and_nodes_let_them() {
    assert_eq!(shares(&[&[100, 100, 100, 300]], 100, 1), [17, 17, 17, 50]);
    assert_eq!(shares(&[&[1, 1, 1, 9]], 100, 2), [33, 33, 33, 100], "one copy of each at most");
    assert_eq!(shares(&[&[5, 1], &[1], &[1, 1]], 60, 3), [50, 10, 60, 30, 30], "one copy a rack");
    assert_eq!(shares(&[&[1, 1, 1, 1], &[1]], 60, 3), [30, 30, 30, 30, 60], "at most two a rack");
    assert_eq!(
        shares(&[&[9, 9], &[9, 9], &[1, 1]], 60, 4),
        [45, 45, 45, 45, 30, 30],
        "at least one"
    );
    assert_eq!(shares(&[&[1], &[1], &[2], &[4]], 80, 1), [10, 10, 20, 40]);
    assert_eq!(shares(&[&[u32::MAX, 1]], 65_536, 1), [65_536, 0]);
    assert_eq!(shares(&[&[u32::MAX, 1]], 65_536, 2), [65_536, 65_536]);
}

struct Case {
    nodes: Vec<Holder>,
    racks: Vec<Rack>,
    vnodes: u32,
    copies: u32,
}

fn random(rng: &mut fastrand::Rng) -> Case {
    let sizes: Vec<usize> = (0..rng.usize(1..=6)).map(|_| rng.usize(1..=5)).collect();
    let count: usize = sizes.iter().sum();
    let copies = rng.usize(1..=count.min(6));
    let vnodes = 1 << rng.u32(0..=12);
    let most = *rng.choice(&[1, 10, u32::MAX]).expect("a weight");
    let mut node = || Holder {
        weight: rng.u32(1..=most),
        settling: if rng.bool() { 0 } else { rng.u32(0..=vnodes / 4) },
        load: rng.u32(0..=vnodes),
        held: rng.u32(0..=vnodes),
        chance: rng.u64(..),
    };
    let nodes = (0..count).map(|_| node()).collect();
    Case { nodes, racks: spread(&sizes, copies), vnodes, copies: copies as u32 }
}

/// The definition: shares fit all bounds, and to move a bit of a copy from one node to another that
/// could take it would give it to one that has more for its weight already.
#[test]
fn no_other_shares_are_better() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..2000 {
        let Case { nodes, racks, vnodes, copies } = random(&mut rng);
        let ideal = ideal(&nodes, &racks, vnodes, copies);
        let all = u64::from(vnodes) * ONE;
        let near = |a: u64, b: u64| a.abs_diff(b) <= SLACK;
        assert!(near(ideal.nodes.iter().sum(), all * u64::from(copies)));
        let mut rack_of = Vec::new();
        for (at, rack) in racks.iter().enumerate() {
            let sum: u64 = ideal.nodes[rack.nodes.clone()].iter().sum();
            assert!(near(sum, ideal.racks[at]));
            let bounds = u64::from(rack.least) * all..=u64::from(rack.most) * all;
            assert!(bounds.contains(&ideal.racks[at]));
            rack_of.extend(rack.nodes.clone().map(|_| at));
        }
        let per_weight = |at: usize| {
            let share = ideal.nodes[at] as f64 / ONE as f64 + f64::from(nodes[at].settling);
            share / f64::from(nodes[at].weight)
        };
        for from in (0..nodes.len()).filter(|&it| ideal.nodes[it] > SLACK) {
            for to in (0..nodes.len()).filter(|&it| ideal.nodes[it] + SLACK < all) {
                let (a, b) = (rack_of[from], rack_of[to]);
                let may = ideal.racks[a] > u64::from(racks[a].least) * all + SLACK
                    && ideal.racks[b] + SLACK < u64::from(racks[b].most) * all;
                if a == b || may {
                    let lightest = nodes[from].weight.min(nodes[to].weight);
                    let bit = 1e-4 / f64::from(lightest);
                    assert!(per_weight(from) <= per_weight(to) + bit, "{from} to {to}");
                }
            }
        }
    }
}

#[test]
fn quotas_are_shares_rounded_and_add_up() {
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..5000 {
        let Case { mut nodes, racks, vnodes, copies } = random(&mut rng);
        let ideal = ideal(&nodes, &racks, vnodes, copies);
        let quotas = super::quotas(&nodes, &racks, (vnodes, 0), copies);
        assert_eq!(quotas.iter().sum::<u32>(), vnodes * copies);
        for (&quota, &share) in quotas.iter().zip(&ideal.nodes) {
            assert!((floor(share)..=ceil(share)).contains(&quota), "{quota} of {share}");
        }
        for (rack, &share) in racks.iter().zip(&ideal.racks) {
            let sum = quotas[rack.nodes.clone()].iter().sum();
            assert!((floor(share)..=ceil(share)).contains(&sum), "{sum} of {share}");
        }
        nodes.iter_mut().zip(&quotas).for_each(|(node, &quota)| node.load = quota);
        assert_eq!(super::quotas(&nodes, &racks, (vnodes, 0), copies), quotas, "all have theirs");
    }
}

#[test]
fn of_quotas_that_are_as_good_nodes_get_what_they_have_or_else_what_they_hold() {
    let node = |load, held| Holder { load, held, ..holder(1) };
    let racks = spread(&[4], 1);
    let quotas = |nodes: [Holder; 4]| super::quotas(&nodes, &racks, (10, 0), 1);
    assert_eq!(quotas([node(3, 0), node(2, 0), node(3, 0), node(2, 0)]), [3, 2, 3, 2]);
    assert_eq!(quotas([node(0, 3), node(5, 2), node(0, 2), node(5, 3)]), [3, 2, 2, 3]);
    assert_eq!(quotas([node(3, 2), node(3, 3), node(3, 3), node(1, 2)]), [2, 3, 3, 2]);
}

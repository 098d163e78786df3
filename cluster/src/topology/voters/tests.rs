//! Who votes, in tables and at random.

use fastrand::Rng;

use super::*;
use crate::topology::Standing;
use crate::topology::sample::{member, node};

fn members(places: &[(&str, &str)]) -> Vec<Member> {
    let numbers = 1u64..;
    numbers.zip(places).map(|(number, (dc, rack))| member(number, dc, rack)).collect()
}

fn nodes(numbers: &[u64]) -> Vec<NodeId> {
    numbers.iter().map(|it| node(*it)).collect()
}

#[test]
fn there_is_an_odd_number_of_them() {
    for (count, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (6, 5), (7, 7), (8, 7), (30, 7)] {
        let members = members(&vec![("a", "r"); count]);
        assert_eq!(choose(&members, &[]).len(), voters, "{count} members");
    }
}

#[test]
fn they_are_spread_over_data_centres_and_racks() {
    let places =
        [("a", "1"), ("a", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("b", "1"), ("b", "2")];
    assert_eq!(choose(&members(&places[..5]), &[]), nodes(&[1, 2, 3, 4, 5]));
    assert_eq!(choose(&members(&places[2..]), &nodes(&[1])).len(), 5);
    let three = members(&[("a", "1"), ("a", "1"), ("b", "1"), ("b", "1"), ("c", "9"), ("c", "9")]);
    assert_eq!(choose(&three, &[]).len(), 5);
    let few = members(&[("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")]);
    assert_eq!(choose(&few, &nodes(&[1, 2, 4])), nodes(&[1, 3, 4]), "another rack is better");
}

#[test]
fn those_there_are_stay() {
    let members = members(&[("a", "1"); 9]);
    let before = nodes(&[2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(choose(&members, &before), before);
    let mut lost = members.clone();
    lost[4].standing = Standing::Lost;
    lost[7].standing = Standing::Leaving;
    assert_eq!(choose(&lost, &before), nodes(&[1, 2, 3, 4, 6, 7, 9]));
}

#[test]
fn those_that_are_down_vote_only_where_few_others_are() {
    let mut members = members(&[("a", "1"), ("a", "1"), ("a", "1"), ("a", "1"), ("b", "1")]);
    members[4].may_vote = false;
    assert_eq!(choose(&members, &nodes(&[1, 2, 3, 4, 5])), nodes(&[1, 2, 3]));
    members[2].may_vote = false;
    members[1].may_vote = false;
    assert_eq!(choose(&members, &nodes(&[1, 2, 3])).len(), 3);
    assert!(choose(&members, &nodes(&[1, 2, 3])).contains(&node(4)));
}

/// Against the definition: nobody could be exchanged for a better spread, and choosing again, or
/// after somebody else came and went, changes as little as it must.
#[test]
fn at_random_they_are_spread_and_kept() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..5_000 {
        let mut members: Vec<Member> = (1..=rng.u64(1..=14))
            .map(|number| {
                let dc = ["a", "b", "c"][rng.usize(..3)];
                member(number, dc, ["1", "2", "3", "4"][rng.usize(..4)])
            })
            .collect();
        for member in &mut members[1..] {
            member.may_vote = rng.u8(..5) > 0;
            let standings = [Standing::Lost, Standing::Leaving];
            member.standing = *standings.get(rng.usize(..12)).unwrap_or(&Standing::Member);
        }
        let before: Vec<NodeId> =
            members.iter().filter(|_| rng.u8(..3) == 0).map(|it| it.id).collect();
        let voters = choose(&members, &before);
        assert!(voters.is_sorted() && voters.len() % 2 == 1);
        assert_eq!(choose(&members, &voters), voters, "choosing again");
        let of = |id: &NodeId| members.iter().find(|it| it.id == *id).expect("a member");
        let per_dc = |dc: &str| voters.iter().filter(|it| *of(it).dc == *dc).count();
        for voter in &voters {
            assert!(of(voter).standing.stays());
            for other in members.iter().filter(|it| it.standing.stays() && it.may_vote) {
                let is_out = !voters.contains(&other.id);
                assert!(of(voter).may_vote || !is_out, "one that is down, and not one that is up");
                let (here, there) = (per_dc(&of(voter).dc), per_dc(&other.dc));
                assert!(!is_out || here <= there + 1, "data centres have about as many");
            }
        }
    }
}

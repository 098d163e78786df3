//! Replicas that write, lose, repeat and reorder, against the definition: of all writes of a key
//! that a replica has heard of, those stand that no other one has seen.
//!
//! The model keeps for every copy the set of all writes in its history, and for every write the set
//! of all that its client had seen. So it has no vector, stamp or counter to be wrong about.

mod world;

use self::world::{Counts, Fault, World};

const STEPS: usize = 200;

fn run(seed: u64, fault: Option<Fault>) -> Result<Counts, String> {
    let mut world = World::new(seed, fault);
    for step in 0..STEPS {
        world.step().map_err(|what| format!("seed {seed}, step {step}: {what}"))?;
    }
    world.heal().map_err(|what| format!("seed {seed}, healed: {what}"))?;
    Ok(world.counts)
}

#[test]
fn no_sibling_is_lost_or_invented() {
    let mut all = Counts::default();
    for seed in 0..500 {
        all.add(&run(seed, None).unwrap_or_else(|what| panic!("{what}")));
    }
    // Everything that makes it hard has happened, and often.
    let Counts { writes, deletes, siblings, crashes, lost, purged, late, handed_over, settled } =
        all;
    for count in [writes, deletes, siblings, crashes, lost, purged, late, handed_over, settled] {
        assert!(count > 100, "{all:?}");
    }
}

/// What callers owe is needed: whoever does not keep to it is found out.
#[test]
fn each_rule_is_needed() {
    for fault in Fault::ALL {
        let found = (0..500).find_map(|seed| run(seed, Some(fault)).err());
        assert!(found.is_some(), "{fault:?} is not seen");
    }
}

use super::*;
use crate::sim::What;

#[test]
fn what_is_written_is_read_back() {
    for seed in 1..200 {
        let mut options = Options::draw(seed, 1 + seed as usize % 9, Duration::from_secs(300));
        let mutation = cluster::mutation::Mutation::ReuseDots;
        options.tunables.mutations = options.tunables.mutations.with(mutation);
        let scenario = Scenario { faults: faults(&options), options };
        let text = scenario.to_toml();
        assert_eq!(Scenario::parse(&text, None).as_ref(), Ok(&scenario), "{text}");
    }
}

#[test]
fn what_is_left_open_is_drawn_from_the_seed() {
    let text = "nodes = 3\nsafety = \"90s\"\nclients.processes = 1\n[tunables]\nmutations = []\n";
    let read = Scenario::parse(text, Some(9)).unwrap();
    let mut options = Options::draw(9, 3, Duration::from_secs(90));
    options.clients.processes = 1;
    assert_eq!(read, Scenario { faults: faults(&options), options });
    assert_eq!(Scenario::parse("seed = 9", None), Scenario::parse("", Some(9)));
    assert_eq!(Scenario::parse("seed = 9", Some(3)), Scenario::parse("", Some(3)));
    assert!(Scenario::parse("faults = []", None).unwrap().faults.is_empty());
    let one = "faults = [{ from = \"1m\", to = \"2m\", what.crash.node = 4 }]";
    let crash = Fault { from_us: 60_000_000, to_us: 120_000_000, what: What::Crash { node: 4 } };
    assert_eq!(Scenario::parse(one, None).unwrap().faults, [crash]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let fault = |fields: &str| format!("\nfaults = [\n  {{ {fields} }},\n]");
    for (text, line, part) in [
        ("nodes = ", 1, ""),
        ("a\nb", 1, ""),
        ("seed = 1\nseed = 2", 2, "duplicate"),
        ("\nnode = 3", 2, "\"node\" is none of"),
        ("[clients]\nkey = 3", 2, "\"key\" is none of"),
        ("nodes = 0", 1, "nodes are 1 to"),
        ("\nnodes = 1000000", 2, "nodes are 1 to"),
        ("nodes = -1", 1, "whole number"),
        ("seed = \"x\"", 1, "whole number"),
        ("safety = 10", 1, "is a time"),
        ("\nsafety = \"10\"", 2, "is no time"),
        ("safety = \"300d\"", 1, "safety"),
        ("copies = 9", 1, "copies"),
        ("\n\nvnodes = 12", 3, "power of two"),
        ("shards = -1", 1, "shards"),
        ("shards = true", 1, "is of type integer, not boolean"),
        ("clients = 3", 1, "is of type table"),
        ("\nclients.keys = 0", 2, "keys"),
        ("[tunables]\nmutations = [\"typo\"]", 2, "\"typo\" is no mutation"),
        ("[tunables]\nrepair_period = \"0\"", 1, "repair_period"),
        ("faults = 3", 1, "a list"),
        (&fault("from = \"1s\", to = \"2s\", what.crash.node = 5"), 2, "node 5"),
        (&fault("from = \"1s\", to = \"2s\", what.burn.node = 0"), 3, "burn"),
        (&fault("from = \"1s\", to = \"2s\", what.crash.x = 0"), 3, "x"),
        (&fault("from = \"1s\", what.crash.node = 0"), 3, "to"),
        (&fault("from = \"3s\", to = \"2s\", what.crash.node = 0"), 2, "before it begins"),
        (&fault("from = \"1s\", to = \"20m\", what.crash.node = 0"), 2, "longer"),
    ] {
        let wrong = Scenario::parse(text, None).expect_err(text);
        assert!(wrong.line == line && wrong.why.contains(part), "{text:?}: {wrong}");
    }
}

#[test]
fn any_text_is_refused_or_read() {
    let mut rng = fastrand::Rng::with_seed(1);
    let options = Options::draw(1, 3, Duration::from_secs(60));
    let good = Scenario { faults: faults(&options), options }.to_toml().into_bytes();
    let mut read_whole = 0;
    for _ in 0..2000 {
        let mut bytes = good.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(b' '..b'z');
        }
        read_whole += u32::from(Scenario::parse(&String::from_utf8_lossy(&bytes), None).is_ok());
    }
    assert!(read_whole > 0, "changes of a digit make other scenarios");
}

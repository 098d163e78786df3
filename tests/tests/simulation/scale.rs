//! What is measured of many nodes, for a few: all hear of everything, nobody is called down that is
//! up, and no node carries a change to all others.

use std::fs;

use assert_cmd::Command;
use tests::scale::SurveyOptions;

#[test]
fn all_hear_of_a_change_and_of_a_crash_and_nobody_is_called_down_for_nothing() {
    let options = SurveyOptions { seed: 3, nodes: 60, gossip_nodes: 200, quick: true };
    let survey = options.measure(&mut |_, _, _| {});
    assert_eq!(survey.watched.len(), 4);
    for (of, it) in &survey.watched {
        assert!(it.down_ms.iter().all(Option::is_some), "{of:?}: {it:?}");
        assert_eq!(it.false_positives, 0, "{of:?}");
        assert_eq!(it.suspicions == 0, of.loss_permille == 0, "{of:?}: {it:?}");
    }
    for (nodes, it) in &survey.spread {
        let it = it.as_ref().expect("all heard of it");
        assert!(it.record_rounds.1 <= 12 && it.claim_rounds.1 <= 12, "{nodes}: {it:?}");
    }
    for (of, it) in &survey.changed {
        let it = it.as_ref().expect("it was decided");
        assert!(it.all_ms.is_some_and(|ms| ms < 500), "{of:?}: {it:?}");
        let least = it.document_bytes * (of.nodes as u64 - 1);
        assert!((least..2 * least + 1_000_000).contains(&it.bytes), "each is sent it once: {it:?}");
        // To six voters to be accepted, to sixteen, and to four heirs.
        assert!(it.most_bytes <= 30 * it.document_bytes, "{of:?}: {it:?}");
    }
    for (of, it) in &survey.joined {
        assert!(it.bytes <= it.share_bytes * 12 / 10, "{of:?}: {it:?}");
        assert!(it.bytes >= it.share_bytes * 8 / 10, "{of:?}: {it:?}");
    }
}

#[test]
fn the_page_is_written_and_the_same_twice() {
    let write = || {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let out = dir.path().to_str().expect("a path of text").to_owned();
        let arguments =
            ["scale", "--quick", "--nodes", "20", "--gossip-nodes", "20", "--out", &out];
        Command::new(env!("CARGO_BIN_EXE_kvsim")).args(arguments).assert().success();
        let svg = fs::read_to_string(dir.path().join("scale/changes.svg")).expect("a figure");
        (fs::read_to_string(dir.path().join("scale.md")).expect("a page"), svg)
    };
    let (page, svg) = write();
    assert!(page.contains("## Crashes") && page.contains("| 20 |") && svg.contains("<svg"));
    assert_eq!(write(), (page, svg));
}

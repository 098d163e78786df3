//! A tree that was imported comes back byte for byte, whatever became of the server in between;
//! what does not fit is named.
//!
//! With `KVCORE_TEST_TREE=/path` the first test moves that tree instead of a made up one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kvclient::protocol::limits::VALUE_BYTES_MAX;

use crate::clients::{Output, kvctl};
use crate::sample_tree::{Files, assert_same, list, make};
use crate::server::{Server, Start, scratch};

fn import_tree(server: &Server, tree: &Path) -> Output {
    let args = ["import", "-q", "-o", "json", "--dir"].map(OsStr::new);
    kvctl(server.clients(), args.into_iter().chain([tree.as_os_str()]))
}

/// Asserts that an export, into a directory in `parent`, holds `files` and no others.
fn assert_export(server: &Server, parent: &Path, files: &Files) {
    let out = tempfile::tempdir_in(parent).unwrap();
    let args = ["export", "-q", "-o", "json", "--dir"].map(OsStr::new);
    let export = kvctl(server.clients(), args.into_iter().chain([out.path().as_os_str()]));
    assert_eq!(export.json()["records"], files.len(), "{export:?}");
    export.fine();
    assert_same(files, &list(out.path()));
}

/// What the summary lists as `outcome`, most paths as they are.
fn listed(summary: &serde_json::Value, outcome: &str) -> BTreeSet<String> {
    let problems = summary["problems"].as_array().unwrap();
    let named = problems.iter().filter(|problem| problem["outcome"] == outcome);
    named.map(|problem| problem["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_tree_survives_kills_and_other_numbers_of_cores() {
    let dir = scratch();
    let made = dir.path().join("tree");
    let tree = std::env::var_os("KVCORE_TEST_TREE").map_or_else(
        || {
            make(&made, 1);
            fs::write(made.join("too large"), vec![7; VALUE_BYTES_MAX + 1]).unwrap();
            made
        },
        PathBuf::from,
    );
    let data = dir.path().join("data");
    let mut files = list(&tree);
    let refused: BTreeSet<String> = files
        .extract_if(.., |_, path| fs::metadata(path).unwrap().len() > VALUE_BYTES_MAX as u64)
        .map(|(key, _)| String::from_utf8(key).unwrap())
        .collect();

    let server = Start::on(&data).serve();
    let import = import_tree(&server, &tree);
    let summary = import.json();
    assert_eq!(listed(&summary, "refused"), refused);
    assert_eq!(summary["records"], files.len(), "{}", import.stderr);
    assert_eq!((&summary["failed"], &summary["ended_early"]), (&0.into(), &().into()));
    let left_out = refused.len() + listed(&summary, "skipped").len();
    assert_eq!(import.code, i32::from(left_out > 0), "the status tells whether all is there");
    for name in &refused {
        assert!(import.stderr.contains(name.as_str()), "{name} in {}", import.stderr);
    }
    server.kill();
    for cores in [1, 2, 1] {
        let server = Start::on(&data).cores(cores).serve();
        assert_export(&server, dir.path(), &files);
        server.kill();
    }
    println!("{} files, {} refused, 4 kills, cores 1 -> 2 -> 1", files.len(), refused.len());
}

#[test]
fn what_has_no_value_is_skipped_by_name() {
    let dir = scratch();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("empty")).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    symlink("file", tree.join("link")).unwrap();
    let server = Start::on(&dir.path().join("data")).serve();
    let import = import_tree(&server, &tree);
    let summary = import.json();
    assert_eq!(import.code, 1);
    assert_eq!(listed(&summary, "skipped"), BTreeSet::from(["link".to_owned()]));
    assert_eq!((&summary["records"], &summary["empty_directories"]), (&1.into(), &1.into()));
    server.stop();
}

/// Each format carries a whole tree from one server to another.
#[test]
fn lines_carry_every_byte_from_one_server_to_another() {
    let dir = scratch();
    let tree = dir.path().join("tree");
    make(&tree, 2);
    let files = list(&tree);
    let first = Start::on(&dir.path().join("first")).serve();
    import_tree(&first, &tree).fine();
    for format in ["--tsv", "--jsonl"] {
        let lines = dir.path().join(format);
        let verb = |verb: &'static str| [verb, "-q", format].map(OsStr::new);
        kvctl(first.clients(), verb("export").into_iter().chain([lines.as_os_str()])).fine();
        let second = Start::on(&dir.path().join(&format[2..])).serve();
        kvctl(second.clients(), verb("import").into_iter().chain([lines.as_os_str()])).fine();
        assert_export(&second, dir.path(), &files);
        second.stop();
    }
    first.stop();
}

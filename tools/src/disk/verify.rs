//! The verification of a data directory: a bar, findings, a summary.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use engine::data_dir::DirLock;
use engine::inspect::{ReadOnly, Verified, now, verify};
use serde_json::{Value, json};

use super::told::{Told, finding_json};
use crate::progress::Progress;

/// Verifies the data directory `dir`.
///
/// # Errors
/// The directory is in use or holds no node, or the output cannot be written.
pub(super) fn show<W: Write>(dir: &Path, quiet: bool, told: &mut Told<W>) -> anyhow::Result<()> {
    let _lock = DirLock::share(dir)?;
    let progress = Progress::new(quiet);
    let mut at = |done: u64, total: u64| {
        progress.goal(total);
        progress.at(done.min(total));
    };
    let verified = now(verify(&ReadOnly::new(dir), &mut at));
    progress.finish();
    let verified = verified.with_context(|| format!("cannot verify {}", dir.display()))?;
    if !told.is_json() {
        verified.findings.iter().try_for_each(|finding| told.found(finding))?;
    }
    if !verified.is_sound() {
        told.note_damage();
    }
    told.tell(|| text(&verified), || json(&verified))?;
    Ok(())
}

fn text(verified: &Verified) -> String {
    let mut text = String::new();
    for path in &verified.unnamed {
        text += &format!("not named by anything: {path}\n");
    }
    for sentence in &verified.unjudged {
        text += &format!("not checked: {sentence}\n");
    }
    if let Some(node) = &verified.node {
        text += &format!(
            "node {} of cluster {:?}, boot {}, generation {}\n",
            node.node, node.cluster_name, node.boot, node.generation
        );
    }
    let Verified { shards, tables, blocks, records, segments, .. } = verified;
    let Verified { batches, entries, tail_bytes, .. } = verified;
    text += &format!(
        "{shards} shards; {tables} tables of {blocks} blocks and {records} records; \
         {segments} segments, {batches} batches of {entries} entries to replay, \
         {tail_bytes} bytes that a start drops\n"
    );
    text + &match verified.findings.len() {
        0 => "all is sound\n".to_owned(),
        count => format!("damaged: {count} findings\n"),
    }
}

fn json(verified: &Verified) -> Value {
    let node = verified.node.as_ref().map(|node| {
        json!({
            "node": node.node.to_string(),
            "cluster": node.cluster.to_string(),
            "cluster_name": node.cluster_name,
            "boot": node.boot,
            "generation": node.generation,
            "shards": node.shards,
        })
    });
    let findings = verified.findings.iter().map(|it| finding_json(it)["finding"].clone());
    json!({
        "verb": "verify",
        "sound": verified.is_sound(),
        "node": node,
        "shards": verified.shards,
        "tables": verified.tables,
        "blocks": verified.blocks,
        "records": verified.records,
        "segments": verified.segments,
        "batches": verified.batches,
        "entries": verified.entries,
        "tail_bytes": verified.tail_bytes,
        "findings": findings.collect::<Vec<_>>(),
        "not_checked": verified.unjudged,
        "unnamed": verified.unnamed,
    })
}

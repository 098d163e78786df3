//! The verification of a data directory: a bar, findings, a summary.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use engine::data_dir::DirLock;
use engine::inspect::{Finding, ReadOnly, Verified, now, verify};
use serde_json::{Value, json};

use super::told::{Told, finding_json, sentence};
use crate::progress::Progress;

/// Verifies the data directory `dir`.
///
/// # Errors
/// The directory is in use or holds no node, or the output cannot be written.
pub(super) fn show<W: Write>(dir: &Path, quiet: bool, told: &mut Told<W>) -> anyhow::Result<()> {
    let _lock = DirLock::share(dir).map_err(sentence)?;
    let progress = Progress::new(quiet);
    let mut at = |done: u64, total: u64| {
        progress.goal(total);
        progress.at(done.min(total));
    };
    let verified = now(verify(&ReadOnly::new(dir), &mut at));
    progress.finish();
    let cannot = || format!("cannot verify {}", dir.display());
    let verified = verified.map_err(sentence).with_context(cannot)?;
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
    for torn in &verified.torn {
        text += &format!("not needed: {torn}\n");
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
        "shards {shards}; tables {tables}, blocks {blocks}, records {records}; \
         segments {segments}, batches to replay {batches}, entries {entries}, \
         bytes that a start drops {tail_bytes}\n"
    );
    text + &match verified.findings.len() {
        0 => "all is sound\n".to_owned(),
        count => format!("damaged, findings: {count}\n"),
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
        "findings": findings(&verified.findings),
        "torn": findings(&verified.torn),
        "not_checked": verified.unjudged,
        "unnamed": verified.unnamed,
    })
}

fn findings(findings: &[Finding]) -> Vec<Value> {
    findings.iter().map(finding_json).collect()
}

//! The verification of a snapshot: a bar, findings, the roots.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use engine::inspect::{ReadOnly, SnapshotVerified, now, verify_snapshot};
use engine::record::lww;
use engine::snapshot::Root;
use serde_json::{Value, json};

use crate::disk::{Told, finding_json};
use crate::progress::Progress;

/// Verifies the snapshot in directory `dir`.
///
/// # Errors
/// It is incomplete or cannot be read at all, or the output cannot be written.
pub(super) fn show<W: Write>(
    dir: &Path,
    as_of_ms: Option<u64>,
    vnodes: bool,
    quiet: bool,
    told: &mut Told<W>,
) -> anyhow::Result<()> {
    let progress = Progress::new(quiet);
    let mut at = |done: u64, total: u64| {
        progress.goal(total);
        progress.at(done);
    };
    let verified = now(verify_snapshot(&ReadOnly::new(dir), "", lww, as_of_ms, &mut at));
    progress.finish();
    let verified = verified.map_err(|error| anyhow::Error::msg(error.to_string()));
    let verified = verified.with_context(|| format!("cannot verify {}", dir.display()))?;
    if !told.is_json() {
        verified.findings.iter().try_for_each(|finding| told.found(finding))?;
    }
    if !verified.is_sound() {
        told.note_damage();
    }
    told.tell(|| text(&verified, vnodes), || json(&verified, vnodes))?;
    Ok(())
}

fn text(verified: &SnapshotVerified, vnodes: bool) -> String {
    let mut text = String::new();
    for path in &verified.unnamed {
        text += &format!("not named by anything: {path}\n");
    }
    for sentence in &verified.unjudged {
        text += &format!("not checked: {sentence}\n");
    }
    if let Some(head) = &verified.head {
        let node = &head.node;
        text += &format!(
            "snapshot of node {} of cluster {:?}, boot {}, taken at {} (Unix ms)\n",
            node.node, node.cluster_name, node.boot, head.taken_at_ms
        );
        text += &format!("shards {}; ", node.shards);
    }
    let SnapshotVerified { tables, blocks, records, .. } = verified;
    text += &format!("tables {tables}, blocks {blocks}, records {records}\n");
    for (shard, root) in &verified.shards {
        text += &root_text(&format!("shard {}", shard.0), root);
    }
    for (vnode, root) in verified.vnodes.iter().filter(|_| vnodes) {
        text += &root_text(&format!("vnode {}", vnode.0), root);
    }
    for (namespace, root) in &verified.namespaces {
        text += &root_text(&format!("namespace {}", namespace.0), root);
    }
    text + &match verified.findings.len() {
        0 => "all is sound\n".to_owned(),
        count => format!("damaged, findings: {count}\n"),
    }
}

fn root_text(what: &str, root: &Root) -> String {
    let Root { digest, content } = root;
    format!(
        "{what}: keys {}, bytes {}, root {:032x}, content {content:032x}\n",
        digest.keys, digest.bytes, digest.sum
    )
}

fn json(verified: &SnapshotVerified, vnodes: bool) -> Value {
    let head = verified.head.as_ref().map(|head| {
        json!({
            "node": head.node.node.to_string(),
            "cluster": head.node.cluster.to_string(),
            "cluster_name": head.node.cluster_name,
            "boot": head.node.boot,
            "shards": head.node.shards,
            "taken_at_ms": head.taken_at_ms,
            "tables": head.tables,
            "bytes": head.bytes,
        })
    });
    let shards = verified.shards.iter().map(|(it, root)| root_json("shard", it.0.into(), root));
    let of_vnodes = verified.vnodes.iter().filter(|_| vnodes);
    let of_vnodes = of_vnodes.map(|(it, root)| root_json("vnode", it.0.into(), root));
    let namespaces = verified.namespaces.iter();
    let namespaces = namespaces.map(|(it, root)| root_json("namespace", it.0, root));
    json!({
        "verb": "snapshot verify",
        "sound": verified.is_sound(),
        "snapshot": head,
        "as_of_ms": verified.as_of_ms,
        "tables": verified.tables,
        "blocks": verified.blocks,
        "records": verified.records,
        "namespaces": namespaces.collect::<Vec<_>>(),
        "shards": shards.collect::<Vec<_>>(),
        "vnodes": of_vnodes.collect::<Vec<_>>(),
        "findings": verified.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "not_checked": verified.unjudged,
        "unnamed": verified.unnamed,
    })
}

/// Sums as text: they have 128 bits.
fn root_json(what: &str, number: u32, root: &Root) -> Value {
    let Root { digest, content } = root;
    let mut json = json!({
        "keys": digest.keys,
        "bytes": digest.bytes,
        "root": format!("{:032x}", digest.sum),
        "content": format!("{content:032x}"),
    });
    json[what] = number.into();
    json
}

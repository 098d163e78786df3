//! The snapshots that a node keeps: taken, listed, deleted.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use engine::data_dir::{DirLock, NODE_FILE};
use engine::inspect::{ReadOnly, now};
use engine::snapshot::{self, Listed, Removal, SnapshotName, State};
use serde_json::{Value, json};

use crate::admin::{Answer, ask};
use crate::cli::KeptArgs;
use crate::disk::{Told, sentence};

/// How often a snapshot that takes long is asked for.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Has the node at `admin` take snapshot `name`, and waits for it.
///
/// # Errors
/// A sentence of the node's, or why it cannot be asked.
pub(super) fn create<W: Write>(
    name: &SnapshotName,
    admin: &str,
    told: &mut Told<W>,
) -> anyhow::Result<()> {
    let Answer { status, body } = ask(admin, "POST", &path(name))?;
    match status {
        200 => {}
        202 => return wait(name, admin, told),
        _ => bail!("{}", body.trim_end()),
    }
    for line in lines(&body)? {
        told.tell(|| text(&line), || line.clone())?;
    }
    Ok(())
}

/// Waits for a snapshot that the node goes on with.
fn wait<W: Write>(name: &SnapshotName, admin: &str, told: &mut Told<W>) -> anyhow::Result<()> {
    loop {
        let listed = lines(&fine(ask(admin, "GET", "/snapshots")?)?)?;
        match listed.iter().find(|line| line["name"] == name.as_str()) {
            Some(line) if line["state"] == "incomplete" => thread::sleep(ASK_AGAIN),
            Some(line) => {
                told.tell(|| text(line), || line.clone())?;
                return Ok(());
            }
            None => bail!("the snapshot failed; the node's log says why"),
        }
    }
}

/// Lists the snapshots of a node, or of a data directory.
///
/// # Errors
/// They cannot be listed.
pub(super) fn list<W: Write>(kept: &KeptArgs, told: &mut Told<W>) -> anyhow::Result<()> {
    let listed = match &kept.data_dir {
        Some(dir) => {
            let listed = now(snapshot::list(&ReadOnly::new(dir)));
            listed
                .map_err(|error| anyhow::Error::msg(error.to_string()))?
                .iter()
                .map(line)
                .collect()
        }
        None => lines(&fine(ask(&kept.admin.admin, "GET", "/snapshots")?)?)?,
    };
    for line in listed {
        told.tell(|| text(&line), || line.clone())?;
    }
    Ok(())
}

/// Deletes a snapshot of a node that runs, or of a data directory that is in nobody's use.
///
/// # Errors
/// There is none of that name, the node does not answer, or the directory is in use.
pub(super) fn delete<W: Write>(
    name: &SnapshotName,
    kept: &KeptArgs,
    told: &mut Told<W>,
) -> anyhow::Result<()> {
    match &kept.data_dir {
        Some(dir) => delete_in(dir, name)?,
        None => drop(fine(ask(&kept.admin.admin, "DELETE", &path(name))?)?),
    }
    let line = json!({ "name": name.as_str(), "state": "deleted" });
    told.tell(|| text(&line), || line.clone())?;
    Ok(())
}

/// By the steps that a node would take.
fn delete_in(data_dir: &Path, name: &SnapshotName) -> anyhow::Result<()> {
    // A lock is made where none is, and so would be a data directory.
    if !data_dir.join(NODE_FILE).is_file() {
        bail!("{} is no data directory: it has no {NODE_FILE}", data_dir.display());
    }
    let _lock = DirLock::take(data_dir).map_err(sentence)?;
    let steps = now(snapshot::removal(&ReadOnly::new(data_dir), name));
    for step in steps.map_err(|error| anyhow::Error::msg(error.to_string()))? {
        let (done, path) = match &step {
            Removal::File(path) => (fs::remove_file(data_dir.join(path)), path),
            Removal::Dir(path) => (fs::remove_dir(data_dir.join(path)), path),
            Removal::SyncDir(path) => {
                (File::open(data_dir.join(path)).and_then(|it| it.sync_all()), path)
            }
        };
        done.with_context(|| format!("cannot remove {}", data_dir.join(path).display()))?;
    }
    Ok(())
}

fn path(name: &SnapshotName) -> String {
    format!("/snapshots/{name}")
}

/// The body of an answer that all is well.
fn fine(Answer { status, body }: Answer) -> anyhow::Result<String> {
    if status != 200 {
        bail!("{}", body.trim_end());
    }
    Ok(body)
}

fn lines(body: &str) -> anyhow::Result<Vec<Value>> {
    let lines = body.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().context("the node answers with something else than JSON")
}

/// A snapshot of a directory, as a node tells of it.
fn line(listed: &Listed) -> Value {
    let name = listed.name.as_str();
    match &listed.state {
        State::Complete(head) => json!({
            "name": name,
            "state": "complete",
            "taken_at_ms": head.taken_at_ms,
            "node": head.node.node.to_string(),
            "cluster": head.node.cluster.to_string(),
            "shards": head.node.shards,
            "tables": head.tables,
            "bytes": head.bytes,
        }),
        State::Incomplete => json!({ "name": name, "state": "incomplete" }),
        State::Unreadable(why) => json!({ "name": name, "state": "unreadable", "why": why }),
    }
}

fn text(line: &Value) -> String {
    let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let (name, state) = (word("name"), word("state"));
    match state.as_str() {
        "complete" => format!(
            "{name}\tcomplete, taken at {} (Unix ms), shards {}, tables {}, bytes {}\n",
            line["taken_at_ms"], line["shards"], line["tables"], line["bytes"]
        ),
        "unreadable" => format!("{name}\tunreadable: {}\n", word("why")),
        _ => format!("{name}\t{state}\n"),
    }
}

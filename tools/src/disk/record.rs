//! How a record is shown.

use engine::record::{Kind, Record};
use serde_json::{Value, json};

use super::told::{stamp, token};
use crate::encoding::show;
use crate::format::json_bytes;

/// Bytes of a value that are shown to people, who see its length beside them; JSON has all.
const SHOWN_BYTES_MAX: usize = 200;

fn kind(record: &Record<'_>) -> &'static str {
    match record.kind {
        Kind::Value => "value",
        Kind::Tombstone => "tombstone",
        Kind::Siblings => "siblings",
        Kind::Context => "context",
    }
}

pub(super) fn text(record: &Record<'_>) -> String {
    let Record { key, version, value, .. } = record;
    let actor = version.dot.actor;
    let shown = &value[..value.len().min(SHOWN_BYTES_MAX)];
    let mut line = format!(
        "    {} namespace {} {} stamp {} dot {}/{}/{}",
        token(key.token.0),
        key.namespace.0,
        kind(record),
        stamp(version.hlc.0),
        actor.node,
        actor.boot,
        version.dot.counter,
    );
    if record.expires_at_ms != 0 {
        line += &format!(" expires {}", record.expires_at_ms);
    }
    line += &format!(" key {} {}", key.bytes.len(), show(key.bytes));
    if record.kind != Kind::Tombstone {
        let more = if shown.len() < value.len() { ".." } else { "" };
        line += &format!("\tvalue {} {}{more}", value.len(), show(shown));
    }
    line + "\n"
}

pub(super) fn json(record: &Record<'_>) -> Value {
    let Record { key, version, value, .. } = record;
    let actor = version.dot.actor;
    let mut json = json!({
        "token": token(key.token.0),
        "namespace": key.namespace.0,
        "kind": kind(record),
        "stamp": stamp(version.hlc.0),
        "node": actor.node.to_string(),
        "boot": actor.boot,
        "counter": version.dot.counter,
        "key_bytes": key.bytes.len(),
        "value_bytes": value.len(),
    });
    if record.expires_at_ms != 0 {
        json["expires_at_ms"] = record.expires_at_ms.into();
    }
    for (name, bytes) in [("key", key.bytes), ("value", value)] {
        let (name, text) = json_bytes(name, bytes);
        json[name] = text.into();
    }
    json!({ "record": json })
}

//! Operations on single keys.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kvclient::protocol::limits::VALUE_BYTES_MAX;
use kvclient::{Bytes, Client};
use serde_json::json;

use crate::encoding::show;
use crate::entry::Entry;
use crate::format::{Format as _, JsonLines, json_bytes};

/// Reads a value and writes its bytes to stdout; whether there is one.
pub(crate) async fn get(client: &Client, key: &[u8], json: bool) -> anyhow::Result<bool> {
    let Some(found) = client.get(key).send().await? else {
        if json {
            print(&line(&json_with("key", key, json!({ "found": false }))))?;
        } else {
            eprintln!("no value: {}", show(key));
        }
        return Ok(false);
    };
    if json {
        let entry = Entry {
            key: Bytes::copy_from_slice(key),
            value: found.value,
            expires_at_ms: found.expires_at_ms,
        };
        let mut out = Vec::new();
        JsonLines.write(&entry, &mut out);
        print(&out)?;
    } else {
        print(&found.value)?;
    }
    Ok(true)
}

/// Writes a value.
pub(crate) async fn put(
    client: &Client,
    key: &[u8],
    value: Vec<u8>,
    ttl: Duration,
    json: bool,
) -> anyhow::Result<bool> {
    let bytes = value.len();
    client.put(key, value).ttl(ttl).send().await?;
    if json {
        print(&line(&json_with("key", key, json!({ "written": true, "bytes": bytes }))))?;
    }
    Ok(true)
}

/// Deletes keys, whether they have values or not.
pub(crate) async fn delete(client: &Client, keys: &[Vec<u8>], json: bool) -> anyhow::Result<bool> {
    for key in keys {
        client.delete(key).send().await.with_context(|| show(key))?;
        if json {
            print(&line(&json_with("key", key, json!({ "deleted": true }))))?;
        }
    }
    Ok(true)
}

/// Says of each key whether it has a value; whether all have.
pub(crate) async fn exists(client: &Client, keys: &[Vec<u8>], json: bool) -> anyhow::Result<bool> {
    let mut all = true;
    for key in keys {
        let exists = client.exists(key).send().await.with_context(|| show(key))?;
        all &= exists;
        if json {
            print(&line(&json_with("key", key, json!({ "exists": exists }))))?;
        } else {
            print(format!("{}\t{exists}\n", show(key)).as_bytes())?;
        }
    }
    Ok(all)
}

/// The value of a `put`: a file's content, or what comes on stdin.
///
/// # Errors
/// A sentence for a person: what cannot be read, what is too large.
pub(crate) fn read_value(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut value = Vec::new();
    let mut read = |input: &mut dyn Read| {
        // One byte more than fits, so that what does not is seen.
        input.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut value)
    };
    match file {
        Some(path) => {
            let mut file =
                File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            read(&mut file).with_context(|| format!("cannot read {}", path.display()))?;
        }
        None => {
            read(&mut io::stdin().lock()).context("cannot read stdin")?;
        }
    }
    if value.len() > VALUE_BYTES_MAX {
        bail!("the value has more than {VALUE_BYTES_MAX} bytes, which is the most a server takes");
    }
    Ok(value)
}

fn json_with(name: &str, bytes: &[u8], mut rest: serde_json::Value) -> serde_json::Value {
    let (name, text) = json_bytes(name, bytes);
    rest[name] = text.into();
    rest
}

fn line(json: &serde_json::Value) -> Vec<u8> {
    format!("{json}\n").into_bytes()
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("cannot write to stdout")
}

//! JSON Lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kvclient::Bytes;
use serde::{Deserialize, Serialize};

use super::Format;
use crate::entry::Entry;

/// One record a line, as a JSON object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonLines;

/// A record as JSON: each of key and value as text, or, where the bytes are no UTF-8, as base64.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

impl From<&Entry> for JsonEntry {
    fn from(entry: &Entry) -> Self {
        let (key, key_base64) = split(&entry.key);
        let (value, value_base64) = split(&entry.value);
        Self { key, key_base64, value, value_base64, expires_at_ms: entry.expires_at_ms }
    }
}

impl Format for JsonLines {
    fn write(&self, entry: &Entry, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, &JsonEntry::from(entry))
            .expect("a struct of strings and numbers is JSON");
        out.push(b'\n');
    }

    fn read(&self, line: &[u8]) -> Result<Entry, String> {
        let json: JsonEntry = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        Ok(Entry {
            key: join("key", json.key, json.key_base64)?,
            value: join("value", json.value, json.value_base64)?,
            expires_at_ms: json.expires_at_ms,
        })
    }
}

/// The name and the text of `bytes` in JSON: as they are if they are UTF-8, as base64 otherwise.
pub(crate) fn json_bytes(name: &str, bytes: &[u8]) -> (String, String) {
    match split(bytes) {
        (Some(text), _) => (name.to_owned(), text),
        (None, base64) => (format!("{name}_base64"), base64.unwrap_or_default()),
    }
}

fn split(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

fn join(name: &str, text: Option<String>, base64: Option<String>) -> Result<Bytes, String> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(base64)) => {
            let bytes = STANDARD.decode(base64);
            Ok(bytes.map_err(|error| format!("{name}_base64 is no base64: {error}"))?.into())
        }
        _ => Err(format!("a record has either \"{name}\" or \"{name}_base64\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_text_stays_text() {
        let entry = |key: &[u8], value: &[u8], expires_at_ms| Entry {
            key: key.to_vec().into(),
            value: value.to_vec().into(),
            expires_at_ms,
        };
        for (entry, line) in [
            (entry(b"a", b"", None), r#"{"key":"a","value":""}"#),
            (entry(b"a\n", b"\xff\0", None), r#"{"key":"a\n","value_base64":"/wA="}"#),
            (
                entry(b"\x80", b"b", Some(7)),
                r#"{"key_base64":"gA==","value":"b","expires_at_ms":7}"#,
            ),
        ] {
            let mut out = Vec::new();
            JsonLines.write(&entry, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
            assert_eq!(JsonLines.read(line.as_bytes()).unwrap(), entry);
        }
    }

    #[test]
    fn lines_that_leave_a_doubt_are_refused() {
        for line in [
            "",
            "[]",
            r#"{"key":"a"}"#,
            r#"{"value":"a"}"#,
            r#"{"key":"a","key_base64":"YQ==","value":"b"}"#,
            r#"{"key":"a","value_base64":"*"}"#,
            r#"{"key":"a","value":"b","ttl":1}"#,
            r#"{"key":"a","value":"b"} x"#,
            r#"{"key":"a","value":"b","expires_at_ms":-1}"#,
        ] {
            assert!(JsonLines.read(line.as_bytes()).is_err(), "{line}");
        }
    }
}

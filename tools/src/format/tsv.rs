//! Tab-separated values.

use super::Format;
use crate::encoding::{escape, unescape};
use crate::entry::Entry;

/// One record a line: key, tab, value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tsv;

impl Format for Tsv {
    fn write(&self, entry: &Entry, out: &mut Vec<u8>) {
        escape(&entry.key, out);
        out.push(b'\t');
        escape(&entry.value, out);
        out.push(b'\n');
    }

    fn read(&self, line: &[u8]) -> Result<Entry, String> {
        let mut fields = line.split(|&byte| byte == b'\t');
        let (Some(key), Some(value), None) = (fields.next(), fields.next(), fields.next()) else {
            return Err("a line has two fields, key and value, and one tab between them".to_owned());
        };
        Ok(Entry {
            key: unescape(key)?.into(),
            value: unescape(value)?.into(),
            expires_at_ms: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive() {
        let key: Vec<u8> = (0..=255).collect();
        for value in [&b""[..], b"a\tb\nc", &key] {
            let entry = Entry {
                key: key.clone().into(),
                value: value.to_vec().into(),
                expires_at_ms: None,
            };
            let mut line = Vec::new();
            Tsv.write(&entry, &mut line);
            let line = line.strip_suffix(b"\n").unwrap();
            assert!(!line.contains(&b'\n'));
            assert_eq!(Tsv.read(line).unwrap(), entry);
        }
    }

    #[test]
    fn a_line_has_two_fields() {
        for line in ["", "key", "a\tb\tc", "a\\q\tb"] {
            assert!(Tsv.read(line.as_bytes()).is_err(), "{line}");
        }
    }
}

//! The configuration file: TOML, flat, one key a setting.

use std::collections::BTreeMap;

use toml::{Spanned, Value};

use super::error::ConfigError;
use super::settings::{Origin, SETTINGS};

/// The settings that `text`, the content of file `path`, gives, each with its line.
///
/// # Errors
/// It is not TOML, a key is no setting, or a value is neither text, number nor truth value.
pub(super) fn parse_file(
    path: &str,
    text: &str,
) -> Result<BTreeMap<&'static str, (String, Origin)>, ConfigError> {
    let line_of = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
    let refuse = |at: usize, what: String| {
        Err(ConfigError::File { path: path.to_owned(), line: line_of(at), what })
    };
    let parsed = toml::from_str::<BTreeMap<Spanned<String>, Spanned<Value>>>(text);
    let table = match parsed {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            return refuse(at, error.message().replace('\n', ", "));
        }
    };
    let mut values = BTreeMap::new();
    for (key, value) in &table {
        let at = key.span().start;
        let name = key.get_ref();
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            return refuse(at, format!("{name:?} is no setting{}", nearest(name)));
        };
        let text = match value.get_ref() {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            other => {
                let found = other.type_str();
                return refuse(at, format!("{name} takes one value in quotes, found {found}"));
            }
        };
        let origin = Origin::File { path: path.to_owned(), line: line_of(at) };
        values.insert(setting.name, (text, origin));
    }
    Ok(values)
}

/// A hint at the setting that was meant: the one with underscores for hyphens, or one that begins
/// alike.
fn nearest(name: &str) -> String {
    let meant = name.replace('_', "-").to_lowercase();
    let alike = |other: &str| other.starts_with(&meant) || meant.starts_with(other);
    let exact = SETTINGS.iter().find(|setting| setting.name == meant);
    let found = exact.or_else(|| SETTINGS.iter().find(|setting| alike(setting.name)));
    found.map_or_else(String::new, |setting| format!("; do you mean {:?}?", setting.name))
}

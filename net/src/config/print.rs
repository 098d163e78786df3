//! `--print-config`: each setting with its value and where it came from, as a file that could be
//! given to `--config`.

use std::fmt::Write;

use super::resolve::Config;
use super::settings::SETTINGS;

/// The text of `--print-config`.
#[must_use]
pub fn print_config(config: &Config) -> String {
    let mut lines = Vec::new();
    for setting in SETTINGS {
        lines.push(match config.values.get(setting.name) {
            Some((text, origin)) => (
                format!("{} = {}", setting.name, toml::Value::from(text.as_str())),
                origin.to_string(),
            ),
            None => (format!("# {}", setting.name), "not set".to_owned()),
        });
    }
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    lines.iter().fold(String::new(), |mut text, (line, origin)| {
        writeln!(text, "{line:width$}  # {origin}").expect("a String takes everything");
        text
    })
}

//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::settings::{Fallback, Origin, SETTINGS, SWITCHES, Setting, variable};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The settings it gives.
    pub(super) flags: BTreeMap<&'static str, (String, Origin)>,
    /// The configuration file it names, and where it is named.
    pub config: Option<(String, Origin)>,
    /// Whether to print the configuration and stop.
    pub print_config: bool,
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// What clap has to say: a usage error, or the text of `--help` or `--version`.
pub fn parse_arguments(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    version: &'static str,
) -> Result<Invocation, clap::Error> {
    let matches = command(version).try_get_matches_from(arguments)?;
    let given = |name: &str| {
        let text = matches.get_one::<String>(name)?.clone();
        Some((text, Origin::Flag(format!("--{name}"))))
    };
    let flags = SETTINGS.iter().filter_map(|setting| Some((setting.name, given(setting.name)?)));
    Ok(Invocation {
        flags: flags.collect(),
        config: given("config"),
        print_config: matches.get_flag("print-config"),
    })
}

fn command(version: &'static str) -> Command {
    let config = Arg::new("config").long("config").value_name("FILE");
    let config = config.help(format!("Configuration file, TOML [env: {}]", variable("config")));
    let print = Arg::new("print-config").long("print-config").action(ArgAction::SetTrue);
    let print = print.help("Print each setting and where it came from, then stop");
    Command::new("kvcore")
        .version(version)
        .about("A key-value store: one node of it")
        .after_help(
            "Each setting has a flag, --some-flag, an environment variable, KVCORE_SOME_FLAG, and \
             a key in the file, some-flag = \"..\". Flags go before variables, variables before \
             the file.\n\nExit statuses: 2 usage, 10 to 13 the machine, 20 to 25 the data \
             directory, 30 a write failed, 3 stopped by a second signal, 1 anything else.",
        )
        .args(SETTINGS.iter().map(argument))
        .arg(config)
        .arg(print)
}

fn argument(setting: &Setting) -> Arg {
    let default = match setting.default {
        Fallback::Text(text) if SWITCHES.contains(&setting.name) && text == "false" => {
            String::new()
        }
        Fallback::Text(text) | Fallback::Machine(text) => format!(" [default: {text}]"),
        Fallback::Unset => String::new(),
    };
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .action(ArgAction::Set)
        .help(format!("{}{default}", setting.help));
    if SWITCHES.contains(&setting.name) {
        return argument.num_args(0..=1).require_equals(true).default_missing_value("true");
    }
    argument
}

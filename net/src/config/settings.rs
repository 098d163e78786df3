//! The list of settings, and where a value came from.

use std::fmt;

/// One setting: `--name` on the command line, `KVCORE_NAME` in the environment, `name` in the file.
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// What its value looks like, in the help.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    pub(super) default: Fallback,
}

/// What a setting is when nobody says.
pub(super) enum Fallback {
    /// This.
    Text(&'static str),
    /// Something that depends on the machine; the words are for the help.
    Machine(&'static str),
    /// Nothing.
    Unset,
}

const fn setting(
    name: &'static str,
    value: &'static str,
    default: Fallback,
    help: &'static str,
) -> Setting {
    Setting { name, value, help, default }
}

use Fallback::{Machine, Text, Unset};

/// All of them, in the order of the help.
pub(super) const SETTINGS: &[Setting] = &[
    setting("cores", "LIST", Unset, "CPUs to run on, one shard each: 0,2-5 (a number is a CPU id)"),
    setting(
        "smp",
        "N",
        Unset,
        "Run on the first N allowed CPUs; without --cores and --smp, on all",
    ),
    setting("data-dir", "DIR", Text("./kvcore-data"), "Data directory, made if it is missing"),
    setting("memory", "SIZE", Machine("4GiB, at most half of what there is"), "Memory to use"),
    setting("listen", "ADDRESS", Text("127.0.0.1:7400"), "Where clients connect"),
    setting("admin-listen", "ADDRESS", Text("127.0.0.1:7402"), "HTTP: /healthz /readyz /metrics"),
    setting("cluster-name", "NAME", Text("kvcore"), "Name of the cluster, fixed at creation"),
    setting("node-name", "NAME", Machine("the host's name"), "What people call this node"),
    setting("dc", "NAME", Text("dc1"), "Data centre the node is in"),
    setting("rack", "NAME", Text("rack1"), "Rack the node is in"),
    setting("vnodes", "N", Text("4096"), "Virtual nodes of the cluster, fixed at creation"),
    setting(
        "durability",
        "WHEN",
        Text("sync"),
        "When a write counts as done: sync (on disk), periodic:10ms (synced that often), none",
    ),
    setting("compression", "NAME", Text("none"), "How blocks on disk are compressed: none or lz4"),
    setting(
        "scrub",
        "TIME",
        Text("7d"),
        "Read and check everything on disk once in this time, at most 8 MiB a second and core; 0 \
         for never",
    ),
    setting("spin", "TIME", Text("20us"), "How long an idle core looks for work before it sleeps"),
    setting("log-format", "FORMAT", Text("text"), "Log lines on stderr: text or json"),
    setting("log-level", "LEVEL", Text("info"), "error, warn, info, debug, trace; or a filter"),
    setting("insecure", "BOOL", Text("false"), "Allow addresses that are not loopback"),
    setting(
        "repair",
        "BOOL",
        Text("false"),
        "Set damaged log segments aside and start without them",
    ),
];

/// Settings that are given without a value as well.
pub(super) const SWITCHES: &[&str] = &["insecure", "repair"];

impl Setting {
    /// Its environment variable.
    pub(super) fn variable(&self) -> String {
        variable(self.name)
    }
}

/// The environment variable of the flag `name`.
pub(super) fn variable(name: &str) -> String {
    format!("KVCORE_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Nobody said.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

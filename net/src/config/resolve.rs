//! From the layers to one checked [`Config`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use engine::store::Durability;
use schemas::ids::VnodeBits;
use schemas::limits::NAME_BYTES_MAX;

use super::command::Invocation;
use super::error::ConfigError;
use super::file::parse_file;
use super::settings::{Fallback, Origin, SETTINGS};
use super::units::{parse_bool, parse_bytes, parse_cpus, parse_time, show_bytes};

/// Syncs are at least this far apart: a shorter interval is `sync` with a weaker promise.
const PERIODIC_MIN: Duration = Duration::from_millis(1);
/// Syncs are at most this far apart: what a crash may take is bounded.
const PERIODIC_MAX: Duration = Duration::from_secs(60);
/// A core that spins longer than this is just busy.
const SPIN_MAX: Duration = Duration::from_millis(10);
/// Cores of one node: the mesh has a queue for each pair. Where nobody says which CPUs, the rest is
/// left alone.
pub(crate) const CORES_MAX: usize = 256;

/// Memory to use when nobody says, if half of the machine's is more.
const MEMORY_DEFAULT: u64 = 4 << 30;
/// And for each core, on machines with many.
const MEMORY_DEFAULT_PER_CORE: u64 = 256 << 20;

/// What the machine has, for defaults and checks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// Ids of the CPUs this process may run on, in order.
    pub cpus: Vec<usize>,
    /// Memory this process may use, in bytes.
    pub memory_bytes: u64,
    /// The host's name.
    pub host: String,
}

/// Everything a configuration is made from.
pub struct Sources<'a> {
    /// The command line.
    pub invocation: &'a Invocation,
    /// Looks an environment variable up.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Path and content of the configuration file, if there is one.
    pub file: Option<(&'a str, &'a str)>,
    /// What the machine has.
    pub machine: &'a Machine,
}

/// Which CPUs to run on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CpuChoice {
    /// All that are allowed, up to the most a node has.
    All,
    /// The first so many that are allowed.
    Count(usize),
    /// These, in order.
    List(Vec<usize>),
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which CPUs to run on.
    pub cpus: CpuChoice,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Memory of all cores together, in bytes.
    pub memory_bytes: u64,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the admin port is.
    pub admin_listen: SocketAddr,
    /// The cluster's name, and whether somebody gave it.
    pub cluster_name: (String, Origin),
    /// The node's name.
    pub node_name: String,
    /// Its data centre.
    pub dc: String,
    /// Its rack.
    pub rack: String,
    /// Size of the ring, and whether somebody gave it.
    pub vnodes: (VnodeBits, Origin),
    /// When a put counts as done.
    pub durability: Durability,
    /// Whether new blocks are compressed with LZ4.
    pub compresses: bool,
    /// In which time everything on disk is read and checked once; zero for never.
    pub scrub: Duration,
    /// How long an idle core spins.
    pub spin: Duration,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which lines are logged.
    pub log_level: String,
    /// Whether damaged log segments are set aside.
    pub repair: bool,
    /// Every setting that has a value: its text and where it came from.
    pub(super) values: BTreeMap<&'static str, (String, Origin)>,
}

/// Resolves the layers: flag before environment before file before default.
///
/// # Errors
/// The first thing that is wrong.
pub fn resolve(sources: &Sources<'_>) -> Result<Config, ConfigError> {
    let mut values = defaults(sources.machine);
    if let Some((path, text)) = sources.file {
        values.extend(parse_file(path, text)?);
    }
    for setting in SETTINGS {
        let variable = setting.variable();
        if let Some(text) = (sources.environment)(&variable) {
            let origin = Origin::Environment(variable);
            values.insert(setting.name, (utf8(text, &origin)?, origin));
        }
    }
    values.extend(sources.invocation.flags.iter().map(|(name, value)| (*name, value.clone())));
    let layers = Layers(&values);
    layers.cores_or_smp()?;
    let config = Config {
        cpus: layers.cpus()?,
        data_dir: PathBuf::from(layers.parsed("data-dir", parse_path)?),
        memory_bytes: layers.parsed("memory", parse_bytes)?,
        listen: layers.parsed("listen", parse_address)?,
        admin_listen: layers.parsed("admin-listen", parse_address)?,
        cluster_name: layers.with_origin("cluster-name", parse_name)?,
        node_name: layers.parsed("node-name", parse_name)?,
        dc: layers.parsed("dc", parse_name)?,
        rack: layers.parsed("rack", parse_name)?,
        vnodes: layers.with_origin("vnodes", parse_vnodes)?,
        durability: layers.parsed("durability", parse_durability)?,
        compresses: layers.parsed("compression", parse_compression)?,
        scrub: layers.parsed("scrub", parse_scrub)?,
        spin: layers.parsed("spin", parse_spin)?,
        log_format: layers.parsed("log-format", parse_log_format)?,
        log_level: layers.parsed("log-level", parse_log_level)?,
        repair: layers.parsed("repair", parse_bool)?,
        values: values.clone(),
    };
    if !layers.parsed("insecure", parse_bool)? {
        layers.loopback("listen", config.listen)?;
        layers.loopback("admin-listen", config.admin_listen)?;
    }
    Ok(config)
}

/// What an environment variable says: never passed over because it cannot be read.
///
/// # Errors
/// It is not UTF-8.
pub fn utf8(text: OsString, origin: &Origin) -> Result<String, ConfigError> {
    text.into_string().map_err(|bytes| ConfigError::Value {
        origin: origin.clone(),
        text: bytes.to_string_lossy().into_owned(),
        what: "is not UTF-8".to_owned(),
    })
}

fn defaults(machine: &Machine) -> BTreeMap<&'static str, (String, Origin)> {
    let text = |setting: &super::settings::Setting| match setting.default {
        Fallback::Text(text) => Some(text.to_owned()),
        Fallback::Machine(_) if setting.name == "memory" => {
            Some(show_bytes(default_memory(machine)))
        }
        Fallback::Machine(_) => Some(machine.host.clone()),
        Fallback::Unset => None,
    };
    let values = SETTINGS.iter().filter_map(|setting| Some((setting.name, text(setting)?)));
    values.map(|(name, text)| (name, (text, Origin::Default))).collect()
}

/// 4 GiB, more where there are many cores, and never more than half of what there is, in whole MiB.
fn default_memory(machine: &Machine) -> u64 {
    let wanted = MEMORY_DEFAULT.max(machine.cpus.len() as u64 * MEMORY_DEFAULT_PER_CORE);
    let half = machine.memory_bytes / 2;
    wanted.min(half) >> 20 << 20
}

/// The values, each from its highest layer.
struct Layers<'a>(&'a BTreeMap<&'static str, (String, Origin)>);

impl Layers<'_> {
    /// Of `--cores` and `--smp` the one of the higher layer counts; both in one is a mistake.
    fn cores_or_smp(&self) -> Result<(), ConfigError> {
        let (Some((_, cores)), Some((_, smp))) = (self.0.get("cores"), self.0.get("smp")) else {
            return Ok(());
        };
        let one_layer = std::mem::discriminant(cores) == std::mem::discriminant(smp);
        if one_layer {
            let what = "give one of them: which CPUs, or how many";
            return Err(ConfigError::Conflict { first: cores.clone(), second: smp.clone(), what });
        }
        Ok(())
    }

    fn cpus(&self) -> Result<CpuChoice, ConfigError> {
        let origin = |name| self.0.get(name).map(|(_, origin)| origin);
        if origin("cores").is_some() && origin("cores") > origin("smp") {
            return Ok(CpuChoice::List(self.parsed("cores", parse_cores)?));
        }
        match origin("smp") {
            Some(_) => Ok(CpuChoice::Count(self.parsed("smp", parse_smp)?)),
            None => Ok(CpuChoice::All),
        }
    }

    /// Strangers on the network may do whatever they like, for there is no authentication yet.
    fn loopback(&self, name: &'static str, address: SocketAddr) -> Result<(), ConfigError> {
        let what = "is not a loopback address: anybody who reaches it may read and write; \
                    give --insecure if the network is trusted";
        if address.ip().is_loopback() { Ok(()) } else { Err(self.refused(name, what.to_owned())) }
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        parse(&self.0[name].0).map_err(|what| self.refused(name, what))
    }

    fn with_origin<T>(
        &self,
        name: &'static str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<(T, Origin), ConfigError> {
        Ok((self.parsed(name, parse)?, self.0[name].1.clone()))
    }

    fn refused(&self, name: &'static str, what: String) -> ConfigError {
        let (text, origin) = self.0[name].clone();
        // A default that is refused was computed for this machine: the flag is where to say more.
        let origin = match origin {
            Origin::Default => Origin::Flag(format!("--{name}")),
            origin => origin,
        };
        ConfigError::Value { origin, text, what }
    }
}

fn parse_cores(text: &str) -> Result<Vec<usize>, String> {
    let cpus = parse_cpus(text)?;
    if cpus.len() > CORES_MAX {
        return Err(format!("names {} CPUs, a node has at most {CORES_MAX}", cpus.len()));
    }
    Ok(cpus)
}

fn parse_smp(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=CORES_MAX).contains(count));
    count.ok_or_else(|| format!("is not a number of CPUs, 1 to {CORES_MAX}"))
}

fn parse_path(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is not a directory's path".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    local
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "is not an address and port: write 127.0.0.1:7400 or [::1]:7400".to_owned())
}

fn parse_name(text: &str) -> Result<String, String> {
    let sound = !text.is_empty() && text.len() <= NAME_BYTES_MAX;
    if !sound || text.trim() != text || text.chars().any(char::is_control) {
        return Err(format!("is not a name of 1 to {NAME_BYTES_MAX} bytes"));
    }
    Ok(text.to_owned())
}

fn parse_vnodes(text: &str) -> Result<VnodeBits, String> {
    let bits = text.parse().ok().and_then(VnodeBits::from_count);
    bits.ok_or_else(|| "is not a power of two from 1 to 65536".to_owned())
}

fn parse_durability(text: &str) -> Result<Durability, String> {
    match text.split_once(':') {
        None if text == "sync" => Ok(Durability::Sync),
        None if text == "none" => Ok(Durability::None),
        Some(("periodic", interval)) => {
            let interval = parse_time(interval)?;
            if !(PERIODIC_MIN..=PERIODIC_MAX).contains(&interval) {
                return Err("is not between 1ms and 60s".to_owned());
            }
            Ok(Durability::Periodic { interval_us: interval.as_micros() as u64 })
        }
        _ => Err("is none of sync, periodic:10ms, none".to_owned()),
    }
}

fn parse_compression(text: &str) -> Result<bool, String> {
    match text {
        "none" => Ok(false),
        "lz4" => Ok(true),
        _ => Err("is neither none nor lz4".to_owned()),
    }
}

fn parse_scrub(text: &str) -> Result<Duration, String> {
    let pass = parse_time(text)?;
    let whole = pass.is_zero() || pass >= Duration::from_secs(1);
    whole.then_some(pass).ok_or_else(|| "is less than 1s and not 0".to_owned())
}

fn parse_spin(text: &str) -> Result<Duration, String> {
    let spin = parse_time(text)?;
    if spin > SPIN_MAX { Err("is more than 10ms".to_owned()) } else { Ok(spin) }
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("is neither text nor json".to_owned()),
    }
}

fn parse_log_level(text: &str) -> Result<String, String> {
    let filter = tracing_subscriber::EnvFilter::try_new(text);
    let what = "is no level: error, warn, info, debug, trace, or a filter like info,engine=debug";
    filter.map(|_| text.to_owned()).map_err(|_| what.to_owned())
}

//! The one screen that a start prints.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;

use engine::data_dir::Superblock;
use engine::store::{Durability, OpenReport};

use super::checks::show_cpus;
use crate::config::{Config, show_bytes};

/// What a start tells people.
pub(super) struct Banner<'a> {
    /// kvcore's version.
    pub(super) version: &'static str,
    /// The configuration.
    pub(super) config: &'a Config,
    /// The CPUs it runs on.
    pub(super) cpus: &'a [usize],
    /// Who the node is.
    pub(super) superblock: &'a Superblock,
    /// Whether it was made just now.
    pub(super) created: bool,
    /// Where clients connect.
    pub(super) listen: SocketAddr,
    /// Where the admin port is.
    pub(super) admin_listen: SocketAddr,
    /// Memory that is pinned.
    pub(super) pinned_bytes: u64,
    /// What each core's store found on disk.
    pub(super) recovered: Vec<OpenReport>,
}

impl Display for Banner<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { config, cpus, superblock, .. } = self;
        writeln!(f, "kvcore {}", self.version)?;
        let mut line = |name: &str, text: String| writeln!(f, "  {name:<12}{text}");
        let (cores, memory) = (cpus.len(), config.memory_bytes);
        let a_core = show_bytes((memory / cores as u64) >> 20 << 20);
        line("cores", format!("{cores}, CPU {}, one shard each", show_cpus(cpus)))?;
        let pinned = show_bytes(self.pinned_bytes);
        line("memory", format!("{}, {a_core} a core, {pinned} pinned", show_bytes(memory)))?;
        let path = config.data_dir.canonicalize();
        let path = path.as_deref().unwrap_or(&config.data_dir).display().to_string();
        line("data", path)?;
        line("recovered", show_recovered(&self.recovered))?;
        let born = if self.created { "new" } else { "known" };
        let (node, boot) = (superblock.node, superblock.boot);
        line("node", format!("{} {node} ({born}), start {boot}", config.node_name))?;
        line("place", format!("data centre {}, rack {}", config.dc, config.rack))?;
        let vnodes = superblock.vnodes.count();
        let name = &superblock.cluster_name;
        line("cluster", format!("{name} {}, {vnodes} virtual nodes", superblock.cluster))?;
        line("clients", self.listen.to_string())?;
        line("admin", format!("http://{}", self.admin_listen))?;
        line("durability", show_durability(config.durability))
    }
}

/// In words, what there was to recover.
fn show_recovered(reports: &[OpenReport]) -> String {
    let sum = |figure: fn(&OpenReport) -> u64| reports.iter().map(figure).sum::<u64>();
    let (tables, records) = (sum(|report| report.tables), sum(|report| report.records));
    let dropped = sum(|report| report.log.tail_bytes_dropped);
    let given_up: usize = reports.iter().map(|report| report.log.given_up.len()).sum();
    let mut text = format!("{tables} tables, {records} records from the log");
    if dropped > 0 {
        text += &format!(", {dropped} bytes dropped that were never acknowledged");
    }
    if given_up > 0 {
        text += &format!(", {given_up} ranges of ACKNOWLEDGED batches given up by --repair");
    }
    text
}

fn show_durability(durability: Durability) -> String {
    match durability {
        Durability::Sync => "sync: what is acknowledged is on disk".to_owned(),
        Durability::Periodic { interval_us } => format!(
            "periodic: a crash of the machine may take the last {} ms of what was acknowledged",
            interval_us as f64 / 1000.0
        ),
        Durability::None => {
            "none: a crash of the machine may take what was acknowledged".to_owned()
        }
    }
}

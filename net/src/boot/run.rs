//! The whole life of the process.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;

use engine::data_dir::shard_dir;
use schemas::ids::ShardId;

use super::banner::Banner;
use super::ceiling::CeilingKeeper;
use super::checks;
use super::control::{self, Cores};
use super::exit::{Exit, Refusal};
use super::logs::{Logs, abort_on_panic};
use super::machine::machine;
use super::storage::{self, Storage};
use crate::admin::{Facts, Readiness, Stage};
use crate::config::{
    Config, ConfigError, Invocation, Machine, Origin, Sources, parse_arguments, print_config,
    resolve, utf8,
};
use crate::server::{CoreLimits, Identity, Server, ServerConfig};

/// kvcore's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names the configuration file where no flag does.
const CONFIG_VARIABLE: &str = "KVCORE_CONFIG";

/// Runs kvcore with these arguments, the program's name first, until it has drained; what the
/// process is to exit with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let invocation = match parse_arguments(arguments, VERSION) {
        Ok(invocation) => invocation,
        Err(usage) => {
            // Nobody may be reading any more.
            drop(usage.print());
            return usage.exit_code() as u8;
        }
    };
    match configure(&invocation).and_then(|(config, machine)| match invocation.print_config {
        true => {
            drop(std::io::stdout().write_all(print_config(&config).as_bytes()));
            Ok(())
        }
        false => serve(&config, &machine),
    }) {
        Ok(()) => 0,
        Err(refusal) => refusal.tell(),
    }
}

fn configure(invocation: &Invocation) -> Result<(Config, Machine), Refusal> {
    let machine = machine();
    let variable = |name: &str| std::env::var_os(name);
    let usage = |error: ConfigError| Refusal::new(Exit::Usage, error.to_string());
    let path = match &invocation.config {
        Some((path, _)) => Some(path.clone()),
        None => variable(CONFIG_VARIABLE)
            .map(|path| utf8(path, &Origin::Environment(CONFIG_VARIABLE.to_owned())))
            .transpose()
            .map_err(usage)?,
    };
    let read = |path: &String| {
        fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.clone(),
            what: error.to_string(),
        })
    };
    let text = path.as_ref().map(read).transpose().map_err(usage)?;
    let file = path.as_deref().zip(text.as_deref());
    let sources = Sources { invocation, environment: &variable, file, machine: &machine };
    Ok((resolve(&sources).map_err(usage)?, machine))
}

/// From a configuration to a server, and to its end.
fn serve(config: &Config, machine: &Machine) -> Result<(), Refusal> {
    abort_on_panic();
    let logs = Logs::start(config.log_format, &config.log_level);
    let cpus = checks::choose_cpus(&config.cpus, &machine.cpus)?;
    let memory = checks::split_memory(config.memory_bytes, cpus.len())?;
    checks::check_locked_memory(cpus.len())?;
    checks::check_io_uring()?;
    let admin = TcpListener::bind(config.admin_listen)
        .map_err(|error| checks::cannot_listen("--admin-listen", config.admin_listen, &error))?;
    let admin_listen = admin.local_addr().unwrap_or(config.admin_listen);
    let (cores, readiness) = (Cores::default(), Arc::new(Readiness::default()));
    let cluster = config.cluster_name.0.clone();
    let facts = Facts::now(VERSION, config.node_name.clone(), cluster, logs.dropped());
    control::start(admin, facts, Arc::clone(&readiness), Arc::clone(&cores))?;
    let storage = storage::open(config, &cpus, memory)?;
    let Storage { opened, .. } = &storage;
    let superblock = &opened.superblock;
    let keeper = CeilingKeeper::start(&config.data_dir, opened.clock, cpus.len(), |refusal| {
        refusal.end();
    })?;
    let shards = (0..superblock.shards).map(ShardId);
    let (tell, reports) = channel();
    let server = Server::open(&ServerConfig {
        cpus: cpus.clone(),
        listen: config.listen,
        data_dir: config.data_dir.clone(),
        generation: superblock.generation,
        shard_dirs: shards.map(|shard| shard_dir(superblock.generation, shard)).collect(),
        durability: config.durability,
        compresses: config.compresses,
        scrub_pass_s: config.scrub.as_secs(),
        repair: config.repair,
        recovered: tell,
        memory,
        limits: CoreLimits::default(),
        spin: config.spin,
        identity: Identity {
            actor: superblock.actor(),
            cluster_id: superblock.cluster,
            cluster_name: superblock.cluster_name.clone(),
            ring_seed: superblock.seed,
            vnode_bits: superblock.vnodes,
            hlc_floor: opened.clock.ceiling(),
        },
        ceiling: keeper.shared(),
    })?;
    readiness.set(Stage::Serving);
    drop(cores.set(server.control()));
    server.serve();
    let banner = Banner {
        version: VERSION,
        config,
        cpus: &cpus,
        superblock,
        created: opened.created,
        listen: server.address(),
        admin_listen,
        pinned_bytes: checks::pinned_bytes(),
        recovered: reports.try_iter().collect(),
    };
    drop(write!(std::io::stdout(), "{banner}").and_then(|()| std::io::stdout().flush()));
    checks::check_pinned(cpus.len());
    if let Err(error) = server.wait() {
        // At once, with the lock held and the ceiling where it is: the other cores still serve.
        Refusal::from(error).end();
    }
    keeper.stop()?;
    tracing::info!("drained");
    Ok(())
}

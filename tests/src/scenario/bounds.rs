//! What a scenario may ask for: what the world can do, and what a machine can.

use std::time::Duration;

use schemas::ids::VnodeBits;
use schemas::limits::TTL_MS_MAX;

use super::draw::Scenario;
use crate::duration::tell;
use crate::limits::{
    SCENARIO_FAULTS_MAX, SCENARIO_KEYS_MAX, SCENARIO_NODES_MAX, SCENARIO_PROCESSES_MAX,
    SCENARIO_SAFETY_MAX,
};
use crate::sim::{ClientOptions, Fault, NetworkOptions, Options, Places, What};

/// A field of the first level, and what is wrong with it or in it.
type Wrong = (&'static str, String);

/// Cores of a node.
const SHARDS_MAX: u16 = 64;

/// An hour, more than which nothing in a run waits for.
const WAIT_MAX: Duration = Duration::from_secs(3600);

impl Scenario {
    /// Whether it can be run.
    ///
    /// # Errors
    /// The field that is wrong, and why.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        sizes(&self.options)?;
        network(&self.options.network).map_err(|why| ("network", why))?;
        places(&self.options).map_err(|why| ("places", why))?;
        clients(&self.options.clients).map_err(|why| ("clients", why))?;
        settings(&self.options).map_err(|why| ("tunables", why))?;
        if self.faults.len() > SCENARIO_FAULTS_MAX {
            let (got, max) = (self.faults.len(), SCENARIO_FAULTS_MAX);
            return Err(("faults", format!("{got} faults, at most {max}")));
        }
        self.faults
            .iter()
            .try_for_each(|it| fault(&self.options, it).map_err(|why| ("faults", why)))
    }
}

fn sizes(options: &Options) -> Result<(), Wrong> {
    within("nodes", options.nodes as u64, 1, SCENARIO_NODES_MAX as u64)
        .map_err(|why| ("nodes", why))?;
    within("shards", options.shards.into(), 1, SHARDS_MAX.into()).map_err(|why| ("shards", why))?;
    within("copies", options.copies.into(), 1, options.nodes.min(16) as u64)
        .map_err(|why| ("copies", why))?;
    if VnodeBits::from_count(options.vnodes).is_none() || options.vnodes > 1 << 15 {
        return Err(("vnodes", format!("vnodes are a power of two, not {}", options.vnodes)));
    }
    for (name, time) in [("safety", options.safety), ("liveness", options.liveness)] {
        if time > SCENARIO_SAFETY_MAX {
            let most = tell(SCENARIO_SAFETY_MAX);
            return Err((name, format!("{name} is at most {most}, not {}", tell(time))));
        }
    }
    within("sync_us_max", options.sync_us_max, 0, WAIT_MAX.as_micros() as u64)
        .map_err(|why| ("sync_us_max", why))?;
    within("miss_permille", options.miss_permille.into(), 0, 1000)
        .map_err(|why| ("miss_permille", why))
}

fn network(network: &NetworkOptions) -> Result<(), String> {
    let longest_us = WAIT_MAX.as_micros() as u64;
    within("delay_us_min", network.delay_us_min, 0, longest_us)?;
    within("delay_us_mean", network.delay_us_mean, 0, longest_us)?;
    within("loss_permille", network.loss_permille.into(), 0, 1000)?;
    within("double_permille", network.double_permille.into(), 0, 1000)
}

fn places(options: &Options) -> Result<(), String> {
    let Places { data_centres, copies_elsewhere, far_us, write_copies, .. } = options.places;
    within("data_centres", data_centres.into(), 1, options.nodes.min(3) as u64)?;
    within("copies_elsewhere", copies_elsewhere.into(), 0, 5)?;
    within("far_us", far_us, 0, WAIT_MAX.as_micros() as u64)?;
    within("write_copies", write_copies.into(), 1, 16)
}

fn clients(clients: &ClientOptions) -> Result<(), String> {
    within("processes", clients.processes.into(), 0, SCENARIO_PROCESSES_MAX)?;
    within("keys", clients.keys, 1, SCENARIO_KEYS_MAX)?;
    within("think_us_mean", clients.think_us_mean, 1, WAIT_MAX.as_micros() as u64)?;
    wait("patience", clients.patience)?;
    if !clients.keys_for.is_zero() && clients.keys_for < Duration::from_secs(1) {
        return Err(format!("keys_for is 0 or at least 1s, not {}", tell(clients.keys_for)));
    }
    let writes = u64::from(clients.put_permille) + u64::from(clients.delete_permille);
    within("put_permille and delete_permille", writes, 0, 1000)?;
    let many = u64::from(clients.multi_permille) + u64::from(clients.scan_permille);
    within("multi_permille and scan_permille", many, 0, 1000)?;
    within("ttl_permille", clients.ttl_permille.into(), 0, 1000)?;
    within("ttl_ms_max", clients.ttl_ms_max, 1, TTL_MS_MAX)?;
    let weak = u64::from(clients.weak_permille) + u64::from(clients.sloppy_permille);
    within("weak_permille and sloppy_permille", weak, 0, 1000)
}

fn settings(options: &Options) -> Result<(), String> {
    let it = &options.tunables;
    within("operations_max", it.operations_max as u64, 1, 1 << 20)?;
    within("moves_max", it.moves_max as u64, 1, 1 << 10)?;
    within("resend_after_256ths", it.resend_after_256ths.into(), 1, 256)?;
    wait("behind_pause", it.behind_pause)?;
    wait("hedge_after_min", it.hedge_after_min)?;
    wait("latency_first", it.latency_first)?;
    wait("handoff_patience", it.handoff_patience)?;
    wait("repair_retry", it.repair_retry)?;
    wait("repair_patience", it.repair_patience)?;
    wait("repair_period", it.repair_period)?;
    wait("horizon_period", it.horizon_period)?;
    wait("horizon_window", it.horizon_window)?;
    within("repair_period in milliseconds", it.repair_period.as_millis() as u64, 1000, 86_400_000)
}

fn fault(options: &Options, fault: &Fault) -> Result<(), String> {
    let (from_us, to_us) = (fault.from_us, fault.to_us);
    if to_us < from_us {
        return Err(format!("{:?} ends before it begins", fault.what));
    }
    if to_us > options.safety.as_micros() as u64 {
        return Err(format!("{:?} is longer than clients work under faults", fault.what));
    }
    let longest_us = WAIT_MAX.as_micros() as u64;
    match fault.what {
        What::Weigh { weight, .. } => within("weight", weight.into(), 0, 10_000)?,
        What::Slow { by_us, .. } | What::DiskSlow { by_us, .. } => {
            within("by_us", by_us, 0, longest_us)?;
        }
        What::ClockOff { by_ms, .. } => {
            within("by_ms", by_ms.unsigned_abs(), 0, 365 * 86_400_000)?;
        }
        What::ClockDrifts { by_ppm, .. } => {
            within("by_ppm", by_ppm.unsigned_abs(), 0, 1_000_000)?;
        }
        What::Alter { copies, data_centre, .. } => {
            within("copies", copies.into(), 0, 5)?;
            within("data_centre", data_centre as u64, 0, 2)?;
        }
        What::Create { copies, .. } => within("copies", copies.into(), 1, 5)?,
        _ => {}
    }
    let nodes = fault.what.nodes();
    let stranger = nodes.into_iter().find(|&node| node >= options.nodes);
    stranger.map_or(Ok(()), |node| {
        Err(format!("there is no node {node}: they are 0 to {}", options.nodes - 1))
    })
}

fn within(name: &str, got: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(format!("{name} is {min} to {max}, not {got}"))
    }
}

fn wait(name: &str, time: Duration) -> Result<(), String> {
    if time.is_zero() || time > WAIT_MAX {
        let (most, got) = (tell(WAIT_MAX), tell(time));
        return Err(format!("{name} is above 0 and at most {most}, not {got}"));
    }
    Ok(())
}

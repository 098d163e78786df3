//! A run: while things go wrong, then while nothing does, then what is to be true at the end.

use std::time::Duration;

use cluster::limits::{SETS_APART_MAX, SIBLINGS_MAX};
use cluster::node::NodeTunables;
use cluster::tunables::Tunables;
use fastrand::Rng;
use schemas::ids::Hlc;

use super::convergence::stuck_horizon;
use super::faults::{Fault, What};
use super::node::START_MS;
use super::operators::may_lose_a_node;
use super::options::Options;
use super::world::World;
use crate::checker::{Allowed, Findings, check};
use crate::history::History;

/// How often two periods of comparisons are waited for, if vnodes still moved in those before.
const REST_MAX: u32 = 5;

/// What came of a run.
pub struct Outcome {
    /// What clients did and saw.
    pub history: History,
    /// A hash of all that happened.
    pub trace_hash: u64,
    /// How much happened.
    pub events: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// How long it was, in the run's own time.
    pub simulated: Duration,
    /// What the oracles find in the history.
    pub findings: Findings,
    /// What is not as it must be at the end, clients apart.
    pub failures: Vec<String>,
    /// What was not as it must be at every step.
    pub breaches: Vec<String>,
}

/// What goes wrong in the run of these options.
#[must_use]
pub fn faults(options: &Options) -> Vec<Fault> {
    let (nodes, changes) = (options.nodes, options.changes_max);
    let mut faults = Fault::draw(&mut fault_rng(options), nodes, changes, options.safety);
    // Of a chance of its own: what else goes wrong is the same with and without.
    let mut rng = forged_rng(options);
    if rng.u32(..3) == 0 {
        faults.extend(Fault::draw_forged(&mut rng, options.safety));
    }
    faults
}

/// What forging is drawn from.
pub(super) fn forged_rng(options: &Options) -> Rng {
    Rng::with_seed(options.seed ^ 0x666f_7267_6564_0000)
}

/// What the faults of a run are drawn from.
pub(super) fn fault_rng(options: &Options) -> Rng {
    Rng::with_seed(options.seed ^ 0x6661_756c_7473_0000)
}

/// What clients may see in such a run.
fn allowed(options: &Options, faults: &[Fault]) -> Allowed {
    let off_ms = faults.iter().map(|fault| match fault.what {
        What::ClockOff { by_ms, .. } => by_ms.unsigned_abs(),
        What::ClockFrozen { .. } => (fault.to_us - fault.from_us) / 1000,
        What::ClockDrifts { by_ppm, .. } => {
            (fault.to_us - fault.from_us) * by_ppm.unsigned_abs() / 1_000_000_000
        }
        _ => 0,
    });
    // A clock that stands still begins where it is, however far off that is.
    let skew_ms = 10_000 + off_ms.sum::<u64>() * 2;
    let context_entries_max = 64.max(options.nodes as u16 * 8);
    // Each side that is written apart may have as many as one may.
    let siblings_max = SIBLINGS_MAX * SETS_APART_MAX;
    Allowed { skew_ms, siblings_max, context_entries_max }
}

impl World {
    /// Lets time pass until all that was deleted by now may be purged; a sentence if it may not
    /// long after it ought to.
    fn stuck_horizons(&mut self) -> Option<String> {
        let since = Hlc::from_millis(START_MS + self.now_us / 1000);
        let Tunables { horizon_period, horizon_window, .. } = self.options.tunables;
        let most = horizon_window + horizon_period * 4 + Duration::from_secs(180);
        let late_us = self.now_us + most.as_micros() as u64;
        loop {
            let stuck = stuck_horizon(self, since);
            if stuck.is_none() || self.now_us >= late_us {
                return stuck;
            }
            self.run(self.now_us + 1_000_000);
        }
    }
}

/// Whether a node may be given up for lost that lives on.
pub(super) fn gives_up(options: &Options, faults: &[Fault]) -> bool {
    options.forget_after < options.safety || faults.iter().any(|fault| fault.what.destroys())
}

/// Runs.
#[must_use]
pub fn run(options: &Options, faults: Vec<Fault>) -> Outcome {
    let allowed = allowed(options, &faults);
    let mut options = options.clone();
    if !may_lose_a_node(&options, &faults) {
        options.forget_after = NodeTunables::default().forget_after;
    }
    let loses = |it: &Fault| matches!(it.what, What::LosePart { .. });
    if gives_up(&options, &faults) || faults.iter().any(loses) {
        // What one copy alone acknowledged goes with it.
        options.clients.weak_permille = 0;
    }
    let mut world = World::new(options.clone(), faults);
    let safety_us = options.safety.as_micros() as u64;
    world.run(safety_us);
    world.heal();
    let healed_us = safety_us + options.liveness.as_micros() as u64;
    world.run(healed_us);
    world.clients.is_stopped = true;
    let periods_us = 2 * options.tunables.repair_period.as_micros() as u64;
    world.run(healed_us + options.clients.patience.as_micros() as u64);
    // What is changed late has as long to come to rest.
    for _ in 0..REST_MAX {
        let epoch = world.document().map(|it| it.epoch);
        world.run(world.now_us + periods_us);
        if world.document().map(|it| it.epoch) == epoch {
            break;
        }
    }
    let mut failures = Vec::from_iter(world.false_claim.take());
    if world.unanswered() > 0 {
        failures.push(format!("{} requests were never answered", world.unanswered()));
    }
    if world.operators.open() > 0 {
        failures.push(format!("{} changes were not made", world.operators.open()));
    }
    failures.extend(world.stuck_horizons());
    failures.extend(super::convergence::differences(&world));
    if failures.is_empty() {
        world.read_all_at_last();
    }
    let findings = check(&world.clients.history, &allowed);
    let unread = findings.keys_unsettled.saturating_sub(world.keys_gone());
    if failures.is_empty() && unread > 0 {
        failures.push(format!("{unread} keys could not be read at the end"));
    }
    Outcome {
        trace_hash: world.trace.hash(),
        events: world.trace.events(),
        messages: world.messages,
        simulated: Duration::from_micros(world.now_us),
        findings,
        history: world.clients.history,
        failures,
        breaches: world.invariants.breaches,
    }
}

//! One scenario on one engine, in this process; what it took is printed as JSON.

use std::time::Instant;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::cli::ChildOptions;
use crate::data::Values;
use crate::engines::{Order, open};
use crate::scenario::{Scenario, Work};
use crate::usage::{Usage, disk_bytes, memory_peak};

/// What a scenario took.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Figures {
    pub(crate) operations: u64,
    /// Of the work alone.
    pub(crate) seconds: f64,
    /// Of the work, and of what it left to be done.
    pub(crate) usage: Usage,
    /// Until nothing was left to be done.
    pub(crate) rest_seconds: f64,
    /// Key and value bytes of what was written.
    pub(crate) user_bytes: u64,
    /// Of one operation, or of a group of puts, in microseconds.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// Of all files at the end.
    pub(crate) disk_bytes: u64,
    pub(crate) memory_bytes: u64,
}

/// Runs what `options` say.
pub(crate) fn run(options: &ChildOptions) -> anyhow::Result<()> {
    let ChildOptions { engine, scenario, quick, seed, cpu, ref dir, .. } = *options;
    // Threads that are made from here on inherit it.
    ensure!(core_affinity::set_for_current(core_affinity::CoreId { id: cpu }), "no CPU {cpu}");
    let values = Values::new(scenario.value_bytes());
    let mut setup = scenario.setup(quick);
    if let Some(mib) = options.memory_mib {
        let half = (mib as usize) << 19;
        (setup.write_memory, setup.cache) = (half, half);
    }
    let keys = options.keys.unwrap_or_else(|| scenario.keys(quick));
    let mut runner = open(engine, dir, &setup)?;
    let orders = orders(scenario, keys, quick, seed);
    if scenario == Scenario::ReadCached100 {
        runner.order(&Order::Scan { keys }, &values)?;
        runner.order(&warm_up(&orders[0]), &values)?;
    }
    let (before, start) = (Usage::now()?, Instant::now());
    let mut all = None;
    for order in &orders {
        let outcome = runner.order(order, &values)?;
        match &mut all {
            None => all = Some(outcome),
            Some(all) => all.add(&outcome),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let outcome = all.expect("a scenario has an order");
    runner.rest()?;
    let rest_seconds = start.elapsed().as_secs_f64() - seconds;
    let usage = Usage::now()?.since(before);
    runner.close()?;
    let writes = orders.iter().any(|order| matches!(order, Order::Put { .. }));
    let user_bytes = if writes { outcome.operations * (16 + values.bytes() as u64) } else { 0 };
    let us = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1000.0;
    let figures = Figures {
        operations: outcome.operations,
        seconds,
        usage,
        rest_seconds,
        user_bytes,
        p50_us: us(0.5),
        p99_us: us(0.99),
        p999_us: us(0.999),
        disk_bytes: disk_bytes(dir)?,
        memory_bytes: memory_peak()?,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn orders(scenario: Scenario, keys: u64, quick: bool, seed: u64) -> Vec<Order> {
    let seconds = Scenario::seconds(quick);
    let read = |absent, in_flight, puts_per_s| Order::Read {
        keys,
        absent,
        in_flight,
        seconds,
        seed,
        puts_per_s,
    };
    match scenario.work() {
        Work::Load { shuffled } => vec![Order::Put { keys, shuffled, life: 0, seed }],
        Work::Read { absent, in_flight } => vec![read(absent, in_flight, 0)],
        Work::ReadBesideWriter { in_flight, puts_per_s } => {
            vec![read(false, in_flight, puts_per_s)]
        }
        Work::Scan => vec![Order::Scan { keys }],
        Work::Overwrite { times } => (1..=times)
            .map(|life| Order::Put { keys, shuffled: true, life, seed: seed + life })
            .collect(),
    }
}

/// The same for long enough to bring what it reads into memory.
fn warm_up(order: &Order) -> Order {
    match *order {
        Order::Read { keys, absent, in_flight, seconds, seed, puts_per_s } => {
            let (seconds, seed) = (2.0 * seconds, !seed);
            Order::Read { keys, absent, in_flight, seconds, seed, puts_per_s }
        }
        other => other,
    }
}
